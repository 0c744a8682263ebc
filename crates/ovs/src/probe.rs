//! Does a guest answer on its port? Asked on the tap itself, past the switch, so that no rule and
//! no peer has a part in the answer.
//!
//! IPv4: an ARP probe (RFC 5227 section 2.1.1), sender address zero, so that the guest's own table
//! does not change. IPv6: a neighbour solicitation (RFC 4861 section 4.3) from a link-local
//! address. Both go to the guest's Ethernet address alone.

use crate::error::Result;
use crate::frames::{PacketSocket, from_guest};
use crate::netlink::Netlink;
use crate::netns::Netns;
use model::Mac;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use tokio::time::Instant;

/// The probing end: a locally administered address that no member may have.
pub const PROBE_MAC: Mac = Mac([0x02, 0x74, 0x68, 0x70, 0x72, 0x62]);

const PROBE_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5472, 0x616e, 0x7370, 0x7262);

/// Time between the first two probes; it doubles up to [`SLOWEST`], since a guest that is behind answers each.
const FIRST: Duration = Duration::from_millis(20);
/// Time between two probes at most.
const SLOWEST: Duration = Duration::from_millis(320);

/// Asks until the guest answers for `ip` or the time is over.
pub async fn answers(
    netns: &Netns,
    netlink: &Netlink,
    ifname: &str,
    mac: Mac,
    ip: IpAddr,
    patience: Duration,
) -> Result<bool> {
    let socket = PacketSocket::open(netns, netlink, ifname, Some(from_guest()), 1 << 20).await?;
    let question = match ip {
        IpAddr::V4(ip) => arp_probe(mac, ip),
        IpAddr::V6(ip) => solicitation(mac, ip),
    };
    let ask = async {
        let (mut pause, mut next) = (FIRST, Instant::now());
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {
                    socket.send(&question).await?;
                    next = Instant::now() + pause;
                    pause = (pause * 2).min(SLOWEST);
                }
                frame = socket.receive() => {
                    if is_answer(&frame?, mac, ip) {
                        return Ok(true);
                    }
                }
            }
        }
    };
    tokio::time::timeout(patience, ask)
        .await
        .unwrap_or(Ok(false))
}

fn ethernet(to: Mac, kind: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(96);
    frame.extend(to.0);
    frame.extend(PROBE_MAC.0);
    frame.extend(kind.to_be_bytes());
    frame
}

/// ARP over Ethernet for IPv4 (RFC 826).
fn arp_probe(mac: Mac, ip: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(mac, 0x0806);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(PROBE_MAC.0);
    frame.extend([0; 4]);
    frame.extend([0; 6]);
    frame.extend(ip.octets());
    frame.resize(60, 0);
    frame
}

/// ICMPv6 type 135 with a source link-layer address option (RFC 4861 sections 4.3 and 4.6.1).
fn solicitation(mac: Mac, ip: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(ip.octets());
    message.extend([1, 1]);
    message.extend(PROBE_MAC.0);
    let sum = checksum(PROBE_V6, ip, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());

    let mut frame = ethernet(mac, 0x86dd);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend((message.len() as u16).to_be_bytes());
    frame.extend([58, 255]);
    frame.extend(PROBE_V6.octets());
    frame.extend(ip.octets());
    frame.extend(message);
    frame
}

/// The checksum of ICMPv6 (RFC 4443 section 2.3).
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let header = [from.octets(), to.octets()].concat();
    let length = (message.len() as u32).to_be_bytes();
    let words = |bytes: &[u8]| -> u32 {
        bytes
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
            .sum()
    };
    let mut sum = words(&header) + words(&length) + 58 + words(message);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn is_answer(frame: &[u8], mac: Mac, ip: IpAddr) -> bool {
    if frame.get(6..12) != Some(&mac.0) {
        return false;
    }
    match ip {
        // ARP, reply, with the guest's protocol address as sender.
        IpAddr::V4(ip) => {
            frame.get(12..14) == Some(&[0x08, 0x06])
                && frame.get(20..22) == Some(&[0, 2])
                && frame.get(28..32) == Some(&ip.octets())
        }
        // ICMPv6 136 right behind the IPv6 header, for the target.
        IpAddr::V6(ip) => {
            frame.get(12..14) == Some(&[0x86, 0xdd])
                && frame.get(20) == Some(&58)
                && frame.get(54) == Some(&136)
                && frame.get(62..78) == Some(&ip.octets())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 0x0a]);

    #[test]
    fn a_solicitations_checksum_adds_up() {
        let ip: Ipv6Addr = "fd77::11".parse().unwrap();
        let frame = solicitation(GUEST, ip);
        // Over a message that holds its own checksum the sum is zero (RFC 1071 section 1).
        assert_eq!(checksum(PROBE_V6, ip, &frame[54..]), 0);
        assert_eq!(frame.len(), 14 + 40 + 32);
    }

    #[test]
    fn only_the_guests_own_reply_counts() {
        let ip: Ipv4Addr = "10.77.0.11".parse().unwrap();
        let mut reply = arp_probe(GUEST, ip);
        assert!(!is_answer(&reply, GUEST, ip.into()));
        reply[6..12].copy_from_slice(&GUEST.0);
        reply[21] = 2;
        reply[28..32].copy_from_slice(&ip.octets());
        assert!(is_answer(&reply, GUEST, ip.into()));
        assert!(!is_answer(&reply, PROBE_MAC, ip.into()));
        assert!(!is_answer(&reply[..20], GUEST, ip.into()));
    }
}
