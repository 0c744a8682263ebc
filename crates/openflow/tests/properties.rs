//! What holds for every message and for every sequence of bytes.

mod strategies;

use openflow::{Blob, Message};
use proptest::prelude::*;
use strategies::message;

/// Decodes without panic, shows without panic, and gives the same bytes again.
fn sound(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok((decoded, length)) = Message::decode(bytes) {
        let again = decoded
            .to_bytes()
            .map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(Blob(again), Blob::from(&bytes[..length]), "{:#?}", decoded);
        prop_assert!(serde_json::to_string(&decoded).is_ok());
    }
    Ok(())
}

/// Makes the header fit, so that the body is what is tested.
fn framed(mut bytes: Vec<u8>) -> Vec<u8> {
    if let [_, _, high, low, ..] = bytes.as_mut_slice() {
        [*high, *low] = [0, 0];
    }
    let length = (bytes.len() as u16).to_be_bytes();
    bytes[2..4].copy_from_slice(&length);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(3000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_encoded_is_decoded(message in message()) {
        let bytes = message.to_bytes().unwrap();
        let (decoded, length) = Message::decode(&bytes).unwrap();
        prop_assert_eq!(length, bytes.len());
        prop_assert_eq!(&decoded, &message);
        prop_assert!(serde_json::to_string(&decoded).is_ok());
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(
        version in 3u8..6,
        kind in 0u8..36,
        rest in prop::collection::vec(prop_oneof![3 => any::<u8>(), 2 => Just(0u8)], 4..300),
    ) {
        let mut bytes = vec![version, kind, 0, 0];
        bytes.extend(rest);
        sound(&framed(bytes))?;
    }

    #[test]
    fn bytes_without_any_form_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        sound(&bytes)?;
    }

    #[test]
    fn a_damaged_message_is_a_message_or_an_error(
        message in message(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
        version in prop_oneof![3 => Just(4u8), 1 => Just(5u8)],
    ) {
        let mut bytes = message.to_bytes().unwrap();
        bytes[0] = version;
        if bytes.len() > 8 {
            for (at, value) in changes {
                let at = 8 + at.index(bytes.len() - 8);
                bytes[at] = value;
            }
            if cuts {
                bytes.truncate(8 + cut.index(bytes.len() - 8));
            }
        }
        sound(&framed(bytes))?;
    }
}

/// An action of OVS in an action of OVS in an action of OVS.
fn nested(depth: usize) -> Vec<u8> {
    let mut action = Vec::new();
    for _ in 0..depth {
        let length = (action.len() as u16 + 16).to_be_bytes();
        let mut around = vec![0xff, 0xff, length[0], length[1], 0, 0, 0x23, 0x20, 0, 42];
        around.resize(16, 0);
        around.extend(action);
        action = around;
    }
    let length = (action.len() as u16).to_be_bytes();
    let mut packet_out = vec![4, 13, 0, 0, 0, 0, 0, 1];
    packet_out.extend([0xff; 8]);
    packet_out.extend([length[0], length[1], 0, 0, 0, 0, 0, 0]);
    packet_out.extend(action);
    framed(packet_out)
}

#[test]
fn nesting_without_end_is_carried_as_bytes() {
    for depth in [1, 15, 16, 17, 18, 100, 4000] {
        let bytes = nested(depth);
        let (message, _) = Message::decode(&bytes).unwrap();
        assert_eq!(message.to_bytes().unwrap(), bytes, "depth {depth}");
        assert!(serde_json::to_string(&message).is_ok());
    }
}

#[test]
fn bundles_in_bundles_without_end_are_refused() {
    let mut message = vec![5, 20, 0, 8, 0, 0, 0, 1];
    for _ in 0..4000 {
        let mut around = vec![5, 34, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        around.extend(message);
        message = framed(around);
    }
    assert!(Message::decode(&message).is_err());
}
