//! `lab`: hand over to the crate that makes labs. What takes long and is watched is in [`shows`].

mod experiments;
mod shows;

pub(super) use experiments::run as experiment;

use super::services;
use crate::cli::{ExecArgs, Format, LabArgs, LabCommand, UpArgs};
use crate::failure::{Exit, Failure};
use crate::output;
use lab::boxed::{BoxError, End, Program};
use lab::cli::{Step, UpOptions};
use lab::folder::FolderError;
use lab::parts::PartError;
use lab::shop::{DiskLoad, Load};
use lab::testbed::{LabError, Testbed, WasThere};
use lab::wan::Shaping;
use model::SiteName;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

pub(super) fn run(args: LabArgs, format: Format) -> Result<(), Failure> {
    let folder = args.folder.as_deref();
    match args.command {
        LabCommand::Up(args) => up(folder, &args, format),
        LabCommand::Down => down(folder, format),
        LabCommand::Status => status(folder, format),
        LabCommand::Demo(args) => shows::demo(folder, &args, format),
        LabCommand::Compare(args) => shows::compare(folder, &args, format),
        LabCommand::Bench(args) => shows::bench(args, format),
        LabCommand::Shell { site } => shell(folder, &site),
        LabCommand::Exec(args) => exec(folder, args),
    }
}

fn up(folder: Option<&Path>, args: &UpArgs, format: Format) -> Result<(), Failure> {
    let options = options(folder, args);
    let standing =
        services::runtime()?.block_on(lab::cli::up(&options, &mut |made| step(&made, format)));
    let standing = standing.map_err(of_part)?;
    let lab = standing.testbed.folder().path();
    match format {
        Format::Json => output::json(&serde_json::json!({
            "folder": lab, "up_ms": standing.up_ms, "vms": standing.targets,
        })),
        Format::Table => output::line(&format!(
            "\nThe lab stands in {}. Go on with\n  \
             transhume cluster list\n  transhume migrate shop --to south --watch\n  \
             transhume lab down",
            lab.display()
        )),
    }
}

/// Progress is for people; a terminal that went away does not stop the lab.
fn step(step: &Step, format: Format) {
    if format == Format::Table {
        let _ = output::line(&format!("{:>7.1} s  {}", step.at_ms / 1e3, step.what));
    }
}

fn options(folder: Option<&Path>, args: &UpArgs) -> UpOptions {
    let wan = &args.wan;
    UpOptions {
        folder: folder.map(Path::to_owned),
        shaping: Shaping {
            rate_mbit: wan.rate_mbit,
            jitter_ms: wan.jitter_ms,
            loss: wan.loss_percent / 100.0,
            ..Shaping::with_rtt_ms(wan.rtt_ms)
        },
        vms: args.vms,
        load: match args.idle {
            true => Load::IDLE,
            false => Load::USUAL,
        },
        talk_ms: args.talk_ms,
        stream_ms: args.stream_ms,
        encap: args.encap.into(),
        bond: args.bond.into(),
        plane: args.plane.into(),
        underlay: args.underlay,
        disk: args.disk.map(|size_mib| DiskLoad {
            size_mib,
            fill_mib: args.disk_fill,
            rate: args.disk_rate,
            format: args.disk_format.into(),
            image: PathBuf::new(),
        }),
        guest: args.guest.clone(),
        ..UpOptions::default()
    }
}

/// As [`of`], for what runs in a lab.
fn of_part(error: PartError) -> Failure {
    match error {
        PartError::Lab(error) => of(error),
        PartError::Api(error) => error.into(),
        PartError::Guest(_) => Failure::of(Exit::Unavailable, &error),
        _ => Failure::of(Exit::Failed, &error),
    }
}

fn down(folder: Option<&Path>, format: Format) -> Result<(), Failure> {
    let mut was_there = lab::testbed::down(folder).map_err(of)?;
    // Those of demos and benches that were killed are nobody else's to clear.
    if folder.is_none() && lab::demo::own::sweep().map_err(of)? > 0 {
        was_there = WasThere::Yes;
    }
    let sentence = match was_there {
        WasThere::Yes => "The lab is gone.",
        WasThere::No => "There is no lab.",
    };
    match format {
        Format::Json => {
            output::json(&serde_json::json!({ "was_there": was_there == WasThere::Yes }))
        }
        Format::Table => output::line(sentence),
    }
}

fn status(folder: Option<&Path>, format: Format) -> Result<(), Failure> {
    let testbed = Testbed::open(folder).map_err(of)?;
    let status = testbed.boxed().status().map_err(|error| of(error.into()))?;
    if format == Format::Json {
        return output::json(&serde_json::json!({
            "folder": testbed.folder().path(), "plan": testbed.plan(), "inside": status,
        }));
    }
    let rows = status.processes.iter().map(|process| {
        vec![
            process.name.clone(),
            process.netns.clone().unwrap_or_else(|| "-".to_owned()),
            match &process.end {
                None => "runs".to_owned(),
                Some(end) => format!("ended, {end}"),
            },
            process
                .outside
                .map_or_else(|| "-".to_owned(), |id| id.pid.to_string()),
        ]
    });
    let folder = testbed.folder().path().display();
    let table = output::table(&["PROCESS", "NAMESPACE", "STATE", "PID"], rows);
    output::text(&format!("A lab stands in {folder}.\n\n{table}"))
}

fn shell(folder: Option<&Path>, site: &SiteName) -> Result<(), Failure> {
    let testbed = Testbed::open(folder).map_err(of)?;
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    let program = program(&testbed, site, [shell])?;
    let mut command = testbed
        .boxed()
        .nsenter(&program)
        .map_err(|error| of(error.into()))?;
    let status = command.status().map_err(|error| {
        let what = format!("cannot run nsenter: {error}");
        Failure::new(
            Exit::Unavailable,
            what,
            "Install it with `sudo apt-get install util-linux`.",
        )
    })?;
    std::process::exit(status.code().unwrap_or(1))
}

fn exec(folder: Option<&Path>, args: ExecArgs) -> Result<(), Failure> {
    let testbed = Testbed::open(folder).map_err(of)?;
    let program = program(&testbed, &args.site, args.command)?;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let stdio = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let end = testbed.boxed().exec_with_stdio(&program, stdio);
    // The command's own end is ours.
    std::process::exit(match end.map_err(|error| of(error.into()))? {
        End::Code(code) => code,
        End::Signal(signal) => 128 + signal,
    })
}

/// A program at a site; the site must be one of the lab's namespaces.
fn program(
    testbed: &Testbed,
    site: &SiteName,
    argv: impl IntoIterator<Item = String>,
) -> Result<Program, Failure> {
    let known: Vec<&str> = testbed.plan().namespaces().collect();
    if known.contains(&site.as_str()) {
        return Ok(Program::new(site.as_str(), argv));
    }
    let what = format!("the lab has no site '{site}'");
    Err(Failure::new(
        Exit::NotFound,
        what,
        format!("There are {}.", known.join(", ")),
    ))
}

/// Exit codes of what can go wrong with a lab; the errors themselves say the way out.
fn of(error: LabError) -> Failure {
    let folder = match &error {
        LabError::Folder(folder) | LabError::Box(BoxError::Folder(folder)) => Some(folder),
        _ => None,
    };
    let exit = match (folder, &error) {
        (Some(FolderError::Absent(_)), _) => Exit::NotFound,
        (Some(FolderError::NoPlace | FolderError::TooLong { .. }), _) => Exit::Usage,
        (Some(FolderError::Io { .. } | FolderError::Damaged { .. }), _) => Exit::Failed,
        (Some(_), _) => Exit::Refused,
        (None, LabError::Plan(_)) => Exit::Usage,
        (None, LabError::Preflight(_)) => Exit::Unavailable,
        (None, LabError::Box(BoxError::Unreachable { .. })) => Exit::Unavailable,
        (None, _) => Exit::Failed,
    };
    Failure::of(exit, &error)
}
