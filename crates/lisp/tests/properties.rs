//! What holds for every message and for every sequence of bytes.

mod strategies;

use lisp::auth::{self, Algorithm, AuthError, Authentication, Secret};
use lisp::data::{DataHeader, GpeHeader, NextProtocol};
use lisp::message::{Encapsulated, Inner, InnerIp, Question};
use lisp::{
    Address, Blob, DecodeErrorKind, Eid, EncodeError, Lcaf, MAX_DEPTH, MapRequest, Message, Record,
};
use proptest::prelude::*;
use std::net::Ipv4Addr;
use strategies::{
    eid, encapsulated, info, map_notify, map_register, map_reply, map_request, message,
};

/// Decodes without panic, shows without panic, and gives the same bytes again.
fn sound(bytes: &[u8]) -> Result<(), TestCaseError> {
    match Message::decode(bytes) {
        Ok(decoded) => {
            let again = decoded
                .to_bytes()
                .map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(Blob(again), Blob::from(bytes), "{:#?}", decoded);
            prop_assert!(serde_json::to_string(&decoded).is_ok());
        }
        Err(error) => prop_assert!(error.offset <= bytes.len(), "{error}"),
    }
    if let Some(question) = Question::read(bytes) {
        prop_assert_eq!(asked(bytes), Some(question));
    }
    Ok(())
}

/// What a plain question says, read the long way.
fn asked(bytes: &[u8]) -> Option<Question> {
    let Ok(Message::Encapsulated(ecm)) = Message::decode(bytes) else {
        return None;
    };
    let Inner::Packet {
        source_port,
        message,
        ..
    } = ecm.inner
    else {
        return None;
    };
    let Message::MapRequest(request) = *message else {
        return None;
    };
    Some(Question {
        nonce: request.nonce,
        eid: request.records.first()?.eid()?,
        rloc: request.itr_rlocs.first()?.ip()?,
        port: source_port,
    })
}

fn there_and_back(message: Message) -> Result<(), TestCaseError> {
    let bytes = message.to_bytes().unwrap();
    prop_assert_eq!(&Message::decode(&bytes).unwrap(), &message);
    prop_assert!(serde_json::to_string(&message).is_ok());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(1000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_map_request_is_decoded_as_it_was_encoded(body in map_request()) {
        there_and_back(body.into())?;
    }

    #[test]
    fn a_map_reply_is_decoded_as_it_was_encoded(body in map_reply()) {
        there_and_back(body.into())?;
    }

    #[test]
    fn a_map_register_is_decoded_as_it_was_encoded(body in map_register()) {
        there_and_back(body.into())?;
    }

    #[test]
    fn a_map_notify_and_its_ack_are_decoded_as_they_were_encoded(body in map_notify()) {
        there_and_back(Message::MapNotify(body.clone()))?;
        there_and_back(Message::MapNotifyAck(body))?;
    }

    #[test]
    fn an_info_message_is_decoded_as_it_was_encoded(body in info()) {
        there_and_back(body.into())?;
    }

    #[test]
    fn an_encapsulated_message_is_decoded_as_it_was_encoded(body in encapsulated(message())) {
        there_and_back(body.into())?;
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(
        first in any::<u8>(),
        rest in prop::collection::vec(prop_oneof![2 => any::<u8>(), 3 => 0u8..3], 3..300),
    ) {
        let mut bytes = vec![first];
        bytes.extend(rest);
        sound(&bytes)?;
    }

    #[test]
    fn a_damaged_message_is_a_message_or_an_error(
        message in message(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = message.to_bytes().unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        sound(&bytes)?;
        let _ = auth::verify(&bytes, &Secret::new(b"secret"));
    }

    #[test]
    fn a_message_without_its_end_is_an_error_or_one_that_keeps_unread_bytes(
        body in map_request(),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = Message::from(body).to_bytes().unwrap();
        let short = &bytes[..cut.index(bytes.len())];
        let error = Message::decode(short).unwrap_err();
        prop_assert!(matches!(error.kind, DecodeErrorKind::Truncated { .. }), "{error}");
    }

    #[test]
    fn what_is_signed_is_verified_and_nothing_else(
        mut register in map_register(),
        algorithm in 1u8..4,
        whole in any::<bool>(),
        flip in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let secret = Secret::new(b"of the site");
        let algorithm = Algorithm::from(algorithm);
        register.authentication = match whole {
            true => Authentication::untruncated(3, algorithm),
            false => Authentication::with(3, algorithm),
        };
        let mut bytes = Message::from(register).to_signed_bytes(&secret).unwrap();
        let claim = auth::verify(&bytes, &secret).unwrap();
        prop_assert_eq!((claim.key_id, claim.algorithm), (3, algorithm));
        prop_assert_eq!(
            auth::verify(&bytes, &Secret::new(b"of another")),
            Err(AuthError::Mismatch)
        );
        let at = flip.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(auth::verify(&bytes, &secret).is_err(), "byte {at}");
    }

    #[test]
    fn an_identifier_is_read_as_it_was_written(eid in eid()) {
        prop_assert_eq!(Eid::read(&eid.to_address(), eid.length()), Some(eid));
        prop_assert_eq!(Record::new(eid, 1).eid(), Some(eid));
    }

    #[test]
    fn any_data_header_comes_back_as_it_was(bytes in any::<[u8; 12]>()) {
        let (header, payload) = DataHeader::decode(&bytes).unwrap();
        prop_assert_eq!(&[&header.to_bytes(), payload].concat(), &bytes);
        prop_assert!(serde_json::to_string(&header).is_ok());
        prop_assert!(!(header.nonce().is_some() && header.map_versions().is_some()));
        if let Ok((header, payload)) = GpeHeader::decode(&bytes) {
            prop_assert_eq!(&[&header.to_bytes(), payload].concat(), &bytes);
            prop_assert!(serde_json::to_string(&header).is_ok());
        }
    }

    #[test]
    fn a_data_header_says_what_was_put_in(
        nonce in 0u32..1 << 16,
        versions in (0u16..256, 0u16..256),
        instance in 0u32..1 << 24,
        status in 0u32..256,
        gpe in any::<bool>(),
    ) {
        let empty = match gpe {
            true => DataHeader::new().with_protocol(NextProtocol::Ethernet),
            false => DataHeader::new(),
        };
        let header = empty.with_nonce(nonce, true).with_instance(instance).with_status(status);
        prop_assert_eq!(header.nonce(), Some(nonce));
        prop_assert!(header.echo());
        prop_assert_eq!(header.instance(), Some(instance));
        prop_assert_eq!(header.status(), Some((status, 8)));
        prop_assert_eq!(header.protocol(), gpe.then_some(NextProtocol::Ethernet));
        let header = header.with_map_versions(versions.0, versions.1);
        prop_assert_eq!(header.map_versions(), Some(versions));
        prop_assert_eq!(header.nonce(), None);
        prop_assert_eq!(header.instance(), Some(instance));
    }
}

fn nested_address(levels: u8) -> Address {
    (0..levels).fold(Address::Ipv4(Ipv4Addr::LOCALHOST), |inner, _| {
        Lcaf::instance(1, inner).into()
    })
}

#[test]
fn addresses_in_addresses_are_followed_to_a_limit() {
    let asks = |address| {
        let eid = Eid::host(0, Ipv4Addr::LOCALHOST);
        Message::from(MapRequest::new(1, eid, address))
    };
    let deep = asks(nested_address(MAX_DEPTH));
    assert_eq!(Message::decode(&deep.to_bytes().unwrap()).unwrap(), deep);
    let limit = MAX_DEPTH;
    assert_eq!(
        asks(nested_address(MAX_DEPTH + 1)).to_bytes(),
        Err(EncodeError::Depth { limit })
    );
    // By hand: a list in a list in a list, each with its length.
    let mut address = vec![0, 0];
    for _ in 0..5000 {
        let length = (address.len() as u16).to_be_bytes();
        let mut around = vec![0x40, 0x03, 0, 0, 1, 0, length[0], length[1]];
        around.extend(address);
        address = around;
    }
    let mut bytes = vec![0x10, 0, 0, 0];
    bytes.extend([0; 8]);
    bytes.extend(address);
    bytes.extend([0, 0]);
    let error = Message::decode(&bytes).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Depth { limit });
}

#[test]
fn messages_in_messages_are_followed_to_a_limit() {
    let eid = Eid::host(0, Ipv4Addr::LOCALHOST);
    let mut message = Message::from(MapRequest::new(1, eid, Ipv4Addr::LOCALHOST));
    let ip = InnerIp::v4(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST);
    for _ in 0..MAX_DEPTH {
        message = Encapsulated::new(ip.clone(), 4342, message).into();
    }
    let bytes = message.to_bytes().unwrap();
    assert_eq!(Message::decode(&bytes).unwrap(), message);
    let mut deeper = vec![0x80, 0, 0, 0];
    let total = (bytes.len() as u16 + 28).to_be_bytes();
    let udp = (bytes.len() as u16 + 8).to_be_bytes();
    let mut header = [
        69, 0, total[0], total[1], 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1,
    ];
    let checksum = etherparse::Ipv4HeaderSlice::from_slice(&header)
        .unwrap()
        .to_header()
        .calc_header_checksum();
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    deeper.extend(header);
    deeper.extend([0x10, 0xf6, 0x10, 0xf6, udp[0], udp[1], 0, 0]);
    deeper.extend(&bytes);
    let error = Message::decode(&deeper).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Depth { limit: MAX_DEPTH });
}

#[test]
fn a_count_makes_no_room_for_what_is_not_there() {
    // 255 records with 255 locators each are claimed, and nothing follows.
    let error = Message::decode(&[0x20, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "record TTL at byte 12: cut off: 4 bytes are needed and 0 are there; \
         give the whole UDP payload"
    );
}
