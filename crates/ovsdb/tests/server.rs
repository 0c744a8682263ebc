//! Against a real ovsdb-server. Needs the package openvswitch-switch.

mod support;

use std::time::Duration;

use ovsdb::{
    Client, Comment, Condition, Delete, Error, Insert, MonitorEvent, MonitorSpec, Mutate, Op,
    OpErrorKind, Remote, Row, Select, Update, Value, Wait, vswitch::DB,
};
use support::{Server, generation, options};

fn bridge(name: &str) -> [Op; 2] {
    [
        Insert::into("Bridge").named("b").set("name", name).into(),
        Mutate::table(DB)
            .insert("bridges", ovsdb::Atom::named("b"))
            .into(),
    ]
}

#[tokio::test]
async fn the_server_tells_its_databases_and_schema() {
    let server = Server::start();
    let client = server.client().await;
    assert!(client.list_dbs().await.unwrap().contains(&DB.to_owned()));
    let schema = client.get_schema(DB).await.unwrap();
    assert_eq!(schema.name, DB);
    assert!(schema.column("Bridge", "ports").unwrap().is_composite());
    assert!(!schema.column("Bridge", "fail_mode").unwrap().is_composite());
    let error = client.get_schema("nothing").await.unwrap_err();
    assert!(
        matches!(&error, Error::Rpc { error, .. } if error.error == "unknown database"),
        "{error}"
    );
    client.echo().await.unwrap();
}

#[tokio::test]
async fn every_operation_has_its_result() {
    let server = Server::start();
    server.vsctl("init").await;
    let client = server.client().await;
    let mut ops = bridge("odb-a").to_vec();
    ops.push(Comment("a note".into()).into());
    ops.push(
        Update::table("Bridge")
            .set("external_ids", [("k", "v")])
            .into(),
    );
    ops.push(
        Mutate::table("Bridge")
            .insert("flood_vlans", vec![1, 2, 3])
            .into(),
    );
    ops.push(
        Wait::on("Bridge", ["name"])
            .until_equal([Row::new().with("name", "odb-a")])
            .timeout(Duration::ZERO)
            .into(),
    );
    ops.push(Select::from("Bridge").into());
    let results = client.transact(DB, ops).await.unwrap();
    assert_eq!(results.len(), 7);
    let row = &results[6].rows[0];
    assert_eq!(row.uuid("_uuid"), results[0].uuid);
    assert_eq!(
        (row.string("name"), row.entry("external_ids", "k")),
        (Some("odb-a"), Some("v"))
    );
    assert_eq!(row.get("flood_vlans"), Some(&Value::from(vec![1, 2, 3])));
    let root = client.select(DB, Select::from(DB)).await.unwrap();
    assert_eq!(
        root[0].uuids("bridges").collect::<Vec<_>>(),
        Vec::from_iter(results[0].uuid)
    );
}

#[tokio::test]
async fn a_failed_transaction_says_where_and_changes_nothing() {
    let server = Server::start();
    server.vsctl("init").await;
    let client = server.client().await;
    client.transact(DB, bridge("odb-a")).await.unwrap();

    let failure = |result: Result<_, Error>| match result {
        Err(Error::Transaction(error)) => (error.operation, error.kind),
        Err(other) => panic!("{other}"),
        Ok::<Vec<_>, _>(results) => panic!("{results:?}"),
    };
    let set = Update::table("Bridge").set("fail_mode", "secure");
    let ops: [Op; 2] = [
        set.clone().into(),
        Update::table("Bridge").set("fail_mode", "wrong").into(),
    ];
    assert_eq!(
        failure(client.transact(DB, ops).await),
        (Some(1), OpErrorKind::ConstraintViolation)
    );
    assert_eq!(
        failure(client.transact(DB, bridge("odb-a")).await),
        (None, OpErrorKind::ConstraintViolation)
    );
    let delete = [Delete::from("Bridge")];
    assert_eq!(
        failure(client.transact(DB, delete).await),
        (None, OpErrorKind::ReferentialIntegrityViolation)
    );
    let wait = Wait::on("Bridge", ["name"])
        .until_equal([])
        .timeout(Duration::ZERO);
    let ops: [Op; 2] = [set.into(), wait.into()];
    assert_eq!(
        failure(client.transact(DB, ops).await),
        (Some(1), OpErrorKind::TimedOut)
    );

    let rows = client.select(DB, Select::from("Bridge")).await.unwrap();
    assert_eq!((rows.len(), rows[0].string("fail_mode")), (1, None));
    let error = client
        .transact("nothing", [Select::from("T")])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Rpc { .. }), "{error}");
}

#[tokio::test]
async fn a_monitor_sees_what_ovs_vsctl_does() {
    let server = Server::start();
    server.vsctl("init").await;
    let client = server.client().await;
    let mut monitor = client
        .monitor(
            MonitorSpec::new(DB)
                .table("Bridge")
                .columns("Port", ["name"]),
        )
        .await
        .unwrap();
    assert_eq!(monitor.snapshot().rows("Bridge").count(), 0);
    server
        .vsctl("add-br odb-a -- set bridge odb-a other_config:hwaddr=02:00:00:00:00:01")
        .await;
    let event = monitor.next().await.unwrap();
    assert!(
        matches!(&event, MonitorEvent::Update(changes) if changes.len() == 2),
        "{event:?}"
    );
    let (uuid, row) = monitor.snapshot().find("Bridge", "name", "odb-a").unwrap();
    assert_eq!(
        row.entry("other_config", "hwaddr"),
        Some("02:00:00:00:00:01")
    );
    assert_eq!(
        row.boolean("stp_enable"),
        Some(false),
        "defaults are filled in"
    );
    server.vsctl("set bridge odb-a fail_mode=secure").await;
    let event = monitor.next().await.unwrap();
    let [change] = event.changes() else {
        panic!("{event:?}")
    };
    assert_eq!(change.uuid, uuid);
    assert_eq!(change.old.as_ref().unwrap().string("fail_mode"), None);
    assert_eq!(
        change.new.as_ref().unwrap().string("fail_mode"),
        Some("secure")
    );
    server.vsctl("del-br odb-a").await;
    monitor
        .wait_until(|tables| tables.rows("Bridge").next().is_none())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_condition_narrows_a_monitor() {
    let server = Server::start();
    server.vsctl("init").await;
    let client = server.client().await;
    let spec = MonitorSpec::new(DB)
        .table("Bridge")
        .when("Bridge", Condition::eq("name", "odb-b"));
    let mut monitor = client.monitor(spec).await.unwrap();
    for name in ["odb-a", "odb-b", "odb-c"] {
        client.transact(DB, bridge(name)).await.unwrap();
    }
    let event = monitor.next().await.unwrap();
    assert_eq!(
        event.changes()[0].new.as_ref().unwrap().string("name"),
        Some("odb-b")
    );
    client
        .transact(DB, [Update::table("Bridge").set("fail_mode", "secure")])
        .await
        .unwrap();
    assert_eq!(monitor.next().await.unwrap().changes().len(), 1);
}

#[tokio::test]
async fn differences_add_up_to_the_servers_own_state() {
    let server = Server::start();
    server.vsctl("init").await;
    let client = server.client().await;
    let spec = MonitorSpec::new(DB).table("Bridge").table("Queue");
    let mut monitor = client.monitor(spec.clone()).await.unwrap();
    for name in ["odb-a", "odb-b", "odb-c"] {
        client.transact(DB, bridge(name)).await.unwrap();
    }
    for n in 0..60_i64 {
        let some = Condition::eq("name", ["odb-a", "odb-b", "odb-c"][n as usize % 3]);
        let mutate = Mutate::table("Bridge").when(some.clone());
        let key = format!("k{}", n % 4);
        let op: Op = match n % 7 {
            0 => mutate.insert("flood_vlans", vec![n, n + 1, n + 2]).into(),
            1 => mutate.delete("flood_vlans", vec![n - 1, n]).into(),
            2 => mutate.insert("external_ids", [(key, n.to_string())]).into(),
            3 => mutate.delete("external_ids", key).into(),
            4 => Update::table("Bridge")
                .when(some)
                .set("external_ids", [(key, "x"), ("k9".to_owned(), "y")])
                .into(),
            5 => Update::table("Bridge")
                .when(some)
                .set("fail_mode", (n % 2 == 0).then_some("secure"))
                .into(),
            _ => Update::table("Bridge")
                .when(some)
                .set("flood_vlans", Value::none())
                .into(),
        };
        client.transact(DB, [op]).await.unwrap();
    }
    // Updates come before the answer to the request behind them, so all are in the queue now.
    let fresh = client.monitor(spec).await.unwrap();
    monitor
        .wait_until(|tables| tables == fresh.snapshot())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_restarted_server_is_resynced_with_what_happened_meanwhile() {
    let mut server = Server::start();
    server.vsctl("init").await;
    let client = server.client().await;
    for name in ["odb-stays", "odb-goes"] {
        client.transact(DB, bridge(name)).await.unwrap();
    }
    let mut monitor = client
        .monitor(MonitorSpec::new(DB).columns("Bridge", ["name"]))
        .await
        .unwrap();
    let (gone, _) = monitor
        .snapshot()
        .find("Bridge", "name", "odb-goes")
        .unwrap();
    server.end();
    let ops = [
        Mutate::table(DB).delete("bridges", gone).into(),
        Delete::from("Bridge").when(Condition::uuid(gone)).into(),
        bridge("odb-new")[0].clone(),
        bridge("odb-new")[1].clone(),
    ];
    server.offline(DB, ops);
    server.begin();
    let event = monitor.next().await.unwrap();
    let MonitorEvent::Resync(changes) = event else {
        panic!("{event:?}")
    };
    let names = |side: fn(&ovsdb::Change) -> &Option<Row>| {
        Vec::from_iter(
            changes
                .iter()
                .filter_map(|c| side(c).as_ref()?.string("name")),
        )
    };
    assert_eq!(
        (names(|c| &c.old), names(|c| &c.new)),
        (vec!["odb-goes"], vec!["odb-new"])
    );
    assert!(
        monitor
            .snapshot()
            .find("Bridge", "name", "odb-stays")
            .is_some()
    );
    client.transact(DB, bridge("odb-later")).await.unwrap();
    assert!(
        matches!(monitor.next().await.unwrap(), MonitorEvent::Update(_)),
        "and it goes on"
    );
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_resynced() {
    let server = Server::start();
    server.vsctl("init").await;
    let client = server.client().await;
    let mut monitor = client
        .monitor(MonitorSpec::new(DB).columns(DB, ["next_cfg"]))
        .await
        .unwrap();
    // One after the other, since the server puts changes that it makes at once into one update.
    for _ in 0..1100 {
        client
            .transact(DB, [Mutate::table(DB).add("next_cfg", 1)])
            .await
            .unwrap();
    }
    let mut resyncs = 0;
    while monitor
        .snapshot()
        .rows(DB)
        .next()
        .unwrap()
        .1
        .integer("next_cfg")
        != Some(1100)
    {
        resyncs += usize::from(matches!(
            monitor.next().await.unwrap(),
            MonitorEvent::Resync(_)
        ));
    }
    assert_eq!(resyncs, 1);
    client
        .transact(DB, [Mutate::table(DB).add("next_cfg", 1)])
        .await
        .unwrap();
    assert!(matches!(
        monitor.next().await.unwrap(),
        MonitorEvent::Update(_)
    ));
}

#[tokio::test]
async fn plain_tcp_works() {
    let port = support::free_port();
    let server = Server::start_with(|_| vec![format!("--remote=ptcp:{port}:127.0.0.1")]);
    server.vsctl("init").await;
    let remote: Remote = format!("tcp:127.0.0.1:{port}").parse().unwrap();
    let client = Client::connect_with(remote, options()).await.unwrap();
    assert_eq!(client.select(DB, Select::from(DB)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn many_clients_requests_are_told_apart() {
    let server = Server::start();
    server.vsctl("init").await;
    let client = server.client().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..50 {
        let client = client.clone();
        tasks.spawn(async move {
            let name = format!("odb-{n}");
            client.transact(DB, bridge(&name)).await.unwrap();
            let select = Select::from("Bridge").when(Condition::eq("name", &name));
            let rows = client.select(DB, select).await.unwrap();
            assert_eq!(rows[0].string("name"), Some(name.as_str()));
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_request_during_an_outage_waits_for_the_server() {
    let mut server = Server::start();
    server.vsctl("init").await;
    let client = server.client().await;
    server.end();
    let mut state = client.state();
    state
        .wait_for(|state| matches!(state, ovsdb::ConnectionState::Connecting { .. }))
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.select(DB, Select::from(DB)).await }
    });
    server.begin();
    assert_eq!(waiting.await.unwrap().unwrap().len(), 1);
    generation(&client, 2).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_the_way_out() {
    let options = ovsdb::Options {
        connect_timeout: Duration::from_millis(50),
        ..options()
    };
    let error = Client::connect_with(Remote::Unix("/nonexistent/odb".into()), options)
        .await
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(
        text.contains("unix:/nonexistent/odb") && text.contains("is ovsdb-server running"),
        "{text}"
    );
}
