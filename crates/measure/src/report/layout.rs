//! How a report is laid out as text: indented for people down to the fields of a VM, the lists of
//! single packets without line breaks, for nobody reads them and they are most of the file.

use super::ReportError;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};
use std::io::{Result, Write};

/// Lists nested this deep stand on one line: `packets[]` of a plot and what is in it.
const COMPACT: usize = 7;

pub(super) fn to_json(value: &impl Serialize) -> std::result::Result<String, ReportError> {
    let mut text = Vec::new();
    let layout = Layout {
        pretty: PrettyFormatter::new(),
        depth: 0,
    };
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut text, layout,
    ))?;
    text.push(b'\n');
    Ok(String::from_utf8_lossy(&text).into_owned())
}

struct Layout {
    pretty: PrettyFormatter<'static>,
    depth: usize,
}

impl Formatter for Layout {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.depth += 1;
        if self.depth >= COMPACT {
            return writer.write_all(b"[");
        }
        self.pretty.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.depth -= 1;
        if self.depth + 1 >= COMPACT {
            return writer.write_all(b"]");
        }
        self.pretty.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Result<()> {
        if self.depth >= COMPACT {
            return if first {
                Ok(())
            } else {
                writer.write_all(b",")
            };
        }
        self.pretty.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        if self.depth >= COMPACT {
            return Ok(());
        }
        self.pretty.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.depth += 1;
        self.pretty.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.depth -= 1;
        self.pretty.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Result<()> {
        self.pretty.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.pretty.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.pretty.end_object_value(writer)
    }
}
