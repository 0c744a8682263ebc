//! The probe against echo servers that lose, double and reorder on purpose: it must count exactly
//! what was done to it. Real sockets on the loopback interface; nothing here depends on how fast
//! the machine is.

mod support;

use measure::analysis::{Window, figures};
use measure::probe::{Config, Probe};
use measure::recording::Recording;
use std::time::Duration;
use support::{EchoServer, Fate, TcpFate};

fn config(server: &EchoServer, tcp_sessions: usize) -> Config {
    Config {
        targets: vec![server.target("vm")],
        tcp_sessions,
        ..Config::default()
    }
}

/// Runs a probe until `packets` have been sent, then stops it.
fn record(config: Config, packets: u64) -> Recording {
    let probe = Probe::start(config).expect("the probe starts");
    while probe.status().targets.iter().any(|t| t.sent < packets) {
        std::thread::sleep(Duration::from_millis(5));
    }
    probe.stop()
}

fn whole(recording: &Recording) -> measure::analysis::VmFigures {
    let window = Window::whole(recording);
    figures(recording, &window, &[]).remove(0)
}

fn sends_of(recording: &Recording, holds: impl Fn(u64) -> bool) -> u64 {
    let sent = recording.targets[0].udp.sent_ns.len() as u64;
    (0..sent).filter(|&seq| holds(seq)).count() as u64
}

#[test]
fn a_faithful_peer_shows_no_loss_and_every_session_kept() {
    let server = EchoServer::start(|_| Fate::Echo, |_| TcpFate::Echo);
    let recording = record(config(&server, 3), 300);
    let seen = whole(&recording);
    let sent = recording.targets[0].udp.sent_ns.len() as u64;
    assert_eq!(seen.udp.sent, sent);
    assert_eq!(*server.seen.lock().unwrap(), (0..sent).collect::<Vec<_>>());
    assert_eq!(
        (
            seen.udp.lost,
            seen.udp.pending,
            seen.udp.duplicated,
            seen.udp.reordered
        ),
        (0, 0, 0, 0)
    );
    assert_eq!(
        (seen.udp.max_copies, recording.targets[0].udp.foreign),
        (1, 0)
    );
    assert_eq!((seen.tcp.sessions, seen.tcp.lost), (3, 0));
    assert!(seen.tcp.records > 0);
    for session in &recording.targets[0].tcp {
        assert_eq!(session.sent_ns.len(), session.echoed_ns.len());
    }
    assert!(seen.gap.is_some_and(|gap| !gap.open));
}

#[test]
fn lost_requests_and_lost_replies_are_told_apart() {
    let fate = |seq| match seq % 50 {
        10..13 => Fate::LoseRequest,
        30 | 31 => Fate::LoseReply,
        _ => Fate::Echo,
    };
    let server = EchoServer::start(fate, |_| TcpFate::Echo);
    let recording = record(config(&server, 0), 400);
    let seen = whole(&recording).udp;
    // A reply lost after the guest's last known echo looks like a lost request, and the run ends
    // where it ends: count only what an answered packet follows.
    let last = recording.targets[0].udp.replies.last().unwrap().seq;
    let requests = sends_of(&recording, |seq| fate(seq) == Fate::LoseRequest);
    let replies = sends_of(&recording, |seq| seq < last && fate(seq) == Fate::LoseReply);
    let tail = sends_of(&recording, |seq| seq > last && fate(seq) == Fate::LoseReply);
    assert_eq!(seen.lost_replies, replies);
    assert_eq!(seen.lost_requests, requests + tail);
}

#[test]
fn copies_are_counted_whether_the_request_or_the_reply_was_doubled() {
    let fate = |seq| match seq % 40 {
        5 => Fate::Copies(4),
        20 => Fate::RequestTwice,
        _ => Fate::Echo,
    };
    let server = EchoServer::start(fate, |_| TcpFate::Echo);
    let recording = record(config(&server, 0), 200);
    let seen = whole(&recording).udp;
    assert_eq!(
        seen.duplicated,
        sends_of(&recording, |seq| fate(seq) != Fate::Echo)
    );
    assert_eq!((seen.max_copies, seen.lost, seen.reordered), (4, 0, 0));
}

#[test]
fn an_overtaken_reply_is_reordered_by_the_packets_that_overtook_it() {
    let fate = |seq| match seq % 60 {
        7 => Fate::After(3),
        33 => Fate::After(11),
        _ => Fate::Echo,
    };
    let server = EchoServer::start(fate, |_| TcpFate::Echo);
    let recording = record(config(&server, 0), 300);
    let seen = whole(&recording).udp;
    let came_back = sends_of(&recording, |seq| {
        fate(seq) != Fate::Echo
            && recording.targets[0]
                .udp
                .replies
                .iter()
                .any(|reply| reply.seq == seq)
    });
    assert_eq!(seen.reordered, came_back);
    assert_eq!((seen.max_displacement, seen.duplicated), (11, 0));
}

#[test]
fn a_silence_of_known_packets_is_the_gap_and_its_losses_are_requests() {
    let fate = |seq| match seq {
        100..350 => Fate::LoseRequest,
        _ => Fate::Echo,
    };
    let server = EchoServer::start(fate, |_| TcpFate::Echo);
    let recording = record(config(&server, 0), 500);
    let udp = &recording.targets[0].udp;
    let at = |seq| udp.replies.iter().find(|r| r.seq == seq).unwrap().at_ns;
    let silent = Window::new("silent", udp.sent_ns[100], udp.sent_ns[350]);
    let seen = &figures(&recording, &silent, &[])[0];
    let gap = seen.gap.unwrap();
    assert_eq!((gap.from_ns, gap.to_ns), (at(99), at(350)));
    assert_eq!((seen.udp.sent, seen.udp.lost_requests), (250, 250));
    let before = Window::new("before", udp.sent_ns[0], udp.sent_ns[100]);
    assert_eq!(figures(&recording, &before, &[])[0].udp.lost, 0);
}

#[test]
fn closed_scrambled_and_silent_sessions_are_lost_and_the_others_kept() {
    let fate = |number| match number {
        0 => TcpFate::CloseAfter(5),
        1 => TcpFate::Scramble(7),
        2 => TcpFate::SilentAfter(9),
        _ => TcpFate::Echo,
    };
    let server = EchoServer::start(|_| Fate::Echo, fate);
    let recording = record(config(&server, 5), 200);
    let seen = whole(&recording).tcp;
    assert_eq!((seen.sessions, seen.lost, seen.silent), (5, 3, 1));
    assert_eq!(seen.reasons.len(), 2);
    assert!(seen.reasons.iter().any(|r| r.contains("closed by the VM")));
    assert!(seen.reasons.iter().any(|r| r.contains("out of sequence")));
    assert_eq!(
        recording.targets[0].tcp[0].echoed_ns.len(),
        5,
        "and it was not connected again"
    );
}

#[test]
fn two_targets_are_kept_apart() {
    let faithful = EchoServer::start(|_| Fate::Echo, |_| TcpFate::Echo);
    let deaf = EchoServer::start(|_| Fate::LoseRequest, |_| TcpFate::Echo);
    let config = Config {
        targets: vec![faithful.target("a"), deaf.target("b")],
        ..Config::default()
    };
    let recording = record(config, 200);
    let window = Window::whole(&recording);
    let seen = figures(&recording, &window, &[]);
    assert_eq!((seen[0].vm.as_str(), seen[0].udp.lost), ("a", 0));
    assert_eq!(
        (seen[1].vm.as_str(), seen[1].udp.lost),
        ("b", seen[1].udp.sent)
    );
    let gap = seen[1].gap.unwrap();
    assert!(gap.open, "who never answers has a gap that never ends");
}

#[test]
fn a_target_that_takes_no_session_is_named_in_one_sentence() {
    let gone = EchoServer::start(|_| Fate::Echo, |_| TcpFate::Echo).target("web");
    let config = Config {
        targets: vec![gone],
        connect_timeout_ms: 100,
        ..Config::default()
    };
    let error = Probe::start(config)
        .err()
        .expect("nobody listens")
        .to_string();
    assert!(
        error.starts_with("'web' does not take a TCP session"),
        "{error}"
    );
}

#[test]
fn marks_and_snapshots_come_while_it_runs_and_young_packets_are_pending() {
    let server = EchoServer::start(|_| Fate::LoseRequest, |_| TcpFate::Echo);
    let probe = Probe::start(config(&server, 1)).expect("the probe starts");
    let begin = probe.mark("begin");
    while probe.status().targets[0].sent < 50 {
        std::thread::sleep(Duration::from_millis(5));
    }
    probe.mark("end");
    let recording = probe.snapshot();
    let window = Window::marks("w", &recording, "begin", "end").expect("both marks are there");
    assert_eq!(window.from_ns, begin.at_ns);
    assert_eq!(recording.clock.to_unix_ns(begin.at_ns), begin.unix_ns);
    let seen = figures(&recording, &window, &[]).remove(0).udp;
    assert_eq!(seen.sent, seen.pending + seen.lost);
    let settled = recording.end_ns - measure::analysis::SETTLE_NS;
    let udp = &recording.targets[0].udp;
    let young = udp.sent_ns.iter().filter(|&&at| at > settled);
    let young = young.filter(|&&at| at >= window.from_ns && at < window.to_ns);
    assert_eq!(seen.pending, young.count() as u64);
}

#[test]
fn memory_is_bounded_and_the_newest_packets_are_kept() {
    let server = EchoServer::start(|_| Fate::Echo, |_| TcpFate::Echo);
    let config = Config {
        udp_interval_us: 500,
        max_packets: 1_000,
        ..config(&server, 1)
    };
    let recording = record(config, 1_500);
    let udp = &recording.targets[0].udp;
    assert_eq!(udp.sent_ns.len(), 1_000);
    assert!(udp.first_seq >= 500);
    assert_eq!(whole(&recording).udp.lost, 0);
}

#[test]
fn a_recording_survives_its_file() {
    let server = EchoServer::start(|_| Fate::Echo, |_| TcpFate::Echo);
    let recording = record(config(&server, 1), 50);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("recording.json");
    recording.save(&path).expect("it is written");
    assert_eq!(Recording::load(&path).expect("it is read"), recording);
    std::fs::write(&path, r#"{"schema":"something/9"}"#).expect("it is overwritten");
    let error = Recording::load(&path)
        .expect_err("another schema")
        .to_string();
    assert!(error.contains("something/9"), "{error}");
}
