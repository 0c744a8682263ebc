//! An attempt that failed for a reason that may pass is made again, from the beginning of its VM, after a
//! wait that grows; never once a VM of the gang may be released.

use super::{Command, Gang, Stage};
use model::VmName;
use model::migration::State;

/// An attempt is repeated this often for one VM before the migration is given up.
pub(super) const RETRIES: u32 = 5;
/// The first wait, ms; each is twice the one before.
const FIRST_WAIT_MS: u64 = 1000;

fn in_words(n: u32) -> &'static str {
    match n {
        0 | 1 => "first",
        2 => "second",
        3 => "third",
        4 => "fourth",
        _ => "fifth",
    }
}

impl Gang {
    pub(super) fn on_hitch(&mut self, vm: VmName, why: &str) -> Vec<Command> {
        match self.stage(&vm) {
            // Both ends of a stream tell when it breaks.
            Some(Stage::Hitched) => Vec::new(),
            Some(Stage::New | Stage::Prepared | Stage::Sending | Stage::Held) => {
                self.try_again(vm, why)
            }
            _ => self.on_failed(vm, why, false),
        }
    }

    fn try_again(&mut self, vm: VmName, why: &str) -> Vec<Command> {
        if !self.can_pause() {
            return self.on_failed(vm, why, false);
        }
        let Some(it) = self.vms.get_mut(&vm) else {
            return Vec::new();
        };
        if self.paused {
            // A target that nobody dials does not wait for ever: that is no failure of the attempt.
            (it.stage, it.parked) = (Stage::Hitched, true);
            return Vec::new();
        }
        it.hitches += 1;
        if it.hitches > RETRIES {
            return self.back(&format!("{why}; it was tried {RETRIES} times again"));
        }
        it.stage = Stage::Hitched;
        let hitches = it.hitches;
        let ms = FIRST_WAIT_MS << (hitches - 1);
        if self.state == State::Hold {
            self.state = State::PreCopy;
        }
        self.message = format!(
            "{why}; trying '{vm}' again in {} s, {} of five",
            ms / 1000,
            in_words(hitches),
        );
        vec![Command::Wait { vm, ms }]
    }

    pub(super) fn on_again(&mut self, vm: VmName) -> Vec<Command> {
        match self.vms.get_mut(&vm) {
            Some(it) if it.stage == Stage::Hitched && self.paused => {
                it.parked = true;
                Vec::new()
            }
            Some(it) if it.stage == Stage::Hitched && !it.parked => {
                let sending = it.sent;
                vec![Command::Clear { vm, sending }]
            }
            _ => Vec::new(),
        }
    }

    /// What hitched while it was paused is taken up again.
    pub(super) fn unpark(&mut self) -> Vec<Command> {
        let parked = self.vms.iter_mut().filter(|(_, vm)| vm.parked);
        let commands = parked.filter_map(|(name, vm)| {
            vm.parked = false;
            (vm.stage == Stage::Hitched).then(|| Command::Clear {
                vm: name.clone(),
                sending: vm.sent,
            })
        });
        commands.collect()
    }

    pub(super) fn on_cleared(&mut self, vm: VmName) -> Vec<Command> {
        let Some(it) = self.vms.get_mut(&vm) else {
            return Vec::new();
        };
        if it.stage != Stage::Hitched {
            return Vec::new();
        }
        it.stage = Stage::New;
        (it.sent, it.slow, it.burst_bytes) = (false, false, 0);
        self.message = format!("the target of '{vm}' is made ready again");
        vec![Command::Prepare(vm)]
    }

    pub(super) fn on_not_cleared(&mut self, vm: VmName) -> Vec<Command> {
        match self.stage(&vm) {
            Some(Stage::Hitched) => {
                let why = format!("what was left of '{vm}' at the target could not be removed");
                self.try_again(vm, &why)
            }
            _ => Vec::new(),
        }
    }
}
