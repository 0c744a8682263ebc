//! Network namespaces with a name of their own, and programs in them.

use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs a program to its end and returns what it printed.
pub fn try_run(words: &[&str]) -> Result<String, String> {
    let (program, arguments) = words.split_first().expect("a command has a name");
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| {
            format!("cannot run {program}: {error}; `make setup` installs what tests need")
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    Err(format!("`{}` failed: {}", words.join(" "), said.trim()))
}

/// As [`try_run`], for what has to work.
pub fn run(words: &[&str]) -> String {
    try_run(words).unwrap_or_else(|error| panic!("{error}"))
}

/// A namespace; gone when dropped.
#[derive(Debug)]
pub struct Netns {
    pub name: String,
}

impl Netns {
    pub fn new(kind: &str) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes network namespaces and needs root: run it with sudo"
        );
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "ctl-{}-{}-{kind}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        run(&["ip", "netns", "add", &name]);
        let netns = Self { name };
        netns.ip("link set lo up");
        netns
    }

    /// `ip` in the namespace.
    pub fn ip(&self, words: &str) -> String {
        let all: Vec<&str> = ["ip", "-n", &self.name]
            .into_iter()
            .chain(words.split(' '))
            .collect();
        run(&all)
    }

    /// A program in the namespace.
    pub fn exec(&self, words: &str) -> Result<String, String> {
        let all: Vec<&str> = ["ip", "netns", "exec", &self.name]
            .into_iter()
            .chain(words.split(' '))
            .collect();
        try_run(&all)
    }

    /// Does something on a thread that lives in the namespace.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name))
            .expect("a namespace of ours is there");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                nix::sched::setns(file.as_fd(), nix::sched::CloneFlags::CLONE_NEWNET)
                    .expect("root may enter it");
                act()
            });
            thread.join().expect("the thread ends well")
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = try_run(&["ip", "netns", "del", &self.name]);
    }
}
