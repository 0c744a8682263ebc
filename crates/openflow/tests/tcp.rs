//! The client over TCP, against peers that are made here.

use std::time::Duration;

use openflow::client::{Client, ClientError, Options};
use openflow::connection::{CloseReason, Config};
use openflow::message::Hello;
use openflow::{Body, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A switch that says hello and then does what `then` says.
async fn peer<F>(then: impl FnOnce(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let hello = Message::new(1, Hello::offering(&[4])).to_bytes().unwrap();
        socket.write_all(&hello).await.unwrap();
        then(socket).await;
    });
    address
}

async fn message(socket: &mut TcpStream) -> Message {
    let mut header = [0; 8];
    socket.read_exact(&mut header).await.unwrap();
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let mut bytes = header.to_vec();
    bytes.resize(length, 0);
    socket.read_exact(&mut bytes[8..]).await.unwrap();
    Message::decode(&bytes).unwrap().0
}

#[tokio::test]
async fn a_request_over_tcp_is_answered() {
    let address = peer(async |mut socket| {
        loop {
            let request = message(&mut socket).await;
            if let Body::FeaturesRequest = request.body {
                let reply = Message::new(request.xid, Body::FeaturesReply(Default::default()));
                socket.write_all(&reply.to_bytes().unwrap()).await.unwrap();
            }
        }
    })
    .await;
    let switch = Client::connect_tcp(&address).await.unwrap();
    assert_eq!(switch.features().await.unwrap(), Default::default());
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_given_up() {
    let address = peer(async |socket| {
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await;
    let connection = Config {
        echo_interval: Duration::from_millis(50),
        dead_after: Duration::from_millis(100),
        ..Config::default()
    };
    let options = Options {
        connection,
        ..Options::default()
    };
    let switch = Client::connect(&format!("tcp:{address}"), options)
        .await
        .unwrap();
    assert_eq!(switch.closed().await, CloseReason::Silent);
    assert!(matches!(
        switch.features().await,
        Err(ClientError::Closed(CloseReason::Silent))
    ));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout_and_the_connection_goes_on() {
    let address = peer(async |mut socket| {
        loop {
            let request = message(&mut socket).await;
            if let Body::GetConfigRequest = request.body {
                let reply = Message::new(request.xid, Body::GetConfigReply(Default::default()));
                socket.write_all(&reply.to_bytes().unwrap()).await.unwrap();
            }
        }
    })
    .await;
    let options = Options {
        request_timeout: Duration::from_millis(50),
        ..Options::default()
    };
    let switch = Client::connect(&format!("tcp:{address}"), options)
        .await
        .unwrap();
    assert!(matches!(
        switch.features().await,
        Err(ClientError::Timeout(_))
    ));
    assert!(switch.request(Body::GetConfigRequest).await.is_ok());
}
