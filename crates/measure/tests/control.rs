//! The control protocol over real pipes and sockets, from start to stop, with guests that answer
//! HTTP and guests that do not.

#[expect(dead_code, reason = "other tests need the fates that these do not")]
mod support;

use measure::analysis::{Window, figures};
use measure::control::{Client, ControlError, serve, serve_socket};
use measure::guest::Dirty;
use measure::probe::{Config, Target};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::{EchoServer, Fate, TcpFate};

/// A probe's loop on a thread, and the two ends of its pipes.
fn probe_process() -> (Client, std::thread::JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let input = BufReader::new(theirs.try_clone().expect("a second handle"));
    let thread = std::thread::spawn(move || serve(input, theirs).expect("it serves"));
    ours.set_nonblocking(true).expect("not blocking");
    let ours = tokio::net::UnixStream::from_std(ours).expect("a runtime");
    let (input, output) = ours.into_split();
    (Client::new(input, output), thread)
}

/// A guest that answers one HTTP request after another and tells what it was asked.
fn http_guest(answer: &'static str) -> (Target, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (told, asked) = std::sync::mpsc::channel();
    // Ends with the test program: it only ever waits for a connection.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            let _ = reader.read_line(&mut line);
            let mut rest = String::new();
            while reader.read_line(&mut rest).is_ok_and(|n| n > 2) {
                rest.clear();
            }
            let _ = reader.get_mut().write_all(answer.as_bytes());
            if told.send(line.trim().to_owned()).is_err() {
                return;
            }
        }
    });
    let mut target = Target::new("shop-1", Ipv4Addr::LOCALHOST.into());
    target.http_port = port;
    (target, asked)
}

#[tokio::test]
async fn a_probe_is_started_marked_read_and_stopped_from_another_process() {
    let server = EchoServer::start(|_| Fate::Echo, |_| TcpFate::Echo);
    let (client, thread) = probe_process();
    let config = Config {
        targets: vec![server.target("shop-1")],
        drain_ms: 200,
        ..Config::default()
    };
    client.start(&config).await.expect("it starts");
    client.mark("begin").await.expect("it marks");
    while client.status().await.expect("a status").targets[0].replies < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.mark("end").await.expect("it marks");
    let early = client.snapshot().await.expect("a snapshot");
    let window = Window::marks("w", &early, "begin", "end").expect("both marks");
    let seen = client
        .figures(std::slice::from_ref(&window))
        .await
        .expect("figures");
    assert_eq!((seen.len(), seen[0].len()), (1, 1));
    assert!(seen[0][0].udp.sent > 0);
    assert_eq!((seen[0][0].udp.lost, seen[0][0].tcp.lost), (0, 0));
    let recording = client.stop().await.expect("it stops");
    assert_eq!(
        figures(&recording, &window, &[])[0].udp.sent,
        seen[0][0].udp.sent
    );
    let again = client.stop().await.expect_err("nothing runs any more");
    assert_eq!(again.to_string(), "no probe runs; send 'start' first");
    client.quit().await.expect("it ends");
    thread.join().expect("its loop has returned");
}

#[tokio::test]
async fn a_second_start_and_a_wrong_configuration_are_refused_with_the_way_out() {
    let server = EchoServer::start(|_| Fate::Echo, |_| TcpFate::Echo);
    let (client, _thread) = probe_process();
    let refused = client
        .start(&Config::default())
        .await
        .expect_err("no targets");
    assert!(
        refused
            .to_string()
            .contains("names no target; give at least one")
    );
    let config = Config {
        targets: vec![server.target("shop-1")],
        ..Config::default()
    };
    client.start(&config).await.expect("it starts");
    let refused = client.start(&config).await.expect_err("one runs");
    assert!(refused.to_string().contains("send 'stop' first"));
}

#[tokio::test]
async fn guests_are_asked_set_and_reset_and_one_that_is_away_is_named() {
    let (client, _thread) = probe_process();
    let (guest, asked) =
        http_guest("HTTP/1.1 200 OK\r\n\r\n{\"name\":\"shop-1\",\"udp\":[{\"sent\":7}]}");
    let mut away = Target::new("shop-2", Ipv4Addr::LOCALHOST.into());
    away.http_port = EchoServer::start(|_| Fate::Echo, |_| TcpFate::Echo)
        .address
        .port();
    let collected = client
        .collect(&[guest.clone(), away])
        .await
        .expect("an answer");
    assert_eq!(collected[0].stats.as_ref().expect("stats").udp[0].sent, 7);
    let error = collected[1].error.as_ref().expect("nobody listens");
    assert!(
        error.starts_with("'shop-2' does not answer HTTP"),
        "{error}"
    );
    let dirty = Dirty {
        mb: Some(48),
        pages: Some(500),
        random: Some(true),
    };
    client
        .dirty(std::slice::from_ref(&guest), dirty)
        .await
        .expect("it is set");
    client
        .reset(std::slice::from_ref(&guest))
        .await
        .expect("it is reset");
    let lines: Vec<String> = asked.try_iter().collect();
    assert_eq!(
        lines,
        [
            "GET /stats HTTP/1.0",
            "POST /dirty?mb=48&pages=500&random=1 HTTP/1.0",
            "POST /reset HTTP/1.0"
        ]
    );
}

#[tokio::test]
async fn the_first_answer_of_each_vm_is_awaited_and_who_stays_away_has_none() {
    let (client, _thread) = probe_process();
    let server = EchoServer::start(|_| Fate::Echo, |_| TcpFate::Echo);
    let here = [server.target("here")];
    let answers = client.first_answers(&here, Duration::from_secs(60)).await;
    assert!(answers.expect("an answer")[0].unix_ns.is_some());
    let away = [EchoServer::start(|_| Fate::Echo, |_| TcpFate::Echo).target("away")];
    let answers = client.first_answers(&away, Duration::from_millis(50)).await;
    let answers = answers.expect("an answer");
    assert_eq!(
        (answers[0].name.as_str(), answers[0].unix_ns),
        ("away", None)
    );
}

#[tokio::test]
async fn a_guest_that_refuses_is_quoted() {
    let (client, _thread) = probe_process();
    let (guest, _asked) = http_guest("HTTP/1.1 400 Bad Request\r\n\r\nmb must be at most 64");
    let refused = client
        .dirty(&[guest], Dirty::default())
        .await
        .expect_err("refused");
    assert!(
        refused.to_string().contains("mb must be at most 64"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_process_that_is_gone_is_told_and_nobody_waits_for_ever() {
    let (client, thread) = probe_process();
    let (ours, theirs) = tokio::io::duplex(64);
    drop(theirs);
    let (input, output) = tokio::io::split(ours);
    let dead = Client::new(input, output);
    assert!(matches!(dead.status().await, Err(ControlError::Gone)));
    drop(client);
    thread.join().expect("its loop ends with its input");
}

#[test]
fn a_line_that_is_no_request_is_answered_and_the_next_one_is_served() {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let input = BufReader::new(theirs.try_clone().expect("a second handle"));
    let thread = std::thread::spawn(move || serve(input, theirs).expect("it serves"));
    ours.write_all(b"hello\n{\"id\":4,\"do\":\"fly\"}\n\n{\"id\":5,\"do\":\"quit\"}\n")
        .expect("it is written");
    thread.join().expect("it quits");
    let mut text = String::new();
    ours.read_to_string(&mut text).expect("it is read");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].contains("this is not a request") && lines[0].starts_with("{\"id\":0"));
    assert!(lines[1].contains("unknown variant `fly`"));
    assert_eq!(lines[2], "{\"id\":5,\"ok\":null}");
}

#[tokio::test]
async fn a_unix_socket_serves_one_client_after_another_and_is_removed_at_the_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("probe.sock");
    let at = path.clone();
    let thread = std::thread::spawn(move || serve_socket(&at).expect("it serves"));
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let first = Client::connect(&path).await.expect("it connects");
    assert!(matches!(
        first.status().await,
        Err(ControlError::Refused(_))
    ));
    drop(first);
    let second = Client::connect(&path).await.expect("it connects");
    second.quit().await.expect("it quits");
    thread.join().expect("it has ended");
    assert!(!path.exists());
}
