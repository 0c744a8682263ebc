//! One-way delays between hosts: half the shortest round trip of a few small UDP exchanges on the
//! management network. The responder only returns what it got, never more, and only packets of one
//! size, so it is of no use to an attacker.

use model::HostName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

const SIZE: usize = 16;
const ROUNDS: u64 = 7;

/// Answers until the task is dropped.
pub async fn respond(socket: Arc<UdpSocket>) {
    let mut buffer = [0u8; SIZE + 1];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((SIZE, from)) => {
                let _ = socket.send_to(&buffer[..SIZE], from).await;
            }
            Ok(_) => {}
            // ICMP errors of earlier answers show here; the next packet may be fine.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Measures the delay to each host, one way, ms; hosts that do not answer are left out.
pub async fn measure(hosts: Vec<(HostName, SocketAddr)>) -> Vec<(HostName, f64)> {
    let measured = hosts
        .into_iter()
        .map(|(host, address)| async move { one(address).await.map(|delay| (host, delay)) });
    futures::future::join_all(measured)
        .await
        .into_iter()
        .flatten()
        .collect()
}

async fn one(address: SocketAddr) -> Option<f64> {
    let any: SocketAddr = if address.is_ipv4() {
        ([0; 4], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(address).await.ok()?;
    let mut best: Option<Duration> = None;
    for round in 0..ROUNDS {
        let mut packet = [0u8; SIZE];
        packet[..8].copy_from_slice(&round.to_be_bytes());
        let sent = Instant::now();
        if socket.send(&packet).await.is_err() {
            continue;
        }
        let patience = best.map_or(Duration::from_millis(700), |b| {
            b * 3 + Duration::from_millis(5)
        });
        let answer = tokio::time::timeout(patience, async {
            let mut back = [0u8; SIZE];
            loop {
                match socket.recv(&mut back).await {
                    Ok(SIZE) if back == packet => return Some(sent.elapsed()),
                    Ok(_) => {}
                    Err(_) => return None,
                }
            }
        });
        if let Ok(Some(trip)) = answer.await {
            best = Some(best.map_or(trip, |b| b.min(trip)));
        }
    }
    best.map(|trip| trip.as_secs_f64() * 500.0)
}
