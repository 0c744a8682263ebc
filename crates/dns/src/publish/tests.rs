//! The publisher against a server in memory that loses, delays and refuses.

use super::*;
use proptest::prelude::*;

const OWNER: &str = "c1";

fn name(number: u8) -> DnsName {
    DnsName::new(&format!("m{number}.shop.example")).unwrap()
}

fn content(number: u8) -> Content {
    Content::addresses(30, [std::net::IpAddr::from([10, 77, 0, number])])
}

fn compares() -> Publisher {
    let owner = OWNER.to_owned();
    Publisher::new(Ability::Compares { owner }, 1)
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn failed(unsure: bool) -> Answer {
    let why = "it is down".to_owned();
    Answer::Failed { why, unsure }
}

/// A server that compares before it changes.
#[derive(Default)]
struct Server {
    names: BTreeMap<DnsName, (Option<Content>, Option<String>)>,
}

impl Server {
    fn holds(&self, change: &Change) -> bool {
        let there = self.names.get(&change.name);
        match &change.expect {
            Expect::Unused => there.is_none(),
            Expect::Marked(marker) => {
                there.and_then(|(_, text)| text.as_ref()) == Some(&marker.text())
            }
            Expect::Anything => true,
        }
    }

    fn take(&mut self, work: &Work) -> Answer {
        match work {
            Work::Ask(names) => {
                let marker =
                    |name: &DnsName| self.names.get(name).and_then(|(_, text)| text.clone());
                Answer::Markers(
                    names
                        .iter()
                        .map(|name| (name.clone(), marker(name)))
                        .collect(),
                )
            }
            Work::Update(changes) => {
                if !changes.iter().all(|change| self.holds(change)) {
                    return Answer::Unmet;
                }
                for change in changes {
                    let marker = change.marker.as_ref().map(Marker::text);
                    match &change.content {
                        Some(content) => {
                            let row = (Some(content.clone()), marker);
                            self.names.insert(change.name.clone(), row);
                        }
                        None => drop(self.names.remove(&change.name)),
                    }
                }
                Answer::Done
            }
        }
    }

    fn epoch(&self, name: &DnsName) -> Option<u64> {
        let text = self.names.get(name)?.1.as_deref()?;
        Some(Marker::read(text)?.epoch)
    }
}

/// Carries out everything that is due up to `until`.
fn settle(
    publisher: &mut Publisher,
    server: &mut Server,
    mut now: Duration,
    until: Duration,
) -> Vec<Told> {
    let mut told = Vec::new();
    for _ in 0..10_000 {
        match publisher.next(now) {
            Some(job) => {
                let answer = server.take(&job.work);
                told.extend(publisher.answered(job.ticket, answer, now, 1));
            }
            None => match publisher.wake() {
                Some(wake) if wake <= until => now = now.max(wake),
                _ => return told,
            },
        }
    }
    panic!("the publisher goes round in circles");
}

#[test]
fn what_is_wanted_is_at_the_server_after_one_update_and_is_not_sent_again() {
    let (mut publisher, mut server) = (compares(), Server::default());
    assert!(publisher.want(&name(1), content(1), 5, s(1)));
    let told = settle(&mut publisher, &mut server, s(1), s(1));
    assert!(matches!(&told[..], [Told::Published { published, .. }] if published.epoch == 5));
    assert_eq!(server.epoch(&name(1)), Some(5));
    assert!(publisher.want(&name(1), content(1), 6, s(2)));
    assert_eq!(publisher.next(s(2)), None);
    assert_eq!(publisher.wake(), None);
}

#[test]
fn an_older_row_changes_nothing() {
    let (mut publisher, mut server) = (compares(), Server::default());
    publisher.want(&name(1), content(2), 6, s(1));
    assert!(!publisher.want(&name(1), content(1), 5, s(1)));
    settle(&mut publisher, &mut server, s(1), s(1));
    assert_eq!(server.names[&name(1)].0, Some(content(2)));
}

#[test]
fn one_update_is_under_way_and_the_newest_goes_next() {
    let (mut publisher, mut server) = (compares(), Server::default());
    publisher.want(&name(1), content(1), 1, s(0));
    let first = publisher.next(s(0)).unwrap();
    publisher.want(&name(1), content(2), 2, s(0));
    publisher.want(&name(1), content(3), 3, s(0));
    assert_eq!(publisher.next(s(0)), None);
    let answer = server.take(&first.work);
    publisher.answered(first.ticket, answer, s(0), 0);
    let second = publisher.next(s(0)).unwrap();
    match &second.work {
        Work::Update(changes) => assert_eq!(changes[0].content, Some(content(3))),
        Work::Ask(_) => panic!("{second:?}"),
    }
}

#[test]
fn several_names_go_in_one_message_and_one_that_is_anothers_does_not_hold_up_the_rest() {
    let (mut publisher, mut server) = (compares(), Server::default());
    server.names.insert(name(2), (Some(content(9)), None));
    for number in 1..=3 {
        publisher.want(&name(number), content(number), 1, s(0));
    }
    match publisher.clone().next(s(0)).unwrap().work {
        Work::Update(changes) => assert_eq!(changes.len(), 3),
        Work::Ask(_) => panic!(),
    }
    let told = settle(&mut publisher, &mut server, s(0), s(1));
    assert_eq!(server.names[&name(1)].0, Some(content(1)));
    assert_eq!(server.names[&name(2)].0, Some(content(9)));
    assert_eq!(server.names[&name(3)].0, Some(content(3)));
    let troubles: Vec<&Told> = told
        .iter()
        .filter(|told| matches!(told, Told::NameTrouble { .. }))
        .collect();
    assert_eq!(troubles.len(), 1, "{told:?}");
    // Given free, it is ours at the next look.
    server.names.remove(&name(2));
    settle(&mut publisher, &mut server, s(1), s(7200));
    assert_eq!(server.names[&name(2)].0, Some(content(2)));
}

#[test]
fn a_name_with_the_marker_of_another_publisher_is_left_alone() {
    let (mut publisher, mut server) = (compares(), Server::default());
    let theirs = "transhume owner=c2 epoch=1 serial=1".to_owned();
    server
        .names
        .insert(name(1), (Some(content(9)), Some(theirs.clone())));
    publisher.want(&name(1), content(1), 7, s(0));
    let told = settle(&mut publisher, &mut server, s(0), s(1));
    assert!(
        matches!(&told[..], [Told::NameTrouble { why, .. }] if why.contains(&theirs)),
        "{told:?}"
    );
    assert_eq!(server.names[&name(1)].0, Some(content(9)));
}

#[test]
fn a_newer_epoch_of_our_own_at_the_server_is_not_overwritten() {
    let (mut publisher, mut server) = (compares(), Server::default());
    let ours = "transhume owner=c1 epoch=9 serial=1".to_owned();
    server.names.insert(name(1), (Some(content(9)), Some(ours)));
    publisher.want(&name(1), content(1), 7, s(0));
    settle(&mut publisher, &mut server, s(0), s(1));
    assert_eq!(server.names[&name(1)].0, Some(content(9)));
    assert_eq!(publisher.views().next().unwrap().state, State::Retrying);
    publisher.want(&name(1), content(2), 10, s(2));
    settle(&mut publisher, &mut server, s(2), s(3));
    assert_eq!(server.names[&name(1)].0, Some(content(2)));
}

#[test]
fn an_update_that_was_lost_on_its_way_and_comes_after_a_newer_one_changes_nothing() {
    let (mut publisher, mut server) = (compares(), Server::default());
    publisher.want(&name(1), content(1), 1, s(0));
    settle(&mut publisher, &mut server, s(0), s(0));
    publisher.want(&name(1), content(2), 2, s(1));
    let late = publisher.next(s(1)).unwrap();
    publisher.answered(late.ticket, failed(true), s(2), 0);
    publisher.want(&name(1), content(1), 3, s(2));
    settle(&mut publisher, &mut server, s(2), s(9));
    assert_eq!(server.take(&late.work), Answer::Unmet);
    assert_eq!(server.names[&name(1)].0, Some(content(1)));
}

#[test]
fn every_server_is_tried_at_once_and_then_waits_grow() {
    let owner = OWNER.to_owned();
    let mut publisher = Publisher::new(Ability::Compares { owner }, 2);
    publisher.want(&name(1), content(1), 1, s(0));
    let mut waits = Vec::new();
    let mut now = s(0);
    for tries in 0..10 {
        let job = publisher.next(now).unwrap();
        assert_eq!(job.server, tries);
        publisher.answered(job.ticket, failed(false), now, 0);
        let wake = publisher.wake().unwrap().max(now);
        waits.push((wake - now).as_millis());
        now = wake;
    }
    assert_eq!(waits[..5], [0, 250, 500, 1000, 2000]);
    assert!(waits.iter().all(|wait| *wait <= 60_000));
}

#[test]
fn a_restart_publishes_nothing_again_and_takes_away_what_is_gone() {
    let (mut before, mut server) = (compares(), Server::default());
    before.want(&name(1), content(1), 1, s(0));
    before.want(&name(2), content(2), 1, s(0));
    let told = settle(&mut before, &mut server, s(0), s(0));
    let mut after = compares();
    for told in told {
        if let Told::Published { name, published } = told {
            after.restore(name, published);
        }
    }
    after.want(&name(1), content(1), 1, s(0));
    after.only(&[name(1)].into(), s(0));
    let told = settle(&mut after, &mut server, s(0), s(0));
    assert_eq!(told, [Told::Withdrawn { name: name(2) }]);
    assert_eq!(server.names.len(), 1);
    assert_eq!(after.views().count(), 1);
}

#[test]
fn a_provider_that_blocks_us_is_asked_again_only_when_a_person_says_so() {
    let mut publisher = Publisher::new(Ability::Sets, 1);
    publisher.want(&name(1), content(1), 1, s(0));
    let job = publisher.next(s(0)).unwrap();
    let why = "badauth".to_owned();
    publisher.answered(job.ticket, Answer::Stop { why }, s(0), 0);
    publisher.want(&name(1), content(2), 2, s(100_000));
    assert_eq!(publisher.next(s(100_000)), None);
    assert_eq!(publisher.wake(), None);
    assert_eq!(publisher.again(None, s(100_001)), 1);
    assert!(publisher.next(s(100_001)).is_some());
}

#[test]
fn a_provider_sets_names_one_by_one_and_takes_none_away() {
    let mut publisher = Publisher::new(Ability::Sets, 1);
    for number in 1..=2 {
        publisher.want(&name(number), content(number), 1, s(0));
    }
    for number in 1..=2 {
        let job = publisher.next(s(0)).unwrap();
        assert!(
            matches!(&job.work, Work::Update(changes) if changes.len() == 1 && changes[0].name == name(number))
        );
        publisher.answered(job.ticket, Answer::Done, s(0), 0);
    }
    publisher.withdraw(&name(1), 0, s(1));
    assert_eq!(publisher.next(s(1)), None);
    assert_eq!(publisher.views().count(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Want {
        name: u8,
        says: u8,
        epoch: u64,
    },
    Withdraw {
        name: u8,
        epoch: u64,
    },
    Serve,
    LoseRequest,
    LoseAnswer,
    Refuse,
    /// The request is lost for now, and comes later.
    Delay,
    Arrive,
    Again,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let want = (0..3_u8, 0..4_u8, 1..40_u64).prop_map(|(name, says, epoch)| Step::Want {
        name,
        says,
        epoch,
    });
    let withdraw = (0..3_u8, 1..40_u64).prop_map(|(name, epoch)| Step::Withdraw { name, epoch });
    prop_oneof![
        6 => want,
        1 => withdraw,
        6 => Just(Step::Serve),
        1 => Just(Step::LoseRequest),
        2 => Just(Step::LoseAnswer),
        1 => Just(Step::Refuse),
        2 => Just(Step::Delay),
        2 => Just(Step::Arrive),
        1 => Just(Step::Again),
        2 => (0..5_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_is_lost_or_late_the_server_ends_with_the_newest(steps in prop::collection::vec(step(), 0..120)) {
        let (mut publisher, mut server) = (compares(), Server::default());
        let mut late: Vec<Work> = Vec::new();
        let mut newest: BTreeMap<DnsName, (u64, Option<Content>)> = BTreeMap::new();
        let mut delayed_first = false;
        let mut now = s(0);
        for step in steps {
            let before: BTreeMap<DnsName, u64> = (0..3).filter_map(|number| {
                Some((name(number), server.epoch(&name(number))?))
            }).collect();
            match step {
                Step::Want { name: number, says, epoch } => {
                    // A name that was forgotten begins anew, with a newer epoch by the directory's rules.
                    let known = publisher.views().any(|view| *view.name == name(number));
                    let last = newest.get(&name(number)).map_or(0, |(epoch, _)| *epoch);
                    let epoch = if known { epoch } else { epoch.max(last + 1) };
                    let taken = publisher.want(&name(number), content(says), epoch, now);
                    if taken {
                        newest.insert(name(number), (epoch, Some(content(says))));
                    }
                }
                Step::Withdraw { name: number, epoch } => {
                    if publisher.withdraw(&name(number), epoch, now) {
                        newest.insert(name(number), (epoch, None));
                    }
                }
                Step::Pass(seconds) => now += s(seconds),
                Step::Again => drop(publisher.again(None, now)),
                Step::Arrive => {
                    if let Some(work) = late.pop() {
                        server.take(&work);
                    }
                }
                wire => {
                    let Some(job) = publisher.next(now) else { continue };
                    let answer = match wire {
                        Step::Serve => server.take(&job.work),
                        Step::LoseAnswer => {
                            server.take(&job.work);
                            failed(true)
                        }
                        Step::Refuse => failed(false),
                        Step::Delay => {
                            if let Work::Update(changes) = &job.work {
                                delayed_first |= changes.iter().any(|change| change.expect == Expect::Unused);
                            }
                            late.push(job.work.clone());
                            failed(true)
                        }
                        _ => failed(true),
                    };
                    publisher.answered(job.ticket, answer, now, 0);
                    prop_assert!(publisher.answered(job.ticket, Answer::Done, now, 0).is_empty());
                }
            }
            for (name, epoch) in before {
                // Gone is allowed; older is not.
                prop_assert!(server.epoch(&name).is_none_or(|after| after >= epoch) || delayed_first);
            }
        }
        settle(&mut publisher, &mut server, now, now + s(8 * 3600));
        for work in late {
            server.take(&work);
        }
        for (name, (epoch, wanted)) in newest {
            let there = server.names.get(&name).and_then(|(content, _)| content.clone());
            // A first update that comes after its name was withdrawn finds nothing that says so.
            if wanted.is_some() || !delayed_first {
                prop_assert_eq!(&there, &wanted, "{} at epoch {}", name, epoch);
            }
        }
    }
}
