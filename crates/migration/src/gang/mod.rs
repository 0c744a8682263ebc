//! The state machine of one gang: `next(event) → commands`.
//!
//! Who drives it carries out each command and reports how it went as an event; order and timing of
//! events are free. What it guarantees, whatever the events:
//!
//! - no VM is released before every peer holds its flip,
//! - no source is given up before every VM of the gang has answered at the target,
//! - a VM in doubt is asked for at the target before anybody lets it run elsewhere,
//! - once a VM may run at the target, its target is never discarded,
//! - everything that was prepared is either finished or taken back,
//! - nothing is armed while the user has paused it,
//! - nothing is tried again once a VM may be released.

mod end;
mod event;
mod pause;
mod retry;
#[cfg(test)]
mod tests;

pub use event::{Command, Event};

use crate::script::Script;
use model::VmName;
use model::migration::{FlipOrder, State};
use std::collections::BTreeMap;

/// How far a VM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// An attempt came to nothing; the next one is waited for.
    Hitched,
    New,
    Prepared,
    Sending,
    Held,
    Armed,
    Released,
    Stopped,
    Doubt,
    Resumed,
    Verified,
    Finishing,
    Mute,
    Finished,
    GoingBack,
    Back,
    Gone,
}

/// One gang on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Gang {
    order: FlipOrder,
    state: State,
    message: String,
    vms: BTreeMap<VmName, Vm>,
    attempts: u32,
    rehearse: bool,
    /// So many [`Command::Arm`] are under way.
    arming: usize,
    /// The user wants it to go no further.
    paused: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Vm {
    stage: Stage,
    flipped: bool,
    burst_bytes: u64,
    /// Its source was told to send.
    sent: bool,
    /// It is sent at a trickle.
    slow: bool,
    /// So many attempts came to nothing.
    hitches: u32,
    /// What it hitched at is taken up when the gang is resumed.
    parked: bool,
}

/// A VM that did not stop is armed again this often.
const ATTEMPTS: u32 = 3;

impl Gang {
    /// A gang that has not begun; gives its first commands.
    pub fn begin(vms: impl IntoIterator<Item = VmName>, order: FlipOrder) -> (Self, Vec<Command>) {
        let vms: BTreeMap<_, _> = vms
            .into_iter()
            .map(|vm| {
                (
                    vm,
                    Vm {
                        stage: Stage::New,
                        flipped: false,
                        burst_bytes: 0,
                        sent: false,
                        slow: false,
                        hitches: 0,
                        parked: false,
                    },
                )
            })
            .collect();
        let commands = vms.keys().cloned().map(Command::Prepare).collect();
        let message = "the targets are made ready".into();
        (
            Self {
                order,
                state: State::Preparing,
                message,
                vms,
                attempts: 0,
                rehearse: false,
                arming: 0,
                paused: false,
            },
            commands,
        )
    }

    /// The same gang, which goes back when everything is ready for the stop.
    pub fn rehearsing(mut self, rehearse: bool) -> Self {
        self.rehearse = rehearse;
        self
    }

    /// The gang as it was after these events; its commands were given then.
    pub fn replay(
        vms: impl IntoIterator<Item = VmName>,
        options: (FlipOrder, bool),
        events: impl IntoIterator<Item = Event>,
    ) -> Self {
        let (order, rehearse) = options;
        let mut gang = Self::begin(vms, order).0.rehearsing(rehearse);
        for event in events {
            gang.next(event);
        }
        gang
    }

    /// What brings a VM to its end when whoever drove the gang was lost: one that was never let go is
    /// taken back, whether its target is there or not; any other is looked for first.
    pub fn settle(&self, vm: &VmName) -> Script {
        match self.vms.get(vm) {
            Some(it) if !self.may_have_gone(vm) => {
                Script::take_back(false, it.sent || it.stage >= Stage::Prepared)
            }
            _ => Script::settle(),
        }
    }

    /// False for a VM that cannot run at the target, since nobody let it go, and that every peer still
    /// looks for at the source.
    pub fn may_have_gone(&self, vm: &VmName) -> bool {
        let it = self.vms.get(vm);
        it.is_none_or(|it| it.stage >= Stage::Released || it.flipped)
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// One sentence: what it does, or how it ended.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Expected bytes on the wire after the stop, all VMs together.
    pub fn burst_bytes(&self) -> u64 {
        self.vms.values().map(|vm| vm.burst_bytes).sum()
    }

    /// True while a cancel leaves the cluster at the source as if nothing had happened.
    pub fn can_cancel(&self) -> bool {
        matches!(
            self.state,
            State::Preparing | State::PreCopy | State::Hold | State::Armed
        ) && self.vms.values().all(|vm| vm.stage < Stage::Released)
    }

    /// Takes an event and says what to do.
    pub fn next(&mut self, event: Event) -> Vec<Command> {
        if self.state.is_final() {
            return Vec::new();
        }
        match event {
            Event::Prepared(vm) => self.on_prepared(&vm),
            Event::Sending(vm) => {
                self.raise(&vm, Stage::Prepared, Stage::Sending);
                self.slow_down()
            }
            // What is level at a trickle need not be level at full rate.
            Event::Held { vm, .. } if self.vms.get(&vm).is_some_and(|vm| vm.slow) => Vec::new(),
            Event::Held { vm, burst_bytes } => {
                if let Some(it) = self.vms.get_mut(&vm) {
                    it.burst_bytes = burst_bytes;
                }
                self.raise(&vm, Stage::Prepared, Stage::Held);
                self.raise(&vm, Stage::Sending, Stage::Held);
                self.when_all_held()
            }
            Event::WontConverge { why, .. } if self.can_cancel() => self.back(&why),
            Event::TimedOut if self.can_cancel() && !self.paused => {
                self.back("it took longer than allowed until every VM was ready to switch")
            }
            Event::WontConverge { .. } | Event::TimedOut => Vec::new(),
            Event::Overdue => self.on_overdue(),
            Event::Pause => self.on_pause(),
            Event::Resume => self.on_resume(),
            Event::Paced(vm) => self.on_paced(&vm),
            Event::Closed(why) if self.can_pause() => self.back(&why),
            Event::Closed(_) => Vec::new(),
            Event::Hitch { vm, why } => self.on_hitch(vm, &why),
            Event::Again(vm) => self.on_again(vm),
            Event::Cleared(vm) => self.on_cleared(vm),
            Event::NotCleared(vm) => self.on_not_cleared(vm),
            Event::Cancel if self.can_cancel() => self.back("cancelled"),
            Event::Cancel => Vec::new(),
            Event::Scheduled => self.on_scheduled(),
            Event::NotScheduled(why) => self.on_not_scheduled(&why),
            Event::AtPreSwitchover(vm) => match self.stage(&vm) {
                Some(Stage::Released | Stage::Stopped)
                    if self.order == FlipOrder::PreSwitchover =>
                {
                    self.flip(&vm)
                }
                _ => Vec::new(),
            },
            Event::Flipped(vm) => match self.order {
                FlipOrder::PreSwitchover => vec![Command::Continue(vm)],
                _ => Vec::new(),
            },
            Event::Stopped(vm) => self.on_stopped(&vm),
            Event::Resumed(vm) => self.on_resumed(vm),
            Event::DidNotStop(vm) => self.on_did_not_stop(vm),
            Event::Verified(vm) => {
                self.raise(&vm, Stage::Resumed, Stage::Verified);
                match self.state {
                    State::Aborting => self.finish_verified(),
                    _ => self.when_all_verified(),
                }
            }
            Event::Mute { vm, why } => self.on_mute(&vm, &why),
            Event::Failed { vm, why, in_doubt } => self.on_failed(vm, &why, in_doubt),
            Event::Resolved { vm, runs_at_target } => self.on_resolved(vm, runs_at_target),
            Event::Finished(vm) => {
                self.raise(&vm, Stage::Finishing, Stage::Finished);
                self.end_if_done();
                Vec::new()
            }
            Event::TakenBack(vm) => {
                self.raise(&vm, Stage::GoingBack, Stage::Back);
                self.end_if_done();
                Vec::new()
            }
            Event::Gone(vm) if self.stage(&vm) == Some(Stage::Hitched) => {
                self.back(&format!("'{vm}' has ended at the source by itself"))
            }
            Event::Gone(vm) => {
                self.raise(&vm, Stage::GoingBack, Stage::Gone);
                self.end_if_done();
                Vec::new()
            }
        }
    }

    fn stage(&self, vm: &VmName) -> Option<Stage> {
        self.vms.get(vm).map(|vm| vm.stage)
    }

    fn put(&mut self, vm: &VmName, stage: Stage) {
        if let Some(vm) = self.vms.get_mut(vm) {
            vm.stage = stage;
        }
    }

    fn raise(&mut self, vm: &VmName, from: Stage, to: Stage) {
        if let Some(vm) = self.vms.get_mut(vm)
            && vm.stage == from
        {
            vm.stage = to;
        }
    }

    fn all(&self, at_least: Stage) -> bool {
        self.vms
            .values()
            .all(|vm| vm.stage >= at_least && vm.stage < Stage::GoingBack)
    }

    fn on_prepared(&mut self, vm: &VmName) -> Vec<Command> {
        self.raise(vm, Stage::New, Stage::Prepared);
        self.send_prepared()
    }

    /// Sends what is prepared, the first time all VMs together.
    fn send_prepared(&mut self) -> Vec<Command> {
        let first = self.state == State::Preparing && self.all(Stage::Prepared);
        let under_way = matches!(self.state, State::PreCopy | State::Hold);
        let prepared = |vm: &Vm| vm.stage == Stage::Prepared && !vm.sent;
        if self.paused || !first && !under_way || !self.vms.values().any(prepared) {
            return Vec::new();
        }
        self.state = State::PreCopy;
        self.message = "memory flows while the guests run".into();
        let them = self.vms.iter_mut().filter(|(_, vm)| prepared(vm));
        them.map(|(name, vm)| {
            vm.sent = true;
            Command::Send(name.clone())
        })
        .collect()
    }

    fn when_all_held(&mut self) -> Vec<Command> {
        if !matches!(self.state, State::PreCopy | State::Hold) {
            return Vec::new();
        }
        self.state = State::Hold;
        let waiting: Vec<_> = self
            .vms
            .iter()
            .filter(|(_, vm)| vm.stage < Stage::Held)
            .map(|(name, _)| name.as_str())
            .collect();
        if !waiting.is_empty() {
            self.message = format!("on hold for {}", waiting.join(", "));
            return Vec::new();
        }
        if self.paused {
            return Vec::new();
        }
        self.state = State::Armed;
        self.message = "the stop is scheduled and peers take their orders".into();
        self.arm(self.vms.keys().cloned().collect())
    }

    fn arm(&mut self, vms: Vec<VmName>) -> Vec<Command> {
        self.arming += 1;
        if self.order == FlipOrder::BeforeStop {
            for name in &vms {
                if let Some(vm) = self.vms.get_mut(name) {
                    vm.flipped = true;
                }
            }
        }
        vec![Command::Arm(vms)]
    }

    fn on_scheduled(&mut self) -> Vec<Command> {
        self.arming = self.arming.saturating_sub(1);
        match self.state {
            _ if self.arming > 0 => Vec::new(),
            State::Aborting => self.take_back(),
            _ => self.release(),
        }
    }

    fn on_not_scheduled(&mut self, why: &str) -> Vec<Command> {
        self.arming = self.arming.saturating_sub(1);
        self.back(why)
    }

    fn release(&mut self) -> Vec<Command> {
        if !matches!(self.state, State::Armed | State::Switchover) {
            return Vec::new();
        }
        if self.rehearse {
            // Without a release nothing stops, and each source says so at its moment.
            self.message = "a rehearsal: peers flip, nothing stops".into();
            for vm in self.vms.values_mut().filter(|vm| vm.stage == Stage::Held) {
                vm.stage = Stage::Armed;
            }
            return Vec::new();
        }
        let mut commands = Vec::new();
        for (name, vm) in &mut self.vms {
            if vm.stage == Stage::Held || vm.stage == Stage::Armed {
                vm.stage = Stage::Released;
                commands.push(Command::Release(name.clone()));
            }
        }
        commands
    }

    fn flip(&mut self, vm: &VmName) -> Vec<Command> {
        match self.vms.get_mut(vm) {
            Some(it) if !it.flipped => {
                it.flipped = true;
                vec![Command::Flip(vm.clone())]
            }
            _ => Vec::new(),
        }
    }

    fn on_stopped(&mut self, vm: &VmName) -> Vec<Command> {
        if self.stage(vm).is_none_or(|stage| stage >= Stage::Doubt) {
            return Vec::new();
        }
        for from in [Stage::Held, Stage::Armed, Stage::Released] {
            self.raise(vm, from, Stage::Stopped);
        }
        if matches!(self.state, State::Armed | State::Hold) {
            self.state = State::Switchover;
            self.message = "stopped at the source, not yet answered for at the target".into();
        }
        if self.order == FlipOrder::Redirect {
            self.flip(vm)
        } else {
            Vec::new()
        }
    }

    fn on_resumed(&mut self, vm: VmName) -> Vec<Command> {
        if self.stage(&vm).is_none_or(|stage| stage >= Stage::Resumed) {
            return Vec::new();
        }
        self.put(&vm, Stage::Resumed);
        if matches!(self.state, State::Armed | State::Hold) {
            self.state = State::Switchover;
        }
        if self.all(Stage::Resumed) && self.state == State::Switchover {
            self.state = State::Verify;
            self.message = "every VM runs at the target and is asked to answer".into();
        }
        let mut commands = self.flip(&vm);
        commands.push(Command::Verify(vm));
        commands
    }

    fn on_did_not_stop(&mut self, vm: VmName) -> Vec<Command> {
        if !matches!(
            self.stage(&vm),
            Some(Stage::Released | Stage::Armed | Stage::Held)
        ) {
            return Vec::new();
        }
        if self.paused {
            // Nothing is armed during a pause: this is news of something else.
            return Vec::new();
        }
        self.attempts += 1;
        let some_moved = self
            .vms
            .values()
            .any(|vm| (Stage::Stopped..=Stage::Finished).contains(&vm.stage));
        if some_moved && self.attempts <= ATTEMPTS {
            self.put(&vm, Stage::Held);
            self.message = format!("'{vm}' did not stop at its moment and is armed again");
            return self.arm(vec![vm]);
        }
        if self.rehearse {
            return self.back("the rehearsal is over");
        }
        self.back(&format!("'{vm}' did not stop at its moment"))
    }

    fn when_all_verified(&mut self) -> Vec<Command> {
        if !self.all(Stage::Verified) || self.state == State::CleanUp {
            return Vec::new();
        }
        self.state = State::CleanUp;
        self.message = "every VM answered at the target; the source's copies are removed".into();
        let commands = self.finish_verified();
        self.end_if_done();
        commands
    }

    fn finish_verified(&mut self) -> Vec<Command> {
        let them = self.vms.iter_mut();
        them.filter(|(_, vm)| vm.stage == Stage::Verified)
            .map(|(name, vm)| {
                vm.stage = Stage::Finishing;
                Command::Finish(name.clone())
            })
            .collect()
    }
}
