//! An ear in the middle of the WAN: everything that passes between sites, as bytes.

use crate::fixture::Lab;
use lab::boxed::Program;
use lab::net::WAN;
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const EAR: &str = "ear";

/// What passes, or has passed.
pub(crate) struct Wire {
    file: PathBuf,
    heard: Vec<u8>,
}

impl Wire {
    /// Begins to listen on every link of the WAN.
    pub(crate) fn listen(lab: &Lab) -> Self {
        let file = lab.path("wire.pcap");
        let path = file.to_string_lossy().into_owned();
        let argv = ["dumpcap", "-q", "-i", "any", "-B", "64", "-w", &path];
        let program = Program::new(WAN, argv);
        lab.boxed().spawn(EAR, &program).expect("dumpcap starts");
        let begun = Instant::now();
        while !file.exists() {
            assert!(begun.elapsed() < Duration::from_secs(10), "dumpcap is deaf");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(200));
        Self {
            file,
            heard: Vec::new(),
        }
    }

    /// Ends it, and reads what was heard.
    pub(crate) fn heard(mut self, lab: &Lab) -> Self {
        std::thread::sleep(Duration::from_millis(500));
        lab.boxed().kill(EAR, Signal::SIGINT).expect("dumpcap ends");
        let mut before = 0;
        loop {
            std::thread::sleep(Duration::from_millis(300));
            let now = std::fs::metadata(&self.file).expect("the capture").len();
            if now == before {
                break;
            }
            before = now;
        }
        self.heard = std::fs::read(&self.file).expect("the capture is read");
        self
    }

    /// Bytes that were heard.
    pub(crate) fn bytes(&self) -> usize {
        self.heard.len()
    }

    /// How often these were among them.
    pub(crate) fn count(&self, mark: &[u8]) -> usize {
        memchr::memmem::find_iter(&self.heard, mark).count()
    }
}
