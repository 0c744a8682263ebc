//! What goes to stdout: text as it is, values as JSON, tables that fit 80 columns.

use crate::failure::{Exit, Failure};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{self, Write};

/// Width of tables where the terminal does not say another.
const WIDTH: u16 = 80;

/// Prints text. A reader that went away (`| head`) is no failure.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::new(
            Exit::Failed,
            format!("cannot write to stdout: {error}"),
            "",
        )),
        Ok(()) => Ok(()),
    }
}

/// Prints a line.
pub(crate) fn line(line: &str) -> Result<(), Failure> {
    text(&format!("{line}\n"))
}

/// Prints a value as JSON for people and programs alike.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let written = serde_json::to_string_pretty(value);
    line(&written.map_err(|error| Failure::of(Exit::Failed, &error))?)
}

/// A table without lines: a header in capitals, then a row each.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(table.width().unwrap_or(WIDTH).max(WIDTH));
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_with_much_in_it_still_fits_80_columns() {
        let row = |text: &str| vec![text.repeat(6), text.repeat(9), text.repeat(5)];
        let text = table(&["NAME", "WHAT", "WHERE"], [row("shop-1 "), row("x")]);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(text.lines().all(|line| !line.ends_with(' ')));
    }
}
