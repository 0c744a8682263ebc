//! Whatever happens, in whatever order agents do it: hosts agree with the directory.

use super::agent::Agent;
use super::agent::plain;
use super::bed::{Bed, cluster, host_name, member, until, vm_name};
use api::Service;
use model::ClusterName;
use std::collections::BTreeMap;

/// A plain linear congruential generator: the same run every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_agree_with_the_directory_whatever_happens() {
    let (bed, hosts, agents) = Bed::with_three_hosts().await;
    let mut agents: Vec<Option<Agent>> = agents.into_iter().map(Some).collect();
    let names = ["north", "south", "office"].map(host_name);
    let clusters = ["shop", "ship"].map(|name| ClusterName::new(name).unwrap());
    for name in ["shop", "ship"] {
        bed.service
            .apply_cluster(cluster(name, vec![]))
            .await
            .unwrap();
    }
    let mut dice = Dice(7);
    for _ in 0..150 {
        let cluster = &clusters[dice.roll(2) as usize];
        let number = dice.roll(6) as u8;
        let vm = vm_name(&format!("m{number}"));
        let at = dice.roll(3) as usize;
        let service = bed.service.clone();
        // Most of it may be refused; what counts is what is left.
        match dice.roll(8) {
            0..=2 => {
                let one = member(vm.as_str(), names[at].as_str(), 10 + number);
                let two = member(
                    &format!("m{}", number + 10),
                    names[(at + 1) % 3].as_str(),
                    30 + number,
                );
                let (one, two) =
                    tokio::join!(service.link(cluster, one), service.link(cluster, two));
                drop((one, two));
            }
            3 => drop(service.unlink(cluster, &vm).await),
            4 | 5 => drop(service.update(cluster, &vm, &names[at]).await),
            6 => {
                agents[at] = None;
                until(|| !bed.service.hosts.is_connected(&names[at])).await;
            }
            _ => {
                agents[at] = None;
                until(|| !bed.service.hosts.is_connected(&names[at])).await;
                agents[at] = Some(hosts[at].connect().await);
            }
        }
    }
    for (host, agent) in hosts.iter().zip(&mut agents) {
        if agent.is_none() {
            *agent = Some(host.connect().await);
        }
    }
    let rows: BTreeMap<_, _> = bed
        .service
        .endpoints()
        .await
        .unwrap()
        .into_iter()
        .map(|shown| (shown.entry.key(), shown.entry))
        .collect();
    assert!(rows.len() > 3, "the run was too tame");
    for (name, agent) in names.iter().zip(agents.iter().flatten()) {
        for cluster in &clusters {
            let wanted: Vec<_> = rows
                .values()
                .filter(|row| row.cluster == *cluster)
                .cloned()
                .collect();
            let member = wanted.iter().any(|row| row.locator.host == *name);
            agent
                .until(|held| {
                    let has: Vec<_> = held
                        .rows
                        .values()
                        .filter(|row| row.cluster == *cluster)
                        .map(plain)
                        .collect();
                    has == wanted || (has.is_empty() && !member)
                })
                .await;
        }
    }
}
