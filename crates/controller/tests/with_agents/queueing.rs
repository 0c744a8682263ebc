//! Who may go, who waits and for what, and what a user does about it.

use super::agent::{Agent, Reaction};
use super::bed::{Bed, cluster, host_name, shop, vm, vm_name};
use api::Service;
use api::problem::Kind;
use model::limits::{Limit, Limits};
use model::migration::{Migration, Options, State, Switch};
use model::news::News;
use model::order::Order;
use model::{ClusterName, MigrationId, SiteName};
use std::time::Duration;

fn south() -> SiteName {
    SiteName::new("south").unwrap()
}

fn named(name: &str) -> ClusterName {
    ClusterName::new(name).unwrap()
}

/// Cluster `shop` with a VM on `north`, and `wiki` with one on `office`.
async fn two_clusters() -> (Bed, [super::agent::Host; 3], [Agent; 3]) {
    let (bed, hosts, agents) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11)]).await.unwrap();
    let wiki = cluster("wiki", vec![vm("w", "office", 12)]);
    bed.service.apply_cluster(wiki).await.unwrap();
    (bed, hosts, agents)
}

async fn try_to(bed: &Bed, cluster: &str, options: Options) -> Result<Migration, api::Problem> {
    let (cluster, to) = (named(cluster), south());
    bed.service.migrate(&cluster, &to, options).await
}

async fn migrate(bed: &Bed, cluster: &str, options: Options) -> Migration {
    try_to(bed, cluster, options).await.unwrap()
}

/// Waits until a migration stands as it should.
async fn until(bed: &Bed, id: &MigrationId, wanted: impl Fn(&Migration) -> bool) -> Migration {
    for _ in 0..3000 {
        let seen = bed.service.migration(id).await.unwrap();
        if wanted(&seen) {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{:?}", bed.service.migration(id).await);
}

fn in_pre_copy(seen: &Migration) -> bool {
    seen.state == State::PreCopy
}

fn held(migration: &MigrationId, vm: &str) -> News {
    News::Held {
        migration: migration.clone(),
        vm: vm_name(vm),
        burst_bytes: 10_000,
        pages: 10,
    }
}

fn count(agent: &Agent, wanted: impl Fn(&Order) -> bool) -> usize {
    agent.held(|held| held.orders.iter().filter(|order| wanted(order)).count())
}

fn is_arm(order: &Order) -> bool {
    matches!(order, Order::Arm { .. })
}

fn pace(order: &Order) -> Option<bool> {
    match order {
        Order::Pace { slow, .. } => Some(*slow),
        _ => None,
    }
}

#[tokio::test]
async fn the_second_over_one_uplink_waits_with_its_reason_and_goes_when_there_is_room() {
    let (bed, _hosts, _agents) = two_clusters().await;
    let first = migrate(&bed, "shop", Options::default()).await;
    assert_eq!(first.state, State::Preparing);
    assert_eq!(first.given_mbit, 200.0);
    let second = migrate(&bed, "wiki", Options::default()).await;
    assert_eq!(second.state, State::Queued);
    assert_eq!(
        second.message,
        "waiting for room: 1 migration already sends through south's uplink (m-0001)"
    );
    let again = try_to(&bed, "wiki", Options::default()).await;
    assert_eq!(again.unwrap_err().kind(), Kind::Conflict);
    until(&bed, &first.id, in_pre_copy).await;
    bed.service.cancel(&first.id).await.unwrap();
    until(&bed, &first.id, |seen| seen.state == State::Aborted).await;
    let begun = until(&bed, &second.id, in_pre_copy).await;
    assert_eq!(begun.given_mbit, 200.0);
}

#[tokio::test]
async fn one_that_waits_is_cancelled_without_anything_having_happened() {
    let (bed, _hosts, [_north, target, office]) = two_clusters().await;
    let first = migrate(&bed, "shop", Options::default()).await;
    let second = migrate(&bed, "wiki", Options::default()).await;
    until(&bed, &first.id, in_pre_copy).await;
    let ended = bed.service.cancel(&second.id).await.unwrap();
    assert_eq!(ended.state, State::Aborted);
    let of_second = |order: &Order| {
        matches!(order, Order::PrepareTarget { migration, .. } | Order::Migrate { migration, .. }
            if *migration == second.id)
    };
    assert_eq!(count(&target, of_second) + count(&office, of_second), 0);
    // The cluster is free for anything.
    bed.service
        .unlink(&named("wiki"), &vm_name("w"))
        .await
        .unwrap();
}

#[tokio::test]
async fn those_that_run_together_share_what_the_uplink_carries() {
    let (bed, _hosts, [north, _south, office]) = two_clusters().await;
    let limits = Limits {
        uplink: Limit {
            at_once: Some(2),
            mbit: Some(120.0),
        },
        ..Limits::default()
    };
    bed.service.set_limits(Some(limits)).await.unwrap();
    for (cluster, given) in [("shop", 60.0), ("wiki", 60.0)] {
        let begun = migrate(&bed, cluster, Options::default()).await;
        assert_eq!(begun.given_mbit, given);
        until(&bed, &begun.id, in_pre_copy).await;
    }
    let rates = |agent: &Agent| {
        agent.held(|held| {
            let rates = held.orders.iter().filter_map(|order| match order {
                Order::Migrate { how, .. } => Some((how.bulk_rate, how.hold_rate)),
                _ => None,
            });
            rates.collect::<Vec<_>>()
        })
    };
    for agent in [&north, &office] {
        until_sent(agent).await;
        for (bulk, hold) in rates(agent) {
            let most = 60e6 / 8.0;
            assert!(bulk as f64 <= most && hold as f64 <= most, "{bulk} {hold}");
            assert!(bulk as f64 > most / 2.0);
        }
    }
}

async fn until_sent(agent: &Agent) {
    let sent = |order: &Order| matches!(order, Order::Migrate { .. });
    agent.until(move |held| held.orders.iter().any(sent)).await;
}

#[tokio::test]
async fn the_queue_and_the_limits_outlive_the_controller() {
    let (bed, mut hosts, agents) = two_clusters().await;
    let first = migrate(&bed, "shop", Options::default()).await;
    let second = migrate(&bed, "wiki", Options::default()).await;
    until(&bed, &first.id, in_pre_copy).await;
    bed.service.pause(&second.id).await.unwrap();
    let limits = Limits {
        least_mbit: 7.0,
        ..Limits::default()
    };
    bed.service.set_limits(Some(limits.clone())).await.unwrap();
    drop(agents);
    let bed = bed.restart().await;
    let waits = bed.service.migration(&second.id).await.unwrap();
    assert!(waits.state == State::Queued && waits.paused, "{waits:?}");
    assert_eq!(bed.service.limits().await.unwrap(), limits);
    let mut agents = Vec::new();
    for host in &mut hosts {
        host.controller = bed.agents;
        agents.push(host.connect().await);
    }
    until(&bed, &first.id, |seen| seen.state == State::Aborted).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let waits = bed.service.migration(&second.id).await.unwrap();
    assert_eq!(
        waits.state,
        State::Queued,
        "it is paused: {}",
        waits.message
    );
    bed.service.resume(&second.id).await.unwrap();
    until(&bed, &second.id, in_pre_copy).await;
    bed.service.set_limits(None).await.unwrap();
    assert_eq!(bed.service.limits().await.unwrap(), Limits::default());
}

#[tokio::test]
async fn a_paused_migration_trickles_and_is_armed_only_after_it_was_resumed() {
    let (bed, _hosts, [north, south, _office]) = two_clusters().await;
    let id = migrate(&bed, "shop", Options::default()).await.id;
    until(&bed, &id, in_pre_copy).await;
    until_sent(&north).await;
    let paused = bed.service.pause(&id).await.unwrap();
    assert!(paused.paused);
    north
        .until(|held| held.orders.iter().any(|order| pace(order) == Some(true)))
        .await;
    north.tell(held(&id, "a"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(count(&north, is_arm), 0);
    let seen = bed.service.migration(&id).await.unwrap();
    assert!(
        seen.message.starts_with("paused by the user"),
        "{}",
        seen.message
    );
    bed.service.resume(&id).await.unwrap();
    north
        .until(|held| held.orders.iter().any(|order| pace(order) == Some(false)))
        .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    north.tell(held(&id, "a"));
    north.until(|held| held.orders.iter().any(is_arm)).await;
    let refused = bed.service.pause(&id).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(
        refused.detail.contains("cannot be paused: it is armed"),
        "{refused}"
    );
    let now = bed.service.hosts.now();
    let (migration, vm) = (id.clone(), vm_name("a"));
    north.tell(News::Stopped {
        migration: migration.clone(),
        vm: vm.clone(),
        at: now,
        predicted: None,
        salvaged: 0,
    });
    south.tell(News::Resumed {
        migration,
        vm,
        at: now.plus_ms(30.0),
        queue_drops: 0,
    });
    until(&bed, &id, |seen| seen.state == State::Arrived).await;
    let over = bed.service.pause(&id).await.unwrap_err();
    assert_eq!(over.kind(), Kind::Conflict);
    assert_eq!(
        bed.service.resume(&id).await.unwrap_err().kind(),
        Kind::Conflict
    );
}

#[tokio::test]
async fn a_migration_with_a_window_waits_for_it_and_one_whose_window_is_over_is_refused() {
    let (bed, _hosts, _agents) = two_clusters().await;
    let inside = |window: &str| Options {
        window: Some(window.parse().unwrap()),
        ..Options::default()
    };
    let later = inside("2199-01-01T00:00:00Z/2199-01-02T00:00:00Z");
    let waits = migrate(&bed, "shop", later).await;
    assert_eq!(waits.state, State::Queued);
    assert_eq!(
        waits.message,
        "waiting for its window, which opens at 2199-01-01T00:00:00Z"
    );
    let over = inside("2020-01-01T00:00:00Z/2020-01-02T00:00:00Z");
    let refused = bed.service.migrate(&named("wiki"), &south(), over).await;
    let refused = refused.unwrap_err();
    assert!(refused.detail.contains("window was over"), "{refused}");
}

#[tokio::test]
async fn a_window_that_is_taken_from_a_site_lets_go_who_waited_for_it() {
    let (bed, _hosts, _agents) = two_clusters().await;
    let closed = Limits {
        windows: [(
            south(),
            vec!["2199-01-01T00:00:00Z/2199-01-02T00:00:00Z".parse().unwrap()],
        )]
        .into(),
        ..Limits::default()
    };
    bed.service.set_limits(Some(closed.clone())).await.unwrap();
    let waits = migrate(&bed, "shop", Options::default()).await;
    assert_eq!(waits.state, State::Queued);
    bed.service.set_limits(None).await.unwrap();
    until(&bed, &waits.id, in_pre_copy).await;
    // And one that closes takes back what has not switched over.
    bed.service.set_limits(Some(closed)).await.unwrap();
    let ended = until(&bed, &waits.id, |seen| seen.state.is_final()).await;
    assert_eq!(ended.state, State::Aborted);
    assert!(ended.message.contains("window closed"), "{}", ended.message);
}

#[tokio::test]
async fn a_target_that_goes_away_while_it_is_made_ready_is_tried_again() {
    let (bed, hosts, [_north, target, _office]) = two_clusters().await;
    target.react_with(|order| {
        matches!(order, Order::PrepareTarget { .. }).then_some(Reaction::HangUp)
    });
    let id = migrate(&bed, "shop", Options::default()).await.id;
    let seen = until(&bed, &id, |seen| seen.message.contains("again")).await;
    assert!(
        seen.message
            .ends_with("trying 'a' again in 1 s, first of five"),
        "{}",
        seen.message
    );
    target.behave();
    let target = hosts[1].connect().await;
    until(&bed, &id, in_pre_copy).await;
    let kinds = target.held(|held| {
        let kinds = held.orders.iter().filter_map(|order| match order {
            Order::DiscardTarget { .. } => Some("discard"),
            Order::PrepareTarget { .. } => Some("prepare"),
            _ => None,
        });
        kinds.collect::<Vec<_>>()
    });
    assert!(kinds.ends_with(&["discard", "prepare"]), "{kinds:?}");
}

#[tokio::test]
async fn a_stream_that_breaks_is_begun_again_from_a_fresh_target() {
    let (bed, _hosts, [north, target, _office]) = two_clusters().await;
    let id = migrate(&bed, "shop", Options::default()).await.id;
    until(&bed, &id, in_pre_copy).await;
    until_sent(&north).await;
    for agent in [&north, &target] {
        agent.tell(News::Interrupted {
            migration: id.clone(),
            vm: vm_name("a"),
            reason: "the relay broke".into(),
        });
    }
    let sends = |order: &Order| matches!(order, Order::Migrate { .. });
    super::bed::until(|| count(&north, sends) == 2).await;
    assert_eq!(
        count(&target, |order| matches!(
            order,
            Order::PrepareTarget { .. }
        )),
        2
    );
    assert_eq!(
        count(&north, |order| matches!(order, Order::AbortSource { .. })),
        1
    );
}

#[tokio::test]
async fn an_order_of_members_gives_groups_and_a_circle_is_refused() {
    let (bed, _hosts, [north, _south, _office]) = Bed::with_three_hosts().await;
    let after = |name: &str, number: u8, after: &[&str]| model::Member {
        after: after.iter().map(|name| vm_name(name)).collect(),
        ..vm(name, "north", number)
    };
    let round = vec![after("app", 11, &["db"]), after("db", 12, &["app"])];
    let refused = bed.shop(round).await.unwrap_err();
    assert_eq!(
        refused.detail,
        "'app' → 'db' → 'app' come after one another in a circle."
    );
    assert_eq!(refused.kind(), Kind::Invalid);
    bed.shop(vec![after("app", 11, &[]), after("db", 12, &[])])
        .await
        .unwrap();
    // What comes after what may change while the VMs run.
    let members = vec![after("app", 11, &["db"]), after("db", 12, &[])];
    bed.shop(members).await.unwrap();
    let (cluster, to) = (shop(), south());
    let plan = bed.service.plan(&cluster, &to, Options::default());
    let plan = plan.await.unwrap();
    let chosen = plan.switches.iter().find(|it| it.chosen).unwrap();
    assert_eq!(chosen.switch, Switch::Together);
    assert_eq!(chosen.groups, [vec![vm_name("db")], vec![vm_name("app")]]);
    let id = migrate(&bed, "shop", Options::default()).await.id;
    until(&bed, &id, in_pre_copy).await;
    for name in ["app", "db"] {
        north.tell(held(&id, name));
    }
    super::bed::until(|| count(&north, is_arm) == 2).await;
    let stops = north.held(|held| {
        let stops = held.orders.iter().filter_map(|order| match order {
            Order::Arm { vm, stop_at, .. } => Some((vm.clone(), *stop_at)),
            _ => None,
        });
        stops.collect::<Vec<_>>()
    });
    assert_eq!(
        (&stops[0].0, &stops[1].0),
        (&vm_name("db"), &vm_name("app"))
    );
    assert!(stops[1].1.ms_since(stops[0].1) > 50.0, "{stops:?}");
    assert!(bed.service.hosts.is_connected(&host_name("north")));
}
