//! `decode`: hex lines in, JSON or the same bytes out.

use crate::cli::{DecodeCommand, OpenFlowArgs};
use crate::failure::{Exit, Failure};
use openflow::describe::{Form, describe_hex_lines};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::Path;

pub(super) fn run(command: DecodeCommand) -> Result<(), Failure> {
    match command {
        DecodeCommand::OpenFlow(args) => openflow(args),
    }
}

fn openflow(args: OpenFlowArgs) -> Result<(), Failure> {
    let form = if args.reencode {
        Form::Reencoded
    } else {
        Form::Json
    };
    let input: Box<dyn BufRead> = match args.file.as_deref() {
        None => Box::new(io::stdin().lock()),
        Some(file) if file == Path::new("-") => Box::new(io::stdin().lock()),
        Some(file) => Box::new(BufReader::new(File::open(file).map_err(|error| {
            let what = format!("cannot read {}: {error}", file.display());
            Failure::new(
                Exit::Usage,
                what,
                "Give a file with hex lines, or - for stdin.",
            )
        })?)),
    };
    let complain = |error| eprintln!("error: {error}");
    match describe_hex_lines(input, io::stdout().lock(), form, complain) {
        Ok(0) => Ok(()),
        Ok(bad) => Err(Failure::new(
            Exit::Failed,
            format!("{bad} lines could not be decoded; the others are printed"),
            "See the errors above.",
        )),
        // The reader went away, as `| head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(
            Exit::Failed,
            format!("cannot read or write: {error}"),
            "",
        )),
    }
}
