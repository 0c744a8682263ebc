//! Messages as bytes and as values, both ways. The bytes were written by hand after the figures of
//! the RFCs, codes and checksums computed with Python's hmac, hashlib and struct.

use std::net::{Ipv4Addr, Ipv6Addr};

use lisp::address::{Address, Mac};
use lisp::auth::{self, Algorithm, AuthError, Authentication, Secret};
use lisp::data::{DataFlags, DataHeader, GpeHeader, NextProtocol};
use lisp::describe::parse_hex;
use lisp::lcaf::{Hop, HopFlags, LcafHeader, NatTraversal};
use lisp::message::{
    EcmFlags, EidFlags, EidRecord, Encapsulated, Info, InfoFlags, Inner, InnerIp, MapNotify,
    MapNotifyFlags, MapReplyFlags, Opaque,
};
use lisp::record::{Action, LocatorFlags, RecordFlags};
use lisp::{
    Blob, DecodeErrorKind, Eid, Lcaf, LcafBody, Locator, MapRegister, MapRegisterFlags, MapReply,
    MapRequest, MapRequestFlags, Message, Record, XtrId,
};

fn bytes(hex: &str) -> Vec<u8> {
    parse_hex(1, hex).unwrap()
}

#[track_caller]
fn same(hex: &str, message: impl Into<Message>) {
    let (bytes, message) = (bytes(hex), message.into());
    assert_eq!(Message::decode(&bytes).unwrap(), message);
    assert_eq!(Blob(message.to_bytes().unwrap()), Blob(bytes));
}

#[track_caller]
fn refused(hex: &str, offset: usize, field: &str, kind: DecodeErrorKind) {
    let error = Message::decode(&bytes(hex)).unwrap_err();
    assert_eq!(
        (error.offset, error.field, error.kind),
        (offset, field, kind)
    );
}

const NONCE: u64 = 0x0011_2233_4455_6677;

fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
}

fn host() -> Eid {
    Eid::host(0, v4(10, 2, 0, 5))
}

fn request() -> MapRequest {
    MapRequest::new(NONCE, host(), v4(192, 0, 2, 7))
}

const XTR: XtrId = XtrId {
    xtr_id: 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f,
    site_id: 9,
};

#[test]
fn a_plain_map_request() {
    let mut asked = request();
    asked.source_eid = v4(10, 1, 0, 1).into();
    same(
        "10000001 0011223344556677 0001 0a010001 0001 c0000207 00 20 0001 0a020005",
        asked,
    );
}

#[test]
fn each_flag_of_a_map_request_has_its_bit() {
    for (word, flags) in [
        ("18000001", MapRequestFlags::AUTHORITATIVE),
        ("12000001", MapRequestFlags::PROBE),
        ("11000001", MapRequestFlags::SMR),
        ("10800001", MapRequestFlags::PITR),
        ("10400001", MapRequestFlags::SMR_INVOKED),
        ("10004001", MapRequestFlags::LOCAL_XTR),
        ("10002001", MapRequestFlags::DONT_MAP_REPLY),
        ("10200001", MapRequestFlags::from_bits_retain(0x0020_0000)),
    ] {
        let message = MapRequest { flags, ..request() };
        let rest = "0011223344556677 0000 0001 c0000207 00 20 0001 0a020005";
        same(&format!("{word} {rest}"), message);
    }
}

#[test]
fn a_subscription_from_an_xtr_with_two_addresses_in_an_instance() {
    let mut asked = MapRequest::new(NONCE, Eid::host(100, v4(10, 2, 0, 5)), v4(192, 0, 2, 7));
    asked.itr_rlocs.push(v6(1).into());
    asked.records[0].flags = EidFlags::NOTIFY;
    asked.xtr = Some(XTR);
    same(
        "10100101 0011223344556677 0000 \
         0001 c0000207 0002 20010db8000000000000000000000001 \
         80 20 4003 0000 0200 000a 00000064 0001 0a020005 \
         000102030405060708090a0b0c0d0e0f 0000000000000009",
        asked,
    );
}

#[test]
fn a_subscription_ends_with_a_single_locator_that_is_none() {
    let mut asked = request();
    asked.itr_rlocs = vec![Address::None];
    asked.records[0].flags = EidFlags::NOTIFY;
    asked.xtr = Some(XTR);
    same(
        "10100001 0011223344556677 0000 0000 80 20 0001 0a020005 \
         000102030405060708090a0b0c0d0e0f 0000000000000009",
        asked,
    );
}

#[test]
fn a_map_request_with_the_senders_own_mapping() {
    let mut asked = request();
    asked.flags = MapRequestFlags::SMR_INVOKED;
    asked.reply = Some(
        Record::new(Eid::new(0, v4(10, 1, 0, 0), 16), 15).locator(Locator::new(v6(7), 1, 100)),
    );
    same(
        "14400001 0011223344556677 0000 0001 c0000207 00 20 0001 0a020005 \
         0000000f 01 10 0000 0000 0001 0a010000 \
         01 64 ff 00 0001 0002 20010db8000000000000000000000007",
        asked,
    );
}

#[test]
fn a_negative_map_reply_says_what_to_do_and_for_how_long() {
    let mut record = Record::new(Eid::new(0, v4(10, 2, 0, 0), 24), 15);
    record.action = Action::NativelyForward;
    record.flags = RecordFlags::AUTHORITATIVE;
    same(
        "20000001 0011223344556677 0000000f 00 18 3000 0000 0001 0a020000",
        MapReply {
            nonce: NONCE,
            records: vec![record],
            ..MapReply::default()
        },
    );
}

#[test]
fn the_actions_of_rfc_9301_have_their_numbers() {
    let actions = [
        Action::None,
        Action::NativelyForward,
        Action::SendMapRequest,
        Action::Drop,
        Action::DropByPolicy,
        Action::DropUnauthenticated,
        Action::Other(6),
        Action::Other(7),
    ];
    for (number, action) in actions.into_iter().enumerate() {
        let mut record = Record::new(Eid::new(0, v6(0), 64), 1);
        record.action = action;
        let word = number << 13;
        let rest = "0000 0002 20010db8000000000000000000000000";
        same(
            &format!("20000001 0011223344556677 00000001 00 40 {word:04x} {rest}"),
            MapReply {
                nonce: NONCE,
                records: vec![record],
                ..MapReply::default()
            },
        );
    }
}

#[test]
fn a_map_reply_with_every_kind_of_flag_and_a_mac() {
    let mut locator = Locator::new(v4(192, 0, 2, 8), 255, 0);
    locator.flags = LocatorFlags::LOCAL | LocatorFlags::PROBED | LocatorFlags::REACHABLE;
    locator.multicast_priority = 3;
    locator.multicast_weight = 4;
    let mut record = Record::new(Eid::host(9, Mac([2, 0, 0, 0, 0, 9])), Record::FOREVER);
    record.map_version = 0xabc;
    same(
        "2e000001 0011223344556677 \
         ffffffff 01 30 0000 0abc 4003 0000 0200 000c 00000009 4005 020000000009 \
         ff 00 03 04 0007 0001 c0000208 beef",
        MapReply {
            flags: MapReplyFlags::PROBE | MapReplyFlags::ECHO_NONCE,
            nonce: NONCE,
            records: vec![record.locator(locator)],
            security: Some(Blob(vec![0xbe, 0xef])),
        },
    );
}

fn registered() -> Record {
    let mut locator = Locator::new(v4(192, 0, 2, 7), 1, 100);
    locator.flags |= LocatorFlags::LOCAL;
    let mut record = Record::new(Eid::host(100, v4(10, 2, 0, 5)), 15).locator(locator);
    record.flags = RecordFlags::AUTHORITATIVE;
    record
}

const RECORD: &str = "0000000f 01 20 1000 0000 4003 0000 0200 000a 00000064 0001 0a020005 \
                      01 64 ff 00 0005 0001 c0000207";
const XTR_HEX: &str = "000102030405060708090a0b0c0d0e0f 0000000000000009";

fn register(authentication: Authentication) -> MapRegister {
    MapRegister {
        flags: MapRegisterFlags::PROXY_REPLY
            | MapRegisterFlags::MERGE
            | MapRegisterFlags::WANT_NOTIFY,
        nonce: 41,
        authentication,
        records: vec![registered()],
        xtr: Some(XTR),
        trailing: Blob::default(),
    }
}

/// Decodes, verifies, and signs anew.
#[track_caller]
fn authentic(hex: &str, message: impl Into<Message>) {
    let secret = Secret::new(b"of the site");
    let (mut bytes, message) = (bytes(hex), message.into());
    assert_eq!(
        Blob(message.to_signed_bytes(&secret).unwrap()),
        Blob::from(&*bytes)
    );
    assert!(Message::decode(&bytes).is_ok());
    let claim = auth::verify(&bytes, &secret).unwrap();
    assert_eq!(
        claim.nonce,
        u64::from_be_bytes(*bytes[4..].first_chunk().unwrap())
    );
    bytes[16] ^= 1;
    assert_eq!(auth::verify(&bytes, &secret), Err(AuthError::Mismatch));
}

#[test]
fn a_registration_of_rfc_6830s_time_has_the_whole_sha_1_and_no_nonce() {
    let code = "0d84fa648a9e246a949e40fa6bc7c07336d93f63";
    authentic(
        &format!("38000101 0000000000000000 0001 0014 {code} {RECORD}"),
        MapRegister {
            flags: MapRegisterFlags::PROXY_REPLY | MapRegisterFlags::WANT_NOTIFY,
            nonce: 0,
            xtr: None,
            ..register(Authentication::untruncated(0, Algorithm::HmacSha1))
        },
    );
}

#[test]
fn a_registration_with_each_algorithm() {
    use Algorithm::{HmacSha1, HmacSha256, HmacSha256Hkdf};
    for (header, code, authentication) in [
        (
            "0001 000c",
            "d8722a7b49b053bc4b72bc87",
            Authentication::with(0, HmacSha1),
        ),
        (
            "0202 0010",
            "ba4882e9ea982f5e6075720186c42574",
            Authentication::with(2, HmacSha256),
        ),
        (
            "0202 0020",
            "1f6fe8155f48485d3696dba6ed1bedb59067843b64872dde130c6f78483acdf3",
            Authentication::untruncated(2, HmacSha256),
        ),
        (
            "0203 0010",
            "8113c3e6e00d2b4712241425ceeaf8ba",
            Authentication::with(2, HmacSha256Hkdf),
        ),
    ] {
        authentic(
            &format!("3a000501 0000000000000029 {header} {code} {RECORD} {XTR_HEX}"),
            register(authentication),
        );
    }
}

#[test]
fn a_notification_and_its_acknowledgement_have_keys_of_their_own() {
    let notify = MapNotify {
        nonce: 41,
        authentication: Authentication::with(2, Algorithm::HmacSha256Hkdf),
        records: vec![registered()],
        ..MapNotify::default()
    };
    let code = "91eaa805945cefbf56ddc4cd648fd658";
    authentic(
        &format!("40000001 0000000000000029 0203 0010 {code} {RECORD}"),
        Message::MapNotify(notify.clone()),
    );
    let code = "5301513c0cd94c00b832f9bf24db5168";
    authentic(
        &format!("50000001 0000000000000029 0203 0010 {code} {RECORD}"),
        Message::MapNotifyAck(notify),
    );
}

#[test]
fn what_cannot_be_authenticated_is_named() {
    let secret = Secret::new(b"of the site");
    let verify = |hex: &str| auth::verify(&bytes(hex), &secret).unwrap_err();
    assert_eq!(verify(""), AuthError::Truncated);
    assert_eq!(
        verify("10000001 0011223344556677 0000 0000"),
        AuthError::Type { kind: 1 }
    );
    assert_eq!(
        verify("30000000 0000000000000029 0000 0000"),
        AuthError::Missing
    );
    assert_eq!(
        verify("30000000 0000000000000029 0009 0000"),
        AuthError::Algorithm { algorithm: 9 }
    );
    assert_eq!(
        verify("30000000 0000000000000029 0001 0014 00"),
        AuthError::Truncated
    );
    // A short code would be guessed soon.
    let algorithm = Algorithm::HmacSha256;
    for length in [0, 1, 15, 17, 31] {
        let data = "00".repeat(length);
        assert_eq!(
            verify(&format!(
                "30000000 0000000000000029 0002 {length:04x} {data}"
            )),
            AuthError::Length { algorithm, length }
        );
    }
    let data = "00".repeat(16);
    assert_eq!(
        verify(&format!("70000000 0000000000000029 0003 0010 {data}")),
        AuthError::Derivation { kind: 7 }
    );
}

#[test]
fn each_flag_of_registrations_and_notifications_has_its_bit() {
    let rest = "0000000000000029 0000 0000";
    for (word, flags) in [
        ("38000000", MapRegisterFlags::PROXY_REPLY),
        ("34000000", MapRegisterFlags::SECURITY_CAPABLE),
        ("31000000", MapRegisterFlags::RTR),
        ("30001000", MapRegisterFlags::EID_NOTIFY),
        ("30000800", MapRegisterFlags::USE_TTL),
        ("30000400", MapRegisterFlags::MERGE),
        ("30000100", MapRegisterFlags::WANT_NOTIFY),
    ] {
        let nonce = 41;
        same(
            &format!("{word} {rest}"),
            MapRegister {
                flags,
                nonce,
                ..MapRegister::default()
            },
        );
    }
    let mut notify = MapNotify {
        nonce: 41,
        flags: MapNotifyFlags::RTR,
        trailing: Blob(vec![7, 8]),
        ..MapNotify::default()
    };
    same(
        &format!("44000000 {rest} 0708"),
        Message::MapNotify(notify.clone()),
    );
    notify.xtr = Some(XTR);
    same(
        &format!("4c000000 {rest} {XTR_HEX} 0708"),
        Message::MapNotify(notify),
    );
}

#[test]
fn an_encapsulated_map_request_over_ipv4_and_ipv6() {
    let mut asked = request();
    asked.source_eid = v4(10, 1, 0, 1).into();
    let inner = "10000001 0011223344556677 0001 0a010001 0001 c0000207 00 20 0001 0a020005";
    let ip = InnerIp::V4 {
        source: v4(192, 0, 2, 7),
        destination: v4(10, 2, 0, 5),
        traffic_class: 0xc0,
        ttl: 64,
        identification: 1,
        dont_fragment: true,
        options: Blob::default(),
    };
    let ipv4 = "45c0003c0001400040116de2c00002070a020005";
    same(
        &format!("80000000 {ipv4} 123410f600285d20 {inner}"),
        Encapsulated::new(ip.clone(), 0x1234, asked.clone()),
    );
    let mut from_ddt = Encapsulated::new(InnerIp::v6(v6(7), v6(8)), 0x1234, asked.clone());
    from_ddt.flags = EcmFlags::DDT;
    same(
        &format!(
            "84000000 60000000002811 40 20010db8000000000000000000000007 \
             20010db8000000000000000000000008 123410f60028cdad {inner}"
        ),
        from_ddt,
    );
    let packet = Inner::Packet {
        ip,
        source_port: 0x1234,
        destination_port: 4342,
        udp_checksum: false,
        message: Box::new(asked.into()),
    };
    same(
        &format!("80000000 {ipv4} 123410f600280000 {inner}"),
        Encapsulated {
            flags: EcmFlags::empty(),
            inner: packet,
        },
    );
    same(
        "88000000 0102030405",
        Encapsulated {
            flags: EcmFlags::empty(),
            inner: Inner::Secured(Blob(vec![1, 2, 3, 4, 5])),
        },
    );
    use DecodeErrorKind::{Checksum, Length, Trailing, Value};
    let (found, computed) = (0x5d21, 0x5d20);
    refused(
        &format!("80000000 {ipv4} 123410f600285d21 {inner}"),
        24,
        "inner UDP checksum",
        Checksum { found, computed },
    );
    refused(
        &format!("80000000 {ipv4} 123410f600295d20 {inner}"),
        24,
        "inner UDP length",
        Length { length: 0x29 },
    );
    refused(
        &format!("80000000 {ipv4} 123410f600285d20 {inner} 00"),
        64,
        "inner packet",
        Trailing { count: 1 },
    );
    refused(
        "80000000 55c0003c0001400040116de2c00002070a020005",
        4,
        "inner IP version",
        Value { value: 5 },
    );
    refused(
        "80000000 45c0003c0001600040114de2c00002070a020005",
        4,
        "inner IPv4 fragment",
        Value { value: 0x6000 },
    );
}

#[test]
fn an_info_request_and_its_reply() {
    let asked = Info {
        nonce: NONCE,
        authentication: Authentication {
            data: Blob(vec![7; 12]),
            ..Authentication::with(0, Algorithm::HmacSha1)
        },
        ttl: 60,
        mask_len: 32,
        eid: v4(10, 2, 0, 5).into(),
        ..Info::default()
    };
    let start = "0011223344556677 0001 000c 070707070707070707070707 \
                 0000003c 00 20 0001 0a020005";
    same(&format!("70000000 {start} 0000"), asked.clone());
    let nat = NatTraversal {
        ms_port: 4342,
        etr_port: 61001,
        global_etr: v4(203, 0, 113, 9).into(),
        ms: v4(192, 0, 2, 1).into(),
        private_etr: v4(192, 168, 1, 2).into(),
        rtrs: vec![v4(198, 51, 100, 1).into(), v6(5).into()],
    };
    same(
        &format!(
            "78000000 {start} 4003 0000 0700 002e 10f6 ee49 0001 cb007109 0001 c0000201 \
             0001 c0a80102 0001 c6336401 0002 20010db8000000000000000000000005"
        ),
        Info {
            flags: InfoFlags::REPLY,
            address: Lcaf::from(LcafBody::NatTraversal(nat)).into(),
            ..asked
        },
    );
}

/// A Map-Request whose source EID is the address.
#[track_caller]
fn same_address(hex: &str, address: impl Into<Address>) {
    let mut asked = request();
    asked.source_eid = address.into();
    same(
        &format!("10000001 0011223344556677 {hex} 0001 c0000207 00 20 0001 0a020005"),
        asked,
    );
}

#[test]
fn structured_addresses() {
    same_address("0011 786d3100", Address::Name(Blob(b"xm1".to_vec())));
    same_address(
        "4003 0000 0100 0020 0001 c0000201 0002 20010db8000000000000000000000001 4005 020000000001",
        Lcaf::from(LcafBody::AfiList(vec![
            v4(192, 0, 2, 1).into(),
            v6(1).into(),
            Mac([2, 0, 0, 0, 0, 1]).into(),
        ])),
    );
    same_address(
        "4003 0000 0a00 0010 0005 0001 c0000201 0002 0001 c0000202",
        Lcaf::from(LcafBody::ExplicitPath(vec![
            Hop {
                flags: HopFlags::LOOKUP | HopFlags::STRICT,
                address: v4(192, 0, 2, 1).into(),
            },
            Hop {
                flags: HopFlags::PROBE,
                address: v4(192, 0, 2, 2).into(),
            },
        ])),
    );
    // A geographic position is kept as it is, and so is a list with a family that is not known.
    same_address(
        "4003 0000 0500 0006 010203040506",
        Lcaf::from(LcafBody::Opaque {
            kind: 5,
            data: Blob(vec![1, 2, 3, 4, 5, 6]),
        }),
    );
    same_address(
        "4003 0000 0100 000a 0012 0000fde8 0000 ffff",
        Lcaf::from(LcafBody::Opaque {
            kind: 1,
            data: Blob(bytes("0012 0000fde8 0000 ffff")),
        }),
    );
    same_address(
        "4003 0102 0218 000a 00000064 0001 0a020005",
        Lcaf {
            header: LcafHeader {
                reserved1: 1,
                flags: 2,
                reserved2: 24,
            },
            ..Lcaf::instance(100, v4(10, 2, 0, 5))
        },
    );
}

#[test]
fn malformed_messages_say_which_field_is_wrong_and_where() {
    use DecodeErrorKind::{AddressFamily, MaskLength, Trailing, Truncated, Value};
    refused("", 0, "message header", Truncated { need: 4, have: 0 });
    refused("90000000", 0, "message type", Value { value: 9 });
    refused("00000000", 0, "message type", Value { value: 0 });
    let good = "10000001 0011223344556677 0000 0001 c0000207 00 20 0001 0a020005";
    refused(
        &format!("{good} 00"),
        28,
        "Map-Request",
        Trailing { count: 1 },
    );
    refused(
        &good.replace("0000 0001 c0", "0012 0001 c0"),
        12,
        "source EID",
        AddressFamily { afi: 18 },
    );
    let (length, limit) = (33, 32);
    refused(
        &good.replace("00 20", "00 21"),
        22,
        "EID prefix",
        MaskLength { length, limit },
    );
    refused(
        &good.replace("10000001", "10001f01"),
        20,
        "ITR-RLOC",
        AddressFamily { afi: 0x20 },
    );
    // An instance id that is longer than its LCAF, and one that is shorter.
    let instance = "10000000 0011223344556677 4003 0000 0200";
    refused(
        &format!("{instance} 0008 00000064 0001 0a020005 0000"),
        26,
        "address in the instance",
        Truncated { need: 4, have: 2 },
    );
    refused(
        &format!("{instance} 000b 00000064 0001 0a020005 ff 0000"),
        30,
        "LCAF",
        Trailing { count: 1 },
    );
    refused(
        "30000000 0000000000000029 0001 ffff 00",
        16,
        "authentication data",
        Truncated {
            need: 0xffff,
            have: 1,
        },
    );
}

#[test]
fn other_types_are_kept_as_they_are() {
    for hex in ["60000001 0011223344556677", "f1000000"] {
        let data = Blob(bytes(hex));
        same(hex, Message::Opaque(Opaque { data }));
    }
}

#[test]
fn the_fields_of_an_eid_record_are_what_was_asked() {
    let record = EidRecord::from(Eid::host(3, v6(1)));
    assert_eq!(record.eid(), Some(Eid::host(3, v6(1))));
    assert_eq!(record.mask_len, 128);
}

#[test]
fn data_headers_of_rfc_9300_and_rfc_9305() {
    let decode = |hex: &str| DataHeader::decode(&bytes(hex)).unwrap().0;
    let with_nonce = DataHeader::new()
        .with_nonce(0xabcdef, false)
        .with_instance(100);
    assert_eq!(decode("88abcdef00006400"), with_nonce);
    assert_eq!(
        decode("e0abcdef00000005"),
        DataHeader::new().with_nonce(0xabcdef, true).with_status(5)
    );
    assert_eq!(
        decode("5812300400006407"),
        DataHeader::new()
            .with_map_versions(0x123, 4)
            .with_instance(100)
            .with_status(7)
    );
    let gpe = DataHeader::new()
        .with_protocol(NextProtocol::Ethernet)
        .with_nonce(0xbeef, false);
    assert_eq!(decode("84beef0300000000"), gpe);
    assert_eq!(decode("8300000100000000").key_id(), 3);
    // With both a nonce and map-versions said, the nonce counts.
    let both = decode("9012300400000000");
    assert_eq!(both.nonce(), Some(0x123004));
    assert_eq!(both.map_versions(), None);
    // E without N says nothing.
    assert!(!decode("2000000000000000").echo());
    assert!(decode("e000000000000000").flags().contains(DataFlags::ECHO));
    assert!(DataHeader::decode(&[0; 7]).is_err());
}

#[test]
fn vxlan_gpe_headers() {
    let (header, payload) = GpeHeader::decode(&[0x0c, 0, 0, 1, 0, 0, 100, 0, 0x45]).unwrap();
    assert_eq!(header, GpeHeader::new(100, NextProtocol::Ipv4));
    assert_eq!((header.vni(), payload), (Some(100), &[0x45][..]));
    let (plain, _) = GpeHeader::decode(&[8, 0, 0, 0, 0, 0, 100, 0]).unwrap();
    assert_eq!(plain.protocol(), NextProtocol::Ethernet);
    let error = GpeHeader::decode(&[0x1c, 0, 0, 1, 0, 0, 100, 0]).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Value { value: 1 });
}
