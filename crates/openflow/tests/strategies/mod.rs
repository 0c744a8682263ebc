//! Messages made by chance: every body, and in them every action, instruction and kind of field.

mod actions;
mod bodies;
mod multipart;

pub(crate) use bodies::message;

use openflow::oxm::FIELDS;
use openflow::{Blob, Field, Match, Oxm, PortNo};
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) fn blob(max: usize) -> impl Strategy<Value = Blob> {
    vec(any::<u8>(), 0..=max).prop_map(Blob)
}

/// Bytes of a length that is a multiple of eight less `short`.
pub(crate) fn aligned(short: usize) -> impl Strategy<Value = Blob> {
    (1usize..5)
        .prop_flat_map(move |n| vec(any::<u8>(), n * 8 - short))
        .prop_map(Blob)
}

pub(crate) fn port() -> impl Strategy<Value = PortNo> {
    prop_oneof![
        any::<u32>().prop_map(PortNo),
        Just(PortNo::LOCAL),
        Just(PortNo::ANY)
    ]
}

pub(crate) fn field() -> impl Strategy<Value = Field> {
    prop_oneof![
        8 => (0..FIELDS.len()).prop_map(|n| FIELDS[n].field),
        1 => (any::<u8>(), 1u8..=16).prop_map(|(n, width)| Field::tun_metadata(n, width)),
        1 => (0x8002u16..0xffff, any::<u8>(), 1u8..=16)
            .prop_map(|(class, n, width)| Field::other(class, n, width)),
        1 => (any::<u32>(), any::<u8>(), 1u8..=16)
            .prop_map(|(id, n, width)| Field::other_experimenter(id, n, width)),
    ]
}

pub(crate) fn oxm() -> impl Strategy<Value = Oxm> {
    prop_oneof![
        4 => (field(), any::<u128>()).prop_map(|(field, v)| Oxm::new(field, v)),
        2 => (field(), any::<u128>(), any::<u128>()).prop_map(|(f, v, m)| Oxm::masked(f, v, m)),
        1 => vec(any::<u8>(), 0..124)
            .prop_map(|bytes| Oxm::from_bytes(Field::tun_metadata(3, 4), &bytes)),
    ]
}

pub(crate) fn matching() -> impl Strategy<Value = Match> {
    vec(oxm(), 0..6).prop_map(Match::from)
}
