//! The analysis against brute force: the definitions written down as naively as possible, over
//! streams made up of losses, copies, delays and windows of any kind.

use measure::analysis::{SETTLE_NS, Window, figures};
use measure::clock::Clock;
use measure::recording::{Ended, Recording, Reply, SCHEMA, TargetRecord, TcpRecord, UdpRecord};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

const MS: i64 = 1_000_000;

/// What happens to one packet of a made-up stream.
#[derive(Debug, Clone)]
struct Packet {
    /// Pause before it is sent, µs.
    pause_us: i64,
    reaches_guest: bool,
    /// Delay of each reply that arrives, µs.
    replies_us: Vec<i64>,
}

fn packet() -> impl Strategy<Value = Packet> {
    let replies = prop_oneof![
        8 => prop::collection::vec(30_000..33_000i64, 1),
        1 => prop::collection::vec(30_000..60_000i64, 1..4),
        1 => Just(Vec::new()),
    ];
    let pause = prop_oneof![9 => 1_900..2_200i64, 1 => 2_000..50_000i64];
    (pause, prop::bool::weighted(0.9), replies).prop_map(|(pause_us, reaches_guest, replies_us)| {
        Packet {
            pause_us,
            reaches_guest,
            replies_us: if reaches_guest {
                replies_us
            } else {
                Vec::new()
            },
        }
    })
}

/// The stream as the probe would have recorded it, and the packets whose reply got lost.
fn stream(packets: &[Packet], first_seq: u64) -> (UdpRecord, Vec<u64>) {
    let mut udp = UdpRecord {
        interval_ns: 2 * MS,
        first_seq,
        ..UdpRecord::default()
    };
    let (mut now, mut guest, mut lost_replies) = (5_000 * MS, 0, Vec::new());
    for (seq, packet) in (first_seq..).zip(packets) {
        now += packet.pause_us * 1_000;
        udp.sent_ns.push(now);
        guest += u64::from(packet.reaches_guest);
        if packet.reaches_guest && packet.replies_us.is_empty() {
            lost_replies.push(seq);
        }
        let replies = packet.replies_us.iter().map(|us| Reply {
            seq,
            guest,
            at_ns: now + us * 1_000,
        });
        udp.replies.extend(replies);
    }
    udp.replies.sort_by_key(|reply| reply.at_ns);
    (udp, lost_replies)
}

fn recording(udp: UdpRecord, tcp: Vec<TcpRecord>, end_ns: i64) -> Recording {
    Recording {
        schema: SCHEMA.to_owned(),
        clock: Clock::fixed(0),
        begin_ns: 5_000 * MS,
        end_ns,
        targets: vec![TargetRecord {
            name: "vm".to_owned(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            udp,
            tcp,
        }],
        marks: Vec::new(),
        late: Vec::new(),
        realtime: false,
    }
}

/// First copies in order of arrival.
fn first_copies(udp: &UdpRecord) -> Vec<Reply> {
    let mut first = Vec::<Reply>::new();
    for reply in &udp.replies {
        if first.iter().all(|other| other.seq != reply.seq) {
            first.push(*reply);
        }
    }
    first
}

/// Longest pair of moments with none between them that touches the window.
fn longest(moments: &[i64], window: &Window) -> i64 {
    let mut best = 0;
    for &from in moments {
        for &to in moments {
            let neighbours = from < to && !moments.iter().any(|&at| from < at && at < to);
            if neighbours && from < window.to_ns && to > window.from_ns {
                best = best.max(to - from);
            }
        }
    }
    best
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn counts_equal_their_definitions(
        packets in prop::collection::vec(packet(), 1..120),
        from in 0..400i64,
        length in 0..400i64,
        first_seq in prop_oneof![Just(0u64), Just(17)],
    ) {
        let (udp, lost_replies) = stream(&packets, first_seq);
        let window = Window::new("w", (5_000 + from) * MS, (5_000 + from + length) * MS);
        let end_ns = udp.sent_ns.last().unwrap() + SETTLE_NS + 1;
        let recording = recording(udp.clone(), Vec::new(), end_ns);
        let seen = figures(&recording, &window, &[]).remove(0).udp;

        let inside = |seq: u64| {
            let sent = udp.sent_ns[(seq - udp.first_seq) as usize];
            window.from_ns <= sent && sent < window.to_ns
        };
        let seqs: Vec<u64> = (first_seq..first_seq + packets.len() as u64).filter(|&seq| inside(seq)).collect();
        let mut copies = BTreeMap::new();
        udp.replies.iter().for_each(|reply| *copies.entry(reply.seq).or_insert(0u32) += 1);
        let copies_of = |seq: &u64| copies.get(seq).copied().unwrap_or(0);
        prop_assert_eq!(seen.sent, seqs.len() as u64);
        prop_assert_eq!(seen.pending, 0);
        let lost = seqs.iter().filter(|seq| copies_of(seq) == 0).count() as u64;
        prop_assert_eq!(seen.lost, lost);
        prop_assert_eq!(seen.lost, seen.lost_requests + seen.lost_replies);
        let duplicated = seqs.iter().filter(|seq| copies_of(seq) > 1).count() as u64;
        prop_assert_eq!(seen.duplicated, duplicated);
        prop_assert_eq!(seen.max_copies, seqs.iter().map(copies_of).max().unwrap_or(0));

        let first = first_copies(&udp);
        let mut extents = Vec::new();
        for (i, reply) in first.iter().enumerate() {
            let overtaker = (0..i).find(|&j| first[j].seq > reply.seq);
            if let Some(overtaker) = overtaker.filter(|_| inside(reply.seq)) {
                extents.push((i - overtaker) as u64);
            }
        }
        prop_assert_eq!(seen.reordered, extents.len() as u64);
        prop_assert_eq!(seen.max_displacement, extents.into_iter().max().unwrap_or(0));

        // The whole stream: which half lost a packet is known up to the last echo that arrived,
        // and from the first one on where the stream's begin has been forgotten.
        let whole = figures(&recording, &Window::whole(&recording), &[]).remove(0).udp;
        let last = udp.replies.iter().map(|reply| reply.seq).max().unwrap_or(0);
        let start = udp.replies.iter().map(|reply| reply.seq).min().unwrap_or(0);
        let start = if first_seq == 0 { 0 } else { start };
        let known = lost_replies.iter().filter(|&&seq| start <= seq && seq < last).count() as u64;
        prop_assert_eq!(whole.lost_replies, known);
    }

    #[test]
    fn the_gap_is_the_longest_silence_that_touches_the_window(
        packets in prop::collection::vec(packet(), 1..60),
        from in -50..300i64,
        length in 1..200i64,
        end in 0..400i64,
    ) {
        let (mut udp, _) = stream(&packets, 0);
        // A snapshot: what is sent and arrives later is not there yet.
        let end_ns = udp.sent_ns[0] + end * MS;
        udp.sent_ns.retain(|&at| at <= end_ns);
        udp.replies.retain(|reply| reply.at_ns <= end_ns);
        let window = Window::new("w", (5_000 + from) * MS, (5_000 + from + length) * MS);
        let recording = recording(udp.clone(), Vec::new(), end_ns);
        let gap = figures(&recording, &window, &[]).remove(0).gap;

        let mut moments: Vec<i64> = first_copies(&udp).iter().map(|reply| reply.at_ns).collect();
        moments.push(udp.sent_ns[0]);
        let last = *moments.iter().max().unwrap();
        moments.push((*udp.sent_ns.last().unwrap()).max(last));
        let expected = longest(&moments, &window);
        let found = gap.map_or(0, |gap| gap.to_ns - gap.from_ns);
        prop_assert_eq!(found, expected);
        if let Some(gap) = gap {
            prop_assert_eq!(gap.ms, expected as f64 / 1e6);
            prop_assert_eq!(gap.open, !udp.replies.iter().any(|reply| reply.at_ns == gap.to_ns));
            prop_assert!((gap.minus_interval_ms - (gap.ms - 2.0).max(0.0)).abs() < 1e-9);
        }
    }

    #[test]
    fn the_baseline_lies_outside_every_window(
        packets in prop::collection::vec(packet(), 2..60),
        windows in prop::collection::vec((0..200i64, 1..50i64), 0..3),
    ) {
        let (udp, _) = stream(&packets, 0);
        let windows: Vec<Window> = windows
            .iter()
            .map(|&(from, length)| Window::new("w", (5_000 + from) * MS, (5_000 + from + length) * MS))
            .collect();
        let end_ns = udp.sent_ns.last().unwrap() + SETTLE_NS;
        let recording = recording(udp.clone(), Vec::new(), end_ns);
        let seen = figures(&recording, &Window::whole(&recording), &windows).remove(0).baseline;
        let first = first_copies(&udp);
        let outside = first.windows(2).filter(|pair| {
            windows.iter().all(|w| pair[1].at_ns <= w.from_ns || pair[0].at_ns >= w.to_ns)
        });
        let lengths: Vec<i64> = outside.map(|pair| pair[1].at_ns - pair[0].at_ns).collect();
        prop_assert_eq!(seen.intervals, lengths.len() as u64);
        let longest = lengths.iter().max().copied().unwrap_or(0) as f64 / 1e6;
        prop_assert_eq!(seen.longest_ms, longest);
        prop_assert!(seen.median_ms <= seen.p99_ms && seen.p99_ms <= seen.longest_ms);
    }
}

fn session(sent_ms: &[i64], echoed_ms: &[i64]) -> TcpRecord {
    TcpRecord {
        connected_ns: 5_000 * MS,
        sent_ns: sent_ms.iter().map(|ms| (5_000 + ms) * MS).collect(),
        echoed_ns: echoed_ms.iter().map(|ms| (5_000 + ms) * MS).collect(),
        ..TcpRecord::default()
    }
}

fn tcp(sessions: Vec<TcpRecord>, from_ms: i64, to_ms: i64) -> measure::analysis::TcpFigures {
    let window = Window::new("w", (5_000 + from_ms) * MS, (5_000 + to_ms) * MS);
    let recording = recording(UdpRecord::default(), sessions, 10_000 * MS);
    figures(&recording, &window, &[]).remove(0).tcp
}

#[test]
fn a_stall_is_the_longest_silence_of_one_session_not_of_all_together() {
    let one = session(&[0, 10, 20, 30], &[5, 15, 215, 225]);
    let other = session(&[0, 10, 20, 30], &[5, 15, 25, 95]);
    let seen = tcp(vec![one, other], 0, 100);
    assert_eq!((seen.sessions, seen.lost, seen.stall_ms), (2, 0, 200.0));
    let later = tcp(vec![session(&[0, 10, 20], &[5, 15, 215])], 216, 300);
    assert_eq!(
        later.stall_ms, 0.0,
        "nothing touches a window after the last echo"
    );
}

#[test]
fn a_session_that_broke_before_the_window_is_not_lost_in_it() {
    let broken_at = |ms: i64| TcpRecord {
        ended: Some(Ended {
            at_ns: (5_000 + ms) * MS,
            reason: "reset".to_owned(),
        }),
        ..session(&[0, 10], &[5, 15])
    };
    let seen = tcp(
        vec![broken_at(50), broken_at(150), broken_at(250)],
        100,
        200,
    );
    assert_eq!((seen.sessions, seen.lost), (2, 1));
    assert_eq!(seen.reasons, ["reset"]);
}

#[test]
fn an_old_record_without_echo_makes_a_session_silent_and_a_young_one_does_not() {
    let silent = session(&[0, 10, 20], &[5]);
    assert_eq!(tcp(vec![silent.clone()], 0, 100).silent, 1);
    let young = session(&[0, 10, 4_900], &[5, 15]);
    assert_eq!(tcp(vec![young], 0, 5_000).lost, 0);
    let recovered = session(&[0, 10, 20], &[5, 4_500]);
    assert_eq!(tcp(vec![recovered], 0, 100).lost, 0, "echoes still come");
}

#[test]
fn a_stream_without_packets_has_no_gap() {
    let recording = recording(UdpRecord::default(), Vec::new(), 10_000 * MS);
    let seen = figures(&recording, &Window::whole(&recording), &[]).remove(0);
    assert_eq!(seen.gap, None);
    assert_eq!(seen.udp, Default::default());
}

#[test]
fn a_guest_started_anew_does_not_make_its_old_counters_lost_replies() {
    let replies = |seqs: std::ops::Range<u64>, first: u64| {
        seqs.zip(first..).map(|(seq, guest)| Reply {
            seq,
            guest,
            at_ns: 5_000 * MS + seq as i64 * 2 * MS + MS,
        })
    };
    let udp = UdpRecord {
        interval_ns: 2 * MS,
        sent_ns: (0..40).map(|i| 5_000 * MS + i * 2 * MS).collect(),
        replies: replies(0..10, 5_000).chain(replies(20..40, 1)).collect(),
        ..UdpRecord::default()
    };
    let recording = recording(udp, Vec::new(), 10_000 * MS);
    let seen = figures(&recording, &Window::whole(&recording), &[])
        .remove(0)
        .udp;
    assert_eq!((seen.lost_requests, seen.lost_replies), (10, 0));
}
