//! The question that nearly every ITR asks nearly always, read without allocation: one identifier, in
//! a packet of its own, nothing else wished. Any other message is [`Message::decode`]'s business.
//!
//! [`Message::decode`]: super::Message::decode

use std::net::IpAddr;

use super::encapsulated::Opened;
use super::kind;
use super::request::{EidFlags, MapRequestFlags};
use crate::address::{Mac, afi};
use crate::eid::{Eid, EidAddress};
use crate::wire::Reader;

/// A plain question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Comes back in the answer.
    pub nonce: u64,
    /// What is asked for.
    pub eid: Eid,
    /// The first address to which the answer may go.
    pub rloc: IpAddr,
    /// The port at which the answer is awaited.
    pub port: u16,
}

/// Flags and parts that make a request more than a plain question.
const MORE: u32 = MapRequestFlags::REPLY_PRESENT
    | MapRequestFlags::XTR_ID_PRESENT
    | MapRequestFlags::SMR.bits()
    | MapRequestFlags::PROBE.bits()
    | MapRequestFlags::DONT_MAP_REPLY.bits();

/// Type number of an address in an instance (RFC 8060).
const INSTANCE: u8 = 2;

impl Question {
    /// Reads a datagram of the control port. Nothing where it is anything else, or malformed.
    pub fn read(datagram: &[u8]) -> Option<Self> {
        if datagram.first()? >> 4 != kind::ENCAPSULATED {
            return None;
        }
        let opened = Opened::read(&mut Reader::new(datagram)).ok()??;
        let mut r = opened.packet;
        let word = r.u32("").ok()?;
        if (word >> 28) as u8 != kind::MAP_REQUEST || word & MORE != 0 || word & 0xff != 1 {
            return None;
        }
        let nonce = r.u64("").ok()?;
        identifier(&mut r)?;
        let mut rloc = None;
        for _ in 0..=(word >> 8 & 0x1f) {
            let address = locator(&mut r)?;
            rloc.get_or_insert(address);
        }
        let [flags, length] = r.array("").ok()?;
        if EidFlags::from_bits_retain(flags.into()).contains(EidFlags::NOTIFY) {
            return None;
        }
        let (instance, address) = identifier(&mut r)?;
        let address = address?;
        if length > address.width() || !r.is_empty() {
            return None;
        }
        Some(Self {
            nonce,
            eid: Eid::new(instance, address, length),
            rloc: rloc?,
            port: opened.source_port,
        })
    }
}

fn locator(r: &mut Reader<'_>) -> Option<IpAddr> {
    match r.u16("").ok()? {
        afi::IPV4 => Some(IpAddr::from(r.array::<4>("").ok()?)),
        afi::IPV6 => Some(IpAddr::from(r.array::<16>("").ok()?)),
        _ => None,
    }
}

/// An instance, and the address in it, which may be none.
fn identifier(r: &mut Reader<'_>) -> Option<(u32, Option<EidAddress>)> {
    let family = r.u16("").ok()?;
    if family != afi::LCAF {
        return Some((0, plain(family, r)?));
    }
    let [_, _, kind, reserved] = r.array("").ok()?;
    let length = r.u16("").ok()?;
    if kind != INSTANCE || reserved != 0 {
        return None;
    }
    let mut inner = r.nested("", length.into()).ok()?;
    let instance = inner.u32("").ok()?;
    let family = inner.u16("").ok()?;
    let address = plain(family, &mut inner)?;
    inner.is_empty().then_some((instance, address))
}

fn plain(family: u16, r: &mut Reader<'_>) -> Option<Option<EidAddress>> {
    Some(match family {
        afi::NONE => None,
        afi::IPV4 => Some(IpAddr::from(r.array::<4>("").ok()?).into()),
        afi::IPV6 => Some(IpAddr::from(r.array::<16>("").ok()?).into()),
        afi::MAC => Some(EidAddress::Mac(Mac(r.array("").ok()?))),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{CONTROL_PORT, Encapsulated, InnerIp, MapRequest, Message};
    use std::net::Ipv4Addr;

    #[test]
    fn a_plain_question_is_read_and_one_with_more_to_it_is_not() {
        let itr = Ipv4Addr::new(198, 51, 100, 1);
        let eid = Eid::host(7, Ipv4Addr::new(10, 0, 0, 5));
        let ask = |change: fn(&mut MapRequest)| {
            let mut asked = MapRequest::new(41, eid, itr);
            change(&mut asked);
            let ecm = Encapsulated::new(InnerIp::v4(itr, itr), CONTROL_PORT + 1, asked);
            Question::read(&Message::from(ecm).to_bytes().unwrap())
        };
        let expected = Question {
            nonce: 41,
            eid,
            rloc: itr.into(),
            port: CONTROL_PORT + 1,
        };
        assert_eq!(ask(|_| {}), Some(expected));
        assert_eq!(ask(|asked| asked.flags = MapRequestFlags::SMR), None);
        assert_eq!(ask(|asked| asked.xtr = Some(Default::default())), None);
        assert_eq!(ask(|asked| asked.records[0].flags = EidFlags::NOTIFY), None);
        assert_eq!(ask(|asked| asked.records.clear()), None);
    }
}
