//! `decode`: hex lines in, JSON or the same bytes out.

use crate::cli::{DecodeCommand, OpenFlowArgs};
use crate::failure::{Exit, Failure};

pub(super) fn run(command: DecodeCommand) -> Result<(), Failure> {
    match command {
        DecodeCommand::OpenFlow(args) => openflow(args),
    }
}

fn openflow(_args: OpenFlowArgs) -> Result<(), Failure> {
    Err(Failure::new(
        Exit::Failed,
        "this build decodes no OpenFlow",
        "Use a complete build.",
    ))
}
