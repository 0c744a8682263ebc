//! Echo, silence and old servers, against servers played by the test.

use std::time::Duration;

use ovsdb::{Client, ConnectionState, Error, MonitorEvent, MonitorSpec, Options, Remote};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

fn listen() -> (tempfile::TempDir, UnixListener, Remote) {
    let dir = tempfile::Builder::new().prefix("odb-").tempdir().unwrap();
    let path = dir.path().join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    (dir, listener, Remote::Unix(path))
}

/// Reads one message; the client sends one at a time here.
async fn read(stream: &mut UnixStream) -> Json {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        bytes.push(byte[0]);
        if byte[0] == b'}'
            && let Ok(message) = serde_json::from_slice(&bytes)
        {
            return message;
        }
    }
}

async fn answer(stream: &mut UnixStream, request: &Json, result: Json, error: Json) {
    let reply = json!({"id": request["id"], "result": result, "error": error}).to_string();
    stream.write_all(reply.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_silent_server_is_probed_and_then_left() {
    let (_dir, listener, remote) = listen();
    let options = Options {
        probe_interval: Duration::from_millis(20),
        ..Options::default()
    };
    let client = Client::connect_with(remote, options).await.unwrap();
    let (mut first, _) = listener.accept().await.unwrap();
    assert_eq!(read(&mut first).await["method"], "echo");
    let (_second, _) = listener.accept().await.unwrap();
    let mut state = client.state();
    state
        .wait_for(|s| matches!(s, ConnectionState::Connected { generation: 2.. }))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_echo_from_the_server_is_answered() {
    let (_dir, listener, remote) = listen();
    let client = Client::connect(remote).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    stream
        .write_all(br#"{"method":"echo","params":[],"id":"echo"}"#)
        .await
        .unwrap();
    assert_eq!(
        read(&mut stream).await,
        json!({"id": "echo", "result": [], "error": null})
    );
    drop(client);
}

#[tokio::test]
async fn a_request_that_loses_its_connection_says_that_it_may_have_been_done() {
    let (_dir, listener, remote) = listen();
    let client = Client::connect(remote).await.unwrap();
    let request = tokio::spawn(async move { client.list_dbs().await });
    let (mut stream, _) = listener.accept().await.unwrap();
    read(&mut stream).await;
    drop(stream);
    let error = request.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::Disconnected { method, .. } if method == "list_dbs"),
        "{error}"
    );
}

#[tokio::test]
async fn garbage_ends_the_connection_and_not_the_client() {
    let (_dir, listener, remote) = listen();
    let client = Client::connect(remote).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"HTTP/1.1 400 Bad Request").await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let request = tokio::spawn(async move { client.list_dbs().await });
    let message = read(&mut stream).await;
    answer(&mut stream, &message, json!(["D"]), json!(null)).await;
    assert_eq!(request.await.unwrap().unwrap(), ["D"]);
}

#[tokio::test]
async fn a_server_without_conditions_is_monitored_in_the_old_way() {
    let (_dir, listener, remote) = listen();
    let client = Client::connect(remote).await.unwrap();
    let following = tokio::spawn(async move {
        let mut monitor = client
            .monitor(MonitorSpec::new("D").table("T"))
            .await
            .unwrap();
        let event = monitor.next().await.unwrap();
        (event, monitor)
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    let message = read(&mut stream).await;
    let schema = json!({"name": "D", "version": "1.0.0", "tables": {"T": {"columns": {"n": {"type": "integer"}}}}});
    answer(&mut stream, &message, schema, json!(null)).await;
    let message = read(&mut stream).await;
    assert_eq!(message["method"], "monitor_cond");
    answer(
        &mut stream,
        &message,
        json!(null),
        json!({"error": "unknown method"}),
    )
    .await;
    let message = read(&mut stream).await;
    assert_eq!(message["method"], "monitor");
    let uuid = "00000000-0000-0000-0000-000000000001";
    answer(
        &mut stream,
        &message,
        json!({"T": {uuid: {"new": {"n": 1}}}}),
        json!(null),
    )
    .await;
    let rows = json!({"T": {uuid: {"old": {"n": 1}, "new": {"n": 2}}}});
    let update = json!({"method": "update", "params": [message["params"][1], rows], "id": null});
    stream
        .write_all(update.to_string().as_bytes())
        .await
        .unwrap();
    let (event, monitor) = following.await.unwrap();
    assert!(matches!(event, MonitorEvent::Update(_)), "{event:?}");
    assert_eq!(
        monitor.snapshot().rows("T").next().unwrap().1.integer("n"),
        Some(2)
    );
}
