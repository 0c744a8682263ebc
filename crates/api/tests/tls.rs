//! The API for other machines: TLS and a token, or nothing.

mod support;

use api::Client;
use api::client::{Error, TlsError};
use api::problem::Kind;
use api::server::{ServeError, TlsServer};
use std::sync::Arc;
use support::Fake;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

struct Authority {
    pem: String,
    config: Arc<rustls::ServerConfig>,
}

fn authority() -> Authority {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    Authority {
        pem: made.cert.pem(),
        config: Arc::new(config),
    }
}

async fn start(authority: &Authority) -> String {
    let server = TlsServer::bind(
        "127.0.0.1:0".parse().unwrap(),
        authority.config.clone(),
        TOKEN,
    );
    let server = server.await.unwrap();
    let url = format!("https://{}", server.local_addr().unwrap());
    tokio::spawn(server.serve(Arc::new(Fake::default())));
    url
}

#[tokio::test]
async fn who_has_the_token_is_answered_and_nobody_else() {
    let authority = authority();
    let url = start(&authority).await;
    let good = Client::tls(&url, authority.pem.as_bytes(), TOKEN).unwrap();
    assert_eq!(good.sites().await.unwrap().len(), 1);
    for wrong in ["0123456789abcdef0123456789abcdeF", "x"] {
        let client = Client::tls(&url, authority.pem.as_bytes(), wrong).unwrap();
        match client.about().await.unwrap_err() {
            Error::Problem(problem) => assert_eq!(problem.kind(), Kind::Unauthorized),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_controller_with_a_certificate_of_another_authority_is_not_trusted() {
    let url = start(&authority()).await;
    let client = Client::tls(&url, authority().pem.as_bytes(), TOKEN).unwrap();
    assert!(matches!(
        client.about().await,
        Err(Error::Unreachable { .. })
    ));
}

#[tokio::test]
async fn plain_http_gets_no_answer_on_the_tls_port() {
    let url = start(&authority()).await;
    let address = url.strip_prefix("https://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /v1 HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
}

#[tokio::test]
async fn a_token_that_anybody_could_guess_is_refused() {
    let bound = TlsServer::bind("127.0.0.1:0".parse().unwrap(), authority().config, "secret").await;
    assert!(matches!(bound.err(), Some(ServeError::WeakToken)));
}

#[test]
fn addresses_without_tls_and_empty_authorities_are_refused_at_once() {
    let pem = authority().pem;
    for url in [
        "http://127.0.0.1",
        "127.0.0.1:1",
        "https://",
        "https://h/path",
        "",
    ] {
        let refused = Client::tls(url, pem.as_bytes(), TOKEN).err();
        assert!(matches!(refused, Some(TlsError::Url(_))), "{url}");
    }
    let refused = Client::tls("https://h", b"no pem", TOKEN).err();
    assert!(matches!(refused, Some(TlsError::Ca(_))));
    let refused = Client::tls("https://h", pem.as_bytes(), "a\nb").err();
    assert!(matches!(refused, Some(TlsError::Token)));
}
