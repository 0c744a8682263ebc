//! The far end of a site's bond for LACP (IEEE 802.1AX): every LACPDU is answered at once.
//!
//! A full LACP machine is not needed: the gateway takes frames from either link and sends to the
//! one a MAC was last seen on, so it is always collecting and distributing. Asking for the short
//! timeout makes the site speak every second, so answers alone keep the aggregation alive.
//!
//! ```text
//!  0x8809 | 1 (LACP) | 1 (version) | 1, 20, actor .. | 2, 20, partner .. | 3, 16, .. | 0, 0, 50 × 0
//!           system priority 2 | system 6 | key 2 | port priority 2 | port 2 | state 1 | reserved 3
//! ```

use crate::net::Mac;

const KIND: [u8; 2] = [0x88, 0x09];
const GROUP: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 2];
/// Where the actor's TLV begins; the partner's follows.
const ACTOR: usize = 14 + 2;

/// Active, short timeout, aggregatable, in sync, collecting, distributing.
const STATE: u8 = 0x3f;

/// The answer to a frame, if it is an LACPDU: from `mac`, as port `port` of the system `mac`.
pub(crate) fn answer(frame: &[u8], mac: Mac, port: u16) -> Option<Vec<u8>> {
    let body = frame.get(14..)?;
    let is_lacp =
        frame[12..14] == KIND && body.first() == Some(&1) && body.get(2..4) == Some(&[1, 20]);
    // The three reserved bytes behind the state are not part of the information.
    let theirs = frame.get(ACTOR + 2..ACTOR + 2 + 15).filter(|_| is_lacp)?;
    let mut reply = Vec::with_capacity(124);
    reply.extend(GROUP);
    reply.extend(mac.0);
    reply.extend(KIND);
    reply.extend([1, 1, 1, 20, 0xff, 0xff]);
    reply.extend(mac.0);
    reply.extend([0, 1, 0xff, 0xff]);
    reply.extend(port.to_be_bytes());
    reply.extend([STATE, 0, 0, 0, 2, 20]);
    reply.extend(theirs);
    reply.extend([0, 0, 0, 3, 16, 0, 0]);
    reply.resize(124, 0);
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_the_asker_as_its_partner_and_is_answerable_itself() {
        let (us, them) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let mut empty = vec![0; 124];
        empty[12..18].copy_from_slice(&[0x88, 0x09, 1, 1, 1, 20]);
        let question = answer(&empty, them, 7).unwrap();
        let reply = answer(&question, us, 1).unwrap();
        assert_eq!(reply.len(), 124);
        const PARTNER: usize = ACTOR + 20;
        assert_eq!(
            reply[PARTNER + 2..PARTNER + 17],
            question[ACTOR + 2..ACTOR + 17]
        );
        assert_eq!(reply[ACTOR + 4..ACTOR + 10], us.0);
        assert_eq!(reply[PARTNER + 20..][..2], [3, 16]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_whatever_make_it_fail(mut bytes: Vec<u8>) {
            if bytes.len() > 18 {
                bytes[12..18].copy_from_slice(&[0x88, 0x09, 1, 1, 1, 20]);
            }
            answer(&bytes, Mac([0; 6]), 1);
        }
    }
}
