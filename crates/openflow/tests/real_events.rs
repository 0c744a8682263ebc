//! What a real switch says on its own, roles, and the life of a client's socket.

mod support;

use std::time::Duration;

use openflow::client::{Client, ClientError, Events, Options, SwitchEvent};
use openflow::message::{
    AsyncConfig, AsyncProperty, ControllerRole, FlowModFlags, FlowRemovedReason, PacketInReason,
    PortStatusReason, Role,
};
use openflow::multipart::FlowStatsRequest;
use openflow::{Action, Body, FlowMod, Match, PacketOut, PortNo};
use support::Ovs;

async fn connect(ovs: &Ovs) -> Client {
    Client::connect_unix(ovs.management_socket()).await.unwrap()
}

async fn next(events: &mut Events) -> SwitchEvent {
    let wait = tokio::time::timeout(Duration::from_secs(20), events.next());
    wait.await
        .expect("the switch says something")
        .expect("the connection lives")
}

const FRAME: [u8; 14] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0];

#[tokio::test]
async fn a_packet_for_the_controller_arrives_with_its_cookie_and_metadata() {
    let ovs = Ovs::start();
    let switch = connect(&ovs).await;
    let mut events = switch.events();
    switch.enable_async(128).await.unwrap();
    let rule = FlowMod::add()
        .cookie(0x77)
        .matching(Match::new().eth_dst([0xff; 6]))
        .apply([
            Action::set_reg(4, 9),
            Action::set_tunnel_id(5),
            Action::controller(),
        ]);
    switch.send_batch([FlowMod::delete(), rule]).await.unwrap();
    switch
        .send(PacketOut::new(FRAME, [Action::output(PortNo::TABLE)]))
        .unwrap();
    let SwitchEvent::PacketIn(packet) = next(&mut events).await else {
        panic!()
    };
    assert_eq!(packet.cookie, 0x77);
    assert_eq!(packet.reason, PacketInReason::Action);
    assert_eq!(packet.in_port(), Some(PortNo::CONTROLLER));
    assert_eq!(packet.matching.exact(openflow::Field::REG4), Some(9));
    assert_eq!(packet.matching.exact(openflow::Field::TUNNEL_ID), Some(5));
    assert_eq!(&packet.data[..], FRAME);
}

#[tokio::test]
async fn removed_rules_and_new_ports_are_told_to_every_listener() {
    let ovs = Ovs::start();
    let switch = connect(&ovs).await;
    let (mut one, mut two) = (switch.events(), switch.events());
    switch.enable_async(1).await.unwrap();
    let rule = FlowMod::add()
        .priority(9)
        .matching(Match::new().reg(0, 1))
        .flags(FlowModFlags::SEND_FLOW_REM);
    switch.send_batch([rule]).await.unwrap();
    switch
        .send_batch([FlowMod::delete().matching(Match::new().reg(0, 1))])
        .await
        .unwrap();
    for events in [&mut one, &mut two] {
        let SwitchEvent::FlowRemoved(removed) = next(events).await else {
            panic!()
        };
        assert_eq!(
            (removed.priority, removed.reason),
            (9, FlowRemovedReason::Delete)
        );
    }
    ovs.vsctl(&[
        "add-port",
        "br0",
        "of-p7",
        "--",
        "set",
        "interface",
        "of-p7",
        "type=internal",
        "ofport_request=7",
    ]);
    loop {
        let SwitchEvent::PortStatus(status) = next(&mut one).await else {
            panic!()
        };
        if status.reason == PortStatusReason::Add {
            assert_eq!(status.port.port_no, PortNo(7));
            assert_eq!(status.port.name.to_string(), "of-p7");
            break;
        }
    }
    let ports = switch.port_desc().await.unwrap();
    assert!(ports.iter().any(|port| port.port_no == PortNo(7)));
    assert_eq!(switch.port_stats(PortNo(7)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_refused_packet_out_is_an_event_and_no_batch_hears_of_it() {
    let ovs = Ovs::start();
    let switch = connect(&ovs).await;
    let mut events = switch.events();
    let xid = switch
        .send(PacketOut::new(FRAME, [Action::group(99)]))
        .unwrap();
    switch.send_batch([FlowMod::add()]).await.unwrap();
    let SwitchEvent::Error {
        xid: refused,
        error,
    } = next(&mut events).await
    else {
        panic!()
    };
    assert_eq!(refused, xid);
    assert_eq!(error.name(), "bad_action/bad_out_group");
}

#[tokio::test]
async fn an_older_master_is_refused() {
    let ovs = Ovs::start();
    let switch = connect(&ovs).await;
    let ask = |role, generation_id| {
        switch.role(ControllerRole {
            role,
            generation_id,
        })
    };
    assert_eq!(ask(Role::Nochange, 0).await.unwrap().role, Role::Equal);
    assert_eq!(ask(Role::Master, 7).await.unwrap().role, Role::Master);
    let error = ask(Role::Master, 3).await.unwrap_err();
    let ClientError::Refused(refused) = &error else {
        panic!("{error}")
    };
    assert_eq!(refused.name(), "role_request_failed/stale");

    let second = connect(&ovs).await;
    second
        .role(ControllerRole {
            role: Role::Slave,
            generation_id: 8,
        })
        .await
        .unwrap();
    let error = second.send_batch([FlowMod::add()]).await.unwrap_err();
    assert_eq!(error.refusals()[0].error.name(), "bad_request/is_slave");
}

#[tokio::test]
async fn the_choice_of_asynchronous_messages_is_kept() {
    let ovs = Ovs::start();
    let switch = connect(&ovs).await;
    let config = AsyncConfig {
        packet_in: AsyncProperty {
            master: 3,
            slave: 0,
        },
        port_status: AsyncProperty {
            master: 7,
            slave: 1,
        },
        flow_removed: AsyncProperty {
            master: 15,
            slave: 0,
        },
    };
    switch.send_batch([Body::SetAsync(config)]).await.unwrap();
    let reply = switch.request(Body::GetAsyncRequest).await.unwrap();
    assert_eq!(reply, Body::GetAsyncReply(config));
}

#[tokio::test]
async fn many_callers_share_one_connection() {
    let ovs = Ovs::start();
    let switch = connect(&ovs).await;
    switch.send_batch([FlowMod::delete()]).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..20u64 {
        let switch = switch.clone();
        tasks.spawn(async move {
            for n in 0..50u64 {
                let id = task * 50 + n;
                let rule = FlowMod::add()
                    .cookie(id)
                    .matching(Match::new().metadata(id));
                let bad = FlowMod::add().matching(Match::new().ipv4_dst([10, 0, 0, 1]));
                if n % 10 == 3 {
                    let error = switch.send_batch([rule, bad]).await.unwrap_err();
                    assert_eq!(error.refusals().len(), 1);
                } else {
                    switch.send_batch([rule]).await.unwrap();
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let sums = switch.aggregate(FlowStatsRequest::default()).await.unwrap();
    assert_eq!(sums.flow_count, 1000);
}

#[tokio::test]
async fn ten_thousand_refusals_do_not_block_the_connection() {
    let ovs = Ovs::start();
    let switch = connect(&ovs).await;
    let bad = || FlowMod::add().matching(Match::new().ipv4_dst([10, 0, 0, 1]));
    let error = switch
        .send_batch((0..10_000).map(|_| bad()))
        .await
        .unwrap_err();
    assert_eq!(error.refusals().len(), 10_000);
    assert_eq!(error.refusals()[9_999].index, 9_999);
    let error = switch
        .commit_bundle((0..10_000).map(|_| bad()))
        .await
        .unwrap_err();
    assert_eq!(error.refusals().len(), 10_000);
    switch.barrier().await.unwrap();
}

#[tokio::test]
async fn a_large_bundle_is_installed_and_read_back() {
    let ovs = Ovs::start();
    let switch = connect(&ovs).await;
    let rule = |n: u64| FlowMod::add().cookie(n).matching(Match::new().metadata(n));
    switch
        .commit_bundle([FlowMod::delete()].into_iter().chain((0..5000).map(rule)))
        .await
        .unwrap();
    let mut found = switch
        .dump_flows(FlowStatsRequest::default())
        .await
        .unwrap();
    found.sort_by_key(|stats| stats.cookie);
    assert_eq!(found.len(), 5000);
    assert!(
        found
            .iter()
            .zip(0..)
            .all(|(stats, n)| stats.is_like(&rule(n)))
    );
    let few = switch
        .dump_flows(FlowStatsRequest::default().cookie(0, !7))
        .await
        .unwrap();
    assert_eq!(few.len(), 8);
}

#[tokio::test]
async fn the_socket_is_closed_with_the_last_handle() {
    let ovs = Ovs::start();
    let path = ovs.dir().join("own.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let peer = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(&[4, 0, 0, 8, 0, 0, 0, 1]).await.unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await.unwrap();
    });
    let switch = Client::connect_unix(&path).await.unwrap();
    let second = switch.clone();
    drop(switch);
    assert!(second.close_reason().is_none());
    drop(second);
    peer.await.unwrap();
}

#[tokio::test]
async fn a_target_that_is_not_there_or_makes_no_sense_is_named() {
    let error = Client::connect_unix("/tmp/of-nothing-here.mgmt")
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("/tmp/of-nothing-here.mgmt"),
        "{error}"
    );
    let error = Client::connect("bluetooth:7", Options::default())
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Target(_)));
}
