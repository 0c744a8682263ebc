//! The smallest binary that can be a lab's own binary, for the tests and for measurements by hand.
//!
//! ```text
//! lab-helper up FOLDER                    box, network and WAN (no OVS, no VMs)
//! lab-helper down FOLDER
//! lab-helper exec FOLDER NETNS PROGRAM...
//! lab-helper wan FOLDER                   the relay's stats as JSON
//! lab-helper set FOLDER JSON              a change for the relay
//! lab-helper receive ADDRESS COUNT        numbered UDP packets, and what became of them as JSON
//! lab-helper send ADDRESS COUNT BYTES GAP_US
//! lab-helper tcp-send ADDRESS             standard input to a TCP connection
//! lab-helper tcp-count ADDRESS            the bytes of one TCP connection, counted
//! lab-helper accuracy FOLDER              brings a lab up, measures the WAN, prints a table
//! ```

mod accuracy;
mod udp;

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::exit;

use lab::boxed::{End, Program};
use lab::preflight::Needs;
use lab::testbed::{Options, Testbed, down};

type Failure = Box<dyn std::error::Error>;

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

fn run(words: &[&str]) -> Result<i32, Failure> {
    match words {
        ["up", folder] => {
            up(folder)?;
        }
        ["down", folder] => {
            down(Some(Path::new(folder)))?;
        }
        ["exec", folder, netns, argv @ ..] => {
            let lab = open(folder)?;
            let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
            let stdio = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
            let program = Program::new(netns, argv.iter().copied());
            return Ok(match lab.boxed().exec_with_stdio(&program, stdio)? {
                End::Code(code) => code,
                End::Signal(signal) => 128 + signal,
            });
        }
        ["wan", folder] => {
            let stats = open(folder)?.wan()?.stats()?;
            println!("{}", serde_json::to_string_pretty(&stats)?);
        }
        ["set", folder, change] => open(folder)?.wan()?.set(&serde_json::from_str(change)?)?,
        ["receive", address, count] => {
            let tally = udp::receive(address, count.parse()?)?;
            println!("{}", serde_json::to_string(&tally)?);
        }
        ["send", address, count, bytes, gap_us] => {
            udp::send(address, count.parse()?, bytes.parse()?, gap_us.parse()?)?;
        }
        ["tcp-send", address] => {
            let mut stream = TcpStream::connect(address)?;
            std::io::copy(&mut std::io::stdin(), &mut stream)?;
        }
        ["tcp-count", address] => {
            let (mut stream, _) = TcpListener::bind(address)?.accept()?;
            println!("{}", std::io::copy(&mut stream, &mut std::io::sink())?);
        }
        ["accuracy", folder] => accuracy::run(folder)?,
        _ => {
            eprintln!("see the top of this program's source");
            return Ok(2);
        }
    }
    Ok(0)
}

fn open(folder: &str) -> Result<Testbed, Failure> {
    Ok(Testbed::open(Some(Path::new(folder)))?)
}

fn up(folder: &str) -> Result<Testbed, Failure> {
    let needs = Needs {
        programs: &["ip"],
        tun: false,
        free_mib: 16,
    };
    let folder = Some(Path::new(folder));
    Ok(Testbed::up(&Options {
        folder,
        needs,
        ..Options::default()
    })?)
}
