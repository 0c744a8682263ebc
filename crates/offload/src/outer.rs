//! What goes from the inner header to the outer one and back: RFC 9300, section 5.3, and RFC 6040 for
//! congestion marks.

use super::packet;

const ECN: u8 = 3;
const CE: u8 = 3;

/// Why a packet that was received must not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The path is congested, and the packet's ends cannot be told: dropping it tells them.
    Congested,
    /// No hops are left.
    Ttl,
}

/// Hops and traffic class of the outer header: those of the inner one, congestion mark included.
pub fn to_outer(inner: &[u8]) -> (u8, u8) {
    (packet::ttl(inner), packet::traffic_class(inner))
}

/// Brings what has happened on the way into the inner header. Hops become the fewer of both, never
/// more; a congestion mark is kept. Differentiated services stay the sender's own: the underlay's
/// may have been rewritten for a path that ends here.
///
/// # Errors
/// The packet must be dropped.
pub fn to_inner(inner: &mut [u8], outer_ttl: u8, outer_class: u8) -> Result<(), Refused> {
    let (ttl, class) = to_outer(inner);
    let class = match (class & ECN, outer_class & ECN) {
        (0, CE) => return Err(Refused::Congested),
        (_, CE) => class | CE,
        // RFC 6040, figure 4: ECT(1) outside and ECT(0) inside becomes ECT(1).
        (2, 1) => class & !ECN | 1,
        _ => class,
    };
    let fewer = ttl.min(outer_ttl);
    if fewer == 0 {
        return Err(Refused::Ttl);
    }
    packet::set_ttl_and_class(inner, fewer, class);
    Ok(())
}

/// Takes a hop away before a packet is sent on to another locator, so that two routers that hold each
/// other for the right one do not pass it on for ever.
///
/// # Errors
/// None is left.
pub fn one_hop_less(inner: &mut [u8]) -> Result<(), Refused> {
    let (ttl, class) = to_outer(inner);
    match ttl.checked_sub(1) {
        Some(left) if left > 0 => packet::set_ttl_and_class(inner, left, class),
        _ => return Err(Refused::Ttl),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum;

    fn v4(ttl: u8, class: u8) -> Vec<u8> {
        let mut header = vec![0x45, class, 0, 20, 1, 2, 0x40, 0, ttl, 17, 0, 0];
        header.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        packet::seal_v4(&mut header);
        header
    }

    fn v6(ttl: u8, class: u8) -> Vec<u8> {
        let mut header = vec![0x60 | class >> 4, class << 4 | 0xa, 1, 2, 0, 0, 17, ttl];
        header.extend([7; 32]);
        header
    }

    #[test]
    fn congestion_on_the_way_reaches_the_inner_header_as_rfc_6040_says() {
        // (inner, outer) to inner; nothing is a drop. Figure 4 of the RFC.
        let table = [
            ((0, 0), Some(0)),
            ((0, 1), Some(0)),
            ((0, 2), Some(0)),
            ((0, 3), None),
            ((2, 0), Some(2)),
            ((2, 1), Some(1)),
            ((2, 2), Some(2)),
            ((2, 3), Some(3)),
            ((1, 0), Some(1)),
            ((1, 1), Some(1)),
            ((1, 2), Some(1)),
            ((1, 3), Some(3)),
            ((3, 0), Some(3)),
            ((3, 1), Some(3)),
            ((3, 2), Some(3)),
            ((3, 3), Some(3)),
        ];
        for ((inner, outer), expected) in table {
            for mut packet in [v4(64, 0xb8 | inner), v6(64, 0xb8 | inner)] {
                let done =
                    to_inner(&mut packet, 60, outer).map(|()| packet::traffic_class(&packet));
                let expected = expected.map(|ecn| 0xb8 | ecn).ok_or(Refused::Congested);
                assert_eq!(done, expected, "inner {inner}, outer {outer}");
            }
        }
    }

    #[test]
    fn hops_never_become_more_and_the_checksum_stays_right() {
        for (inner, outer, expected) in [(64, 9, 9), (9, 64, 9), (1, 1, 1), (255, 0, 0)] {
            let mut packet = v4(inner, 2);
            match to_inner(&mut packet, outer, 3) {
                Ok(()) => assert_eq!(packet::ttl(&packet), expected),
                Err(refused) => assert_eq!((refused, expected), (Refused::Ttl, 0)),
            }
            assert!(checksum::is_right(checksum::sum(&packet)));
            let mut packet = v6(inner, 2);
            let done = to_inner(&mut packet, outer, 2);
            assert_eq!(done.is_ok(), expected > 0);
            assert_eq!(packet[1] & 15, 0xa, "the flow label is kept");
        }
    }

    #[test]
    fn a_wrong_header_checksum_is_not_made_right() {
        let mut packet = v4(64, 0);
        packet[10] ^= 0x55;
        to_inner(&mut packet, 9, 0).unwrap();
        assert!(!checksum::is_right(checksum::sum(&packet)));
    }

    #[test]
    fn a_packet_that_is_passed_on_runs_out_of_hops() {
        let mut packet = v4(3, 0);
        assert_eq!(one_hop_less(&mut packet), Ok(()));
        assert_eq!(one_hop_less(&mut packet), Ok(()));
        assert_eq!(packet::ttl(&packet), 1);
        assert_eq!(one_hop_less(&mut packet), Err(Refused::Ttl));
    }
}
