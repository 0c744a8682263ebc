//! Who goes when, and what a user does about it.

use crate::fixture::{Lab, OUT_OF_ORDER, not_fast, shop};
use api::Client;
use lab::demo::Tour;
use lab::shop::Load;
use model::migration::{Migration, Options, State};
use model::{Cluster, ClusterName, MemberKind, MigrationId, SiteName, VmName};
use std::time::Duration;

/// As long as nothing may go on.
const PAUSE: Duration = Duration::from_secs(4);

/// Moves a second cluster over the same uplink while the first is on its way, and pauses the first.
struct Crowd<'a> {
    lab: &'a Lab,
    second: Option<MigrationId>,
}

async fn sent(client: &Client, id: &MigrationId) -> u64 {
    let seen = client.migration(id).await.unwrap();
    assert_eq!(seen.state, State::PreCopy, "{}", seen.message);
    seen.vms.iter().map(|vm| vm.progress.wire_bytes).sum()
}

#[async_trait::async_trait]
impl lab::demo::Audience for Crowd<'_> {
    fn step(&mut self, _: lab::cli::Step) {}

    fn say(&mut self, _: &str) {}

    async fn follow(
        &mut self,
        client: &Client,
        id: &MigrationId,
    ) -> Result<Migration, api::client::Error> {
        self.lab.until_pre_copy(id).await;
        let (wiki, south) = (wiki_name(), SiteName::new("south").unwrap());
        let second = client.migrate(&wiki, &south, Options::default()).await?;
        assert_eq!(second.state, State::Queued);
        assert_eq!(
            second.message,
            format!("waiting for room: 1 migration already sends through north-1's uplink ({id})")
        );
        self.second = Some(second.id);
        assert!(client.pause(id).await?.paused);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = sent(client, id).await;
        tokio::time::sleep(PAUSE).await;
        let trickled = sent(client, id).await - before;
        println!("{trickled} bytes in {PAUSE:?} of pause");
        assert!(trickled < 2_000_000, "{trickled} bytes");
        assert!(!client.resume(id).await?.paused);
        Ok(self.lab.until_end(id).await)
    }
}

fn wiki_name() -> ClusterName {
    ClusterName::new("wiki").unwrap()
}

/// A cluster of its own with a VM like the shop's first.
async fn wiki(lab: &Lab) {
    let shop = lab.client().cluster(&shop()).await.unwrap().spec;
    let mut members = shop.members;
    members.retain(|member| matches!(member.kind, MemberKind::Vm { .. }));
    members.truncate(1);
    members[0].name = VmName::new("wiki-1").unwrap();
    let wiki = Cluster {
        name: wiki_name(),
        vni: 0,
        encap: shop.encap,
        members,
    };
    lab.client().apply_cluster(&wiki).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_move_trickles_and_another_waits_for_its_uplink_and_both_arrive() {
    let lab = Lab::up("steered", 1, Load::USUAL).await;
    wiki(&lab).await;
    let mut tour = Tour::begin(&lab.standing, Duration::from_secs(1))
        .await
        .unwrap();
    let mut crowd = Crowd {
        lab: &lab,
        second: None,
    };
    let moved = tour.travel("south", not_fast(), &mut crowd).await.unwrap();
    assert_eq!(moved.state, State::Arrived, "{}", moved.message);
    let second = crowd.second.unwrap();
    let end = lab.until_end(&second).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
    assert_eq!(lab.places("wiki-1").await, ["south"]);
    let seen = tour.end().await.unwrap();
    let vm = &seen.migrations[0].vms[0];
    assert_eq!(vm.tcp_lost, 0);
    let lost = vm.switch_udp_lost.unwrap_or(u64::MAX);
    println!("{lost} packets lost");
    assert!(lost < OUT_OF_ORDER, "{lost} lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_after_others_stop_after_them() {
    let lab = Lab::up("ordered", 2, Load::IDLE).await;
    let mut cluster = lab.client().cluster(&shop()).await.unwrap().spec;
    // Against the order of their names, in which they would stop else.
    let mut members = cluster.members.iter_mut();
    let first = members.find(|member| member.name.as_str() == "shop-1");
    first.unwrap().after = vec![VmName::new("shop-2").unwrap()];
    lab.client().apply_cluster(&cluster).await.unwrap();
    let id = lab.begin("south", Options::default()).await;
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
    let figures = |name: &str| {
        let it = end.vms.iter().find(|it| it.vm.as_str() == name).unwrap();
        (
            it.figures.stopped_unix_ns.unwrap(),
            it.figures.resumed_unix_ns.unwrap(),
        )
    };
    let (first, then) = (figures("shop-2"), figures("shop-1"));
    assert!(first.1 < then.0, "{first:?} {then:?}");
}
