//! The diagnosis tool: hex lines in, JSON or the same bytes out.

mod support;

use serde_json::Value;
use std::path::Path;
use support::{fails, transhume};

/// A hello, a barrier, and a flow that a real switch would take: table 1, priority 100, from port
/// 1, output to port 2.
const LINES: [&str; 3] = [
    "0400001000000001000100080000 0010",
    "0414000800000002",
    "040e005800000003000000000000000700000000000000000100000000000064ffffffffffffffffffffffff\
     000000000001000c80000004000000010000000000040018000000000000001000000002ffff000000000000",
];

fn decode(arguments: &[&str], input: &str) -> (bool, String, String) {
    decode_as("openflow", arguments, input)
}

fn decode_as(protocol: &str, arguments: &[&str], input: &str) -> (bool, String, String) {
    let mut command = transhume(Path::new("/"));
    command
        .args(["decode", protocol])
        .args(arguments)
        .write_stdin(input);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn what_was_understood_encodes_to_the_same_bytes() {
    let input = LINES.join("\n");
    let (good, hex, errors) = decode(&["--reencode"], &input);
    assert!(good, "{errors}");
    assert_eq!(hex, format!("{}\n", input.replace(' ', "")));
}

#[test]
fn each_message_is_a_line_of_json() {
    let (good, text, errors) = decode(&[], &LINES.join("\n"));
    assert!(good, "{errors}");
    let messages: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let types: Vec<&str> = messages
        .iter()
        .map(|message| message["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["hello", "barrier_request", "flow_mod"]);
}

#[test]
fn a_bad_line_is_named_the_others_are_printed_and_the_command_fails() {
    let (good, text, errors) = decode(&[], "0414000800000002\nff\n0414000800000003\n");
    assert!(!good);
    assert_eq!(text.lines().count(), 2);
    assert!(errors.starts_with("error: line 2"), "{errors}");
}

#[test]
fn a_file_can_be_read_and_a_missing_one_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("captured.hex");
    std::fs::write(&file, LINES[1]).unwrap();
    let (good, text, _) = decode(&["--reencode", file.to_str().unwrap()], "");
    assert!(good && text == format!("{}\n", LINES[1]));
    let mut missing = transhume(folder.path());
    let (code, stderr) = fails(missing.args(["decode", "openflow", "/nonexistent.hex"]));
    assert!(
        code == 2 && stderr.contains("cannot read /nonexistent.hex"),
        "{stderr}"
    );
}

/// A Map-Request and a negative Map-Reply.
const LISP: [&str; 2] = [
    "100000010011223344556677 0000 0001c0000207 00200001 0a020005",
    "200000010011223344556677 0000000f 0018300000000001 0a020000",
];

#[test]
fn lisp_messages_are_shown_and_encode_to_the_same_bytes() {
    let input = LISP.join("\n");
    let (good, hex, errors) = decode_as("lisp", &["--reencode"], &input);
    assert!(good, "{errors}");
    assert_eq!(hex, format!("{}\n", input.replace(' ', "")));
    let (good, text, errors) = decode_as("lisp", &[], &format!("{input}\n90000000\n"));
    assert!(!good);
    assert!(
        errors.starts_with("error: line 3: message type at byte 0: 9 is not known"),
        "{errors}"
    );
    let messages: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(messages[0]["type"], "map_request");
    assert_eq!(messages[0]["records"][0]["eid"], "10.2.0.5");
    assert_eq!(messages[1]["records"][0]["action"], "natively_forward");
}

#[test]
fn lisp_data_packets_are_shown_with_what_they_carry() {
    let packet = "88abcdef00006400 45";
    let (good, text, errors) = decode_as("lisp", &["--as", "data"], packet);
    assert!(good, "{errors}");
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["header"]["instance"], 100);
    assert_eq!(shown["header"]["nonce"], 0xabcdef);
    assert_eq!(shown["payload"], "45");
    let (good, hex, _) = decode_as(
        "lisp",
        &["--as", "gpe", "--reencode"],
        "0c00000100006400 45",
    );
    assert!(good && hex == "0c0000010000640045\n");
}
