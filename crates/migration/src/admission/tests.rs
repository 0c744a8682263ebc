use super::*;
use model::limits::Limit;
use proptest::prelude::*;

fn id(n: u32) -> MigrationId {
    MigrationId::new(format!("m-{n:04}")).unwrap()
}

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

/// One of its own cluster, between two sites with a host each that carries 200 Mbit/s.
fn from_to(n: u32, from: &str, to: &str) -> Request {
    Request {
        id: id(n),
        cluster: ClusterName::new(format!("c-{n}")).unwrap(),
        from: site(from),
        to: site(to),
        uplinks: [from, to].map(|name| (host(name), 200.0)).into(),
        most_mbit: 0.0,
        priority: 0,
        window: None,
    }
}

fn uplinks(at_once: Option<u32>, mbit: Option<f64>) -> Limits {
    Limits {
        uplink: Limit { at_once, mbit },
        ..Limits::default()
    }
}

fn ids(admitted: &[Admitted]) -> Vec<&str> {
    admitted.iter().map(|one| one.id.as_str()).collect()
}

fn why(queue: &Admission, n: u32) -> String {
    queue.lacks(&id(n), &Now::default()).unwrap().to_string()
}

#[test]
fn who_waits_is_told_for_what_in_one_sentence() {
    let mut queue = Admission::new(uplinks(Some(2), None));
    for n in 1..=3 {
        queue.wait(from_to(
            n,
            ["north", "west", "east"][n as usize - 1],
            "south",
        ));
    }
    assert_eq!(ids(&queue.admit(&Now::default())), ["m-0001", "m-0002"]);
    assert_eq!(
        why(&queue, 3),
        "waiting for room: 2 migrations already send through south's uplink (m-0001, m-0002)"
    );
    let mut all = queue.limits().clone();
    all.controller.at_once = Some(2);
    queue.set_limits(all);
    assert_eq!(
        why(&queue, 3),
        "waiting for room: 2 migrations already run, which is the controller's limit (m-0001, m-0002)"
    );
    queue.leave(&id(2));
    assert_eq!(ids(&queue.admit(&Now::default())), ["m-0003"]);
}

#[test]
fn a_lone_migration_has_the_whole_uplink_and_places_have_equal_parts() {
    let mut alone = Admission::new(Limits::default());
    alone.wait(from_to(1, "north", "south"));
    assert_eq!(alone.admit(&Now::default())[0].mbit, Some(200.0));
    let mut pair = Admission::new(uplinks(Some(2), None));
    pair.wait(from_to(1, "north", "south"));
    pair.wait(from_to(2, "north", "south"));
    let rates: Vec<_> = pair
        .admit(&Now::default())
        .iter()
        .map(|it| it.mbit)
        .collect();
    assert_eq!(rates, [Some(100.0), Some(100.0)]);
}

#[test]
fn what_was_asked_for_is_never_exceeded_and_never_above_the_limit() {
    let mut queue = Admission::new(uplinks(None, Some(150.0)));
    let asks = |n, most_mbit| Request {
        most_mbit,
        ..from_to(n, "north", "south")
    };
    queue.wait(asks(1, 60.0));
    queue.wait(asks(2, 500.0));
    queue.wait(asks(3, 0.0));
    let rates: Vec<_> = queue
        .admit(&Now::default())
        .iter()
        .map(|it| it.mbit)
        .collect();
    assert_eq!(rates, [Some(60.0), Some(90.0)]);
    assert_eq!(
        why(&queue, 3),
        "waiting for bandwidth: 0 of 150 Mbit/s are left of north's uplink (m-0001, m-0002)"
    );
}

#[test]
fn uplinks_of_which_nothing_is_known_limit_nothing() {
    let mut queue = Admission::new(uplinks(None, None));
    let mut request = from_to(1, "north", "south");
    request.uplinks.values_mut().for_each(|mbit| *mbit = 0.0);
    queue.wait(request);
    assert_eq!(queue.admit(&Now::default())[0].mbit, None);
}

#[test]
fn freed_room_goes_to_the_first_that_fits_by_priority_then_age() {
    let mut queue = Admission::new(Limits::default());
    queue.wait(from_to(1, "north", "south"));
    queue.admit(&Now::default());
    queue.wait(from_to(2, "north", "south"));
    queue.wait(from_to(3, "east", "west"));
    queue.wait(Request {
        priority: 5,
        ..from_to(4, "north", "south")
    });
    assert_eq!(
        ids(&queue.admit(&Now::default())),
        ["m-0003"],
        "it needs other room"
    );
    queue.leave(&id(1));
    assert_eq!(ids(&queue.admit(&Now::default())), ["m-0004"]);
    queue.leave(&id(4));
    assert_eq!(ids(&queue.admit(&Now::default())), ["m-0002"]);
}

#[test]
fn one_that_needs_much_is_not_passed_for_ever() {
    let mut queue = Admission::new(Limits::default());
    queue.wait(from_to(1, "north", "south"));
    queue.wait(from_to(2, "east", "west"));
    queue.admit(&Now::default());
    // It needs uplinks that two others have, which never end together.
    let mut large = from_to(3, "north", "west");
    large.uplinks.insert(host("south"), 200.0);
    large.uplinks.insert(host("east"), 200.0);
    queue.wait(large);
    let mut next = 4;
    let mut passed = 0;
    let mut run = [1, 2];
    let sites = [("north", "south"), ("east", "west")];
    while queue.is_waiting(&id(3)) {
        let turn = (next % 2) as usize;
        queue.wait(from_to(next, sites[turn].0, sites[turn].1));
        queue.leave(&id(run[turn]));
        for one in queue.admit(&Now::default()) {
            if one.id != id(3) {
                passed += 1;
                run[turn] = next;
            }
        }
        next += 1;
        assert!(next < 40, "it starves");
    }
    assert_eq!(passed, PATIENCE);
}

#[test]
fn two_migrations_of_a_cluster_never_run_at_once() {
    let mut queue = Admission::new(uplinks(None, None));
    queue.wait(from_to(1, "north", "south"));
    queue.wait(Request {
        cluster: ClusterName::new("c-1").unwrap(),
        ..from_to(2, "east", "west")
    });
    assert_eq!(ids(&queue.admit(&Now::default())), ["m-0001"]);
    assert_eq!(
        why(&queue, 2),
        "waiting for m-0001, which moves the same cluster"
    );
}

#[test]
fn a_migration_begins_inside_every_window_that_holds_for_it() {
    let hour = 3_600_000;
    let at = |hours: u64| Now {
        unix_ms: 1_700_006_400_000 / 86_400_000 * 86_400_000 + hours * hour,
        ..Now::default()
    };
    let mut queue = Admission::new(Limits {
        windows: [
            (site("north"), vec!["20:00/06:00".parse().unwrap()]),
            (
                site("south"),
                vec![
                    "01:00/02:00".parse().unwrap(),
                    "12:00/22:00".parse().unwrap(),
                ],
            ),
        ]
        .into(),
        ..Limits::default()
    });
    queue.wait(from_to(1, "north", "south"));
    assert!(queue.admit(&at(13)).is_empty());
    assert_eq!(queue.next_opening(at(13).unix_ms), Some(at(20).unix_ms));
    assert_eq!(queue.next_opening(at(23).unix_ms), Some(at(25).unix_ms));
    let why = queue.lacks(&id(1), &at(23)).unwrap().to_string();
    assert!(why.ends_with("T01:00:00Z"), "{why}");
    assert_eq!(queue.admit(&at(21)).len(), 1);
    let calendar = queue.calendar(&from_to(1, "north", "south"));
    assert_eq!(calendar.closes(at(21).unix_ms), Some(at(22).unix_ms));

    queue.wait(Request {
        window: Some(Window::Once { from: 5, until: 10 }),
        ..from_to(2, "east", "west")
    });
    assert_eq!(queue.too_late(10), [id(2)]);
    assert_eq!(queue.too_late(9), []);
}

#[test]
fn one_that_is_paused_or_whose_agent_is_away_keeps_its_place_and_holds_nobody_up() {
    let mut queue = Admission::new(Limits::default());
    let now = Now {
        away: [host("north")].into(),
        ..Now::default()
    };
    queue.wait(from_to(1, "north", "south"));
    queue.wait(from_to(2, "east", "south"));
    queue.wait(from_to(3, "west", "office"));
    assert!(queue.pause(&id(2), true));
    assert_eq!(ids(&queue.admit(&now)), ["m-0003"]);
    let away = queue.lacks(&id(1), &now).unwrap().to_string();
    assert_eq!(away, "waiting for the agent of north to dial in");
    assert!(why(&queue, 2).contains("resume m-0002"));
    queue.pause(&id(2), false);
    assert_eq!(ids(&queue.admit(&Now::default())), ["m-0001"]);
    assert!(!queue.pause(&id(1), true), "it does not wait any more");
}

#[derive(Debug, Clone)]
enum Act {
    Wait(Request),
    Leave(u32),
    Pause(u32, bool),
    Limit(u32, f64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let names = ["north", "south", "west"];
    let request = (1u32..30, 0usize..3, 1usize..3, 0i32..2, 0u32..3, 0u32..8);
    let request = request.prop_map(move |(n, from, step, priority, rate, cluster)| Request {
        cluster: ClusterName::new(format!("c-{cluster}")).unwrap(),
        most_mbit: f64::from(rate) * 40.0,
        priority,
        ..from_to(n, names[from], names[(from + step) % 3])
    });
    let act = prop_oneof![
        4 => request.prop_map(Act::Wait),
        3 => (1u32..30).prop_map(Act::Leave),
        1 => (1u32..30, any::<bool>()).prop_map(|(n, paused)| Act::Pause(n, paused)),
        1 => (1u32..4, 20.0..300.0f64).prop_map(|(n, mbit)| Act::Limit(n, mbit)),
    ];
    prop::collection::vec(act, 1..60)
}

/// Plays acts, with everything admitted that may be after each.
fn play(acts: &[Act], mut after: impl FnMut(&Admission, &[Admitted])) {
    let mut queue = Admission::new(uplinks(Some(2), Some(120.0)));
    for act in acts.iter().cloned() {
        match act {
            Act::Wait(request) => queue.wait(request),
            Act::Leave(n) => drop(queue.leave(&id(n))),
            Act::Pause(n, paused) => drop(queue.pause(&id(n), paused)),
            Act::Limit(n, mbit) => queue.set_limits(uplinks(Some(n), Some(mbit))),
        }
        let admitted = queue.admit(&Now::default());
        after(&queue, &admitted);
    }
}

proptest! {
    #[test]
    fn no_limit_is_ever_exceeded_and_no_room_left_to_those_who_fit(acts in acts()) {
        let mut broken = None;
        play(&acts, |queue, admitted| {
            for one in admitted {
                let it = &queue.running[&one.id];
                for uplink in it.request.uplinks.keys() {
                    let there: Vec<_> = queue.running.values()
                        .filter(|other| other.request.uplinks.contains_key(uplink)).collect();
                    let limit = queue.limits.uplink;
                    let mbit: f64 = there.iter().filter_map(|other| other.mbit).sum();
                    if there.len() > limit.at_once.unwrap() as usize || mbit > limit.mbit.unwrap().min(200.0) + 1e-6 {
                        broken = Some(format!("{uplink}: {} at once, {mbit} Mbit/s", there.len()));
                    }
                }
                let same = queue.running.values().filter(|other| other.request.cluster == it.request.cluster);
                if same.count() > 1 || it.mbit.is_some_and(|mbit| it.request.most_mbit > 0.0 && mbit > it.request.most_mbit) {
                    broken = Some(format!("{it:?}"));
                }
            }
            for at in 0..queue.waiting.len() {
                if queue.fits(at, &Now::default()).is_ok() {
                    broken = Some(format!("{:?} fits and waits", queue.waiting[at]));
                }
                if queue.waiting[at].overtaken > PATIENCE {
                    broken = Some(format!("{:?} starves", queue.waiting[at]));
                }
            }
        });
        prop_assert_eq!(broken, None);
    }

    #[test]
    fn the_same_happens_every_time(acts in acts()) {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        play(&acts, |_, admitted| one.extend(admitted.iter().cloned()));
        play(&acts, |_, admitted| other.extend(admitted.iter().cloned()));
        prop_assert_eq!(one, other);
    }
}
