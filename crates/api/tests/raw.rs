//! What other people's clients may send, sense or not.

mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Served, spec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Sends bytes and reads what comes until the server closes: status and body.
async fn send(served: &Served, bytes: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = UnixStream::connect(&served.socket).await.unwrap();
    // The server may have closed already: what it said counts.
    let _ = stream.write_all(bytes).await;
    if !String::from_utf8_lossy(bytes).contains("\r\n\r\n") {
        // No whole request: the server would wait for the rest.
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    let body = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| answer[at + 4..].to_vec());
    (status, body.unwrap_or_default())
}

async fn request(served: &Served, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let (status, body) = send(served, &[head.as_bytes(), body].concat()).await;
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn is_a_problem(status: u16, body: &Value) -> bool {
    let sentence = |key: &str| body[key].as_str().is_some_and(|text| text.ends_with('.'));
    body["status"] == json!(status)
        && body["type"]
            .as_str()
            .is_some_and(|uri| uri.starts_with("/v1/problems/"))
        && sentence("detail")
        && sentence("way_out")
}

#[tokio::test]
async fn every_wrong_request_gets_a_problem_document() {
    let served = Served::start().await;
    let cluster = serde_json::to_vec(&spec()).unwrap();
    let wrong: [(&str, &str, &[u8], u16); 13] = [
        ("GET", "/", b"", 404),
        ("GET", "/v1/nothing", b"", 404),
        ("GET", "/v1/problems/none", b"", 404),
        ("PATCH", "/v1/clusters", b"", 405),
        ("GET", "/v1/clusters/SHOP", b"", 400),
        ("GET", "/v1/clusters/%FF", b"", 400),
        ("PUT", "/v1/clusters/shop", b"{", 400),
        ("PUT", "/v1/clusters/shop", b"[]", 400),
        ("PUT", "/v1/clusters/other", &cluster, 400),
        ("POST", "/v1/migrations", b"{\"cluster\":\"shop\"}", 400),
        (
            "POST",
            "/v1/migrations",
            b"{\"cluster\":\"shop\",\"to\":\"south\",\"fast\":1}",
            400,
        ),
        ("GET", "/v1/events?from=x", b"", 400),
        ("GET", "/v1/events?form=1", b"", 400),
    ];
    for (method, path, body, expected) in wrong {
        let (status, answer) = request(&served, method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
        assert!(is_a_problem(status, &answer), "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let served = Served::start().await;
    let (status, answer) = request(
        &served,
        "PUT",
        "/v1/clusters/shop",
        &vec![b' '; (1 << 20) + 1],
    )
    .await;
    assert_eq!(status, 413);
    assert!(is_a_problem(status, &answer), "{answer}");
}

#[tokio::test]
async fn a_migration_that_begins_says_where_it_is() {
    let served = Served::start().await;
    let head = "POST /v1/migrations HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 31\r\n\r\n";
    let body = "{\"cluster\":\"shop\",\"to\":\"south\"}";
    let mut stream = UnixStream::connect(&served.socket).await.unwrap();
    stream
        .write_all(format!("{head}{body}").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(
        answer.contains("location: /v1/migrations/m-0001\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_reconnecting_browser_goes_on_where_it_stopped() {
    let served = Served::start().await;
    let head = "GET /v1/events?from=1&follow=false HTTP/1.1\r\nhost: x\r\nlast-event-id: 6\r\n\
                connection: close\r\n\r\n";
    let (status, body) = send(&served, head.as_bytes()).await;
    let text = String::from_utf8(body).unwrap();
    assert_eq!(status, 200);
    assert!(
        text.contains("id: 7\nevent: ended\ndata: {") && !text.contains("id: 6"),
        "{text}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_the_server_goes_on_and_changes_nothing(
        garbage in proptest::collection::vec(any::<u8>(), 0..300),
        path in "/v1/[ -~]{0,60}",
        body in "[\\[\\]{}:,\"a-z0-9. -]{0,80}",
        method in prop_oneof!["GET", "PUT", "POST", "DELETE", "[A-Z]{1,9}"],
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let served = Served::start().await;
            send(&served, &garbage).await;
            request(&served, "PUT", "/v1/clusters/shop", body.as_bytes()).await;
            let path = path.replace(' ', "%20");
            let (status, answer) = request(&served, &method, &path, body.as_bytes()).await;
            if status >= 400 && !answer.is_null() {
                assert!(is_a_problem(status, &answer), "{method} {path}: {answer}");
            }
            assert!(served.client.about().await.is_ok());
            assert!(served.fake.applied.lock().unwrap().is_empty());
            assert!(served.fake.linked.lock().unwrap().is_empty());
        });
    }

    #[test]
    fn a_cluster_with_one_piece_replaced_is_taken_or_refused_never_a_fault(
        at in any::<prop::sample::Index>(),
        with in prop_oneof![
            Just(json!(null)), Just(json!({})), Just(json!([])), Just(json!("")), Just(json!(-1)),
            Just(json!(1e300)), Just(json!("10.77.0.1/99")), "[ -~]{0,50}".prop_map(Value::from),
        ],
    ) {
        let mut text = serde_json::to_value(spec()).unwrap();
        let mut places = Vec::new();
        pointers(&text, String::new(), &mut places);
        let place = at.get(&places).clone();
        *text.pointer_mut(&place).unwrap() = with;
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let served = Served::start().await;
            let body = serde_json::to_vec(&text).unwrap();
            let (status, answer) = request(&served, "PUT", "/v1/clusters/shop", &body).await;
            assert!(status == 200 || (status == 400 && is_a_problem(status, &answer)), "{place}: {answer}");
        });
    }
}

fn pointers(value: &Value, at: String, into: &mut Vec<String>) {
    match value {
        Value::Object(keys) => {
            keys.iter()
                .for_each(|(key, value)| pointers(value, format!("{at}/{key}"), into));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, value)| pointers(value, format!("{at}/{index}"), into));
        }
        _ => {}
    }
    into.push(at);
}
