//! Paused by the user: memory goes on at a trickle, and nothing is armed.

use super::{Command, Gang, Stage};
use model::VmName;
use model::migration::State;

impl Gang {
    /// True while a pause takes effect: before the stop is scheduled.
    pub fn can_pause(&self) -> bool {
        matches!(self.state, State::Preparing | State::PreCopy | State::Hold)
            && self.arming == 0
            && self.vms.values().all(|vm| vm.stage < Stage::Armed)
    }

    /// True when the user wants it to go no further.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn on_pause(&mut self) -> Vec<Command> {
        if !self.can_pause() {
            return Vec::new();
        }
        self.paused = true;
        self.slow_down()
    }

    /// A trickle for what is being sent while it is paused.
    pub(super) fn slow_down(&mut self) -> Vec<Command> {
        if !self.paused {
            return Vec::new();
        }
        let mut commands = Vec::new();
        for (name, vm) in &mut self.vms {
            if matches!(vm.stage, Stage::Sending | Stage::Held) && !vm.slow {
                vm.slow = true;
                commands.push(Command::Pace {
                    vm: name.clone(),
                    slow: true,
                });
            }
        }
        commands
    }

    pub(super) fn on_resume(&mut self) -> Vec<Command> {
        if !self.paused {
            return Vec::new();
        }
        self.paused = false;
        let mut commands = Vec::new();
        for (name, vm) in self.vms.iter_mut().filter(|(_, vm)| vm.slow) {
            if vm.stage == Stage::Held {
                // What it dirtied meanwhile is still to be sent: it will say when it is level again.
                vm.stage = Stage::Sending;
            }
            commands.push(Command::Pace {
                vm: name.clone(),
                slow: false,
            });
        }
        if self.state == State::Hold {
            self.state = State::PreCopy;
        }
        commands.extend(self.unpark());
        commands.extend(self.send_prepared());
        if self.state == State::PreCopy {
            self.message = "memory flows while the guests run".into();
        }
        commands
    }

    pub(super) fn on_paced(&mut self, vm: &VmName) -> Vec<Command> {
        if let Some(it) = self.vms.get_mut(vm)
            && !self.paused
        {
            it.slow = false;
        }
        Vec::new()
    }
}
