//! The client and the codec against a real ovs-vswitchd.

mod support;

use openflow::client::{Client, ClientError};
use openflow::message::{Capabilities, FlowModFlags};
use openflow::{Action, Field, FlowMod, MacAddr, Match, PortNo};
use support::Ovs;

#[tokio::test]
async fn a_rule_that_is_sent_is_found_in_the_switch() {
    let ovs = Ovs::start();
    let switch = Client::connect_unix(ovs.management_socket()).await.unwrap();
    assert_eq!(switch.version(), Some(4));
    assert!(
        switch
            .features()
            .await
            .unwrap()
            .capabilities
            .contains(Capabilities::FLOW_STATS)
    );
    let ports = switch.port_desc().await.unwrap();
    assert_eq!(ports[0].port_no, PortNo::LOCAL);
    assert_eq!(ports[0].name.to_string(), "br0");

    let mac = MacAddr([2, 0, 0, 0, 0, 9]);
    let rule = FlowMod::add()
        .table(3)
        .priority(77)
        .cookie(0xabc)
        .matching(Match::new().in_port(1).eth_dst(mac).reg(0, 7))
        .apply([
            Action::set_tunnel_id(9),
            Action::set_tun_dst([10, 0, 0, 2].into()),
            Action::copy(Field::REG0, Field::REG1),
            Action::resubmit(8),
            Action::output(PortNo::LOCAL),
        ])
        .goto(9);
    switch
        .send_batch([FlowMod::delete(), rule.clone()])
        .await
        .unwrap();

    let rules = switch.dump_flows(Default::default()).await.unwrap();
    assert_eq!(rules.len(), 1);
    let found = rules[0].to_flow_mod();
    assert_eq!(
        found.matching.clone().sorted(),
        rule.matching.clone().sorted()
    );
    assert_eq!(found.instructions, rule.instructions);
    assert_eq!(
        (found.table_id, found.priority, found.cookie),
        (3, 77, 0xabc)
    );
}

#[tokio::test]
async fn a_refused_rule_is_named_and_the_others_are_there() {
    let ovs = Ovs::start();
    let switch = Client::connect_unix(ovs.management_socket()).await.unwrap();
    let good = |n: u64| {
        FlowMod::add()
            .cookie(n)
            .matching(Match::new().reg(0, n as u32))
    };
    // The Ethernet type that an IPv4 address needs is missing.
    let bad = good(9).matching(Match::new().ipv4_dst([10, 0, 0, 1]));
    let error = switch
        .send_batch([good(1), bad.clone(), good(2)])
        .await
        .unwrap_err();
    let [refusal] = error.refusals() else {
        panic!("{error}")
    };
    assert_eq!(refusal.index, 1);
    assert_eq!(refusal.error.name(), "bad_match/bad_prereq");
    let refused = refusal.error.refused_message().unwrap();
    assert_eq!(refused.body, bad.into());
    let mut cookies: Vec<_> = switch
        .dump_flows(Default::default())
        .await
        .unwrap()
        .iter()
        .map(|r| r.cookie)
        .collect();
    cookies.sort();
    assert_eq!(cookies, [0, 1, 2].map(|c| c as u64)[..].to_vec());
}

#[tokio::test]
async fn a_bundle_with_a_bad_rule_changes_nothing() {
    let ovs = Ovs::start();
    let switch = Client::connect_unix(ovs.management_socket()).await.unwrap();
    switch.send_batch([FlowMod::delete()]).await.unwrap();
    let good = |n: u64| {
        FlowMod::add()
            .cookie(n)
            .matching(Match::new().reg(0, n as u32))
    };
    let malformed = good(9).matching(Match::new().ipv4_dst([10, 0, 0, 1]));
    let error = switch
        .commit_bundle([good(1), malformed, good(2)])
        .await
        .unwrap_err();
    assert_eq!(error.refusals()[0].index, 1, "{error}");
    assert!(
        switch
            .dump_flows(Default::default())
            .await
            .unwrap()
            .is_empty()
    );

    // Overlaps are found at the commit only. (With a rule of the same bundle OVS 3.1 finds them
    // most of the time, so the first rule is there before.)
    switch.send_batch([good(1)]).await.unwrap();
    let overlapping = good(3)
        .flags(FlowModFlags::CHECK_OVERLAP)
        .matching(Match::new());
    let error = switch
        .commit_bundle([good(2), overlapping])
        .await
        .unwrap_err();
    assert_eq!(
        error.refusals()[0].error.name(),
        "flow_mod_failed/overlap",
        "{error}"
    );
    assert_eq!(error.refusals()[0].index, 1);
    let found = switch.dump_flows(Default::default()).await.unwrap();
    assert_eq!(found.iter().map(|r| r.cookie).collect::<Vec<_>>(), [1]);

    switch.commit_bundle([good(1), good(2)]).await.unwrap();
    assert_eq!(
        switch.dump_flows(Default::default()).await.unwrap().len(),
        2
    );
}

#[tokio::test]
async fn a_switch_that_goes_away_fails_what_is_pending_and_what_follows() {
    let ovs = Ovs::start();
    let switch = Client::connect_unix(ovs.management_socket()).await.unwrap();
    drop(ovs);
    switch.closed().await;
    assert!(matches!(
        switch.barrier().await,
        Err(ClientError::Closed(_))
    ));
}
