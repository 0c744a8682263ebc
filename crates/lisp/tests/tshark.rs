//! tshark reads what we write: an independent decoder sees the same fields.
//!
//! tshark 4.0 does not know Map-Notify-Ack, the I bit of a Map-Request (RFC 9437) and the L and D
//! bits; these are covered by the vectors alone.

mod strategies;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use etherparse::PacketBuilder;
use lisp::address::{Address, Mac};
use lisp::auth::{Algorithm, Authentication, Secret};
use lisp::data::{DATA_PORT, DataHeader, GPE_PORT, GpeHeader, NextProtocol};
use lisp::lcaf::{Hop, HopFlags, NatTraversal};
use lisp::message::{CONTROL_PORT, Encapsulated, Info, InfoFlags, InnerIp, MapNotify};
use lisp::record::{Action, LocatorFlags, RecordFlags};
use lisp::{
    Eid, EidAddress, EidRecord, Lcaf, LcafBody, Locator, MapRegister, MapRegisterFlags, MapReply,
    MapRequest, MapRequestFlags, Message, Record, XtrId,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// A capture file (libpcap, Ethernet) with a UDP packet for each payload.
fn write_capture(file: &Path, payloads: &[(u16, Vec<u8>)]) {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65535, 1] {
        bytes.extend(word.to_be_bytes());
    }
    for (port, payload) in payloads {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .udp(61000, *port)
            .write(&mut frame, payload)
            .unwrap();
        let length = frame.len() as u32;
        for word in [0, 0, length, length] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(frame);
    }
    std::fs::write(file, bytes).unwrap();
}

/// What tshark says of each packet's fields; several values of one field with commas between.
fn tshark(payloads: &[(u16, Vec<u8>)], fields: &[&str]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lisp.pcap");
    write_capture(&file, payloads);
    let mut command = Command::new("tshark");
    command
        .arg("-r")
        .arg(&file)
        .args(["-n", "-T", "fields", "-E", "separator=|"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command
        .env("HOME", folder.path())
        .output()
        .expect("tshark does not start; scripts/setup.sh --test installs it");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let rows: Vec<Vec<String>> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.split('|').map(str::to_owned).collect())
        .collect();
    assert_eq!(rows.len(), payloads.len(), "{errors}");
    rows
}

/// Nothing that tshark could not place.
const COMPLAINTS: [&str; 4] = [
    "_ws.malformed",
    "lisp.undecoded",
    "lisp.unexpected_field",
    "lisp.invalid_field",
];

#[track_caller]
fn sees(port: u16, payload: Vec<u8>, expected: &[(&str, &str)]) {
    let mut fields: Vec<&str> = expected.iter().map(|(field, _)| *field).collect();
    fields.extend(COMPLAINTS);
    let rows = tshark(&[(port, payload)], &fields);
    let wanted: Vec<&str> = expected
        .iter()
        .map(|(_, value)| *value)
        .chain(COMPLAINTS.map(|_| ""))
        .collect();
    let named: Vec<_> = fields.iter().zip(&rows[0]).collect();
    assert_eq!(rows[0], wanted, "{named:?}");
}

#[track_caller]
fn sees_message(message: impl Into<Message>, expected: &[(&str, &str)]) {
    sees(CONTROL_PORT, message.into().to_bytes().unwrap(), expected);
}

fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

#[test]
fn tshark_sees_the_flags_and_addresses_of_a_map_request() {
    let mut asked = MapRequest::new(0x1122, Eid::host(0, v4(10, 2, 0, 5)), v4(192, 0, 2, 7));
    asked
        .itr_rlocs
        .push("2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().into());
    asked.source_eid = v4(10, 1, 0, 1).into();
    asked
        .records
        .push(EidRecord::from(Eid::host(0, Mac([2, 0, 0, 0, 0, 9]))));
    asked.reply = Some(Record::new(Eid::new(0, v4(10, 1, 0, 0), 16), 3));
    asked.flags = MapRequestFlags::PROBE | MapRequestFlags::SMR_INVOKED;
    sees_message(
        asked.clone(),
        &[
            ("lisp.type", "1"),
            ("lisp.nonce", "0x0000000000001122"),
            ("lisp.irc", "1"),
            ("lisp.records", "2"),
            ("lisp.mreq.flags.auth", "0"),
            ("lisp.mreq.flags.mrp", "1"),
            ("lisp.mreq.flags.probe", "1"),
            ("lisp.mreq.flags.smr", "0"),
            ("lisp.mreq.flags.pitr", "0"),
            ("lisp.mreq.flags.smri", "1"),
            ("lisp.mreq.srceid.ipv4", "10.1.0.1"),
            ("lisp.mreq.itr_rloc_ipv4", "192.0.2.7"),
            ("lisp.mreq.itr_rloc_ipv6", "2001:db8::7"),
            ("lisp.mreq.record.prefix.ipv4", "10.2.0.5"),
            ("lisp.mreq.record.prefix.length", "32,48"),
            ("lisp.mreq.record.prefix.mac", "02:00:00:00:00:09"),
            ("lisp.mapping.eid.ipv4", "10.1.0.0"),
            ("lisp.mapping.ttl", "3"),
        ],
    );
    asked.reply = None;
    asked.flags = MapRequestFlags::AUTHORITATIVE | MapRequestFlags::SMR | MapRequestFlags::PITR;
    sees_message(
        asked,
        &[
            ("lisp.mreq.flags.auth", "1"),
            ("lisp.mreq.flags.mrp", "0"),
            ("lisp.mreq.flags.probe", "0"),
            ("lisp.mreq.flags.smr", "1"),
            ("lisp.mreq.flags.pitr", "1"),
            ("lisp.mreq.flags.smri", "0"),
        ],
    );
}

#[test]
fn tshark_sees_the_locators_of_a_map_reply() {
    let mut probed = Locator::new(v4(192, 0, 2, 8), 2, 50);
    probed.flags = LocatorFlags::LOCAL | LocatorFlags::PROBED;
    let mut record = Record::new(Eid::new(100, v4(10, 2, 0, 0), 24), 1440)
        .locator(Locator::new(v4(192, 0, 2, 7), 1, 100))
        .locator(probed);
    record.action = Action::Drop;
    record.flags = RecordFlags::AUTHORITATIVE;
    record.map_version = 7;
    sees_message(
        MapReply {
            nonce: 5,
            records: vec![record],
            ..MapReply::default()
        },
        &[
            ("lisp.type", "2"),
            ("lisp.records", "1"),
            ("lisp.mapping.ttl", "1440"),
            ("lisp.mapping.loccnt", "2"),
            ("lisp.mapping.eid.masklen", "24"),
            ("lisp.mapping.act", "3"),
            ("lisp.mapping.auth", "1"),
            ("lisp.mapping.ver", "7"),
            ("lisp.lcaf.type", "2"),
            ("lisp.lcaf.iid", "100"),
            ("lisp.lcaf.iid.ipv4", "10.2.0.0"),
            ("lisp.loc.priority", "1,2"),
            ("lisp.loc.weight", "100,50"),
            ("lisp.loc.locator", "192.0.2.7,192.0.2.8"),
            ("lisp.loc.flags.local", "0,1"),
            ("lisp.loc.flags.probe", "0,1"),
            ("lisp.loc.flags.reach", "1,0"),
        ],
    );
}

#[test]
fn tshark_sees_keys_codes_and_the_xtr_of_a_registration() {
    let secret = Secret::new(b"of the site");
    let register = Message::from(MapRegister {
        flags: MapRegisterFlags::PROXY_REPLY | MapRegisterFlags::WANT_NOTIFY,
        nonce: 41,
        authentication: Authentication::with(2, Algorithm::HmacSha256),
        records: vec![
            Record::new(Eid::host(0, v4(10, 2, 0, 5)), 3).locator(Locator::new(
                v4(192, 0, 2, 7),
                1,
                100,
            )),
        ],
        xtr: Some(XtrId {
            xtr_id: 0x0102,
            site_id: 9,
        }),
        ..MapRegister::default()
    });
    let bytes = register.to_signed_bytes(&secret).unwrap();
    let code = lisp::Blob::from(&bytes[16..32]).to_string();
    sees(
        CONTROL_PORT,
        bytes,
        &[
            ("lisp.type", "3"),
            ("lisp.mreg.flags.pmr", "1"),
            ("lisp.mreg.flags.sec", "0"),
            ("lisp.mreg.flags.xtrid", "1"),
            ("lisp.mreg.flags.rtr", "0"),
            ("lisp.mreg.flags.wmn", "1"),
            ("lisp.keyid", "0x0202"),
            ("lisp.authlen", "16"),
            ("lisp.auth", &code),
            ("lisp.mapping.eid.ipv4", "10.2.0.5"),
            ("lisp.xtrid", "00000000000000000000000000000102"),
            ("lisp.siteid", "0000000000000009"),
        ],
    );
    let notify = Message::MapNotify(MapNotify {
        nonce: 41,
        authentication: Authentication::untruncated(0, Algorithm::HmacSha1),
        records: vec![Record::new(Eid::host(0, v4(10, 2, 0, 5)), 3)],
        xtr: Some(XtrId::default()),
        ..MapNotify::default()
    });
    sees_message(
        notify,
        &[
            ("lisp.type", "4"),
            ("lisp.mnot.flags.xtrid", "1"),
            ("lisp.keyid", "0x0001"),
            ("lisp.authlen", "20"),
            ("lisp.xtrid", "00000000000000000000000000000000"),
        ],
    );
}

#[test]
fn tshark_sees_what_is_in_an_encapsulated_message() {
    let asked = MapRequest::new(0x77, Eid::host(0, v4(10, 2, 0, 5)), v4(192, 0, 2, 7));
    let ip = InnerIp::v4(v4(192, 0, 2, 7), v4(10, 2, 0, 5));
    sees_message(
        Encapsulated::new(ip, 4343, asked.clone()),
        &[
            ("lisp.type", "8,1"),
            ("lisp.ecm.flags.sec", "0"),
            ("lisp.nonce", "0x0000000000000077"),
            ("ip.dst", "192.0.2.2,10.2.0.5"),
            ("udp.srcport", "61000,4343"),
            ("lisp.mreq.record.prefix.ipv4", "10.2.0.5"),
        ],
    );
    let ip = InnerIp::v6(
        "2001:db8::7".parse().unwrap(),
        "2001:db8::8".parse().unwrap(),
    );
    sees_message(
        Encapsulated::new(ip, 4343, asked),
        &[
            ("lisp.type", "8,1"),
            ("ipv6.dst", "2001:db8::8"),
            ("lisp.mreq.record.prefix.ipv4", "10.2.0.5"),
        ],
    );
}

#[test]
fn tshark_sees_nat_traversal_lists_and_paths() {
    let nat = NatTraversal {
        ms_port: 4342,
        etr_port: 61001,
        global_etr: v4(203, 0, 113, 9).into(),
        ms: v4(192, 0, 2, 1).into(),
        private_etr: v4(192, 168, 1, 2).into(),
        rtrs: vec![v4(198, 51, 100, 1).into()],
    };
    sees_message(
        Info {
            flags: InfoFlags::REPLY,
            nonce: 3,
            authentication: Authentication::with(0, Algorithm::HmacSha1),
            ttl: 60,
            mask_len: 32,
            eid: v4(10, 2, 0, 5).into(),
            address: Lcaf::from(LcafBody::NatTraversal(nat)).into(),
            ..Info::default()
        },
        &[
            ("lisp.type", "7"),
            ("lisp.info.r", "1"),
            ("lisp.authlen", "12"),
            ("lisp.info.ttl", "60"),
            ("lisp.info.prefix.masklen", "32"),
            ("lisp.info.prefix.ipv4", "10.2.0.5"),
            ("lisp.lcaf.natt.msport", "4342"),
            ("lisp.lcaf.natt.etrport", "61001"),
            (
                "lisp.lcaf.natt.rloc.ipv4",
                "203.0.113.9,192.0.2.1,192.168.1.2,198.51.100.1",
            ),
        ],
    );
    let path = LcafBody::ExplicitPath(vec![
        Hop {
            flags: HopFlags::STRICT | HopFlags::LOOKUP,
            address: v4(192, 0, 2, 1).into(),
        },
        Hop {
            flags: HopFlags::PROBE,
            address: v4(192, 0, 2, 2).into(),
        },
    ]);
    let list = LcafBody::AfiList(vec![v4(192, 0, 2, 3).into(), Mac([2; 6]).into()]);
    let record = Record::new(Eid::host(0, v4(10, 2, 0, 5)), 3)
        .locator(Locator::new(Lcaf::from(path), 1, 100))
        .locator(Locator::new(Lcaf::from(list), 1, 100));
    sees_message(
        MapReply {
            records: vec![record],
            ..MapReply::default()
        },
        &[
            ("lisp.lcaf.type", "10,1"),
            ("lisp.lcaf.elp_hop.ipv4", "192.0.2.1,192.0.2.2"),
            ("lisp.lcaf.elp_hop.flags.local", "1,0"),
            ("lisp.lcaf.elp_hop.flags.probe", "0,1"),
            ("lisp.lcaf_elp_hop.flags.strict", "1,0"),
            ("lisp.lcaf.afi_list.ipv4", "192.0.2.3"),
            ("lisp.lcaf.afi_list.mac", "02:02:02:02:02:02"),
        ],
    );
}

#[test]
fn tshark_sees_the_data_headers() {
    let mut inner = Vec::new();
    PacketBuilder::ipv4([10, 1, 0, 1], [10, 2, 0, 5], 64)
        .udp(1, 2)
        .write(&mut inner, b"hello")
        .unwrap();
    let packet = |header: [u8; 8]| [&header, &*inner].concat();
    let header = DataHeader::new()
        .with_nonce(0xabcdef, true)
        .with_instance(100)
        .with_status(5);
    sees(
        DATA_PORT,
        packet(header.to_bytes()),
        &[
            ("lisp-data.flags.nonce", "1"),
            ("lisp-data.flags.enr", "1"),
            ("lisp-data.flags.iid", "1"),
            ("lisp-data.flags.mv", "0"),
            ("lisp-data.nonce", "11259375"),
            ("lisp-data.iid", "100"),
            ("lisp-data.lsb8", "0x05"),
            ("ip.dst", "192.0.2.2,10.2.0.5"),
        ],
    );
    let header = DataHeader::new().with_map_versions(0x123, 4).with_status(7);
    sees(
        DATA_PORT,
        packet(header.to_bytes()),
        &[
            ("lisp-data.flags.mv", "1"),
            ("lisp-data.srcmapver", "291"),
            ("lisp-data.dstmapver", "4"),
            ("lisp-data.lsb", "0x00000007"),
        ],
    );
    sees(
        GPE_PORT,
        packet(GpeHeader::new(100, NextProtocol::Ipv4).to_bytes()),
        &[
            ("vxlan.vni", "100"),
            ("vxlan.next_proto", "1"),
            ("ip.dst", "192.0.2.2,10.2.0.5"),
        ],
    );
}

fn ip() -> impl Strategy<Value = Address> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| Address::Ipv4(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| Address::Ipv6(octets.into())),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let locator = (ip(), any::<(u8, u8)>())
        .prop_map(|(address, (priority, weight))| Locator::new(address, priority, weight));
    (strategies::eid(), any::<u32>(), vec(locator, 0..5)).prop_map(|(eid, ttl, locators)| Record {
        locators,
        ..Record::new(eid, ttl)
    })
}

/// Replies and registrations with anything that tshark knows all about.
fn known() -> impl Strategy<Value = (u64, Vec<Record>, Message)> {
    let key = 1u8..4;
    (any::<u64>(), vec(record(), 0..5), any::<u8>(), key).prop_map(
        |(nonce, records, which, algorithm)| {
            let message = match which % 3 {
                0 => Message::from(MapReply {
                    nonce,
                    records: records.clone(),
                    ..MapReply::default()
                }),
                1 => Message::from(MapRegister {
                    nonce,
                    authentication: Authentication::with(which, algorithm.into()),
                    records: records.clone(),
                    ..MapRegister::default()
                }),
                _ => Message::MapNotify(MapNotify {
                    nonce,
                    authentication: Authentication::with(which, algorithm.into()),
                    records: records.clone(),
                    ..MapNotify::default()
                }),
            };
            (nonce, records, message)
        },
    )
}

fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(",")
}

#[test]
fn tshark_sees_the_same_in_any_mapping() {
    let mut runner = TestRunner::deterministic();
    let messages: Vec<_> = (0..500)
        .map(|_| known().new_tree(&mut runner).unwrap().current())
        .collect();
    let payloads: Vec<_> = messages
        .iter()
        .map(|(_, _, message)| (CONTROL_PORT, message.to_bytes().unwrap()))
        .collect();
    let mut fields = vec![
        "lisp.nonce",
        "lisp.records",
        "lisp.mapping.ttl",
        "lisp.mapping.eid.masklen",
        "lisp.mapping.eid.ipv4",
        "lisp.mapping.eid.ipv6",
        "lisp.mapping.eid.mac",
        "lisp.lcaf.iid",
        "lisp.lcaf.iid.ipv4",
        "lisp.lcaf.iid.ipv6",
        "lisp.lcaf.iid.mac",
        "lisp.loc.priority",
        "lisp.loc.weight",
        "lisp.loc.locator",
    ];
    fields.extend(COMPLAINTS);
    let rows = tshark(&payloads, &fields);
    for ((nonce, records, message), row) in messages.iter().zip(rows) {
        let eids = |plain: bool, of: fn(EidAddress) -> bool| {
            let eids = records.iter().filter_map(Record::eid);
            let matching = eids.filter(|eid| (eid.instance() == 0) == plain && of(eid.address()));
            joined(matching.map(|eid| eid.address()))
        };
        let is_v4 = |address| matches!(address, EidAddress::Ipv4(_));
        let is_v6 = |address| matches!(address, EidAddress::Ipv6(_));
        let is_mac = |address| matches!(address, EidAddress::Mac(_));
        let locators = || records.iter().flat_map(|record| &record.locators);
        let instances = records.iter().filter_map(Record::eid).map(Eid::instance);
        let mut expected = vec![
            format!("{nonce:#018x}"),
            records.len().to_string(),
            joined(records.iter().map(|record| record.ttl)),
            joined(records.iter().map(|record| record.mask_len)),
            eids(true, is_v4),
            eids(true, is_v6),
            eids(true, is_mac),
            joined(instances.filter(|instance| *instance != 0)),
            eids(false, is_v4),
            eids(false, is_v6),
            eids(false, is_mac),
            joined(locators().map(|locator| locator.priority)),
            joined(locators().map(|locator| locator.weight)),
            joined(locators().filter_map(|locator| locator.address.ip())),
        ];
        expected.extend(COMPLAINTS.map(|_| String::new()));
        assert_eq!(row, expected, "{message:#?}");
    }
}
