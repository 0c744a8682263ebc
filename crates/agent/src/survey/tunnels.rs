//! Whether other hosts are reached through the data network, over which the tunnels go: a round trip
//! from our underlay address to theirs, and one packet as large as the largest that a tunnel makes.

use crate::desk::Desk;
use model::facts::{Peer, Tunnel};
use nix::libc;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// Every answer has this size, so that a question never makes a larger one.
const ANSWER: usize = 16;
/// A round trip may take this long.
const PATIENCE: Duration = Duration::from_millis(700);
/// A packet may get lost; so many are tried.
const ATTEMPTS: u64 = 4;
/// IPv4 and UDP headers, bytes; IPv6's is 20 longer.
const HEADERS: u16 = 28;

/// Answers on our underlay address. Where that cannot be, other hosts will find that tunnels to here are
/// down, and say so in their plans.
pub async fn listen(underlay: Option<IpAddr>, port: u16) {
    let Some(underlay) = underlay else { return };
    match UdpSocket::bind((underlay, port)).await {
        Ok(socket) => {
            tokio::spawn(respond(socket));
        }
        Err(error) => tracing::warn!(%error, %underlay, "no answers on the underlay address"),
    }
}

/// Answers questions of any size with their first bytes, until the task is dropped.
pub async fn respond(socket: UdpSocket) {
    let mut buffer = vec![0u8; 10_000];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) if length >= ANSWER => {
                let _ = socket
                    .send_to(buffer.get(..ANSWER).unwrap_or_default(), from)
                    .await;
            }
            Ok(_) => {}
            // ICMP errors of earlier answers show here; the next packet may be fine.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Tries to reach each of them.
pub async fn reach(desk: &Desk, peers: &[Peer], packet: u16) -> Vec<Tunnel> {
    let own = desk.host.config().locator();
    let Some(own) = own else { return Vec::new() };
    let tries = peers.iter().map(|peer| one(own, peer, packet));
    futures::future::join_all(tries).await
}

async fn one(own: IpAddr, peer: &Peer, packet: u16) -> Tunnel {
    let missing = Tunnel {
        host: peer.host.clone(),
        from: own,
        one_way_ms: None,
        packet_passes: None,
    };
    let Ok(socket) = open(own, peer.responder).await else {
        return missing;
    };
    let Some(small) = trip(&socket, ANSWER).await else {
        return missing;
    };
    let headers = HEADERS + if own.is_ipv6() { 20 } else { 0 };
    let large = usize::from(packet.saturating_sub(headers)).max(ANSWER);
    Tunnel {
        one_way_ms: Some(small.as_secs_f64() * 500.0),
        packet_passes: match packet > 0 && takes(&socket, large).await {
            true => Some(trip(&socket, large).await.is_some()),
            false => None,
        },
        ..missing
    }
}

async fn open(own: IpAddr, to: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((own, 0)).await?;
    // What does not fit must get lost, not be cut into pieces.
    whole(&socket, to.is_ipv6())?;
    socket.connect(to).await?;
    Ok(socket)
}

#[allow(unsafe_code)]
fn whole(socket: &UdpSocket, v6: bool) -> std::io::Result<()> {
    let (level, name) = match v6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
        false => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
    };
    let probe: libc::c_int = libc::IP_PMTUDISC_PROBE;
    // SAFETY: the descriptor is open for the duration of the call and the kernel reads exactly the
    // four bytes of `probe`. nix has no wrapper for this option (ip(7), IP_MTU_DISCOVER).
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(&probe).cast(),
            size_of_val(&probe) as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Whether our own interface takes a packet of this size. That of the bridge may be smaller than the uplinks,
/// over which the switch sends by itself.
async fn takes(socket: &UdpSocket, payload: usize) -> bool {
    let sent = socket.send(&vec![0u8; payload]).await;
    !sent.is_err_and(|error| error.raw_os_error() == Some(libc::EMSGSIZE))
}

/// The shortest of a few round trips of a packet with this payload.
async fn trip(socket: &UdpSocket, payload: usize) -> Option<Duration> {
    let mut best: Option<Duration> = None;
    for number in 0..ATTEMPTS {
        let mut question = vec![0u8; payload];
        let stamp = number + (payload as u64) * ATTEMPTS;
        question.get_mut(..8)?.copy_from_slice(&stamp.to_be_bytes());
        let begun = Instant::now();
        if socket.send(&question).await.is_err() {
            continue;
        }
        let answered = async {
            let mut answer = [0u8; ANSWER];
            loop {
                match socket.recv(&mut answer).await {
                    Ok(ANSWER) if question.starts_with(&answer) => return true,
                    Ok(_) => {}
                    Err(_) => return false,
                }
            }
        };
        let patience = best.map_or(PATIENCE, |best| best * 3 + Duration::from_millis(20));
        if let Ok(true) = tokio::time::timeout(patience, answered).await {
            let took = begun.elapsed();
            best = Some(best.map_or(took, |best| best.min(took)));
            if best.is_some_and(|best| best < Duration::from_millis(1)) || payload > ANSWER {
                break;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::HostName;

    #[tokio::test]
    async fn a_host_that_answers_is_reached_and_a_silent_one_is_not() {
        let there = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let peer = |responder| Peer {
            host: HostName::new("south-1").unwrap(),
            responder,
        };
        let alive = peer(there.local_addr().unwrap());
        let task = tokio::spawn(respond(there));
        let found = one("127.0.0.1".parse().unwrap(), &alive, 1500).await;
        assert!(found.one_way_ms.is_some());
        assert_eq!(found.packet_passes, Some(true));
        task.abort();
        let _ = task.await;
        let found = one("127.0.0.1".parse().unwrap(), &alive, 1500).await;
        assert_eq!(found.one_way_ms, None);
        assert_eq!(found.packet_passes, None);
    }
}
