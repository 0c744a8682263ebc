//! The probe: a peer of the VMs that writes down every packet.
//!
//! [`Probe::start`] opens its sockets in the network namespace of the calling thread and runs two
//! threads of its own. The *pacer* sends on the UDP streams at exact times and does nothing else.
//! The *collector* wakes every few milliseconds, reads what has arrived and keeps the TCP
//! sessions going. It may be late without harm, because arrivals carry the kernel's stamp
//! (`SO_TIMESTAMPNS`, socket(7)), and waking seldom leaves the CPU to the VMs that are measured.
//!
//! What a probe cannot blame on the network it keeps apart: packets that it sent late or skipped,
//! packets that the kernel refused to send, replies that its own socket dropped.

mod collector;
mod config;
mod error;
mod first_answer;
mod log;
mod pacer;
mod session;
mod socket;
mod status;

pub use config::{Config, Target};
pub use error::ProbeError;
pub use first_answer::{FirstAnswer, first_answers};
pub use status::{Status, TargetStatus};

use crate::clock::{Clock, now_ns};
use crate::recording::{Mark, Recording, SCHEMA, TargetRecord};
use log::{Log, lock};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The next multiple of `interval` after `now`, ns: whoever waits for it acts at one moment with others.
fn next_tick(now: i64, interval: i64) -> i64 {
    let interval = interval.max(1);
    (now / interval + 1).saturating_mul(interval)
}

/// What the threads and the owner share.
struct Shared {
    config: Config,
    begin_ns: i64,
    logs: Vec<Mutex<Log>>,
    clock: Mutex<Clock>,
    late: Mutex<log::Lateness>,
    /// Cleared to end the pacer and the sending on TCP sessions.
    sending: AtomicBool,
    /// Cleared to end the collector.
    collecting: AtomicBool,
    /// Everything that arrived before this moment is in the logs, monotonic ns.
    collected_ns: AtomicI64,
    realtime: AtomicBool,
}

/// A running probe. Dropping it ends its threads at once and forgets what it saw; use
/// [`Probe::stop`] to wait for the last replies.
pub struct Probe {
    shared: Arc<Shared>,
    marks: Mutex<Vec<Mark>>,
    threads: Vec<JoinHandle<()>>,
}

impl Probe {
    /// Opens every stream and session, then begins to send.
    ///
    /// Returns once all TCP sessions are established. The sockets belong to the network namespace
    /// of the calling thread.
    ///
    /// # Errors
    /// A configuration that makes no sense, a socket that cannot be opened, or a VM that does not
    /// accept its TCP sessions within `connect_timeout_ms`.
    pub fn start(config: Config) -> Result<Self, ProbeError> {
        config.check()?;
        let mut streams = Vec::new();
        let mut sessions = Vec::new();
        let mut logs = Vec::new();
        for target in &config.targets {
            let mut log = Log::new(&config);
            streams.push(socket::open_udp(target)?);
            let mut of_target = Vec::new();
            for _ in 0..config.tcp_sessions {
                of_target.push(session::Session::connect(target, &config)?);
                log.tcp.push(log::TcpLog::new(now_ns(), config.max_packets));
            }
            sessions.push(of_target);
            logs.push(Mutex::new(log));
        }
        let begin_ns = now_ns();
        let shared = Arc::new(Shared {
            config,
            begin_ns,
            logs,
            clock: Mutex::new(Clock::now()),
            late: Mutex::default(),
            sending: AtomicBool::new(true),
            collecting: AtomicBool::new(true),
            collected_ns: AtomicI64::new(begin_ns),
            realtime: AtomicBool::new(false),
        });
        let mut probe = Self {
            shared: shared.clone(),
            marks: Mutex::default(),
            threads: Vec::new(),
        };
        let outgoing = streams
            .iter()
            .map(socket::clone_udp)
            .collect::<Result<Vec<_>, _>>()?;
        let for_pacer = shared.clone();
        probe.spawn("probe-send", move || pacer::run(&for_pacer, &outgoing))?;
        probe.spawn("probe-read", move || {
            collector::run(&shared, &streams, sessions);
        })?;
        Ok(probe)
    }

    fn spawn(
        &mut self,
        name: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), ProbeError> {
        let builder = std::thread::Builder::new().name(name.to_owned());
        let thread = builder.spawn(body).map_err(ProbeError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// The configuration it runs with.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Names this moment.
    pub fn mark(&self, name: impl Into<String>) -> Mark {
        let at_ns = now_ns();
        let mark = Mark {
            name: name.into(),
            at_ns,
            unix_ns: lock(&self.shared.clock).to_unix_ns(at_ns),
        };
        lock(&self.marks).push(mark.clone());
        mark
    }

    /// How things stand, cheaply; for people who watch.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let targets = shared.config.targets.iter().zip(&shared.logs);
        Status {
            running_ms: (now_ns() - shared.begin_ns) / 1_000_000,
            targets: targets
                .map(|(target, log)| lock(log).status(&target.name, now_ns()))
                .collect(),
        }
    }

    /// Everything seen so far. The last replies may still be on their way: the analysis counts
    /// packets younger than its settle time as pending, not as lost.
    pub fn snapshot(&self) -> Recording {
        let shared = &self.shared;
        // Read before the logs, so that what they hold is at least as new.
        let end_ns = shared.collected_ns.load(Ordering::Acquire);
        let targets = shared.config.targets.iter().zip(&shared.logs);
        Recording {
            schema: SCHEMA.to_owned(),
            clock: lock(&shared.clock).clone(),
            begin_ns: shared.begin_ns,
            end_ns,
            targets: targets
                .map(|(target, log)| {
                    let (udp, tcp) = lock(log).to_records(shared.config.udp_interval_ns());
                    TargetRecord {
                        name: target.name.clone(),
                        address: target.address,
                        udp,
                        tcp,
                    }
                })
                .collect(),
            marks: lock(&self.marks).clone(),
            late: lock(&shared.late).to_vec(),
            realtime: shared.realtime.load(Ordering::Relaxed),
        }
    }

    /// Stops sending, waits `drain_ms` for the last replies, closes the sessions.
    pub fn stop(mut self) -> Recording {
        self.shared.sending.store(false, Ordering::Release);
        std::thread::sleep(std::time::Duration::from_millis(
            self.shared.config.drain_ms,
        ));
        self.join();
        self.snapshot()
    }

    fn join(&mut self) {
        self.shared.sending.store(false, Ordering::Release);
        self.shared.collecting.store(false, Ordering::Release);
        for thread in self.threads.drain(..) {
            // A panic of a thread has been printed; what it logged until then still stands.
            let _ = thread.join();
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.join();
    }
}
