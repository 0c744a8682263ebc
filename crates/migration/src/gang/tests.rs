use super::*;
use proptest::prelude::*;

fn vm(n: u8) -> VmName {
    VmName::new(format!("vm-{n}")).unwrap()
}

#[test]
fn a_gang_of_two_goes_all_the_way() {
    let (mut gang, commands) = Gang::begin([vm(1), vm(2)], FlipOrder::BeforeStop);
    assert_eq!(commands, [Command::Prepare(vm(1)), Command::Prepare(vm(2))]);
    assert!(gang.next(Event::Prepared(vm(1))).is_empty());
    assert_eq!(gang.next(Event::Prepared(vm(2))).len(), 2);
    for n in [1, 2] {
        gang.next(Event::Sending(vm(n)));
    }
    assert!(
        gang.next(Event::Held {
            vm: vm(1),
            burst_bytes: 10
        })
        .is_empty()
    );
    let armed = gang.next(Event::Held {
        vm: vm(2),
        burst_bytes: 20,
    });
    assert_eq!(armed, [Command::Arm(vec![vm(1), vm(2)])]);
    assert_eq!(gang.burst_bytes(), 30);
    assert_eq!(
        gang.next(Event::Scheduled),
        [Command::Release(vm(1)), Command::Release(vm(2))]
    );
    for n in [1, 2] {
        gang.next(Event::Stopped(vm(n)));
        assert_eq!(gang.next(Event::Resumed(vm(n))), [Command::Verify(vm(n))]);
    }
    assert_eq!(gang.state(), State::Verify);
    assert!(gang.next(Event::Verified(vm(2))).is_empty());
    assert_eq!(gang.next(Event::Verified(vm(1))).len(), 2);
    gang.next(Event::Finished(vm(1)));
    gang.next(Event::Finished(vm(2)));
    assert_eq!(gang.state(), State::Arrived);
}

#[test]
fn a_cancel_before_the_release_takes_everything_back() {
    let (mut gang, _) = Gang::begin([vm(1)], FlipOrder::BeforeStop);
    gang.next(Event::Prepared(vm(1)));
    gang.next(Event::Sending(vm(1)));
    let back = gang.next(Event::Cancel);
    assert_eq!(
        back,
        [Command::TakeBack {
            vm: vm(1),
            flipped: false,
            sending: true
        }]
    );
    gang.next(Event::TakenBack(vm(1)));
    assert_eq!(gang.state(), State::Aborted);
}

#[test]
fn a_rehearsal_releases_nobody_and_flips_back() {
    let (gang, _) = Gang::begin([vm(1)], FlipOrder::BeforeStop);
    let mut gang = gang.rehearsing(true);
    gang.next(Event::Prepared(vm(1)));
    gang.next(Event::Held {
        vm: vm(1),
        burst_bytes: 1,
    });
    assert!(gang.next(Event::Scheduled).is_empty());
    let back = gang.next(Event::DidNotStop(vm(1)));
    assert_eq!(
        back,
        [Command::TakeBack {
            vm: vm(1),
            flipped: true,
            sending: true
        }]
    );
}

fn held(n: u8) -> Event {
    Event::Held {
        vm: vm(n),
        burst_bytes: 1,
    }
}

#[test]
fn a_paused_gang_is_not_armed_before_it_is_resumed_and_level_again() {
    let (mut gang, _) = Gang::begin([vm(1), vm(2)], FlipOrder::BeforeStop);
    for n in [1, 2] {
        gang.next(Event::Prepared(vm(n)));
    }
    gang.next(Event::Sending(vm(1)));
    gang.next(held(1));
    let slow = |n, slow| Command::Pace { vm: vm(n), slow };
    assert_eq!(gang.next(Event::Pause), [slow(1, true)]);
    assert_eq!(gang.next(Event::Sending(vm(2))), [slow(2, true)]);
    assert!(gang.next(held(2)).is_empty() && gang.next(held(1)).is_empty());
    assert!(
        gang.next(Event::TimedOut).is_empty(),
        "no time passes for it"
    );
    assert!(gang.is_paused());
    assert_eq!(gang.next(Event::Resume), [slow(1, false), slow(2, false)]);
    assert!(gang.next(held(1)).is_empty(), "from before it was paced");
    for n in [1, 2] {
        gang.next(Event::Paced(vm(n)));
    }
    assert!(gang.next(held(1)).is_empty());
    assert_eq!(gang.next(held(2)), [Command::Arm(vec![vm(1), vm(2)])]);
    assert!(!gang.can_pause());
    gang.next(Event::Pause);
    assert!(!gang.is_paused());
}

#[test]
fn a_gang_that_is_paused_before_it_sends_sends_when_it_is_resumed() {
    let (mut gang, _) = Gang::begin([vm(1)], FlipOrder::BeforeStop);
    gang.next(Event::Pause);
    assert!(gang.next(Event::Prepared(vm(1))).is_empty());
    assert_eq!(gang.next(Event::Resume), [Command::Send(vm(1))]);
}

#[test]
fn a_target_that_did_not_wait_through_a_pause_is_made_ready_again_after_it() {
    let (mut gang, _) = Gang::begin([vm(1)], FlipOrder::BeforeStop);
    gang.next(Event::Pause);
    gang.next(Event::Prepared(vm(1)));
    let late = Event::Hitch {
        vm: vm(1),
        why: "nobody dialled".into(),
    };
    assert!(gang.next(late).is_empty());
    let clear = Command::Clear {
        vm: vm(1),
        sending: false,
    };
    assert_eq!(gang.next(Event::Resume), [clear]);
    assert_eq!(gang.next(Event::Cleared(vm(1))), [Command::Prepare(vm(1))]);
    assert_eq!(gang.next(Event::Prepared(vm(1))), [Command::Send(vm(1))]);
}

#[test]
fn an_attempt_that_failed_is_made_again_with_growing_waits_up_to_the_limit() {
    let (mut gang, _) = Gang::begin([vm(1), vm(2)], FlipOrder::BeforeStop);
    let hitch = || Event::Hitch {
        vm: vm(1),
        why: "the relay broke".into(),
    };
    gang.next(Event::Prepared(vm(1)));
    gang.next(Event::Prepared(vm(2)));
    let mut waits = Vec::new();
    for _ in 0..retry::RETRIES {
        match &gang.next(hitch())[..] {
            [Command::Wait { ms, .. }] => waits.push(*ms),
            other => panic!("{other:?}"),
        }
        assert!(gang.next(hitch()).is_empty(), "the other end tells as well");
        if waits.len() == 3 {
            assert_eq!(
                gang.message(),
                "the relay broke; trying 'vm-1' again in 4 s, third of five"
            );
        }
        let clear = gang.next(Event::Again(vm(1)));
        assert_eq!(
            clear,
            [Command::Clear {
                vm: vm(1),
                sending: true
            }]
        );
        assert_eq!(gang.next(Event::Cleared(vm(1))), [Command::Prepare(vm(1))]);
        assert_eq!(gang.next(Event::Prepared(vm(1))), [Command::Send(vm(1))]);
    }
    assert_eq!(waits, [1000, 2000, 4000, 8000, 16_000]);
    let back = gang.next(hitch());
    assert!(matches!(
        back[..],
        [Command::TakeBack { .. }, Command::TakeBack { .. }]
    ));
    assert!(gang.message().contains("5 times"), "{}", gang.message());
}

#[test]
fn a_window_that_closes_takes_back_what_is_not_armed() {
    let (mut gang, _) = Gang::begin([vm(1)], FlipOrder::BeforeStop);
    gang.next(Event::Prepared(vm(1)));
    let mut armed = gang.clone();
    assert_eq!(gang.next(Event::Closed("closed".into())).len(), 1);
    armed.next(held(1));
    assert!(armed.next(Event::Closed("closed".into())).is_empty());
}

/// A gang of one that has stopped at its source.
fn stopped() -> Gang {
    let (mut gang, _) = Gang::begin([vm(1)], FlipOrder::BeforeStop);
    gang.next(Event::Prepared(vm(1)));
    gang.next(Event::Held {
        vm: vm(1),
        burst_bytes: 1,
    });
    gang.next(Event::Scheduled);
    gang.next(Event::Stopped(vm(1)));
    gang
}

#[test]
fn peers_that_may_hold_flips_are_known_before_anything_is_taken_back() {
    let (mut gang, _) = Gang::begin([vm(1)], FlipOrder::BeforeStop);
    gang.next(Event::Prepared(vm(1)));
    gang.next(Event::Held {
        vm: vm(1),
        burst_bytes: 1,
    });
    assert!(gang.next(Event::Cancel).is_empty());
    let back = gang.next(Event::Scheduled);
    assert!(
        matches!(back[..], [Command::TakeBack { flipped: true, .. }]),
        "{back:?}"
    );
}

#[test]
fn a_released_vm_counts_as_one_that_may_run_at_the_target_in_every_order() {
    for order in [FlipOrder::Redirect, FlipOrder::AfterResume] {
        let (mut gang, _) = Gang::begin([vm(1)], order);
        gang.next(Event::Prepared(vm(1)));
        gang.next(Event::Held {
            vm: vm(1),
            burst_bytes: 1,
        });
        gang.next(Event::Scheduled);
        let back = gang.next(Event::DidNotStop(vm(1)));
        assert!(
            matches!(back[..], [Command::TakeBack { flipped: true, .. }]),
            "{back:?}"
        );
    }
}

#[test]
fn a_vm_in_doubt_is_asked_for_and_not_taken_back_meanwhile() {
    let mut gang = stopped();
    let asked = gang.next(Event::Failed {
        vm: vm(1),
        why: "the link broke".into(),
        in_doubt: true,
    });
    assert_eq!(asked, [Command::Ask(vm(1))]);
    assert!(
        gang.next(Event::Failed {
            vm: vm(1),
            why: "again".into(),
            in_doubt: false
        })
        .is_empty()
    );
    let back = gang.next(Event::Resolved {
        vm: vm(1),
        runs_at_target: false,
    });
    assert_eq!(
        back,
        [Command::TakeBack {
            vm: vm(1),
            flipped: true,
            sending: true
        }]
    );
}

#[test]
fn a_vm_in_doubt_that_runs_at_the_target_goes_on() {
    let mut gang = stopped();
    gang.next(Event::Failed {
        vm: vm(1),
        why: "the link broke".into(),
        in_doubt: true,
    });
    let next = gang.next(Event::Resolved {
        vm: vm(1),
        runs_at_target: true,
    });
    assert_eq!(next, [Command::Verify(vm(1))]);
}

fn events() -> impl Strategy<Value = Event> {
    let who = (1u8..4).prop_map(vm);
    prop_oneof![
        who.clone().prop_map(Event::Prepared),
        who.clone().prop_map(Event::Sending),
        who.clone()
            .prop_map(|vm| Event::Held { vm, burst_bytes: 5 }),
        Just(Event::Scheduled),
        who.clone().prop_map(Event::Stopped),
        who.clone().prop_map(Event::AtPreSwitchover),
        who.clone().prop_map(Event::Flipped),
        who.clone().prop_map(Event::Resumed),
        who.clone().prop_map(Event::DidNotStop),
        who.clone().prop_map(Event::Verified),
        who.clone().prop_map(|vm| Event::Mute {
            vm,
            why: "x".into()
        }),
        Just(Event::NotScheduled("x".into())),
        (who.clone(), any::<bool>()).prop_map(|(vm, in_doubt)| Event::Failed {
            vm,
            why: "x".into(),
            in_doubt
        }),
        (who.clone(), any::<bool>())
            .prop_map(|(vm, runs_at_target)| Event::Resolved { vm, runs_at_target }),
        Just(Event::Cancel),
        Just(Event::TimedOut),
        Just(Event::Overdue),
        Just(Event::Pause),
        Just(Event::Resume),
        Just(Event::Closed("x".into())),
        who.clone().prop_map(Event::Paced),
        who.clone().prop_map(|vm| Event::Hitch {
            vm,
            why: "x".into()
        }),
        who.clone().prop_map(Event::Again),
        who.clone().prop_map(Event::Cleared),
        who.clone().prop_map(Event::NotCleared),
        who.clone().prop_map(Event::Finished),
        who.clone().prop_map(Event::Gone),
        who.prop_map(Event::TakenBack),
    ]
}

#[test]
fn news_that_cannot_be_does_not_arm_a_gang_that_is_paused() {
    let (mut gang, _) = Gang::begin([vm(1), vm(2), vm(3)], FlipOrder::BeforeStop);
    let held = Event::Held {
        vm: vm(2),
        burst_bytes: 5,
    };
    let events = [
        Event::Pause,
        Event::Resumed(vm(1)),
        Event::Prepared(vm(2)),
        held,
        Event::DidNotStop(vm(2)),
    ];
    for event in events {
        let commands = gang.next(event);
        assert!(
            !commands.iter().any(|it| matches!(it, Command::Arm(_))),
            "{commands:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_order_of_events_breaks_the_promises(
        order in prop::sample::select(vec![FlipOrder::BeforeStop, FlipOrder::AfterResume, FlipOrder::Redirect]),
        events in prop::collection::vec(events(), 0..120),
    ) {
        let (mut gang, _) = Gang::begin([vm(1), vm(2), vm(3)], order);
        let mut scheduled = false;
        let mut verified = std::collections::BTreeSet::new();
        let mut resumed = std::collections::BTreeSet::new();
        let mut gone_back = std::collections::BTreeSet::new();
        let mut asked = std::collections::BTreeSet::new();
        let mut may_run = false;
        for event in events {
            scheduled |= event == Event::Scheduled;
            let before = gang.clone();
            let commands = gang.next(event.clone());
            match &event {
                Event::Resumed(vm) if !gone_back.contains(vm) && !before.state().is_final() => { resumed.insert(vm.clone()); }
                Event::Resolved { vm, runs_at_target: true } if !before.state().is_final() && (asked.contains(vm) || gone_back.contains(vm)) => { resumed.insert(vm.clone()); gone_back.remove(vm); }
                Event::Verified(vm) => { verified.insert(vm.clone()); }
                _ => {}
            }
            for command in commands {
                match command {
                    Command::Release(_) => {
                        prop_assert!(scheduled && !gang.is_paused());
                        may_run = true;
                    }
                    Command::Arm(_) => prop_assert!(!gang.is_paused()),
                    Command::Wait { .. } | Command::Clear { .. } | Command::Prepare(_) | Command::Send(_) => {
                        prop_assert!(!may_run, "tried again after the release: {event:?}");
                    }
                    Command::Finish(vm) => prop_assert!(verified.contains(&vm) && resumed.contains(&vm)),
                    Command::TakeBack { vm, .. } => {
                        prop_assert!(!resumed.contains(&vm), "{vm} runs at the target and was taken back");
                        gone_back.insert(vm);
                    }
                    Command::Ask(vm) => { asked.insert(vm); }
                    _ => {}
                }
            }
        }
    }
}
