//! Requests.

use super::{Key, Unsayable, wire_name};
use crate::publish::{Change, Expect};
use crate::{Content, DnsName, MARKER_LABEL, Marker};
use hickory_proto::op::update_message::UpdateMessage;
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigVerifier};
use std::net::IpAddr;

/// A character-string of a TXT record holds no more bytes (RFC 1035, section 3.3).
const STRING: usize = 255;

/// A message, and what its answer is checked with.
pub struct Request {
    /// The message, without the length that goes before it over TCP.
    pub bytes: Vec<u8>,
    pub(super) id: u16,
    pub(super) verifier: Option<TSigVerifier>,
}

/// An update of a zone: all changes or none.
///
/// # Errors
/// It cannot be written, which is a fault of ours.
pub fn update(
    zone: &DnsName,
    changes: &[Change],
    key: Option<&Key>,
    id: u16,
    unix_s: u64,
) -> Result<Request, Unsayable> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Update);
    let mut query = Query::query(wire_name(zone)?, RecordType::SOA);
    query.set_query_class(DNSClass::IN);
    message.add_zone(query);
    for change in changes {
        let name = wire_name(&change.name)?;
        let at = marker_name(&change.name)?;
        match &change.expect {
            Expect::Unused => {
                message.add_pre_requisite(of_class(DNSClass::NONE, &name, RecordType::ANY));
                message.add_pre_requisite(of_class(DNSClass::NONE, &at, RecordType::TXT));
            }
            Expect::Marked(marker) => message.add_pre_requisite(marker_record(&at, 0, marker)),
            Expect::Anything => {}
        }
        let ours = [RecordType::A, RecordType::AAAA].into_iter();
        for kind in ours.chain(change.owns_text.then_some(RecordType::TXT)) {
            message.add_update(of_class(DNSClass::ANY, &name, kind));
        }
        message.add_update(of_class(DNSClass::ANY, &at, RecordType::TXT));
        if let Some(content) = &change.content {
            message.add_updates(records(&name, content));
            if let Some(marker) = &change.marker {
                message.add_update(marker_record(&at, content.ttl, marker));
            }
        }
    }
    finish(message, key, unix_s)
}

/// A question for the marker of a name.
///
/// # Errors
/// It cannot be written, which is a fault of ours.
pub fn question(
    name: &DnsName,
    key: Option<&Key>,
    id: u16,
    unix_s: u64,
) -> Result<Request, Unsayable> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(marker_name(name)?, RecordType::TXT));
    finish(message, key, unix_s)
}

fn finish(mut message: Message, key: Option<&Key>, unix_s: u64) -> Result<Request, Unsayable> {
    let unsayable = |error: &dyn std::fmt::Display| Unsayable(error.to_string());
    let id = message.metadata.id;
    let verifier = match key {
        Some(key) => message
            .finalize(&key.0, unix_s)
            .map_err(|error| unsayable(&error))?,
        None => None,
    };
    let bytes = message.to_vec().map_err(|error| unsayable(&error))?;
    Ok(Request {
        bytes,
        id,
        verifier,
    })
}

fn records(name: &Name, content: &Content) -> Vec<Record> {
    let addresses = content.addresses.iter().map(|address| match address {
        IpAddr::V4(address) => RData::A((*address).into()),
        IpAddr::V6(address) => RData::AAAA((*address).into()),
    });
    let text = content.text.iter().map(|text| RData::TXT(txt(text)));
    let all = addresses.chain(text);
    all.map(|data| Record::from_rdata(name.clone(), content.ttl, data))
        .collect()
}

fn txt(text: &str) -> TXT {
    TXT::from_bytes(text.as_bytes().chunks(STRING).collect())
}

fn marker_name(name: &DnsName) -> Result<Name, Unsayable> {
    let at = name
        .below(MARKER_LABEL)
        .map_err(|error| Unsayable(error.to_string()))?;
    wire_name(&at)
}

fn marker_record(at: &Name, ttl: u32, marker: &Marker) -> Record {
    Record::from_rdata(at.clone(), ttl, RData::TXT(txt(&marker.text())))
}

/// A record without data, whose class says what is meant (RFC 2136, sections 2.4 and 2.5).
fn of_class(class: DNSClass, name: &Name, kind: RecordType) -> Record {
    let mut record = Record::update0(name.clone(), 0, kind);
    record.dns_class = class;
    record
}
