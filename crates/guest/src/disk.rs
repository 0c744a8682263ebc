//! A disk under write load of which every acknowledged write can be asked for later.
//!
//! One thread writes a journal ([`ring`]): a record, `fdatasync`, and only then is it acknowledged. Another makes and
//! removes small files ([`files`]), so that the file system's metadata and the kernel's write-back move too. Both
//! are ordinary threads: they give way to echoes. Requests that take long have a thread each and answer
//! through [`crate::mail`].

mod check;
mod files;
mod pace;
mod record;
mod ring;

use crate::http::Answer;
use crate::json::Json;
use crate::mail::Reply;
use crate::params::DiskLoad;
use crate::{boot, sys};
use check::Few;
use files::Files;
use pace::Pace;
use ring::{Last, Ring, Shape};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Small files a second, as long as the journal is written.
const FILES_PER_S: u32 = 5;
/// After a write that failed the same record is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// Longest time that a request waits for writes to end, or for the disk to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far the disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    Failed(String),
}

struct Control {
    rate: u32,
    state: State,
    /// Writers between the beginning and the end of a write.
    in_flight: u32,
    /// What the last write that failed said.
    error: String,
}

/// What the writers, the checks and the server share.
struct Shared {
    control: Mutex<Control>,
    changed: Condvar,
    shape: Shape,
    folder: PathBuf,
    files: Arc<files::Range>,
    id: AtomicU64,
    /// The last record that was there when the disk was opened.
    found: AtomicU64,
    acked: AtomicU64,
    begun: AtomicU64,
    written: AtomicU64,
    errors: AtomicU64,
    slowest: AtomicU64,
    checking: AtomicBool,
}

/// The server's hand on it.
pub(crate) struct Disk(Arc<Shared>);

impl Disk {
    /// Begins to write in `folder`, on which `mount` puts the disk; `seed` makes the id of a new journal.
    pub(crate) fn start(
        load: DiskLoad,
        folder: PathBuf,
        flags: libc::c_int,
        seed: u64,
        mount: fn() -> Result<(), String>,
    ) -> Disk {
        let shared = Arc::new(Shared {
            control: Mutex::new(Control {
                rate: load.rate,
                state: State::Opening,
                in_flight: 0,
                error: String::new(),
            }),
            changed: Condvar::new(),
            shape: Shape {
                path: folder.join("journal"),
                record: load.kib as usize * 1024,
                bytes: ring::RING,
                flags,
            },
            folder,
            files: Arc::default(),
            id: AtomicU64::new(seed),
            found: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            written: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
            checking: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        let begun = sys::thread("journal", move || {
            let opened = mount().and_then(|()| own.open());
            let state = match &opened {
                Ok(_) => State::Open,
                Err(reason) => State::Failed(reason.clone()),
            };
            own.control().state = state;
            own.changed.notify_all();
            match opened {
                Ok(ring) => own.write_journal(ring),
                Err(reason) => boot::say(&format!("no disk: {reason}")),
            }
        });
        if let Err(error) = begun {
            shared.control().state = State::Failed(format!("no thread for it: {error}"));
        }
        Disk(shared)
    }

    /// `POST /disk?rate=N`. With 0 the answer comes when no write is in flight and all that was
    /// written is on the medium.
    pub(crate) fn set_rate(&self, rate: u32, reply: Reply) {
        let shared = Arc::clone(&self.0);
        reply.by_thread("rate", move || {
            shared.control().rate = rate;
            shared.changed.notify_all();
            shared.settled(rate == 0)?;
            if rate == 0 {
                sys::sync();
            }
            let mut j = Json::default();
            j.object("", |j| shared.describe(j));
            Ok(("200 OK", j.finish()))
        });
    }

    /// `POST /disk-check`.
    pub(crate) fn check(&self, reply: Reply) {
        if self.0.checking.swap(true, Ordering::AcqRel) {
            let busy = "a check is under way: wait for its answer\n";
            return reply.send(("409 Conflict", busy.into()));
        }
        // Now, not when the thread gets its turn.
        let acked = self.0.acked.load(Ordering::Acquire);
        let shared = Arc::clone(&self.0);
        reply.by_thread("check", move || {
            let answer = shared.settled(false).and_then(|()| shared.check(acked));
            shared.checking.store(false, Ordering::Release);
            answer
        });
    }

    /// Begins a new epoch of statistics.
    pub(crate) fn reset(&self) {
        for count in [&self.0.written, &self.0.errors, &self.0.slowest] {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// The fields of `disk` in `/stats`.
    pub(crate) fn describe(&self, j: &mut Json) {
        self.0.describe(j);
    }
}

impl Shared {
    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, j: &mut Json) {
        let (rate, state, error) = {
            let control = self.control();
            (control.rate, control.state.clone(), control.error.clone())
        };
        let (state, error) = match state {
            State::Opening => ("opening", error),
            State::Open => ("open", error),
            State::Failed(reason) => ("failed", reason),
        };
        j.text("state", state);
        j.text("error", &error);
        j.text("id", &format!("{:016x}", self.id.load(Ordering::Acquire)));
        j.value("rate", rate);
        j.value("kib", self.shape.record / 1024);
        j.value("found", self.found.load(Ordering::Acquire));
        j.value("acked", self.acked.load(Ordering::Acquire));
        j.value("written", self.written.load(Ordering::Relaxed));
        j.value("errors", self.errors.load(Ordering::Relaxed));
        j.ms("slowest_ms", self.slowest.load(Ordering::Relaxed));
    }

    /// Opens the journal and begins to write small files.
    fn open(self: &Arc<Self>) -> Result<Ring, String> {
        let (ring, last) = Ring::open(self.shape.clone())?;
        if let Some(Last { id, sequence }) = last {
            self.id.store(id, Ordering::Release);
            self.found.store(sequence, Ordering::Release);
            self.begun.store(sequence, Ordering::Release);
            self.acked.store(sequence, Ordering::Release);
        }
        let folder = self.files_folder();
        let files = Files::open(folder.clone(), Arc::clone(&self.files))
            .map_err(|e| format!("cannot use {}: {e}", folder.display()))?;
        let own = Arc::clone(self);
        sys::thread("files", move || own.write_files(files))
            .map_err(|e| format!("no thread for the small files: {e}"))?;
        Ok(ring)
    }

    fn files_folder(&self) -> PathBuf {
        self.folder.join("files")
    }

    fn write_journal(&self, mut ring: Ring) {
        let id = self.id.load(Ordering::Acquire);
        let mut pace = Pace::default();
        loop {
            self.turn(&mut pace, |rate| rate);
            let next = self.acked.load(Ordering::Acquire) + 1;
            self.begun.store(next, Ordering::Release);
            let began = sys::now();
            let done = ring.write(id, next);
            if done.is_ok() {
                self.acked.store(next, Ordering::Release);
                self.written.fetch_add(1, Ordering::Relaxed);
            }
            self.slowest
                .fetch_max(sys::now() - began, Ordering::Relaxed);
            self.end(done);
        }
    }

    fn write_files(&self, mut files: Files) {
        let mut pace = Pace::default();
        loop {
            self.turn(&mut pace, |rate| if rate == 0 { 0 } else { FILES_PER_S });
            let done = files.step();
            self.end(done);
        }
    }

    /// Waits until the next write is due, and counts it as in flight.
    fn turn(&self, pace: &mut Pace, rate: fn(u32) -> u32) {
        let mut control = self.control();
        loop {
            match pace.next(rate(control.rate), sys::now()) {
                Some(0) => break control.in_flight += 1,
                Some(ns) => {
                    let waited = self.changed.wait_timeout(control, Duration::from_nanos(ns));
                    control = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => {
                    let woken = self.changed.wait(control);
                    control = woken.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// A write is over.
    fn end(&self, done: std::io::Result<()>) {
        let failed = done.is_err();
        let mut control = self.control();
        control.in_flight -= 1;
        if let Err(error) = done {
            self.errors.fetch_add(1, Ordering::Relaxed);
            control.error = error.to_string();
        }
        let tell = control.in_flight == 0 && control.rate == 0;
        drop(control);
        if tell {
            self.changed.notify_all();
        }
        if failed {
            std::thread::sleep(RETRY);
        }
    }

    /// Waits until the disk is there and, where `quiet`, no write is in flight.
    fn settled(&self, quiet: bool) -> Result<(), Answer> {
        let end = Instant::now() + PATIENCE;
        let mut control = self.control();
        loop {
            match &control.state {
                State::Failed(reason) => {
                    return Err(("503 Service Unavailable", format!("no disk: {reason}\n")));
                }
                State::Open if !quiet || control.in_flight == 0 => return Ok(()),
                _ => {}
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let what = match control.state {
                    State::Opening => "the disk is still being opened",
                    _ => "a write is still in flight",
                };
                return Err(("503 Service Unavailable", format!("{what}; ask again\n")));
            }
            let waited = self.changed.wait_timeout(control, left);
            control = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn check(&self, acked: u64) -> Result<Answer, Answer> {
        let wrong = |error| {
            let text = format!("the disk cannot be checked: {error}\n");
            ("500 Internal Server Error", text)
        };
        let began = sys::now();
        sys::sync();
        sys::drop_caches().map_err(wrong)?;
        let acked = Last {
            id: self.id.load(Ordering::Acquire),
            sequence: acked,
        };
        let journal = check::journal(&self.shape, acked, &self.begun).map_err(wrong)?;
        let files = files::walk(&self.files_folder(), &self.files).map_err(wrong)?;
        let mut j = Json::default();
        j.object("", |j| {
            j.value("acked", journal.acked);
            j.value("oldest", journal.oldest);
            j.value("checked", journal.checked);
            j.value("overwritten", journal.overwritten);
            few(j, "missing", &journal.missing, |j, one| j.value("", one));
            few(j, "bad", &journal.bad, |j, one| j.value("", one));
            j.object("files", |j| {
                j.value("checked", files.checked);
                few(j, "missing", &files.missing, |j, one| j.text("", one));
                few(j, "bad", &files.bad, |j, one| j.text("", one));
            });
            j.ms("took_ms", sys::now() - began);
        });
        Ok(("200 OK", j.finish()))
    }
}

/// `"missing":[3,4],"missing_total":2`.
fn few<T>(j: &mut Json, key: &str, few: &Few<T>, one: fn(&mut Json, &T)) {
    j.array(key, |j| few.first.iter().for_each(|item| one(j, item)));
    j.value(&format!("{key}_total"), few.total);
}

#[cfg(test)]
pub(crate) mod tests;
