//! The server as xTRs see it.

mod bench;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bench::{
    Bench, ETR, ITR, OTHER, SECRET, XTR, net, notify, reasons, registration, sent, subscription, vm,
};
use lisp::auth::{self, Algorithm, Authentication, Secret};
use lisp::message::{Encapsulated, InnerIp};
use lisp::record::Action;
use lisp::{
    Address, Eid, Locator, MapRegister, MapRegisterFlags, MapRequest, MapRequestFlags, Message,
    Record, XtrId,
};
use mapping::{Audit, Config, Rejection};
use proptest::prelude::*;

#[test]
fn what_is_registered_is_answered_with_its_locators() {
    let mut bench = Bench::new();
    let outcome = bench.register(vm(5), ETR);
    assert_eq!(outcome.audit, [Audit::Changed { eid: vm(5) }]);
    let reply = bench.ask(vm(5));
    assert_eq!(reply.records[0].eid(), Some(vm(5)));
    assert_eq!(reply.records[0].locators, [Locator::new(ETR, 1, 100)]);
    // The same again is no change; elsewhere is one.
    assert_eq!(bench.register(vm(5), ETR).audit, []);
    assert_eq!(
        bench.register(vm(5), OTHER).audit,
        [Audit::Changed { eid: vm(5) }]
    );
    let reply = bench.ask(vm(5));
    assert_eq!(reply.records[0].locators, [Locator::new(OTHER, 1, 100)]);
}

#[test]
fn a_prefix_is_told_with_its_parts_that_are_elsewhere() {
    let mut bench = Bench::new();
    bench.register(net(10, 2), ETR);
    bench.register(vm(5), OTHER);
    let told: Vec<_> = bench
        .ask(vm(9))
        .records
        .iter()
        .filter_map(Record::eid)
        .collect();
    assert_eq!(told, [net(10, 2), vm(5)]);
    let told: Vec<_> = bench
        .ask(vm(5))
        .records
        .iter()
        .filter_map(Record::eid)
        .collect();
    assert_eq!(told, [vm(5)]);
    // More parts than fit: the answer is for what was asked only, so it hides none of them.
    for last in 20..60 {
        bench.register(vm(last), OTHER);
    }
    let told: Vec<_> = bench
        .ask(vm(9))
        .records
        .iter()
        .filter_map(Record::eid)
        .collect();
    assert_eq!(told, [vm(9)]);
}

#[test]
fn forged_replayed_and_foreign_registrations_are_refused_and_logged() {
    let mut bench = Bench::new();
    bench.register(vm(5), ETR);
    let signed = |message: MapRegister, secret: &[u8]| {
        Message::from(message)
            .to_signed_bytes(&Secret::new(secret))
            .unwrap()
    };
    let forged = signed(registration(9, vm(5), OTHER), b"guessed");
    assert_eq!(
        reasons(&bench.receive(OTHER, &forged)),
        [Rejection::Unauthenticated(auth::AuthError::Mismatch)]
    );
    let late = signed(registration(0, vm(5), OTHER), SECRET);
    assert_eq!(
        reasons(&bench.receive(OTHER, &late)),
        [Rejection::Replayed { nonce: 0 }]
    );
    let foreign = signed(
        registration(9, Eid::host(7, Ipv4Addr::new(10, 3, 0, 1)), OTHER),
        SECRET,
    );
    assert_eq!(
        reasons(&bench.receive(OTHER, &foreign)),
        [Rejection::Unauthenticated(auth::AuthError::Mismatch)]
    );
    let eid = Eid::host(8, Ipv4Addr::new(10, 2, 0, 5));
    let nobodys = signed(registration(9, eid, OTHER), SECRET);
    assert_eq!(
        reasons(&bench.receive(OTHER, &nobodys)),
        [Rejection::NoSite { eid }]
    );
    let mut both = registration(9, vm(5), OTHER);
    let eid = Eid::host(7, Ipv4Addr::new(10, 3, 0, 1));
    both.records.push(Record::new(eid, 1));
    assert_eq!(
        reasons(&bench.receive(OTHER, &signed(both, SECRET))),
        [Rejection::SeveralSites { eid }]
    );
    // None of it counted.
    assert_eq!(
        bench.ask(vm(5)).records[0].locators,
        [Locator::new(ETR, 1, 100)]
    );
    assert_eq!(bench.server.mappings(), 1);
}

#[test]
fn a_registration_holds_as_long_as_it_says_and_no_longer() {
    let mut bench = Bench::new();
    bench.register(vm(5), ETR);
    assert!(bench.tick(179).audit.is_empty());
    assert_eq!(bench.ask(vm(5)).records[0].locators.len(), 1);
    bench.now += Duration::from_secs(1);
    // Before anything was swept it is not served any more.
    assert_eq!(bench.ask(vm(5)).records[0].action, Action::NativelyForward);
    assert_eq!(bench.tick(0).audit, [Audit::Gone { eid: vm(5) }]);
    assert_eq!(bench.server.mappings(), 0);
    let mut long = registration(9, vm(5), ETR);
    long.flags |= MapRegisterFlags::USE_TTL;
    let bytes = Message::from(long)
        .to_signed_bytes(&Secret::new(SECRET))
        .unwrap();
    bench.receive(ETR, &bytes);
    assert!(bench.tick(599).audit.is_empty());
    assert_eq!(bench.tick(1).audit, [Audit::Gone { eid: vm(5) }]);
}

#[test]
fn a_confirmation_is_signed_like_the_registration() {
    let mut bench = Bench::new();
    let mut asked = registration(1, vm(5), ETR);
    asked.flags |= MapRegisterFlags::WANT_NOTIFY;
    asked.authentication = Authentication::untruncated(0, Algorithm::HmacSha1);
    let bytes = Message::from(asked)
        .to_signed_bytes(&Secret::new(SECRET))
        .unwrap();
    for _ in 0..2 {
        // The second time it is a repetition, whose answer was lost.
        let outcome = bench.receive(ETR, &bytes);
        let confirmed = notify(&sent(&outcome)[0].1);
        assert_eq!(
            (confirmed.nonce, confirmed.authentication.data.len()),
            (1, 20)
        );
        assert_eq!(confirmed.records[0].eid(), Some(vm(5)));
    }
}

#[test]
fn registrations_that_merge_stand_beside_each_other() {
    let mut bench = Bench::new();
    for (xtr_id, at) in [(1, ETR), (2, OTHER)] {
        let mut register = registration(1, vm(5), at);
        register.flags |= MapRegisterFlags::MERGE;
        register.xtr = Some(XtrId { xtr_id, ..XTR });
        let bytes = Message::from(register)
            .to_signed_bytes(&Secret::new(SECRET))
            .unwrap();
        bench.receive(at, &bytes);
    }
    let locators = bench.ask(vm(5)).records[0].locators.clone();
    assert_eq!(
        locators,
        [Locator::new(ETR, 1, 100), Locator::new(OTHER, 1, 100)]
    );
    // One that does not merge replaces both.
    bench.register(vm(5), OTHER);
    assert_eq!(
        bench.ask(vm(5)).records[0].locators,
        [Locator::new(OTHER, 1, 100)]
    );
}

#[test]
fn a_question_without_proxy_reply_goes_on_to_the_etr() {
    let mut bench = Bench::new();
    let mut register = registration(1, vm(5), ETR);
    register.flags = MapRegisterFlags::empty();
    let bytes = Message::from(register)
        .to_signed_bytes(&Secret::new(SECRET))
        .unwrap();
    bench.receive(ETR, &bytes);
    let asked = MapRequest::new(77, vm(5), ITR);
    let ip = InnerIp::v4(ITR, Ipv4Addr::new(10, 2, 0, 5));
    let ecm = Message::from(Encapsulated::new(ip, 61000, asked));
    let outcome = bench.message(ITR, ecm.clone());
    assert_eq!(
        sent(&outcome),
        [(SocketAddr::new(ETR.into(), 4342), ecm.to_bytes().unwrap())]
    );
}

#[test]
fn a_subscriber_is_told_of_each_change_until_it_acknowledges() {
    let mut bench = Bench::new();
    bench.register(vm(5), ETR);
    let outcome = bench.message(ITR, subscription(100, net(10, 2), ITR));
    assert_eq!(notify(&sent(&outcome)[0].1).nonce, 100);
    let outcome = bench.register(vm(5), OTHER);
    let all = sent(&outcome);
    let [(to, first)] = all.as_slice() else {
        panic!("{outcome:?}");
    };
    assert_eq!(*to, SocketAddr::new(ITR.into(), 4342));
    let told = notify(first);
    assert_eq!(told.nonce, 101);
    assert_eq!(told.records[0].locators, [Locator::new(OTHER, 1, 100)]);
    // Not acknowledged: the same again.
    assert_eq!(sent(&bench.tick(1)), [(*to, first.clone())]);
    let ack = Message::MapNotifyAck(told)
        .to_signed_bytes(&Secret::new(SECRET))
        .unwrap();
    assert!(bench.receive(ITR, &ack).audit.is_empty());
    let quiet = bench.tick(5);
    assert!(
        sent(&quiet).is_empty() && quiet.audit.is_empty(),
        "{quiet:?}"
    );
    // What is gone is told too.
    let outcome = bench.tick(180);
    let gone = notify(&sent(&outcome)[0].1);
    assert_eq!(
        (gone.nonce, gone.records[0].action),
        (102, Action::NativelyForward)
    );
}

#[test]
fn a_subscriber_that_never_acknowledges_is_given_up_for_this_time() {
    let mut bench = Bench::new();
    bench.message(ITR, subscription(100, vm(5), ITR));
    let again: usize = (0..10).map(|_| sent(&bench.tick(1)).len()).sum();
    assert_eq!(again, 3);
    assert_eq!(bench.server.subscriptions(), 1);
    assert_eq!(notify(&sent(&bench.register(vm(5), ETR))[0].1).nonce, 101);
}

#[test]
fn a_replayed_subscription_changes_nothing_and_one_without_address_ends_it() {
    let mut bench = Bench::new();
    bench.message(ITR, subscription(100, vm(5), ITR));
    bench.register(vm(5), ETR);
    let outcome = bench.message(OTHER, subscription(99, vm(5), OTHER));
    assert_eq!(reasons(&outcome), [Rejection::Replayed { nonce: 99 }]);
    bench.message(ITR, subscription(102, vm(5), Address::None));
    assert_eq!(bench.server.subscriptions(), 0);
    assert!(sent(&bench.register(vm(5), OTHER)).is_empty());
    let mut stranger = subscription(1, vm(5), ITR);
    stranger.xtr = Some(XtrId { site_id: 1, ..XTR });
    assert_eq!(
        reasons(&bench.message(ITR, stranger)),
        [Rejection::UnknownSite { site_id: 1 }]
    );
}

#[test]
fn who_has_only_asked_is_solicited_once_to_ask_again() {
    let mut bench = Bench::new();
    bench.register(vm(5), ETR);
    bench.ask(vm(5));
    let outcome = bench.register(vm(5), OTHER);
    let all = sent(&outcome);
    let [(to, bytes)] = all.as_slice() else {
        panic!("{outcome:?}");
    };
    assert_eq!(*to, SocketAddr::new(ITR.into(), 4342));
    let Message::MapRequest(smr) = Message::decode(bytes).unwrap() else {
        panic!("no Map-Request");
    };
    assert_eq!(smr.flags, MapRequestFlags::SMR);
    assert_eq!(smr.source_eid, vm(5).to_address());
    assert!(sent(&bench.register(vm(5), ETR)).is_empty());
}

#[test]
fn a_solicitation_comes_again_until_it_is_followed_or_was_tried_often_enough() {
    let solicited = |outcome: &mapping::Outcome| {
        let all = sent(outcome);
        let of_smr = |bytes: &[u8]| match Message::decode(bytes) {
            Ok(Message::MapRequest(request)) => request.flags.contains(MapRequestFlags::SMR),
            _ => false,
        };
        all.iter().filter(|(_, bytes)| of_smr(bytes)).count()
    };
    let mut bench = Bench::new();
    bench.register(vm(5), ETR);
    bench.ask(vm(5));
    assert_eq!(solicited(&bench.register(vm(5), OTHER)), 1);
    assert_eq!(solicited(&bench.tick(2)), 1);
    bench.ask(vm(5));
    assert_eq!(solicited(&bench.tick(60)), 0, "it has been followed");

    assert_eq!(solicited(&bench.register(vm(5), ETR)), 1);
    let again: usize = (0..20).map(|_| solicited(&bench.tick(60))).sum();
    assert_eq!(again, 3, "four times in all");
}

#[test]
fn an_asker_is_forgotten_in_time_and_makes_room_for_others() {
    let mut bench = Bench::with(Config {
        most_askers: 1,
        asker_lifetime: Duration::from_secs(60),
        ..Config::default()
    });
    bench.register(vm(5), ETR);
    bench.ask(vm(5));
    bench.tick(60);
    assert!(sent(&bench.register(vm(5), OTHER)).is_empty());
    bench.ask(vm(5));
    bench.ask(vm(6));
    assert_eq!(sent(&bench.register(vm(5), ETR)).len(), 1);
    assert!(sent(&bench.register(vm(6), ETR)).is_empty());
}

#[test]
fn limits_hold() {
    let mut bench = Bench::with(Config {
        most_mappings: 1,
        most_subscriptions: 1,
        ..Config::default()
    });
    bench.register(vm(5), ETR);
    let outcome = bench.register(vm(6), ETR);
    assert_eq!(reasons(&outcome), [Rejection::Limit { what: "mappings" }]);
    bench.message(ITR, subscription(1, vm(5), ITR));
    let outcome = bench.message(ITR, subscription(1, vm(6), ITR));
    assert_eq!(
        reasons(&outcome),
        [Rejection::Limit {
            what: "subscriptions"
        }]
    );
    assert_eq!(
        (bench.server.mappings(), bench.server.subscriptions()),
        (1, 1)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_denial_touches_nothing_that_is_registered(
        registered in prop::collection::btree_set(any::<u8>(), 0..20),
        asked in any::<u32>(),
    ) {
        let mut bench = Bench::new();
        for last in &registered {
            bench.register(vm(*last), ETR);
        }
        let asked = Eid::host(7, Ipv4Addr::from_bits(asked & 0x0003_00ff | 0x0a00_0000));
        let reply = bench.ask(asked);
        let eid = reply.records[0].eid().unwrap();
        prop_assert!(eid.covers(asked));
        if reply.records[0].locators.is_empty() {
            prop_assert!(!registered.iter().any(|last| eid.covers(vm(*last))));
            let in_site = net(10, 2).covers(asked) || net(10, 3).covers(asked);
            prop_assert_eq!(reply.records[0].ttl, if in_site { 1 } else { 15 });
        } else {
            prop_assert_eq!(eid, asked);
        }
    }

    #[test]
    fn no_bytes_make_the_server_panic_or_grow(
        first in any::<u8>(),
        rest in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..3], 0..200),
    ) {
        let mut bench = Bench::new();
        let mut bytes = vec![first];
        bytes.extend(rest);
        bench.receive(ITR, &bytes);
        bench.tick(1);
        prop_assert_eq!(bench.server.mappings(), 0);
    }
}
