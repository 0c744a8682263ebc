//! Each party killed in each state of a live move: afterwards every VM runs in exactly one place, and
//! the directory has it there.

use crate::fixture::{Lab, shop};
use lab::shop::Load;
use model::migration::{Migration, Options, State};
use model::{MigrationId, SiteName};
use std::time::{Duration, Instant};

const VMS: [&str; 2] = ["shop-1", "shop-2"];
/// Those in which most is under way; [`crate::lost`] has the long ones before.
const STATES: [State; 3] = [State::Armed, State::Switchover, State::Verify];
/// Everything has come to rest by then.
const REST: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
enum Party {
    Controller,
    Source,
    Target,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_killed_in_any_state_leaves_each_vm_in_one_place() {
    each_state("m-control", Party::Controller).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_agent_killed_in_any_state_leaves_each_vm_in_one_place() {
    each_state("m-source", Party::Source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_agent_killed_in_any_state_leaves_each_vm_in_one_place() {
    each_state("m-target", Party::Target).await;
}

async fn each_state(name: &str, party: Party) {
    let lab = Lab::up(name, 2, Load::IDLE).await;
    let mut matrix = String::new();
    for state in STATES {
        let from = gathered(&lab).await;
        let to = if from == "north" { "south" } else { "north" };
        let killed = match party {
            Party::Controller => "controller".to_owned(),
            Party::Source => format!("agent-{from}"),
            Party::Target => format!("agent-{to}"),
        };
        let id = begin(&lab, to).await;
        let seen = lab.until(&id, |seen| seen.state == state).await;
        lab.kill(&killed);
        tokio::time::sleep(Duration::from_millis(300)).await;
        lab.restart(&killed).await;
        let end = lab.until_end(&id).await;
        let places = at_rest(&lab).await;
        assert!(
            lab.answers().await,
            "{killed} killed at {state:?}: no answer"
        );
        matrix += &format!(
            "{killed:<12} killed at {:<10} {:<8} {} at {}: {}\n",
            format!("{:?}", seen.state),
            format!("{:?}", end.state),
            VMS.join(", "),
            places.join(", "),
            end.message
        );
    }
    println!("{matrix}");
}

async fn begin(lab: &Lab, to: &str) -> MigrationId {
    let to = SiteName::new(to).unwrap();
    let begun = Instant::now();
    loop {
        match lab.client().migrate(&shop(), &to, Options::default()).await {
            Ok(Migration { id, .. }) => return id,
            Err(error) => assert!(begun.elapsed() < REST, "still refused: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Where each VM runs, once that is one place each and the directory says the same.
async fn at_rest(lab: &Lab) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let (mut places, mut told) = (Vec::new(), Vec::new());
        for vm in VMS {
            places.push(lab.places(vm).await);
        }
        if let Ok(rows) = lab.client().endpoints().await {
            for vm in VMS {
                let row = rows.iter().find(|row| row.entry.vm.as_str() == vm);
                told.push(
                    row.map(|row| vec![row.site.to_string()])
                        .unwrap_or_default(),
                );
            }
        }
        let twice = places.iter().any(|places| places.len() > 1);
        assert!(!twice, "a VM runs twice: {places:?}");
        if places == told {
            return places.into_iter().flatten().collect();
        }
        assert!(
            begun.elapsed() < REST,
            "VMs at {places:?}, rows say {told:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The site of the whole gang; one that was split is moved together first.
async fn gathered(lab: &Lab) -> String {
    loop {
        let places = at_rest(lab).await;
        if places.iter().all(|place| *place == places[0]) {
            return places[0].clone();
        }
        let id = begin(lab, &places[0]).await;
        let end = lab.until_end(&id).await;
        assert_eq!(end.state, State::Arrived, "{}", end.message);
    }
}
