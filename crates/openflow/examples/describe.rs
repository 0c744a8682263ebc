//! Reads hexadecimal lines and prints each message as JSON, or with `--reencode` its bytes again.

use openflow::describe::{Form, describe_hex_lines};

fn main() -> std::io::Result<()> {
    let form = match std::env::args().nth(1).as_deref() {
        Some("--reencode") => Form::Reencoded,
        _ => Form::Json,
    };
    let bad = describe_hex_lines(
        std::io::stdin().lock(),
        std::io::stdout().lock(),
        form,
        |e| {
            eprintln!("{e}");
        },
    )?;
    std::process::exit(i32::from(bad > 0));
}
