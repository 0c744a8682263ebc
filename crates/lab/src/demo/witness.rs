//! The outside peer and the guests while something moves: the probe in the client's namespace, and the
//! guests' own accounts. Who moves anything, and how, is not the witness's business.
//!
//! ```text
//! probe ├──────────────────────────────────────────────────────────────────────┤
//!       warm-up │ migration │ settle │ accounts │ pause │ migration │ …
//!               └─────── window ─────┘                  └── window ──
//! ```
//!
//! What lies outside the windows is the baseline that a migration's figures are judged by.

use super::TourError;
use crate::boxed::BoxHandle;
use crate::parts;
use measure::analysis::Window;
use measure::control::{self, ControlError};
use measure::guest::{Dirty, Stats};
use measure::probe::{Config, Target};
use measure::report::{self, VmTotal, build};
use model::migration::Migration;
use std::collections::BTreeMap;
use std::time::Duration;

/// After a migration's end, until it is no longer looked at: what it leaves behind shows by then.
const SETTLE: Duration = Duration::from_secs(1);

/// A guest calls a datagram lost when it has been unanswered for a second.
const PAUSE: Duration = Duration::from_secs(2);

/// Interval of the records in a TCP session: what counts there is whether it is kept.
const TCP_MS: u64 = 20;

/// Attempts to read a guest's account.
const ATTEMPTS: u32 = 3;

/// A witness who watches.
pub(crate) struct Witness {
    probe: control::Client,
    boxed: BoxHandle,
    targets: Vec<Target>,
    legs: Vec<Leg>,
    /// Whether the VMs write to disks, and what of that was not there.
    disks: bool,
    missing: Vec<String>,
    read_back: Vec<String>,
    notes: Vec<String>,
}

/// One migration, and what the guests said of it.
struct Leg {
    moved: Migration,
    begin: String,
    end: String,
    guests: BTreeMap<String, Stats>,
}

/// What was seen.
pub struct Seen {
    /// The migrations, in order.
    pub migrations: Vec<report::Migration>,
    /// All of it, VM by VM.
    pub whole: Vec<VmTotal>,
    /// Acknowledged writes that were not there after a migration, a sentence each.
    pub missing: Vec<String>,
    /// What of acknowledged writes was there, a sentence for each VM and migration.
    pub read_back: Vec<String>,
    /// What a reader must know to judge it.
    pub notes: Vec<String>,
}

impl Witness {
    /// Starts the probe, a UDP stream and two TCP sessions with every VM, and lets it run for
    /// a while. With `disks`, what guests have written is read back after each migration.
    ///
    /// # Errors
    /// The probe does not start, or a VM does not answer it.
    pub(crate) async fn begin(
        boxed: &BoxHandle,
        targets: &[Target],
        disks: bool,
        stream_ms: u32,
        warm_up: Duration,
    ) -> Result<Self, TourError> {
        let probe = parts::start_probe(boxed).await?;
        probe
            .start(&Config {
                targets: targets.to_vec(),
                tcp_interval_ms: TCP_MS,
                udp_interval_us: u64::from(stream_ms) * 1000,
                ..Config::default()
            })
            .await?;
        tokio::time::sleep(warm_up).await;
        Ok(Self {
            probe,
            boxed: boxed.clone(),
            targets: targets.to_vec(),
            legs: Vec::new(),
            disks,
            missing: Vec::new(),
            read_back: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Gives every guest another load.
    ///
    /// # Errors
    /// The probe is gone, or a guest does not answer it.
    pub(crate) async fn load(&self, dirty: Dirty) -> Result<(), TourError> {
        Ok(self.probe.dirty(&self.targets, dirty).await?)
    }

    /// Watches one migration, and then until what it leaves behind has shown.
    ///
    /// # Errors
    /// Those of the move; nobody answers any more.
    pub(crate) async fn watch(
        &mut self,
        moves: impl Future<Output = Result<Migration, TourError>>,
    ) -> Result<Migration, TourError> {
        self.each_guest("begin a new account", async |probe, target| {
            probe.reset(std::slice::from_ref(target)).await
        })
        .await;
        let number = self.legs.len() + 1;
        let (begin, end) = (format!("begin {number}"), format!("end {number}"));
        let before = match self.disks {
            true => self.accounts().await?,
            false => BTreeMap::new(),
        };
        self.probe.mark(&*begin).await?;
        let moved = moves.await?;
        tokio::time::sleep(SETTLE).await;
        self.probe.mark(&*end).await?;
        tokio::time::sleep(PAUSE).await;
        let guests = self.accounts().await?;
        if self.disks {
            self.read_back(&moved, &before).await?;
        }
        self.legs.push(Leg {
            moved: moved.clone(),
            begin,
            end,
            guests,
        });
        Ok(moved)
    }

    /// Stops the probe and says what it saw.
    ///
    /// # Errors
    /// The probe is gone.
    pub(crate) async fn end(self) -> Result<Seen, TourError> {
        let recording = self.probe.stop().await?;
        parts::end_probe(&self.boxed, self.probe).await?;
        let window =
            |leg: &Leg| Window::marks(leg.moved.id.as_str(), &recording, &leg.begin, &leg.end);
        let windows: Vec<Window> = self.legs.iter().filter_map(window).collect();
        let migrations = self.legs.iter().zip(&windows).map(|(leg, window)| {
            let evidence = build::Evidence {
                recording: &recording,
                window,
                windows: &windows,
                guests: &leg.guests,
            };
            build::migration(&leg.moved, &evidence)
        });
        Ok(Seen {
            migrations: migrations.collect(),
            whole: build::whole(&recording),
            missing: self.missing,
            read_back: self.read_back,
            notes: self.notes,
        })
    }

    /// Every write that a guest had acknowledged, here to us before or there to itself since, must be there.
    async fn read_back(
        &mut self,
        moved: &Migration,
        before: &BTreeMap<String, Stats>,
    ) -> Result<(), TourError> {
        for found in self.probe.check_disks(&self.targets).await? {
            let (name, id) = (&found.name, &moved.id);
            let seen = before.get(name).and_then(|stats| stats.disk.as_ref());
            let seen = seen.map_or(0, |disk| disk.acked);
            match (found.check, found.error) {
                (Some(check), _) if check.is_whole(seen) => {
                    self.read_back.push(format!(
                        "{id}: {name} had {} acknowledged writes after the migration and {seen} before; all of its journal and {} files are there",
                        check.acked, check.files.checked
                    ));
                }
                (Some(check), _) => self.missing.push(format!(
                    "{id}: {name} lost writes that it had acknowledged: {check:?}"
                )),
                (None, why) => self.missing.push(format!(
                    "{id}: {name} cannot say what is on its disk: {}",
                    why.unwrap_or_default()
                )),
            }
        }
        Ok(())
    }

    async fn accounts(&mut self) -> Result<BTreeMap<String, Stats>, TourError> {
        let mut accounts = BTreeMap::new();
        let mut wanted = self.targets.clone();
        let mut errors = Vec::new();
        for _ in 0..ATTEMPTS {
            errors.clear();
            for collected in self.probe.collect(&wanted).await? {
                match (collected.stats, collected.error) {
                    (Some(stats), _) => {
                        wanted.retain(|target| target.name != collected.name);
                        accounts.insert(collected.name, stats);
                    }
                    (None, why) => errors.extend(why),
                }
            }
            if wanted.is_empty() {
                break;
            }
        }
        self.notes.append(&mut errors);
        Ok(accounts)
    }

    /// Does something with every guest, a few times over; one that will not is noted.
    async fn each_guest(
        &mut self,
        what: &str,
        act: impl AsyncFn(&control::Client, &Target) -> Result<(), ControlError>,
    ) {
        for target in &self.targets {
            let mut done = Ok(());
            for _ in 0..ATTEMPTS {
                done = act(&self.probe, target).await;
                if done.is_ok() {
                    break;
                }
            }
            if let Err(error) = done {
                let name = &target.name;
                self.notes.push(format!("{name} did not {what}: {error}"));
            }
        }
    }
}
