//! The machine against places that change, links that flap and steps that fail.

use super::*;
use model::Mac;
use proptest::prelude::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn tuning(probes: bool) -> Tuning {
    Tuning {
        settle: ms(200),
        probe_every: probes.then(|| ms(1000)),
        probe_again: ms(250),
        fails: 3,
        waits: Waits {
            first: ms(1000),
            most: ms(60_000),
        },
        steps: [Step::Renew, Step::Tunnel, Step::Names].into(),
    }
}

fn at(place: u8) -> Seen {
    Seen {
        up: true,
        addresses: [IpAddr::from([10, place, 0, 5])].into(),
        gateway: Some(Gateway {
            address: IpAddr::from([10, place, 0, 1]),
            mac: Some(Mac([2, 0, 0, 0, place, 1])),
            failed: false,
        }),
    }
}

fn without_link() -> Seen {
    Seen::default()
}

/// The same gateway's address, another machine.
fn impostor() -> Seen {
    let mut seen = at(1);
    if let Some(gateway) = &mut seen.gateway {
        gateway.mac = Some(Mac([2, 0, 0, 0, 9, 9]));
    }
    seen
}

fn gateway_gone() -> Seen {
    let mut seen = at(1);
    if let Some(gateway) = &mut seen.gateway {
        (gateway.mac, gateway.failed) = (None, true);
    }
    seen
}

/// One that has started at its place.
fn settled() -> Watchdog {
    let mut dog = Watchdog::new(tuning(false));
    dog.seen(at(1), ms(0));
    assert_eq!(go_well(&mut dog, ms(0)), [Step::Names]);
    assert_eq!((dog.phase(), dog.runs()), (Phase::Settled, 1));
    dog
}

/// Lets a run go well up to its end; returns the steps.
fn go_well(dog: &mut Watchdog, mut now: Duration) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some(Do::Start(step)) = dog.next(now) {
        steps.push(step);
        now += ms(10);
        dog.done(step, Ok(()), now);
    }
    steps
}

#[test]
fn a_link_that_was_lost_and_is_back_gets_all_steps_in_order() {
    let mut dog = settled();
    assert_eq!(dog.next(ms(0)), None);
    dog.seen(without_link(), ms(100));
    assert_eq!((dog.phase(), dog.wake()), (Phase::NoLink, None));
    dog.seen(at(1), ms(300));
    assert_eq!(dog.next(ms(400)), None);
    assert_eq!(dog.wake(), Some(ms(500)));
    assert_eq!(
        go_well(&mut dog, ms(500)),
        [Step::Renew, Step::Tunnel, Step::Names]
    );
    assert_eq!(dog.phase(), Phase::Settled);
    let run = dog.last_run().unwrap();
    assert_eq!(
        (run.reason, run.noticed, run.ended),
        (Reason::LinkBack, ms(300), Some(ms(530)))
    );
}

#[test]
fn another_machine_at_the_gateways_address_is_another_place() {
    let mut dog = settled();
    dog.seen(impostor(), ms(1000));
    assert_eq!(go_well(&mut dog, ms(1200)).len(), 3);
    assert_eq!(dog.last_run().unwrap().reason, Reason::GatewayChanged);
}

#[test]
fn an_address_that_somebody_else_has_renewed_needs_no_renewal() {
    let mut dog = settled();
    dog.seen(at(2), ms(1000));
    assert_eq!(go_well(&mut dog, ms(1200)), [Step::Tunnel, Step::Names]);
}

#[test]
fn what_a_renewal_changes_is_no_news() {
    let mut dog = settled();
    dog.seen(without_link(), ms(100));
    dog.seen(at(1), ms(200));
    assert_eq!(dog.next(ms(400)), Some(Do::Start(Step::Renew)));
    dog.seen(without_link(), ms(450));
    dog.seen(at(2), ms(500));
    dog.done(Step::Renew, Ok(()), ms(510));
    assert_eq!(go_well(&mut dog, ms(510)), [Step::Tunnel, Step::Names]);
    dog.seen(at(2), ms(700));
    assert_eq!((dog.next(ms(5000)), dog.runs()), (None, 2));
}

#[test]
fn a_target_is_missed_several_times_before_anything_is_done() {
    let mut dog = Watchdog::new(tuning(true));
    dog.seen(at(1), ms(0));
    assert_eq!(dog.next(ms(0)), Some(Do::Start(Step::Names)));
    dog.done(Step::Names, Ok(()), ms(0));
    for (now, reached) in [
        (0, true),
        (1000, false),
        (1250, false),
        (1500, true),
        (2500, false),
        (2750, false),
    ] {
        assert_eq!(dog.next(ms(now)), Some(Do::Probe), "{now}");
        dog.probed(reached, ms(now));
        assert_eq!(dog.runs(), 1);
    }
    assert_eq!(dog.next(ms(3000)), Some(Do::Probe));
    dog.probed(false, ms(3000));
    assert_eq!(go_well(&mut dog, ms(3000)).len(), 3);
    assert_eq!(dog.phase(), Phase::Verifying);
}

#[test]
fn a_target_that_stays_away_makes_runs_rarer_and_one_that_answers_settles() {
    let mut dog = Watchdog::new(tuning(true));
    dog.seen(at(1), ms(0));
    let mut now = ms(0);
    let mut starts = Vec::new();
    while now < ms(600_000) {
        match dog.next(now) {
            Some(Do::Probe) => dog.probed(false, now),
            Some(Do::Start(step)) => {
                if step == Step::Renew {
                    starts.push(now);
                }
                dog.done(step, Ok(()), now);
            }
            None => now = dog.wake().unwrap().max(now + ms(1)),
        }
    }
    assert!(starts.len() < 20, "{}", starts.len());
    let gaps: Vec<Duration> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        gaps.windows(2).all(|pair| pair[1] + ms(1000) >= pair[0]),
        "{gaps:?}"
    );
    loop {
        match dog.next(now) {
            Some(Do::Probe) => {
                dog.probed(true, now);
                break;
            }
            Some(Do::Start(step)) => dog.done(step, Ok(()), now),
            None => now = dog.wake().unwrap().max(now + ms(1)),
        }
    }
    assert_eq!(dog.phase(), Phase::Settled);
}

#[test]
fn a_step_that_fails_is_tried_again_and_those_before_it_are_not() {
    let mut dog = settled();
    dog.seen(impostor(), ms(0));
    assert_eq!(dog.next(ms(200)), Some(Do::Start(Step::Renew)));
    assert_eq!(dog.next(ms(200)), None, "one at a time");
    dog.done(Step::Renew, Ok(()), ms(300));
    assert_eq!(dog.next(ms(300)), Some(Do::Start(Step::Tunnel)));
    dog.done(Step::Tunnel, Err("no such unit".into()), ms(400));
    assert!(dog.sentence().contains("no such unit"));
    assert_eq!(dog.next(ms(1399)), None);
    assert_eq!(go_well(&mut dog, ms(1400)), [Step::Tunnel, Step::Names]);
    assert_eq!(dog.phase(), Phase::Settled);
}

#[test]
fn a_gateway_that_answers_again_in_time_was_no_other_place() {
    let mut dog = settled();
    dog.seen(gateway_gone(), ms(100));
    assert_eq!(dog.phase(), Phase::Suspecting);
    dog.seen(at(1), ms(200));
    assert_eq!((dog.phase(), dog.next(ms(1000))), (Phase::Settled, None));
    dog.seen(gateway_gone(), ms(1100));
    assert_eq!(dog.next(ms(1300)), Some(Do::Start(Step::Renew)));
}

#[test]
fn an_address_that_comes_after_its_renewal_was_given_up_is_taken_up_at_once() {
    let mut dog = settled();
    dog.seen(impostor(), ms(0));
    assert_eq!(dog.next(ms(200)), Some(Do::Start(Step::Renew)));
    dog.done(Step::Renew, Err("nobody answers".into()), ms(300));
    dog.seen(at(2), ms(400));
    assert_eq!(dog.next(ms(599)), None);
    assert_eq!(go_well(&mut dog, ms(600)), [Step::Tunnel, Step::Names]);
}

#[test]
fn only_what_is_configured_is_done() {
    let steps = [Step::Names].into();
    let mut dog = Watchdog::new(Tuning {
        steps,
        ..tuning(false)
    });
    dog.seen(at(1), ms(0));
    assert_eq!(go_well(&mut dog, ms(0)), [Step::Names]);
    dog.seen(impostor(), ms(0));
    assert_eq!(go_well(&mut dog, ms(200)), [Step::Names]);
}

#[derive(Debug, Clone)]
enum Event {
    Place(u8),
    NoLink,
    Impostor,
    GatewayGone,
    Pass(u64),
    StepDone(bool),
    Probed(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (1..4_u8).prop_map(Event::Place),
        1 => Just(Event::NoLink),
        1 => Just(Event::Impostor),
        1 => Just(Event::GatewayGone),
        4 => (0..3000_u64).prop_map(Event::Pass),
        3 => any::<bool>().prop_map(Event::StepDone),
        3 => any::<bool>().prop_map(Event::Probed),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_one_step_runs_at_a_time_with_link_and_in_order_and_all_ends_well(
        probes in any::<bool>(),
        events in prop::collection::vec(event(), 0..150),
    ) {
        let mut dog = Watchdog::new(tuning(probes));
        dog.seen(at(1), ms(0));
        let mut now = ms(0);
        let mut running: Option<Step> = None;
        let mut up = true;
        let mut starts: Vec<Duration> = Vec::new();
        let mut runs = 0;
        for event in events {
            match event {
                Event::Place(place) => { up = true; dog.seen(at(place), now) }
                Event::NoLink => { up = false; dog.seen(without_link(), now) }
                Event::Impostor => { up = true; dog.seen(impostor(), now) }
                Event::GatewayGone => { up = true; dog.seen(gateway_gone(), now) }
                Event::Pass(passed) => now += ms(passed),
                Event::StepDone(well) => if let Some(step) = running.take() {
                    dog.done(step, if well { Ok(()) } else { Err("it failed".into()) }, now);
                },
                Event::Probed(reached) => dog.probed(reached, now),
            }
            while let Some(what) = dog.next(now) {
                let Do::Start(step) = what else { break };
                prop_assert_eq!(running, None);
                // A run under way goes on without link: its step fails by itself. A new one does not begin.
                if dog.runs() > runs {
                    prop_assert!(up);
                    if let Some(last) = starts.last() {
                        prop_assert!(now >= *last);
                    }
                    starts.push(now);
                    runs = dog.runs();
                }
                if let Some(run) = dog.last_run() {
                    let done: Vec<Step> = run.steps.iter().map(|took| took.step).collect();
                    prop_assert!(done.iter().all(|before| *before < step), "{:?} then {:?}", done, step);
                }
                running = Some(step);
            }
        }
        // From now on all goes well.
        dog.seen(at(1), now);
        let until = now + ms(300_000);
        while now < until {
            if let Some(step) = running.take() {
                dog.done(step, Ok(()), now);
            }
            dog.probed(true, now);
            match dog.next(now) {
                Some(Do::Start(step)) => running = Some(step),
                Some(Do::Probe) => {}
                None => now = dog.wake().unwrap_or(until).max(now + ms(1)),
            }
        }
        prop_assert_eq!(dog.phase(), Phase::Settled, "{}", dog.sentence());
    }

    #[test]
    fn a_link_that_flaps_without_end_is_not_renewed_at_each_flap(gaps in prop::collection::vec(1..150_u64, 100..300)) {
        let mut dog = Watchdog::new(tuning(false));
        dog.seen(at(1), ms(0));
        let mut now = ms(0);
        for gap in gaps {
            dog.seen(without_link(), now);
            now += ms(gap);
            dog.seen(at(1), now);
            while let Some(Do::Start(step)) = dog.next(now) {
                dog.done(step, Err("nobody answers".into()), now);
            }
        }
        let most = 2 + now.as_millis() / 1000;
        prop_assert!(u128::from(dog.runs()) <= most, "{} runs in {:?}", dog.runs(), now);
    }
}
