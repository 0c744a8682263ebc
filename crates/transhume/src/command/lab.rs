//! `lab`: hand over to the crate that makes labs.

use crate::cli::{Format, LabArgs, LabCommand};
use crate::failure::{Exit, Failure};

pub(super) fn run(args: LabArgs, _format: Format) -> Result<(), Failure> {
    let folder = lab::folder::Folder::locate(args.folder.as_deref())
        .map_err(|error| Failure::of(Exit::Usage, &error))?;
    match args.command {
        // WIRE: lab::cli::{up, down, status, demo, bench, exec}
        LabCommand::Up(_)
        | LabCommand::Down
        | LabCommand::Status
        | LabCommand::Demo(_)
        | LabCommand::Bench(_)
        | LabCommand::Shell { .. }
        | LabCommand::Exec(_)
        | LabCommand::Inside { .. } => Err(Failure::new(
            Exit::NotFound,
            format!(
                "this build makes no lab (it would be in {})",
                folder.path().display()
            ),
            "Use a complete build.",
        )),
    }
}
