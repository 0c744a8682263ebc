//! Captured messages as people and scripts read them: hexadecimal lines in, JSON or the encoded
//! bytes out.
//!
//! A line holds one message or several behind each other. Spaces, tabs and colons between digits
//! and a leading `0x` are allowed; empty lines and lines that begin with `#` are skipped.

use std::io::{self, BufRead, Write};

use crate::error::{DecodeError, EncodeError};
use crate::message::Message;

/// What to write for each message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// A JSON object on a line of its own.
    #[default]
    Json,
    /// The message encoded again, as hexadecimal digits; one line for each line of input.
    Reencoded,
}

/// Why a line could not be shown. Lines are counted from 1, offsets in bytes from 0.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// The line has something else than hexadecimal digits.
    #[error("line {line}, column {column}: {found:?} is no hexadecimal digit")]
    Digit {
        /// Line.
        line: usize,
        /// Character in the line, from 1.
        column: usize,
        /// The character.
        found: char,
    },
    /// The line has an odd number of digits.
    #[error("line {line}: an odd number of hexadecimal digits; a byte has two")]
    Odd {
        /// Line.
        line: usize,
    },
    /// A message cannot be decoded.
    #[error("line {line}, message at byte {offset}: {error}")]
    Decode {
        /// Line.
        line: usize,
        /// Where the message begins in the line.
        offset: usize,
        /// What is wrong; its offset counts from the message.
        #[source]
        error: DecodeError,
    },
    /// A message cannot be encoded again.
    #[error("line {line}, message at byte {offset}: {error}")]
    Encode {
        /// Line.
        line: usize,
        /// Where the message begins in the line.
        offset: usize,
        /// What is wrong.
        #[source]
        error: EncodeError,
    },
    /// The message cannot be written as JSON.
    #[error("line {line}: {error}")]
    Json {
        /// Line.
        line: usize,
        /// The cause.
        #[source]
        error: serde_json::Error,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads lines, writes what `form` says for each message, and gives the errors of lines that could
/// not be read to `complain`, going on with the next line. Returns the number of such lines.
///
/// # Errors
/// Reading or writing failed.
pub fn describe_hex_lines(
    input: impl BufRead,
    mut output: impl Write,
    form: Form,
    mut complain: impl FnMut(DescribeError),
) -> io::Result<usize> {
    let mut bad = 0;
    for (index, line) in input.split(b'\n').enumerate() {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        match describe_line(index + 1, &text, form, &mut output) {
            Ok(()) => {}
            Err(DescribeError::Io(error)) => return Err(error),
            Err(error) => {
                bad += 1;
                complain(error);
            }
        }
    }
    output.flush()?;
    Ok(bad)
}

fn describe_line(
    number: usize,
    text: &str,
    form: Form,
    mut output: impl Write,
) -> Result<(), DescribeError> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(());
    }
    let bytes = parse_hex(number, text)?;
    let mut again = Vec::new();
    for (offset, message) in messages(number, &bytes)? {
        match form {
            Form::Json => {
                let json =
                    serde_json::to_string(&message).map_err(|error| DescribeError::Json {
                        line: number,
                        error,
                    })?;
                writeln!(output, "{json}")?;
            }
            Form::Reencoded => {
                message
                    .encode(&mut again)
                    .map_err(|error| DescribeError::Encode {
                        line: number,
                        offset,
                        error,
                    })?
            }
        }
    }
    if form == Form::Reencoded {
        writeln!(output, "{}", crate::Blob(again))?;
    }
    Ok(())
}

/// All messages of a line, or the first error: a line is shown whole or not at all.
fn messages(line: usize, bytes: &[u8]) -> Result<Vec<(usize, Message)>, DescribeError> {
    let mut found = Vec::new();
    let mut offset = 0;
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        let (message, length) = Message::decode(rest).map_err(|error| DescribeError::Decode {
            line,
            offset,
            error,
        })?;
        found.push((offset, message));
        offset += length;
    }
    Ok(found)
}

/// The bytes of a line of hexadecimal digits. `line` is for the error only.
///
/// # Errors
/// Another character than a digit, a space or a colon, or half a byte.
pub fn parse_hex(line: usize, text: &str) -> Result<Vec<u8>, DescribeError> {
    let (text, skipped) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(rest) => (rest, 2),
        None => (text, 0),
    };
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for (index, c) in text.chars().enumerate() {
        if c.is_whitespace() || c == ':' {
            continue;
        }
        let column = index + skipped + 1;
        let digit = c.to_digit(16).ok_or(DescribeError::Digit {
            line,
            column,
            found: c,
        })? as u8;
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    if high.is_some() {
        Err(DescribeError::Odd { line })
    } else {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(input: &str, form: Form) -> (String, Vec<String>) {
        let mut output = Vec::new();
        let mut errors = Vec::new();
        describe_hex_lines(input.as_bytes(), &mut output, form, |e| {
            errors.push(e.to_string())
        })
        .unwrap();
        (String::from_utf8(output).unwrap(), errors)
    }

    #[test]
    fn a_line_with_two_messages_gives_two_objects() {
        let (json, errors) = describe(
            "04 14 00 08 00 00 00 01 04:15:00:08:00:00:00:01",
            Form::Json,
        );
        assert_eq!(
            json,
            "{\"version\":4,\"xid\":1,\"type\":\"barrier_request\"}\n\
             {\"version\":4,\"xid\":1,\"type\":\"barrier_reply\"}\n"
        );
        assert!(errors.is_empty());
    }

    #[test]
    fn a_rule_is_shown_with_names_and_addresses() {
        let input = "040e0090 0000002e 0000000000000007 0000000000000000 00 00 0000 0000 0015 \
            ffffffff ffffffff ffffffff 0000 0000 0001 0022 80000004 00000001 \
            80000606 020000000007 00010108 00000005 0000000f 000000000000 \
            0004 0038 00000000 0019 0010 0001 4004 0a000003 00000000 \
            0000 0010 fffffff8 0000 000000000000 ffff 0010 00002320 000e fff8 05 000000";
        let (json, errors) = describe(input, Form::Json);
        assert!(errors.is_empty(), "{errors:?}");
        let rule: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            rule["body"],
            serde_json::json!({
                "cookie": "0x7", "cookie_mask": "0x0", "table_id": 0, "command": "add",
                "idle_timeout": 0, "hard_timeout": 0, "priority": 21,
                "buffer_id": 4294967295u32, "out_port": "any", "out_group": 4294967295u32,
                "flags": [],
                "match": {"in_port": 1, "eth_dst": "02:00:00:00:00:07", "reg0": "0x5/0xf"},
                "instructions": [{"apply_actions": [
                    {"set_field": {"tun_dst": "10.0.0.3"}},
                    {"output": {"port": "in_port", "max_len": 0}},
                    {"nicira": {"resubmit_table": {"in_port": 65528, "table": 5}}},
                ]}],
            })
        );
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_are_shown() {
        let input = "0414000800000001\n\n# remark\n04140008000000\nzz\n041\n0x0414000800000002\n";
        let (hex, errors) = describe(input, Form::Reencoded);
        assert_eq!(hex, "0414000800000001\n0414000800000002\n");
        assert_eq!(errors.len(), 3);
        assert!(
            errors[0].starts_with("line 4, message at byte 0: at byte 0: cut off"),
            "{errors:?}"
        );
        assert_eq!(errors[1], "line 5, column 1: 'z' is no hexadecimal digit");
        assert!(errors[2].starts_with("line 6: an odd number"), "{errors:?}");
    }
}
