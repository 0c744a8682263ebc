//! The smallest binary that can be a lab's own binary, for the tests and for measurements by hand.
//!
//! ```text
//! lab-helper up FOLDER            box, network and WAN (no OVS, no VMs)
//! lab-helper down FOLDER
//! lab-helper exec FOLDER NETNS PROGRAM...
//! lab-helper wan FOLDER           the relay's stats as JSON
//! lab-helper set FOLDER JSON      a change for the relay
//! ```

use std::os::fd::AsFd;
use std::path::Path;
use std::process::exit;

use lab::boxed::{End, Program};
use lab::preflight::Needs;
use lab::testbed::{LabError, Options, Testbed, down};

fn main() {
    if let Some(code) = lab::run_if_hidden() {
        exit(code);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => exit(code),
        Err(e) => {
            eprintln!("{e}");
            exit(1);
        }
    }
}

fn run(words: &[&str]) -> Result<i32, LabError> {
    match words {
        ["up", folder] => {
            let needs = Needs {
                programs: &["ip"],
                tun: false,
                free_mib: 16,
            };
            let folder = Some(Path::new(*folder));
            Testbed::up(&Options {
                folder,
                needs,
                ..Options::default()
            })?;
        }
        ["down", folder] => {
            down(Some(Path::new(folder)))?;
        }
        ["exec", folder, netns, argv @ ..] => {
            let lab = Testbed::open(Some(Path::new(folder)))?;
            let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
            let stdio = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
            let program = Program::new(netns, argv.iter().copied());
            return Ok(match lab.boxed().exec_with_stdio(&program, stdio)? {
                End::Code(code) => code,
                End::Signal(signal) => 128 + signal,
            });
        }
        ["wan", folder] => {
            let stats = Testbed::open(Some(Path::new(folder)))?.wan()?.stats()?;
            println!(
                "{}",
                serde_json::to_string_pretty(&stats).unwrap_or_default()
            );
        }
        ["set", folder, change] => match serde_json::from_str(change) {
            Ok(change) => Testbed::open(Some(Path::new(folder)))?
                .wan()?
                .set(&change)?,
            Err(e) => {
                eprintln!("{e}");
                return Ok(2);
            }
        },
        _ => {
            eprintln!("up|down|exec|wan|set FOLDER ...");
            return Ok(2);
        }
    }
    Ok(0)
}
