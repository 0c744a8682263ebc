//! Any message that can be written, for property tests.
#![allow(dead_code, reason = "each test file uses some of them")]

use lisp::address::{Address, Mac};
use lisp::auth::{Algorithm, Authentication};
use lisp::lcaf::{Hop, HopFlags, Lcaf, LcafBody, LcafHeader, NatTraversal};
use lisp::message::{
    EcmFlags, EidFlags, EidRecord, Encapsulated, Info, InfoFlags, Inner, InnerIp, MapNotify,
    MapNotifyFlags, MapRegister, MapRegisterFlags, MapReply, MapReplyFlags, MapRequest,
    MapRequestFlags, Message, Opaque,
};
use lisp::record::{Action, Locator, LocatorFlags, Record, RecordFlags, XtrId};
use lisp::{Blob, Eid, EidAddress};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Zero most often: that is what nearly every sender writes.
fn mostly_zero() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0u32), 1 => any::<u32>()]
}

fn blob(most: usize) -> impl Strategy<Value = Blob> {
    vec(any::<u8>(), 0..most).prop_map(Blob)
}

fn plain() -> impl Strategy<Value = Address> {
    prop_oneof![
        1 => Just(Address::None),
        4 => any::<[u8; 4]>().prop_map(|octets| Address::Ipv4(octets.into())),
        3 => any::<[u8; 16]>().prop_map(|octets| Address::Ipv6(octets.into())),
        2 => any::<[u8; 6]>().prop_map(|octets| Address::Mac(Mac(octets))),
        1 => vec(1u8.., 0..20).prop_map(|name| Address::Name(Blob(name))),
    ]
}

fn lcaf(inner: impl Strategy<Value = Address> + Clone + 'static) -> impl Strategy<Value = Lcaf> {
    let several = vec(inner.clone(), 0..4);
    let hop = (any::<u16>(), inner.clone()).prop_map(|(flags, address)| Hop {
        flags: HopFlags::from_bits_retain(flags.into()),
        address,
    });
    let nat = (
        any::<(u16, u16)>(),
        any::<[u8; 4]>(),
        vec(inner.clone(), 3..6),
    )
        .prop_map(|((ms_port, etr_port), ms, mut rtrs)| NatTraversal {
            ms_port,
            etr_port,
            global_etr: rtrs.remove(0),
            ms: Address::Ipv4(ms.into()),
            private_etr: rtrs.remove(0),
            rtrs,
        });
    let unknown = any::<u8>().prop_filter("understood", |kind| ![1, 2, 7, 10].contains(kind));
    let body = prop_oneof![
        1 => several.prop_map(LcafBody::AfiList),
        4 => (any::<u32>(), inner)
            .prop_map(|(instance, address)| LcafBody::Instance { instance, address }),
        1 => nat.prop_map(LcafBody::NatTraversal),
        1 => vec(hop, 0..4).prop_map(LcafBody::ExplicitPath),
        1 => (unknown, blob(40)).prop_map(|(kind, data)| LcafBody::Opaque { kind, data }),
    ];
    (mostly_zero(), body).prop_map(|(header, body)| {
        let [_, reserved1, flags, reserved2] = header.to_be_bytes();
        Lcaf {
            header: LcafHeader {
                reserved1,
                flags,
                reserved2,
            },
            body,
        }
    })
}

/// Any address, with addresses in it.
pub(crate) fn address() -> impl Strategy<Value = Address> + Clone {
    plain()
        .prop_recursive(3, 12, 4, |inner| lcaf(inner).prop_map(Address::from))
        .boxed()
}

/// An address, and a length that its prefix can have.
fn prefix() -> impl Strategy<Value = (Address, u8)> {
    (address(), any::<u8>()).prop_map(|(address, length)| {
        let most = address.width().unwrap_or(u8::MAX);
        (address, length.min(most))
    })
}

/// What can be looked up.
pub(crate) fn eid() -> impl Strategy<Value = Eid> {
    let address = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| EidAddress::Ipv4(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| EidAddress::Ipv6(octets.into())),
        any::<[u8; 6]>().prop_map(|octets| EidAddress::Mac(Mac(octets))),
    ];
    (prop_oneof![Just(0u32), 0u32..1 << 24], address, any::<u8>())
        .prop_map(|(instance, address, length)| Eid::new(instance, address, length))
}

fn locator() -> impl Strategy<Value = Locator> {
    (any::<[u8; 4]>(), any::<u16>(), address()).prop_map(|(numbers, flags, address)| Locator {
        priority: numbers[0],
        weight: numbers[1],
        multicast_priority: numbers[2],
        multicast_weight: numbers[3],
        flags: LocatorFlags::from_bits_retain(flags.into()),
        address,
    })
}

pub(crate) fn record() -> impl Strategy<Value = Record> {
    (
        any::<u32>(),
        prefix(),
        0u8..8,
        mostly_zero(),
        0u16..4096,
        vec(locator(), 0..4),
    )
        .prop_map(
            |(ttl, (eid, mask_len), action, flags, map_version, locators)| Record {
                ttl,
                mask_len,
                action: Action::from(action),
                flags: RecordFlags::from_bits_truncate(flags),
                map_version,
                eid,
                locators,
            },
        )
}

fn xtr() -> impl Strategy<Value = XtrId> {
    any::<(u128, u64)>().prop_map(|(xtr_id, site_id)| XtrId { xtr_id, site_id })
}

fn authentication() -> impl Strategy<Value = Authentication> {
    (any::<u8>(), 0u8..6, blob(40)).prop_map(|(key_id, algorithm, data)| Authentication {
        key_id,
        algorithm: Algorithm::from(algorithm),
        data,
    })
}

pub(crate) fn map_request() -> impl Strategy<Value = MapRequest> {
    let asked = (any::<u8>(), prefix()).prop_map(|(flags, (eid, mask_len))| EidRecord {
        flags: EidFlags::from_bits_retain(flags.into()),
        mask_len,
        eid,
    });
    (
        any::<(u32, u64)>(),
        address(),
        prop_oneof![9 => vec(address(), 1..4), 1 => vec(address(), 32)],
        vec(asked, 0..4),
        option::of(record()),
        option::of(xtr()),
    )
        .prop_map(
            |((flags, nonce), source_eid, itr_rlocs, records, reply, xtr)| MapRequest {
                flags: MapRequestFlags::from_bits_truncate(flags),
                nonce,
                source_eid,
                itr_rlocs,
                records,
                reply,
                xtr,
            },
        )
}

pub(crate) fn map_reply() -> impl Strategy<Value = MapReply> {
    let security = option::weighted(0.2, blob(60));
    (any::<(u32, u64)>(), vec(record(), 0..4), security).prop_map(
        |((flags, nonce), records, security)| MapReply {
            flags: MapReplyFlags::from_bits_truncate(flags),
            nonce,
            records,
            security,
        },
    )
}

pub(crate) fn map_register() -> impl Strategy<Value = MapRegister> {
    (
        any::<(u32, u64)>(),
        authentication(),
        vec(record(), 0..4),
        option::of(xtr()),
        prop_oneof![4 => Just(Blob::default()), 1 => blob(30)],
    )
        .prop_map(
            |((flags, nonce), authentication, records, xtr, trailing)| MapRegister {
                flags: MapRegisterFlags::from_bits_truncate(flags),
                nonce,
                authentication,
                records,
                xtr,
                trailing,
            },
        )
}

pub(crate) fn map_notify() -> impl Strategy<Value = MapNotify> {
    map_register().prop_map(|register| MapNotify {
        flags: MapNotifyFlags::from_bits_truncate(register.flags.bits()),
        nonce: register.nonce,
        authentication: register.authentication,
        records: register.records,
        xtr: register.xtr,
        trailing: register.trailing,
    })
}

pub(crate) fn info() -> impl Strategy<Value = Info> {
    (
        any::<(u32, u64, u32)>(),
        authentication(),
        mostly_zero(),
        prefix(),
        address(),
    )
        .prop_map(
            |((flags, nonce, ttl), authentication, reserved, (eid, mask_len), address)| Info {
                flags: InfoFlags::from_bits_truncate(flags),
                nonce,
                authentication,
                ttl,
                reserved: reserved as u8,
                mask_len,
                eid,
                address,
            },
        )
}

fn inner_ip() -> impl Strategy<Value = InnerIp> {
    let options = vec(any::<[u8; 4]>(), 0..=10).prop_map(|words| Blob(words.concat()));
    let v4 = (
        any::<([u8; 4], [u8; 4])>(),
        any::<(u8, u8, u16, bool)>(),
        options,
    );
    let v6 = (
        any::<([u8; 16], [u8; 16])>(),
        any::<(u8, u8)>(),
        0u32..1 << 20,
    );
    prop_oneof![
        v4.prop_map(
            |(
                (source, destination),
                (traffic_class, ttl, identification, dont_fragment),
                options,
            )| {
                InnerIp::V4 {
                    source: source.into(),
                    destination: destination.into(),
                    traffic_class,
                    ttl,
                    identification,
                    dont_fragment,
                    options,
                }
            }
        ),
        v6.prop_map(
            |((source, destination), (traffic_class, hop_limit), flow_label)| InnerIp::V6 {
                source: source.into(),
                destination: destination.into(),
                traffic_class,
                flow_label,
                hop_limit,
            }
        ),
    ]
}

pub(crate) fn encapsulated(
    message: impl Strategy<Value = Message> + 'static,
) -> impl Strategy<Value = Encapsulated> {
    let packet = (inner_ip(), any::<(u16, u16, bool)>(), message).prop_map(
        |(ip, (source_port, destination_port, udp_checksum), message)| Inner::Packet {
            ip,
            source_port,
            destination_port,
            udp_checksum,
            message: Box::new(message),
        },
    );
    let inner = prop_oneof![8 => packet, 1 => blob(60).prop_map(Inner::Secured)];
    (any::<u32>(), inner).prop_map(|(flags, inner)| Encapsulated {
        flags: EcmFlags::from_bits_truncate(flags),
        inner,
    })
}

/// Any message.
pub(crate) fn message() -> impl Strategy<Value = Message> {
    let opaque =
        (prop_oneof![Just(6u8), Just(15)], vec(any::<u8>(), 4..50)).prop_map(|(kind, mut data)| {
            data[0] = kind << 4 | data[0] & 15;
            Message::Opaque(Opaque { data: Blob(data) })
        });
    let flat = prop_oneof![
        4 => map_request().prop_map(Message::from),
        3 => map_reply().prop_map(Message::from),
        4 => map_register().prop_map(Message::from),
        2 => map_notify().prop_map(Message::MapNotify),
        2 => map_notify().prop_map(Message::MapNotifyAck),
        2 => info().prop_map(Message::from),
        1 => opaque,
    ];
    flat.prop_recursive(3, 3, 1, |inner| encapsulated(inner).prop_map(Message::from))
}
