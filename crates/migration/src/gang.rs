//! The state machine of one gang: `next(event) → commands`.
//!
//! Who drives it carries out each command and reports how it went as an event; order and timing of
//! events are free. What it guarantees, whatever the events:
//!
//! - no VM is released before every peer holds its flip,
//! - no source is given up before every VM of the gang has answered at the target,
//! - a VM in doubt is asked for at the target before anybody lets it run elsewhere,
//! - once a VM may run at the target, its target is never discarded,
//! - everything that was prepared is either finished or taken back.

use model::VmName;
use model::migration::{FlipOrder, State};
use std::collections::BTreeMap;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A target is ready.
    Prepared(VmName),
    /// A source sends.
    Sending(VmName),
    /// A VM is on hold and level.
    Held {
        /// The VM.
        vm: VmName,
        /// Expected bytes on the wire after the stop.
        burst_bytes: u64,
    },
    /// A VM dirties memory faster than it can be sent.
    WontConverge {
        /// The VM.
        vm: VmName,
        /// One sentence.
        why: String,
    },
    /// Every source is armed and every peer holds its flip.
    Scheduled,
    /// [`Command::Arm`] came to its end without that; some peers may hold flips. One sentence.
    NotScheduled(String),
    /// A VM's vCPUs stopped at the source.
    Stopped(VmName),
    /// A VM stands at QEMU's `pre-switchover`.
    AtPreSwitchover(VmName),
    /// Peers of a VM were flipped on [`Command::Flip`].
    Flipped(VmName),
    /// A VM's vCPUs run at the target.
    Resumed(VmName),
    /// An armed VM did not stop.
    DidNotStop(VmName),
    /// A VM answered at the target.
    Verified(VmName),
    /// A VM runs at the target and does not answer there.
    Mute {
        /// The VM.
        vm: VmName,
        /// One sentence.
        why: String,
    },
    /// A command for a VM did not succeed, or the VM failed by itself.
    Failed {
        /// The VM.
        vm: VmName,
        /// One sentence.
        why: String,
        /// The target may have started it.
        in_doubt: bool,
    },
    /// The target was asked for a VM in doubt.
    Resolved {
        /// The VM.
        vm: VmName,
        /// Whether it runs there; if not, it has been discarded there.
        runs_at_target: bool,
    },
    /// The user wants it back.
    Cancel,
    /// It takes longer than the user accepts to become ready.
    TimedOut,
    /// Nothing was heard for long, though VMs should have stopped: news may have been lost.
    Overdue,
    /// A VM's source was given up and its target is a normal VM.
    Finished(VmName),
    /// A VM is as it was before.
    TakenBack(VmName),
    /// A VM was to be taken back, and its process at the source has ended by itself.
    Gone(VmName),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make the target ready.
    Prepare(VmName),
    /// Begin to send.
    Send(VmName),
    /// Predict the gap; if it is acceptable, arm these VMs for one moment and schedule their peers'
    /// flips. Answered by [`Event::Scheduled`] or [`Event::NotScheduled`]; nothing is taken back before.
    Arm(Vec<VmName>),
    /// Let a VM stop.
    Release(VmName),
    /// Flip a VM's peers now.
    Flip(VmName),
    /// Let QEMU go on past `pre-switchover`.
    Continue(VmName),
    /// Ask the guest at the target.
    Verify(VmName),
    /// Ask the target whether a VM in doubt runs; discard it there if not.
    Ask(VmName),
    /// Put everything of a VM back: gate, flip back if it was flipped, replay, cancel, discard.
    TakeBack {
        /// The VM.
        vm: VmName,
        /// Whether peers may have been flipped, or the VM released.
        flipped: bool,
        /// Whether anything was sent.
        sending: bool,
    },
    /// Give up the source, keep the target.
    Finish(VmName),
}

/// How far a VM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
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
    Mute,
    Finished,
    GoingBack,
    Back,
    Gone,
}

/// One gang on its way.
#[derive(Debug, Clone)]
pub struct Gang {
    order: FlipOrder,
    state: State,
    message: String,
    vms: BTreeMap<VmName, Vm>,
    attempts: u32,
    rehearse: bool,
    /// [`Command::Arm`] is under way.
    arming: bool,
}

#[derive(Debug, Clone)]
struct Vm {
    stage: Stage,
    flipped: bool,
    finishing: bool,
    burst_bytes: u64,
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
                        finishing: false,
                        burst_bytes: 0,
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
                arming: false,
            },
            commands,
        )
    }

    /// The same gang, which goes back when everything is ready for the stop.
    pub fn rehearsing(mut self, rehearse: bool) -> Self {
        self.rehearse = rehearse;
        self
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
                Vec::new()
            }
            Event::Held { vm, burst_bytes } => {
                if let Some(it) = self.vms.get_mut(&vm) {
                    it.burst_bytes = burst_bytes;
                }
                self.raise(&vm, Stage::Prepared, Stage::Held);
                self.raise(&vm, Stage::Sending, Stage::Held);
                self.when_all_held()
            }
            Event::WontConverge { why, .. } if self.can_cancel() => self.back(&why),
            Event::TimedOut if self.can_cancel() => {
                self.back("it took longer than allowed until every VM was ready to switch")
            }
            Event::WontConverge { .. } | Event::TimedOut => Vec::new(),
            Event::Overdue => self.on_overdue(),
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
                self.raise(&vm, Stage::Verified, Stage::Finished);
                self.end_if_done();
                Vec::new()
            }
            Event::TakenBack(vm) => {
                self.raise(&vm, Stage::GoingBack, Stage::Back);
                self.end_if_done();
                Vec::new()
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
        if self.state != State::Preparing || !self.all(Stage::Prepared) {
            return Vec::new();
        }
        self.state = State::PreCopy;
        self.message = "memory flows while the guests run".into();
        self.vms.keys().cloned().map(Command::Send).collect()
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
        self.state = State::Armed;
        self.message = "the stop is scheduled and peers take their orders".into();
        self.arm(self.vms.keys().cloned().collect())
    }

    fn arm(&mut self, vms: Vec<VmName>) -> Vec<Command> {
        self.arming = true;
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
        self.arming = false;
        match self.state {
            State::Aborting => self.take_back(),
            _ => self.release(),
        }
    }

    fn on_not_scheduled(&mut self, why: &str) -> Vec<Command> {
        self.arming = false;
        match self.state {
            State::Aborting => self.take_back(),
            _ => self.back(why),
        }
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
        let Some(stage) = self.stage(&vm) else {
            return Vec::new();
        };
        if stage >= Stage::Resumed && stage != Stage::GoingBack {
            return Vec::new();
        }
        if stage >= Stage::GoingBack {
            return Vec::new();
        }
        if let Some(it) = self.vms.get_mut(&vm) {
            it.stage = Stage::Resumed;
        }
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
        self.attempts += 1;
        let some_moved = self
            .vms
            .values()
            .any(|vm| (Stage::Stopped..=Stage::Finished).contains(&vm.stage));
        if some_moved && self.attempts <= ATTEMPTS {
            if let Some(it) = self.vms.get_mut(&vm) {
                it.stage = Stage::Held;
            }
            self.message = format!("'{vm}' did not stop at its moment and is armed again");
            return self.arm(vec![vm]);
        }
        if self.rehearse {
            return self.back("the rehearsal is over");
        }
        self.back(&format!("'{vm}' did not stop at its moment"))
    }

    fn on_overdue(&mut self) -> Vec<Command> {
        if self.arming || !matches!(self.state, State::Armed | State::Switchover) {
            return Vec::new();
        }
        let mut asked = Vec::new();
        for (name, vm) in &mut self.vms {
            if (Stage::Armed..=Stage::Stopped).contains(&vm.stage) {
                vm.stage = Stage::Doubt;
                asked.push(Command::Ask(name.clone()));
            }
        }
        self.message = "nothing was heard for long; targets are asked what runs there".into();
        asked
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
        let verified = self
            .vms
            .iter_mut()
            .filter(|(_, vm)| vm.stage == Stage::Verified && !vm.finishing);
        verified
            .map(|(name, vm)| {
                vm.finishing = true;
                Command::Finish(name.clone())
            })
            .collect()
    }

    /// The others go on: each must come to its end.
    fn on_mute(&mut self, vm: &VmName, why: &str) -> Vec<Command> {
        if self.stage(vm) != Some(Stage::Resumed) {
            return Vec::new();
        }
        self.raise(vm, Stage::Resumed, Stage::Mute);
        self.message = format!("'{vm}' runs at the target and did not answer ({why})");
        let commands = match self.state {
            State::Aborting => Vec::new(),
            _ => self.when_all_verified(),
        };
        self.end_if_done();
        commands
    }

    fn on_failed(&mut self, vm: VmName, why: &str, in_doubt: bool) -> Vec<Command> {
        let Some(stage) = self.stage(&vm) else {
            return Vec::new();
        };
        if stage >= Stage::Doubt {
            // It is being asked for, or known to run at the target: what its source says is no news.
            return Vec::new();
        }
        if in_doubt {
            if let Some(it) = self.vms.get_mut(&vm) {
                it.stage = Stage::Doubt;
            }
            self.message = format!("{why}; the target is asked whether '{vm}' runs there");
            return vec![Command::Ask(vm)];
        }
        self.back(why)
    }

    fn on_resolved(&mut self, vm: VmName, runs_at_target: bool) -> Vec<Command> {
        if self.stage(&vm) == Some(Stage::GoingBack) && runs_at_target {
            // It was faster than the order to take it back.
            if let Some(it) = self.vms.get_mut(&vm) {
                it.stage = Stage::Resumed;
            }
            return vec![Command::Verify(vm)];
        }
        if self.stage(&vm) != Some(Stage::Doubt) {
            return Vec::new();
        }
        if runs_at_target {
            if let Some(it) = self.vms.get_mut(&vm) {
                it.stage = Stage::Stopped;
            }
            return self.on_resumed(vm);
        }
        if let Some(it) = self.vms.get_mut(&vm) {
            it.stage = Stage::Stopped;
        }
        self.back(&format!("'{vm}' did not arrive"))
    }

    /// Takes back every VM that may be taken back. Those that may already run at the target stay
    /// there: a gang that is split so is reported, not hidden.
    fn back(&mut self, why: &str) -> Vec<Command> {
        if self.state != State::Aborting {
            self.state = State::Aborting;
            self.message = why.to_owned();
        }
        if self.arming {
            // Flips may still be on their way to peers: first they are all known, then undone.
            return Vec::new();
        }
        self.take_back()
    }

    fn take_back(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        for (name, vm) in &mut self.vms {
            if vm.stage >= Stage::Doubt {
                continue;
            }
            commands.push(Command::TakeBack {
                vm: name.clone(),
                flipped: vm.flipped || vm.stage >= Stage::Released,
                sending: vm.stage >= Stage::Prepared,
            });
            vm.stage = Stage::GoingBack;
        }
        commands.extend(self.finish_verified());
        self.end_if_done();
        commands
    }

    fn names(&self, which: impl Fn(Stage) -> bool) -> String {
        let them = self.vms.iter().filter(|(_, vm)| which(vm.stage));
        let names: Vec<_> = them.map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }

    fn end_if_done(&mut self) {
        let settled = |vm: &Vm| {
            matches!(
                vm.stage,
                Stage::Finished | Stage::Mute | Stage::Back | Stage::Gone
            )
        };
        match self.state {
            State::CleanUp | State::Aborting
                if self.vms.values().all(|vm| vm.stage == Stage::Finished) =>
            {
                self.state = State::Arrived;
                self.message = "every VM runs at the target".into();
            }
            State::CleanUp if self.vms.values().all(settled) => {
                self.state = State::Failed;
                self.message = format!(
                    "{} runs at the target and did not answer; its source is kept, stopped: look at both before you remove one",
                    self.names(|stage| stage == Stage::Mute)
                );
            }
            State::Aborting if self.vms.values().all(|vm| vm.stage == Stage::Back) => {
                self.state = State::Aborted;
                self.message = format!("every VM runs at the source as before: {}", self.message);
            }
            State::Aborting if self.vms.values().all(settled) => {
                let (there, gone) = (
                    self.names(|s| s < Stage::GoingBack),
                    self.names(|s| s == Stage::Gone),
                );
                if !there.is_empty() {
                    self.message += &format!(
                        "; {there} already runs at the target, the rest at the source: move the rest again"
                    );
                }
                if !gone.is_empty() {
                    self.message += &format!(
                        "; {gone} has ended at the source by itself: look at its log there, and start it again"
                    );
                }
                self.state = State::Failed;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vm(n: u8) -> VmName {
        VmName::new(format!("vm-{n}")).unwrap()
    }

    #[test]
    fn a_gang_of_two_goes_all_the_way() {
        let (mut gang, commands) = Gang::begin([vm(1), vm(2)], FlipOrder::BeforeStop);
        assert_eq!(commands, [Command::Prepare(vm(1)), Command::Prepare(vm(2))]);
        assert!(gang.next(Event::Prepared(vm(1))).is_empty());
        assert_eq!(gang.next(Event::Prepared(vm(2))).len(), 2);
        for n in [1, 2] {
            gang.next(Event::Sending(vm(n)));
        }
        assert!(
            gang.next(Event::Held {
                vm: vm(1),
                burst_bytes: 10
            })
            .is_empty()
        );
        let armed = gang.next(Event::Held {
            vm: vm(2),
            burst_bytes: 20,
        });
        assert_eq!(armed, [Command::Arm(vec![vm(1), vm(2)])]);
        assert_eq!(gang.burst_bytes(), 30);
        assert_eq!(
            gang.next(Event::Scheduled),
            [Command::Release(vm(1)), Command::Release(vm(2))]
        );
        for n in [1, 2] {
            gang.next(Event::Stopped(vm(n)));
            assert_eq!(gang.next(Event::Resumed(vm(n))), [Command::Verify(vm(n))]);
        }
        assert_eq!(gang.state(), State::Verify);
        assert!(gang.next(Event::Verified(vm(2))).is_empty());
        assert_eq!(gang.next(Event::Verified(vm(1))).len(), 2);
        gang.next(Event::Finished(vm(1)));
        gang.next(Event::Finished(vm(2)));
        assert_eq!(gang.state(), State::Arrived);
    }

    #[test]
    fn a_cancel_before_the_release_takes_everything_back() {
        let (mut gang, _) = Gang::begin([vm(1)], FlipOrder::BeforeStop);
        gang.next(Event::Prepared(vm(1)));
        gang.next(Event::Sending(vm(1)));
        let back = gang.next(Event::Cancel);
        assert_eq!(
            back,
            [Command::TakeBack {
                vm: vm(1),
                flipped: false,
                sending: true
            }]
        );
        gang.next(Event::TakenBack(vm(1)));
        assert_eq!(gang.state(), State::Aborted);
    }

    #[test]
    fn a_rehearsal_releases_nobody_and_flips_back() {
        let (gang, _) = Gang::begin([vm(1)], FlipOrder::BeforeStop);
        let mut gang = gang.rehearsing(true);
        gang.next(Event::Prepared(vm(1)));
        gang.next(Event::Held {
            vm: vm(1),
            burst_bytes: 1,
        });
        assert!(gang.next(Event::Scheduled).is_empty());
        let back = gang.next(Event::DidNotStop(vm(1)));
        assert_eq!(
            back,
            [Command::TakeBack {
                vm: vm(1),
                flipped: true,
                sending: true
            }]
        );
    }

    #[test]
    fn a_vm_in_doubt_is_asked_for_and_not_taken_back_meanwhile() {
        let (mut gang, _) = Gang::begin([vm(1)], FlipOrder::BeforeStop);
        gang.next(Event::Prepared(vm(1)));
        gang.next(Event::Held {
            vm: vm(1),
            burst_bytes: 1,
        });
        gang.next(Event::Scheduled);
        gang.next(Event::Stopped(vm(1)));
        let asked = gang.next(Event::Failed {
            vm: vm(1),
            why: "the link broke".into(),
            in_doubt: true,
        });
        assert_eq!(asked, [Command::Ask(vm(1))]);
        assert!(
            gang.next(Event::Failed {
                vm: vm(1),
                why: "again".into(),
                in_doubt: false
            })
            .is_empty()
        );
        let back = gang.next(Event::Resolved {
            vm: vm(1),
            runs_at_target: false,
        });
        assert_eq!(
            back,
            [Command::TakeBack {
                vm: vm(1),
                flipped: true,
                sending: true
            }]
        );
    }

    #[test]
    fn a_vm_in_doubt_that_runs_at_the_target_goes_on() {
        let (mut gang, _) = Gang::begin([vm(1)], FlipOrder::BeforeStop);
        gang.next(Event::Prepared(vm(1)));
        gang.next(Event::Held {
            vm: vm(1),
            burst_bytes: 1,
        });
        gang.next(Event::Scheduled);
        gang.next(Event::Stopped(vm(1)));
        gang.next(Event::Failed {
            vm: vm(1),
            why: "the link broke".into(),
            in_doubt: true,
        });
        let next = gang.next(Event::Resolved {
            vm: vm(1),
            runs_at_target: true,
        });
        assert_eq!(next, [Command::Verify(vm(1))]);
    }

    fn events() -> impl Strategy<Value = Event> {
        let who = (1u8..4).prop_map(vm);
        prop_oneof![
            who.clone().prop_map(Event::Prepared),
            who.clone().prop_map(Event::Sending),
            who.clone()
                .prop_map(|vm| Event::Held { vm, burst_bytes: 5 }),
            Just(Event::Scheduled),
            who.clone().prop_map(Event::Stopped),
            who.clone().prop_map(Event::AtPreSwitchover),
            who.clone().prop_map(Event::Flipped),
            who.clone().prop_map(Event::Resumed),
            who.clone().prop_map(Event::DidNotStop),
            who.clone().prop_map(Event::Verified),
            who.clone().prop_map(|vm| Event::Mute {
                vm,
                why: "x".into()
            }),
            Just(Event::NotScheduled("x".into())),
            (who.clone(), any::<bool>()).prop_map(|(vm, in_doubt)| Event::Failed {
                vm,
                why: "x".into(),
                in_doubt
            }),
            (who.clone(), any::<bool>())
                .prop_map(|(vm, runs_at_target)| Event::Resolved { vm, runs_at_target }),
            Just(Event::Cancel),
            Just(Event::TimedOut),
            Just(Event::Overdue),
            who.clone().prop_map(Event::Finished),
            who.clone().prop_map(Event::Gone),
            who.prop_map(Event::TakenBack),
        ]
    }

    proptest! {
        #[test]
        fn no_order_of_events_breaks_the_promises(
            order in prop::sample::select(vec![FlipOrder::BeforeStop, FlipOrder::AfterResume, FlipOrder::Redirect]),
            events in prop::collection::vec(events(), 0..120),
        ) {
            let (mut gang, _) = Gang::begin([vm(1), vm(2), vm(3)], order);
            let mut scheduled = false;
            let mut verified = std::collections::BTreeSet::new();
            let mut resumed = std::collections::BTreeSet::new();
            let mut gone_back = std::collections::BTreeSet::new();
            let mut asked = std::collections::BTreeSet::new();
            for event in events {
                scheduled |= event == Event::Scheduled;
                let before = gang.clone();
                let commands = gang.next(event.clone());
                match &event {
                    Event::Resumed(vm) if !gone_back.contains(vm) && !before.state().is_final() => { resumed.insert(vm.clone()); }
                    Event::Resolved { vm, runs_at_target: true } if !before.state().is_final() && (asked.contains(vm) || gone_back.contains(vm)) => { resumed.insert(vm.clone()); gone_back.remove(vm); }
                    Event::Verified(vm) => { verified.insert(vm.clone()); }
                    _ => {}
                }
                for command in commands {
                    match command {
                        Command::Release(_) => prop_assert!(scheduled),
                        Command::Finish(vm) => prop_assert!(verified.contains(&vm) && resumed.contains(&vm)),
                        Command::TakeBack { vm, .. } => {
                            prop_assert!(!resumed.contains(&vm), "{vm} runs at the target and was taken back");
                            gone_back.insert(vm);
                        }
                        Command::Ask(vm) => { asked.insert(vm); }
                        _ => {}
                    }
                }
            }
        }
    }
}
