//! Captured datagrams as people and scripts read them: hexadecimal lines in, JSON or the encoded
//! bytes out.
//!
//! A line holds one UDP payload: LISP messages do not say where they end. Spaces, tabs and colons
//! between digits and a leading `0x` are allowed; empty lines and lines that begin with `#` are
//! skipped.

use std::io::{self, BufRead, Write};

use serde::Serialize;

use crate::data::{DataHeader, GpeHeader};
use crate::error::{DecodeError, EncodeError};
use crate::message::Message;
use crate::wire::Blob;

/// What the lines hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contents {
    /// Control messages: UDP port 4342.
    #[default]
    Control,
    /// LISP data packets: UDP port 4341.
    Data,
    /// VXLAN-GPE packets: UDP port 4790.
    Gpe,
}

/// What to write for each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// A JSON object.
    #[default]
    Json,
    /// What was understood, encoded again, as hexadecimal digits.
    Reencoded,
}

/// Why a line could not be shown. Lines are counted from 1.
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
    /// The datagram cannot be decoded.
    #[error("line {line}: {error}")]
    Decode {
        /// Line.
        line: usize,
        /// What is wrong.
        #[source]
        error: DecodeError,
    },
    /// The datagram cannot be encoded again.
    #[error("line {line}: {error}")]
    Encode {
        /// Line.
        line: usize,
        /// What is wrong.
        #[source]
        error: EncodeError,
    },
    /// The datagram cannot be written as JSON.
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

/// Reads lines, writes what `form` says for each, and gives the errors of lines that could not be
/// read to `complain`, going on with the next line. Returns the number of such lines.
///
/// # Errors
/// Reading or writing failed.
pub fn describe_hex_lines(
    input: impl BufRead,
    mut output: impl Write,
    contents: Contents,
    form: Form,
    mut complain: impl FnMut(DescribeError),
) -> io::Result<usize> {
    let mut bad = 0;
    for (index, line) in input.split(b'\n').enumerate() {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match describe_line(index + 1, text, contents, form) {
            Ok(shown) => writeln!(output, "{shown}")?,
            Err(error) => {
                bad += 1;
                complain(error);
            }
        }
    }
    output.flush()?;
    Ok(bad)
}

/// A data packet: its header, and what it carries.
#[derive(Serialize)]
struct Packet<H> {
    header: H,
    payload: Blob,
}

fn describe_line(
    line: usize,
    text: &str,
    contents: Contents,
    form: Form,
) -> Result<String, DescribeError> {
    let bytes = parse_hex(line, text)?;
    let wrong = |error| DescribeError::Decode { line, error };
    match contents {
        Contents::Control => {
            let message = Message::decode(&bytes).map_err(wrong)?;
            show(line, form, &message, || {
                message
                    .to_bytes()
                    .map_err(|error| DescribeError::Encode { line, error })
            })
        }
        Contents::Data => {
            let (header, payload) = DataHeader::decode(&bytes).map_err(wrong)?;
            let payload = Blob::from(payload);
            let packet = Packet { header, payload };
            show(line, form, &packet, || {
                Ok([&header.to_bytes(), &*packet.payload].concat())
            })
        }
        Contents::Gpe => {
            let (header, payload) = GpeHeader::decode(&bytes).map_err(wrong)?;
            let payload = Blob::from(payload);
            let packet = Packet { header, payload };
            show(line, form, &packet, || {
                Ok([&header.to_bytes(), &*packet.payload].concat())
            })
        }
    }
}

fn show(
    line: usize,
    form: Form,
    value: &impl Serialize,
    again: impl FnOnce() -> Result<Vec<u8>, DescribeError>,
) -> Result<String, DescribeError> {
    match form {
        Form::Json => {
            serde_json::to_string(value).map_err(|error| DescribeError::Json { line, error })
        }
        Form::Reencoded => Ok(Blob(again()?).to_string()),
    }
}

/// The bytes of a line of hexadecimal digits. `line` is for the error only.
///
/// # Errors
/// Another character than a digit, a space or a colon, or half a byte.
pub fn parse_hex(line: usize, text: &str) -> Result<Vec<u8>, DescribeError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let skipped = text.len() - digits.len();
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    let mut high = None;
    for (index, found) in digits.chars().enumerate() {
        if found.is_whitespace() || found == ':' {
            continue;
        }
        let column = index + skipped + 1;
        let digit = found.to_digit(16).ok_or(DescribeError::Digit {
            line,
            column,
            found,
        })? as u8;
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    match high {
        Some(_) => Err(DescribeError::Odd { line }),
        None => Ok(bytes),
    }
}
