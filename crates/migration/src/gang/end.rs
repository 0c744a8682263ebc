//! What goes wrong, the way back, and the end.

use super::{Command, Gang, Stage, Vm};
use model::VmName;
use model::migration::State;

impl Gang {
    pub(super) fn on_overdue(&mut self) -> Vec<Command> {
        if self.arming > 0 || !matches!(self.state, State::Armed | State::Switchover) {
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

    /// The others go on: each must come to its end.
    pub(super) fn on_mute(&mut self, vm: &VmName, why: &str) -> Vec<Command> {
        if self.stage(vm) != Some(Stage::Resumed) {
            return Vec::new();
        }
        self.raise(vm, Stage::Resumed, Stage::Mute);
        let mute = format!("'{vm}' runs at the target and did not answer ({why})");
        let commands = match self.state {
            State::Aborting => {
                self.message += &format!("; {mute}");
                Vec::new()
            }
            _ => {
                self.message = mute;
                self.when_all_verified()
            }
        };
        self.end_if_done();
        commands
    }

    pub(super) fn on_failed(&mut self, vm: VmName, why: &str, in_doubt: bool) -> Vec<Command> {
        let Some(stage) = self.stage(&vm) else {
            return Vec::new();
        };
        if stage >= Stage::Doubt {
            // It is being asked for, or known to run at the target: what its source says is no news.
            return Vec::new();
        }
        if in_doubt {
            self.put(&vm, Stage::Doubt);
            self.message = format!("{why}; the target is asked whether '{vm}' runs there");
            return vec![Command::Ask(vm)];
        }
        self.back(why)
    }

    pub(super) fn on_resolved(&mut self, vm: VmName, runs_at_target: bool) -> Vec<Command> {
        if self.stage(&vm) == Some(Stage::GoingBack) && runs_at_target {
            // It was faster than the order to take it back.
            self.put(&vm, Stage::Resumed);
            return vec![Command::Verify(vm)];
        }
        if self.stage(&vm) != Some(Stage::Doubt) {
            return Vec::new();
        }
        self.put(&vm, Stage::Stopped);
        if runs_at_target {
            return self.on_resumed(vm);
        }
        self.back(&format!("'{vm}' did not arrive"))
    }

    /// Takes back every VM that may be taken back. Those that may already run at the target stay
    /// there: a gang that is split so is reported, not hidden.
    pub(super) fn back(&mut self, why: &str) -> Vec<Command> {
        if self.state != State::Aborting {
            self.state = State::Aborting;
            self.message = why.to_owned();
        }
        if self.arming > 0 {
            // Flips may still be on their way to peers: first they are all known, then undone.
            return Vec::new();
        }
        self.take_back()
    }

    pub(super) fn take_back(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        for (name, vm) in &mut self.vms {
            if vm.stage >= Stage::Doubt {
                continue;
            }
            commands.push(Command::TakeBack {
                vm: name.clone(),
                flipped: vm.flipped || vm.stage >= Stage::Released,
                sending: vm.sent || vm.stage >= Stage::Prepared,
            });
            vm.stage = Stage::GoingBack;
        }
        commands.extend(self.finish_verified());
        self.end_if_done();
        commands
    }

    pub(super) fn names(&self, which: impl Fn(Stage) -> bool) -> String {
        let them = self.vms.iter().filter(|(_, vm)| which(vm.stage));
        let names: Vec<_> = them.map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }

    pub(super) fn end_if_done(&mut self) {
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
