//! What other LISP routers ask a gateway, and what it asks them to do. No I/O.
//!
//! A host registers nothing: the Map-Server speaks for the directory. But routers probe the locator that
//! they use (RFC 9301 section 7.1), and one that still sends to a place that an endpoint has left is
//! solicited to ask anew (RFC 9301 section 6.1).

use super::table::Table;
use lisp::message::{MapReply, MapReplyFlags, MapRequestFlags};
use lisp::record::LocatorFlags;
use lisp::{Eid, Locator, MapRequest, Message, Record};
use std::net::IpAddr;

/// How long an answer may be kept, minutes: whoever keeps it is told of a change.
const TTL: u32 = 60;

/// The answer to a message on the control port, if it deserves one.
pub fn answer(table: &Table, message: &Message) -> Option<Message> {
    let Message::MapRequest(request) = message else {
        return None;
    };
    if request.flags.contains(MapRequestFlags::SMR) {
        return None;
    }
    let eid = request.records.first()?.eid()?;
    let (locator, here) = table.locator(eid.instance(), eid.address())?;
    let probe = request.flags.contains(MapRequestFlags::PROBE);
    let mut flags = LocatorFlags::REACHABLE;
    if here {
        flags |= LocatorFlags::LOCAL;
    }
    if probe && here {
        flags |= LocatorFlags::PROBED;
    }
    let locator = Locator {
        flags,
        ..Locator::new(locator, 1, 100)
    };
    let whole = Eid::host(eid.instance(), eid.address());
    Some(Message::MapReply(MapReply {
        flags: match probe {
            true => MapReplyFlags::PROBE,
            false => MapReplyFlags::empty(),
        },
        nonce: request.nonce,
        records: vec![Record::new(whole, TTL).locator(locator)],
        security: None,
    }))
}

/// Asks a router to ask anew where `moved` is; `theirs` is the endpoint of its own that still sends there.
pub fn solicit(vni: u32, moved: IpAddr, theirs: IpAddr, nonce: u64, own: IpAddr) -> Message {
    let theirs = Eid::host(vni, theirs);
    let moved = Eid::host(vni, moved);
    Message::MapRequest(MapRequest {
        flags: MapRequestFlags::SMR,
        source_eid: moved.to_address(),
        ..MapRequest::new(nonce, theirs, own)
    })
}
