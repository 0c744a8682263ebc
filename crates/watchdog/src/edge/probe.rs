//! Whether a target is reached: a TCP connection, or an echo request (ping).

use crate::config::Target;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Of echo requests (RFC 792, RFC 4443).
const ECHO_V4: u8 = 8;
const ECHO_V6: u8 = 128;
/// Of their answers.
const REPLY_V4: u8 = 0;
const REPLY_V6: u8 = 129;
/// What an answer has to bring back.
const MARK: &[u8; 8] = b"transhum";

pub(super) async fn probe(target: &Target) -> bool {
    let patience = Duration::from_millis(target.patience_ms.max(10));
    match (target.tcp, target.icmp) {
        // A refusal comes from the target: it is reached.
        (Some(address), _) => match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
            Err(_) => false,
        },
        (None, Some(address)) => {
            let asked = tokio::task::spawn_blocking(move || echo(address, patience)).await;
            match asked {
                Ok(Ok(reached)) => reached,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "an echo request was not sent");
                    false
                }
                Err(_) => false,
            }
        }
        (None, None) => true,
    }
}

/// Asks once. The kernel's own sockets for it need no right, where it allows them (net.ipv4.ping_group_range); raw ones do.
fn echo(address: IpAddr, patience: Duration) -> io::Result<bool> {
    let (domain, protocol, ask, reply) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, ECHO_V4, REPLY_V4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, ECHO_V6, REPLY_V6),
    };
    let (mut socket, raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => (socket, false),
        Err(_) => (Socket::new(domain, Type::RAW, Some(protocol))?, true),
    };
    socket.connect(&SocketAddr::new(address, 0).into())?;
    let process = std::process::id().to_be_bytes();
    let mut message = vec![ask, 0, 0, 0, process[2], process[3], 0, 1];
    message.extend_from_slice(MARK);
    if address.is_ipv4() {
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
    }
    socket.send(&message)?;
    let until = Instant::now() + patience;
    let mut buffer = [0; 256];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.read(&mut buffer) {
            Ok(length) => length,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                return Ok(false);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut answer = &buffer[..length];
        if raw && address.is_ipv4() {
            // A raw socket gives the IP header too; its length is in its first byte (RFC 791).
            let header = usize::from(answer.first().copied().unwrap_or_default() & 15) * 4;
            answer = answer.get(header..).unwrap_or_default();
        }
        if answer.first() == Some(&reply) && answer.ends_with(MARK) {
            return Ok(true);
        }
    }
}

/// RFC 1071; of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(tcp: Option<SocketAddr>, icmp: Option<&str>) -> Target {
        Target {
            tcp,
            icmp: icmp.map(|text| text.parse().unwrap()),
            every_ms: 1000,
            again_ms: 100,
            patience_ms: 500,
            fails: 1,
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_rfcs_example() {
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2
        );
    }

    #[tokio::test]
    async fn whoever_takes_a_connection_or_refuses_it_is_reached() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(probe(&target(Some(address), None)).await);
        drop(listener);
        assert!(probe(&target(Some(address), None)).await);
    }

    #[tokio::test]
    async fn this_machine_answers_an_echo_request_and_a_reserved_address_does_not() {
        assert!(probe(&target(None, Some("127.0.0.1"))).await);
        assert!(!probe(&target(None, Some("240.0.0.1"))).await);
    }
}
