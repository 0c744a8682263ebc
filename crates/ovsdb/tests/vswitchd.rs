//! Against a real ovs-vswitchd with the userspace datapath. Needs root and the package openvswitch-switch.

mod support;

use std::{collections::BTreeSet, time::Duration};

use ovsdb::{
    Atom, Condition, Error, Insert, MonitorSpec, Mutate, Op, Select, Update, Value, Vswitch,
    vswitch::DB,
};
use support::Server;

/// A bridge with its local port.
fn bridge(name: &str) -> Vec<Op> {
    vec![
        Insert::into("Interface")
            .named("i")
            .set("name", name)
            .set("type", "internal")
            .into(),
        Insert::into("Port")
            .named("p")
            .set("name", name)
            .set("interfaces", Atom::named("i"))
            .into(),
        Insert::into("Bridge")
            .named("b")
            .set("name", name)
            .set("datapath_type", "netdev")
            .set("ports", Atom::named("p"))
            .into(),
        Mutate::table(DB).insert("bridges", Atom::named("b")).into(),
    ]
}

#[tokio::test]
async fn a_new_bridge_is_there_when_the_wait_ends() {
    let server = Server::start();
    server.vsctl("init").await;
    let _vswitchd = server.vswitchd();
    let vswitch = Vswitch::connect(server.remote()).await.unwrap();
    let results = vswitch.transact_and_wait(bridge("odb-br0")).await.unwrap();
    assert_eq!(results.len(), 4);
    assert_eq!(results[3].count, Some(1));
    let rows = vswitch
        .select(
            Select::from("Interface")
                .when(Condition::eq("name", "odb-br0"))
                .columns(["ofport", "error", "_uuid"]),
        )
        .await
        .unwrap();
    assert_eq!(rows[0].integer("ofport"), Some(65534));
    assert_eq!(rows[0].get("error"), Some(&Value::none()));
    assert_eq!(rows[0].uuid("_uuid"), results[0].uuid);
}

#[tokio::test]
async fn many_waits_at_once_all_end() {
    let server = Server::start();
    server.vsctl("init").await;
    let _vswitchd = server.vswitchd();
    let vswitch = Vswitch::connect(server.remote()).await.unwrap();
    vswitch.transact_and_wait(bridge("odb-br0")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let vswitch = vswitch.clone();
        tasks.spawn(async move {
            let update = Update::table("Bridge")
                .set("other_config", [("mac-aging-time", (15 + n).to_string())]);
            vswitch.transact_and_wait([update]).await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let root = &vswitch.select(Select::from(DB)).await.unwrap()[0];
    assert_eq!(
        (root.integer("next_cfg"), root.integer("cur_cfg")),
        (Some(21), Some(21))
    );
}

#[tokio::test]
async fn a_monitor_sees_what_vswitchd_reports() {
    let server = Server::start();
    server.vsctl("init").await;
    let _vswitchd = server.vswitchd();
    let vswitch = Vswitch::connect(server.remote()).await.unwrap();
    let spec = MonitorSpec::new(DB)
        .columns("Interface", ["name", "ofport"])
        .columns("Bridge", ["ports"]);
    let mut monitor = vswitch.monitor(spec).await.unwrap();
    assert_eq!(monitor.snapshot().rows("Bridge").count(), 0);
    vswitch.transact(bridge("odb-br0")).await.unwrap();
    monitor
        .wait_until(|tables| {
            tables
                .find("Interface", "name", "odb-br0")
                .is_some_and(|(_, row)| row.integer("ofport") == Some(65534))
        })
        .await
        .unwrap();
    let (_, row) = monitor.snapshot().rows("Bridge").next().unwrap();
    assert_eq!(row.uuids("ports").count(), 1);
    assert_eq!(
        row.0.keys().collect::<BTreeSet<_>>().len(),
        1,
        "only what was asked for: {row:?}"
    );
}

#[tokio::test]
async fn without_vswitchd_the_wait_says_so_and_the_change_stays() {
    let server = Server::start();
    server.vsctl("init").await;
    let vswitch = Vswitch::connect(server.remote())
        .await
        .unwrap()
        .with_apply_timeout(Duration::from_millis(50));
    let error = vswitch
        .transact_and_wait(bridge("odb-br0"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::NotApplied { next_cfg: 1, .. }),
        "{error}"
    );
    assert_eq!(
        vswitch.select(Select::from("Bridge")).await.unwrap()[0].string("name"),
        Some("odb-br0")
    );
}

#[tokio::test]
async fn an_empty_root_table_is_named() {
    let server = Server::start();
    let vswitch = Vswitch::connect(server.remote()).await.unwrap();
    let error = vswitch
        .transact_and_wait(Vec::<Op>::new())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotInitialized), "{error}");
}

#[tokio::test]
async fn a_wait_survives_a_restart_of_the_server() {
    let mut server = Server::start();
    server.vsctl("init").await;
    let vswitch = Vswitch::connect(server.remote()).await.unwrap();
    let waiter = vswitch.clone();
    let waiting = tokio::spawn(async move { waiter.wait_applied(1).await });
    vswitch.client().echo().await.unwrap();
    server.end();
    server.begin();
    support::generation(vswitch.client(), 2).await;
    vswitch
        .transact([Update::table(DB).set("cur_cfg", 1)])
        .await
        .unwrap();
    waiting.await.unwrap().unwrap();
}

/// Prints the time of a change that ovs-vswitchd applies; asserts nothing about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn the_time_of_a_change_is_printed() {
    let server = Server::start();
    server.vsctl("init").await;
    let _vswitchd = server.vswitchd();
    let vswitch = Vswitch::connect(server.remote()).await.unwrap();
    vswitch.transact_and_wait(bridge("odb-br0")).await.unwrap();
    for (what, wait) in [("transact", false), ("transact_and_wait", true)] {
        let mut times = Vec::new();
        for n in 0..300 {
            let op = Update::table("Bridge").set("external_ids", [("n", n.to_string())]);
            let start = std::time::Instant::now();
            if wait {
                vswitch.transact_and_wait([op]).await.unwrap();
            } else {
                vswitch.transact([op]).await.unwrap();
            }
            times.push(start.elapsed());
        }
        times.sort();
        println!("{what}: median {:?}, p99 {:?}", times[150], times[297]);
    }
}
