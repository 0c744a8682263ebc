//! `decode`: hex lines in, JSON or the same bytes out.

use crate::cli::{DecodeCommand, LispArgs, LispContents, OpenFlowArgs};
use crate::failure::{Exit, Failure};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::Path;

pub(super) fn run(command: DecodeCommand) -> Result<(), Failure> {
    match command {
        DecodeCommand::OpenFlow(args) => openflow(args),
        DecodeCommand::Lisp(args) => lisp(args),
    }
}

fn openflow(args: OpenFlowArgs) -> Result<(), Failure> {
    use openflow::describe::{Form, describe_hex_lines};
    let form = if args.reencode {
        Form::Reencoded
    } else {
        Form::Json
    };
    let input = open(args.file.as_deref())?;
    let complain = |error| eprintln!("error: {error}");
    finish(describe_hex_lines(
        input,
        io::stdout().lock(),
        form,
        complain,
    ))
}

fn lisp(args: LispArgs) -> Result<(), Failure> {
    use lisp::describe::{Contents, Form, describe_hex_lines};
    let form = if args.reencode {
        Form::Reencoded
    } else {
        Form::Json
    };
    let contents = match args.contents {
        LispContents::Control => Contents::Control,
        LispContents::Data => Contents::Data,
        LispContents::Gpe => Contents::Gpe,
    };
    let input = open(args.file.as_deref())?;
    let complain = |error| eprintln!("error: {error}");
    let output = io::stdout().lock();
    finish(describe_hex_lines(input, output, contents, form, complain))
}

fn open(file: Option<&Path>) -> Result<Box<dyn BufRead>, Failure> {
    Ok(match file {
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
    })
}

fn finish(bad: io::Result<usize>) -> Result<(), Failure> {
    match bad {
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
