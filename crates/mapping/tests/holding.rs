//! Mappings that are held, sites that come and go, fencing, limits, and what survives a restart.

mod bench;

use std::net::Ipv4Addr;
use std::time::Duration;

use bench::{
    Bench, ETR, ITR, OTHER, SECRET, XTR, net, notify, reasons, registration, sent, site,
    subscription, vm,
};
use lisp::auth::Secret;
use lisp::record::{LocatorFlags, RecordFlags};
use lisp::{Eid, Locator, MapRegisterFlags, Message, Record, XtrId};
use mapping::{Audit, Config, Outcome, Pace, Rejection, SiteError};

fn held(eid: Eid, at: Ipv4Addr) -> Record {
    Record::new(eid, 15).locator(Locator::new(at, 1, 100))
}

fn hold(bench: &mut Bench, record: &Record) -> Outcome {
    let mut outcome = Outcome::default();
    let now = bench.now;
    bench.server.hold(record, now, &mut outcome).unwrap();
    outcome
}

#[test]
fn what_is_held_no_xtr_can_register_in_whole_or_in_part() {
    let mut bench = Bench::new();
    bench.register(vm(5), OTHER);
    let outcome = hold(&mut bench, &held(net(10, 2), ETR));
    assert!(outcome.audit.contains(&Audit::Gone { eid: vm(5) }));
    for eid in [net(10, 2), vm(5)] {
        let outcome = bench.register(eid, OTHER);
        assert_eq!(reasons(&outcome), [Rejection::Held { eid }]);
    }
    let here = [Locator::new(ETR, 1, 100)];
    assert_eq!(bench.ask(vm(5)).records[0].locators, here);
    assert!(bench.tick(1_000_000).audit.is_empty(), "it never runs out");
    // Beside it, and given up, everything is as before.
    let beside = Eid::host(7, Ipv4Addr::new(10, 3, 0, 1));
    assert!(!bench.server.is_held(beside));
    let mut outcome = Outcome::default();
    let now = bench.now;
    bench.server.release(net(10, 2), now, &mut outcome);
    assert!(reasons(&bench.register(vm(5), OTHER)).is_empty());
}

#[test]
fn a_held_mapping_that_moves_is_told_and_the_same_again_is_not() {
    let mut bench = Bench::new();
    hold(&mut bench, &held(vm(5), ETR));
    bench.message(ITR, subscription(100, vm(5), ITR));
    let outcome = hold(&mut bench, &held(vm(5), OTHER));
    assert_eq!(
        notify(&sent(&outcome)[0].1).records[0].locators,
        [Locator::new(OTHER, 1, 100)]
    );
    assert!(sent(&hold(&mut bench, &held(vm(5), OTHER))).is_empty());
}

#[test]
fn the_old_place_cannot_register_an_older_version() {
    let mut bench = Bench::new();
    let mut say = |xtr_id, nonce, version, at| {
        let mut register = registration(nonce, vm(5), at);
        register.xtr = Some(XtrId { xtr_id, ..XTR });
        register.records[0].map_version = version;
        let bytes = Message::from(register).to_signed_bytes(&Secret::new(SECRET));
        reasons(&bench.receive(at, &bytes.unwrap()))
    };
    assert_eq!(say(1, 1, 4095, ETR), []);
    assert_eq!(say(2, 1, 1, OTHER), [], "versions go round");
    let fenced = Rejection::OldVersion {
        eid: vm(5),
        version: 4095,
        held: 1,
    };
    assert_eq!(say(1, 2, 4095, ETR), [fenced]);
    assert_eq!(say(1, 3, 2, ETR), [], "it may come back with a newer one");
    assert_eq!(
        bench.ask(vm(5)).records[0].locators,
        [Locator::new(ETR, 1, 100)]
    );
}

#[test]
fn a_registration_that_is_sent_again_prolongs_nothing_and_takes_nothing_back() {
    let mut bench = Bench::new();
    let first = Message::from(registration(41, vm(5), ETR));
    let first = first.to_signed_bytes(&Secret::new(SECRET)).unwrap();
    bench.receive(ETR, &first);
    let mut moved = registration(1, vm(5), OTHER);
    moved.xtr = Some(XtrId { xtr_id: 6, ..XTR });
    let moved = Message::from(moved).to_signed_bytes(&Secret::new(SECRET));
    bench.receive(OTHER, &moved.unwrap());
    // From whatever address it comes.
    assert!(bench.receive(ITR, &first).audit.is_empty());
    assert_eq!(
        bench.ask(vm(5)).records[0].locators,
        [Locator::new(OTHER, 1, 100)]
    );
    // One without xTR-ID is known by what it registers, not by who sends it.
    let mut anonymous = registration(50, vm(6), ETR);
    anonymous.xtr = None;
    let old = Message::from(anonymous.clone()).to_signed_bytes(&Secret::new(SECRET));
    anonymous.nonce = 51;
    anonymous.records[0].ttl = 0;
    let gone = Message::from(anonymous).to_signed_bytes(&Secret::new(SECRET));
    let old = old.unwrap();
    bench.receive(ETR, &old);
    bench.receive(ETR, &gone.unwrap());
    let outcome = bench.receive(ITR, &old);
    assert_eq!(reasons(&outcome), [Rejection::Replayed { nonce: 50 }]);
}

#[test]
fn a_nonce_that_is_always_zero_is_taken_only_where_it_is_allowed() {
    let mut strict = Bench::new();
    let bytes = Message::from(registration(0, vm(5), ETR)).to_signed_bytes(&Secret::new(SECRET));
    let bytes = bytes.unwrap();
    assert_eq!(reasons(&strict.receive(ETR, &bytes)), []);
    assert_eq!(
        reasons(&strict.receive(ETR, &bytes)),
        [Rejection::ConstantNonce]
    );
    let mut old = Bench::new();
    let mut allowed = site(9, net(10, 2));
    allowed.accept_constant_nonce = true;
    let now = old.now;
    let mut outcome = Outcome::default();
    old.server.put_site(allowed, now, &mut outcome).unwrap();
    old.receive(ETR, &bytes);
    old.tick(100);
    assert_eq!(reasons(&old.receive(ETR, &bytes)), []);
    assert!(old.tick(100).audit.is_empty(), "it was prolonged");
}

#[test]
fn a_proxy_reply_claims_neither_authority_nor_locators() {
    let mut bench = Bench::new();
    let mut register = registration(1, vm(5), ETR);
    register.records[0].flags = RecordFlags::AUTHORITATIVE;
    register.records[0].locators[0].flags |= LocatorFlags::LOCAL | LocatorFlags::PROBED;
    let bytes = Message::from(register).to_signed_bytes(&Secret::new(SECRET));
    bench.receive(ETR, &bytes.unwrap());
    let told = bench.ask(vm(5)).records.remove(0);
    assert_eq!(told.flags, RecordFlags::empty());
    assert_eq!(told.locators[0].flags, LocatorFlags::REACHABLE);
}

#[test]
fn changes_of_several_prefixes_are_each_told_until_acknowledged() {
    let mut bench = Bench::new();
    bench.message(ITR, subscription(100, net(10, 2), ITR));
    bench.register(vm(5), ETR);
    let second = sent(&bench.register(vm(6), ETR)).remove(0).1;
    let ack = Message::MapNotifyAck(notify(&second));
    let ack = ack.to_signed_bytes(&Secret::new(SECRET)).unwrap();
    bench.receive(ITR, &ack);
    // The confirmation and the first change were not acknowledged, and their nonces are old by now.
    let again = sent(&bench.tick(1));
    let told: Vec<(u64, Option<Eid>)> = again
        .iter()
        .map(|(_, bytes)| notify(bytes))
        .map(|told| (told.nonce, told.records[0].eid()))
        .collect();
    assert_eq!(told, [(103, Some(net(10, 2))), (104, Some(vm(5)))]);
    assert_eq!(bench.server.unacknowledged(), 2);
}

#[test]
fn a_subscriber_learns_all_that_is_in_its_prefix_and_nothing_false() {
    let mut bench = Bench::new();
    for last in 1..=40 {
        bench.register(vm(last), ETR);
    }
    let outcome = bench.message(ITR, subscription(100, net(10, 2), ITR));
    let told: Vec<_> = sent(&outcome)
        .iter()
        .map(|(_, bytes)| notify(bytes))
        .collect();
    let nonces: Vec<u64> = told.iter().map(|told| told.nonce).collect();
    assert_eq!(nonces, [100, 101, 102]);
    let eids: Vec<Eid> = told
        .iter()
        .flat_map(|told| &told.records)
        .filter_map(Record::eid)
        .collect();
    assert_eq!(eids, (1..=40).map(vm).collect::<Vec<_>>());
}

#[test]
fn who_was_told_that_there_is_nothing_is_solicited_when_there_is_something() {
    let mut bench = Bench::new();
    assert!(bench.ask(vm(5)).records[0].locators.is_empty());
    let outcome = bench.register(vm(6), ETR);
    let [(_, bytes)] = &sent(&outcome)[..] else {
        panic!("{outcome:?}");
    };
    let Message::MapRequest(smr) = Message::decode(bytes).unwrap() else {
        panic!("no Map-Request");
    };
    assert_eq!(smr.source_eid, vm(6).to_address());
}

#[test]
fn a_sender_that_sends_too_much_is_dropped_and_counted_with_one_line() {
    let mut bench = Bench::with(Config {
        pace: Some(Pace {
            per_second: 10,
            burst: 9,
        }),
        ..Config::default()
    });
    let lines: Vec<Rejection> = (0..100)
        .flat_map(|_| reasons(&bench.receive(ITR, &[0xf0, 0, 0, 0])))
        .collect();
    let slow = lines.iter().filter(|line| **line == Rejection::TooFast);
    assert_eq!((slow.count(), lines.len()), (1, 11));
    let counted = bench
        .server
        .rejected()
        .iter()
        .find(|(name, _)| *name == "too_fast");
    assert_eq!(counted, Some(("too_fast", 90)));
    bench.register(vm(5), ETR);
    assert_eq!(bench.server.mappings(), 1, "others are not concerned");
}

#[test]
fn a_site_comes_goes_and_cannot_take_anothers_prefix() {
    let mut bench = Bench::new();
    bench.register(vm(5), ETR);
    bench.message(ITR, subscription(100, vm(5), ITR));
    let mut outcome = Outcome::default();
    let now = bench.now;
    let taken = bench
        .server
        .put_site(site(11, net(10, 2)), now, &mut outcome);
    let expected = SiteError::Taken {
        prefix: net(10, 2),
        site: 9,
    };
    assert_eq!(taken, Err(expected));
    bench.server.remove_site(9, now, &mut outcome);
    assert_eq!(
        (bench.server.mappings(), bench.server.subscriptions()),
        (0, 0)
    );
    bench
        .server
        .put_site(site(11, net(10, 2)), now, &mut outcome)
        .unwrap();
    let outcome = bench.register(vm(5), ETR);
    assert_eq!(reasons(&outcome).len(), 1, "the secret is another one");
}

#[test]
fn what_was_saved_is_there_after_a_restart_and_older_nonces_are_not_believed() {
    let config = || Config {
        remember_unsaved: true,
        ..Config::default()
    };
    let mut before = Bench::with(config());
    before.register(vm(5), ETR);
    let mut merged = registration(7, vm(6), OTHER);
    merged.flags |= MapRegisterFlags::MERGE | MapRegisterFlags::USE_TTL;
    let bytes = Message::from(merged)
        .to_signed_bytes(&Secret::new(SECRET))
        .unwrap();
    before.receive(OTHER, &bytes);
    let unsaved = before.server.take_unsaved();
    assert_eq!(unsaved.eids.len(), 2);
    assert!(before.server.take_unsaved().eids.is_empty());

    let mut after = Bench::with(config());
    after.now = Duration::from_secs(5);
    for (site, who, nonce) in unsaved.nonces {
        after.server.restore_nonce(site, who, nonce);
    }
    for eid in unsaved.eids {
        for saved in before.server.registrations(eid, before.now) {
            after.server.restore(&saved, after.now);
        }
    }
    assert_eq!(
        after.ask(vm(5)).records[0].locators,
        [Locator::new(ETR, 1, 100)]
    );
    assert_eq!(
        after.ask(vm(6)).records[0].locators,
        [Locator::new(OTHER, 1, 100)]
    );
    let outcome = after.register(vm(5), OTHER);
    assert_eq!(reasons(&outcome), [Rejection::Replayed { nonce: 1 }]);
    assert_eq!(after.tick(180).audit, [Audit::Gone { eid: vm(5) }]);
    assert_eq!(after.tick(420).audit, [Audit::Gone { eid: vm(6) }]);
}
