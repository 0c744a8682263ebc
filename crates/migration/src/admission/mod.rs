//! When a migration may go: limits, priorities, windows, and the queue of those that wait.
//!
//! Room is what limits leave at each [`Scope`] that a migration needs: the controller, both sites, and the
//! uplink of every host that sends or receives. Freed room goes to the first that fits, by priority, then by
//! age. So that small ones do not pass a large one for ever, one that was overtaken [`PATIENCE`] times by
//! others that take of the same room holds it: who stands behind it waits as well.
//!
//! Two migrations of one cluster, and so two with a VM in common, never run at once: the second waits. (The
//! engine refuses it before that, since where it would leave from is open until the first has ended.)

mod calendar;
mod room;
#[cfg(test)]
mod tests;
mod why;

pub use calendar::Calendar;
pub use room::Scope;
pub use why::Lack;

use model::limits::Limits;
use model::window::Window;
use model::{ClusterName, HostName, MigrationId, SiteName};
use room::Rooms;
use std::collections::{BTreeMap, BTreeSet};

/// Overtaken this often by others of its priority, a migration holds the room that it waits for.
pub const PATIENCE: u32 = 3;

/// A migration that wants to go.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The migration.
    pub id: MigrationId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// Source site.
    pub from: SiteName,
    /// Target site.
    pub to: SiteName,
    /// Hosts that send or receive, with what their uplinks are known to carry, Mbit/s; 0 when unknown.
    pub uplinks: BTreeMap<HostName, f64>,
    /// Most that it may send, Mbit/s; 0 takes what is free.
    pub most_mbit: f64,
    /// The highest goes first.
    pub priority: i32,
    /// It may run inside of this only, besides the sites' windows.
    pub window: Option<Window>,
}

/// A migration that may go.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    /// The migration.
    pub id: MigrationId,
    /// What it may send, Mbit/s; none when nothing is known of its uplinks and no limit says.
    pub mbit: Option<f64>,
}

#[derive(Debug, Clone)]
struct Waiting {
    request: Request,
    /// Older ones have smaller numbers.
    age: u64,
    paused: bool,
    overtaken: u32,
}

#[derive(Debug, Clone)]
struct Running {
    request: Request,
    mbit: Option<f64>,
}

/// Those that wait and those that run.
#[derive(Debug, Clone)]
pub struct Admission {
    limits: Limits,
    waiting: Vec<Waiting>,
    running: BTreeMap<MigrationId, Running>,
    newest: u64,
}

/// What is so at a moment and is not the queue's to know.
#[derive(Debug, Clone, Default)]
pub struct Now {
    /// The moment, ms since the Unix epoch.
    pub unix_ms: u64,
    /// Hosts whose agents are not connected.
    pub away: BTreeSet<HostName>,
}

impl Admission {
    /// Nothing waits and nothing runs.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: Vec::new(),
            running: BTreeMap::new(),
            newest: 0,
        }
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Other limits from now on. What runs goes on, also where it is more than they allow.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes a migration into the queue, behind those of its priority. One that waits or runs already is
    /// left as it is.
    pub fn wait(&mut self, request: Request) {
        if self.running.contains_key(&request.id) || self.is_waiting(&request.id) {
            return;
        }
        self.newest += 1;
        self.waiting.push(Waiting {
            request,
            age: self.newest,
            paused: false,
            overtaken: 0,
        });
        self.waiting
            .sort_by_key(|one| (std::cmp::Reverse(one.request.priority), one.age));
    }

    /// A migration that runs already, whatever the limits say: one of an earlier life.
    pub fn runs(&mut self, request: Request, mbit: Option<f64>) {
        self.waiting.retain(|one| one.request.id != request.id);
        self.running
            .insert(request.id.clone(), Running { request, mbit });
    }

    /// Whether it waits.
    pub fn is_waiting(&self, id: &MigrationId) -> bool {
        self.waiting.iter().any(|one| one.request.id == *id)
    }

    /// A migration has ended, or does not want to go any more. False when it neither waited nor ran.
    pub fn leave(&mut self, id: &MigrationId) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|one| one.request.id != *id);
        self.running.remove(id).is_some() || self.waiting.len() < before
    }

    /// The user wants one that waits not to begin, or to begin again; it keeps its place. False when it
    /// does not wait.
    pub fn pause(&mut self, id: &MigrationId, paused: bool) -> bool {
        let one = self.waiting.iter_mut().find(|one| one.request.id == *id);
        one.map(|one| one.paused = paused).is_some()
    }

    /// Gives room to those that may go now, in their order; they run from now on.
    pub fn admit(&mut self, now: &Now) -> Vec<Admitted> {
        let mut admitted = Vec::new();
        while let Some((at, mbit)) = self.first_that_fits(now) {
            let one = self.waiting.remove(at);
            for passed in &mut self.waiting[..at] {
                let same = passed.request.priority == one.request.priority;
                if same && Self::could_go(&self.limits, passed, now) {
                    let share = room::shared(&self.limits, &passed.request, &one.request);
                    passed.overtaken += u32::from(share.is_some());
                }
            }
            let id = one.request.id.clone();
            let request = one.request;
            self.running.insert(id.clone(), Running { request, mbit });
            admitted.push(Admitted { id, mbit });
        }
        admitted
    }

    /// What one that waits lacks; none when it does not wait, or lacks nothing.
    pub fn lacks(&self, id: &MigrationId, now: &Now) -> Option<Lack> {
        let at = self.waiting.iter().position(|one| one.request.id == *id)?;
        self.fits(at, now).err()
    }

    /// Learns what uplinks carry, Mbit/s, of those that wait; 0 is unknown.
    pub fn learn(&mut self, mbit: impl Fn(&HostName) -> Option<f64>) {
        for one in &mut self.waiting {
            for (host, known) in &mut one.request.uplinks {
                *known = mbit(host).unwrap_or(*known);
            }
        }
    }

    /// The one that waits or runs.
    pub fn request(&self, id: &MigrationId) -> Option<&Request> {
        let waits = self.queue().find(|request| request.id == *id);
        waits.or_else(|| self.running.get(id).map(|it| &it.request))
    }

    /// Those that wait, in their order.
    pub fn queue(&self) -> impl Iterator<Item = &Request> {
        self.waiting.iter().map(|one| &one.request)
    }

    /// The windows that hold for a migration.
    pub fn calendar(&self, request: &Request) -> Calendar {
        Calendar::of(&self.limits, request)
    }

    /// Those that wait for windows that never open again.
    pub fn too_late(&self, unix_ms: u64) -> Vec<MigrationId> {
        let late = self.queue().filter(|request| {
            let calendar = self.calendar(request);
            calendar.opens(unix_ms).is_none()
        });
        late.map(|request| request.id.clone()).collect()
    }

    /// When a window opens that somebody waits for, ms since the Unix epoch.
    pub fn next_opening(&self, unix_ms: u64) -> Option<u64> {
        let openings = self.queue().filter_map(|request| {
            let at = self.calendar(request).opens(unix_ms)?;
            (at > unix_ms).then_some(at)
        });
        openings.min()
    }

    /// Whether nothing but room may be missing.
    fn could_go(limits: &Limits, one: &Waiting, now: &Now) -> bool {
        !one.paused
            && one
                .request
                .uplinks
                .keys()
                .all(|host| !now.away.contains(host))
            && Calendar::of(limits, &one.request)
                .closes(now.unix_ms)
                .is_some()
    }

    fn first_that_fits(&self, now: &Now) -> Option<(usize, Option<f64>)> {
        (0..self.waiting.len()).find_map(|at| self.fits(at, now).ok().map(|mbit| (at, mbit)))
    }

    /// What the one at this place would be given.
    fn fits(&self, at: usize, now: &Now) -> Result<Option<f64>, Lack> {
        let one = &self.waiting[at];
        let request = &one.request;
        if one.paused {
            return Err(Lack::Resume(request.id.clone()));
        }
        if let Some(host) = request.uplinks.keys().find(|host| now.away.contains(host)) {
            return Err(Lack::Agent(host.clone()));
        }
        let calendar = self.calendar(request);
        if calendar.closes(now.unix_ms).is_none() {
            let opens = calendar.opens(now.unix_ms);
            return Err(Lack::Window { opens });
        }
        // A VM's name is its cluster's: who shares a VM shares the cluster.
        let same = |other: &Request| other.cluster == request.cluster;
        if let Some(other) = self.running.values().find(|it| same(&it.request)) {
            return Err(Lack::Other(other.request.id.clone()));
        }
        for before in &self.waiting[..at] {
            if before.overtaken < PATIENCE || !Self::could_go(&self.limits, before, now) {
                continue;
            }
            if let Some(scope) = room::shared(&self.limits, &before.request, request) {
                let older = before.request.id.clone();
                return Err(Lack::Turn { older, scope });
            }
        }
        let running = self.running.values().map(|it| (&it.request, it.mbit));
        Rooms::of(&self.limits, running).take(request)
    }
}
