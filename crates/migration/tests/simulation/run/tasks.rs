//! What the controller's commands take: orders, scripts, and how they went.

use super::{AGAIN, Happening, Purpose, Run, Task, slot};
use crate::world::{Ask, Target, Told};
use migration::gang::{Command, Event, Gang};
use migration::script::{Do, End, Heard, Script, Side};
use model::migration::{FlipOrder, State};

impl Run {
    pub(super) fn begin(&mut self, commands: Vec<Command>) {
        for command in commands {
            self.story
                .push(format!("{:>7}   command {command:?}", self.now));
            self.watch(&command);
            let (at, script) = match &command {
                Command::Prepare(vm) => (self.world.index(vm), Err((Side::Target, Ask::Prepare))),
                Command::Send(vm) => (self.world.index(vm), Err((Side::Source, Ask::Send))),
                Command::Release(vm) => (self.world.index(vm), Err((Side::Source, Ask::Release))),
                Command::Verify(vm) => (self.world.index(vm), Err((Side::Target, Ask::Verify))),
                Command::Continue(_) => continue,
                Command::Wait { vm, ms } => {
                    let at = self.world.index(vm);
                    self.at(self.now + ms, Happening::Again(at));
                    continue;
                }
                Command::Pace { vm, slow } => {
                    let (at, slow) = (self.world.index(vm), *slow);
                    let number = self.paces.get(&at).map_or(1, |number| number + 1);
                    self.paces.insert(at, number);
                    let task = self.task(Task::Pace { at, slow, number });
                    self.pace(task, at, slow);
                    continue;
                }
                Command::Clear { vm, sending } => {
                    let at = self.world.index(vm);
                    self.play(at, Script::clear(*sending), Purpose::Attempt);
                    continue;
                }
                Command::Flip(vm) => {
                    let at = self.world.index(vm);
                    self.world.vms[at].place = Side::Target;
                    continue;
                }
                Command::Arm(vms) => {
                    let left = vms.iter().map(|vm| self.world.index(vm)).collect();
                    let task = self.task(Task::Arm { left });
                    self.arm_next(task);
                    continue;
                }
                Command::Ask(vm) => (self.world.index(vm), Ok(Script::ask())),
                Command::Finish(vm) => (self.world.index(vm), Ok(Script::finish())),
                Command::TakeBack {
                    vm,
                    flipped,
                    sending,
                } => (
                    self.world.index(vm),
                    Ok(Script::take_back(*flipped, *sending)),
                ),
            };
            match script {
                Ok(script) => self.play(at, script, Purpose::Gang),
                Err((side, ask)) => {
                    let task = self.task(Task::Order { at, command });
                    self.order(task, side, ask, at);
                }
            }
        }
    }

    pub(super) fn pace(&mut self, task: u64, at: usize, slow: bool) {
        let ask = if slow { Ask::Slow } else { Ask::Fast };
        self.order(task, Side::Source, ask, at);
    }

    /// What a paused gang, or one that has released a VM, must never do.
    fn watch(&mut self, command: &Command) {
        self.released |= matches!(command, Command::Release(_));
        let paused = self.gang.as_ref().is_some_and(Gang::is_paused);
        let goes_on = matches!(command, Command::Arm(_) | Command::Release(_));
        let begins = matches!(
            command,
            Command::Prepare(_) | Command::Send(_) | Command::Clear { .. } | Command::Wait { .. }
        );
        if paused && goes_on || self.released && begins {
            self.forbidden = Some(format!("{command:?}, paused: {paused}"));
        }
    }

    fn task(&mut self, task: Task) -> u64 {
        self.seq += 1;
        self.tasks.insert(self.seq, task);
        self.seq
    }

    fn order(&mut self, task: u64, side: Side, ask: Ask, at: usize) {
        if !self.connected(side) {
            return self.wake(task, AGAIN, Told::Refused);
        }
        let (life, link) = (self.world.host(side).life, self.links[slot(side)].epoch);
        let when = self.over(side, 0);
        self.at(
            when,
            Happening::Arrives {
                task,
                side,
                ask,
                at,
                life,
                link,
            },
        );
    }

    fn arm_next(&mut self, task: u64) {
        let Some(Task::Arm { left }) = self.tasks.get(&task) else {
            return;
        };
        match left.first().copied() {
            Some(at) => self.order(task, Side::Source, Ask::Arm, at),
            None => {
                self.tasks.remove(&task);
                self.event(Event::Scheduled);
            }
        }
    }

    pub(super) fn play(&mut self, at: usize, mut script: Script, to: Purpose) {
        let first = script.next(Heard::Begin);
        let task = self.task(Task::Script { at, script, to });
        self.step(task, at, first);
    }

    fn step(&mut self, task: u64, at: usize, step: Do) {
        let order = match step {
            Do::Gate => (Side::Source, Ask::Nothing),
            Do::ReturnQueue => (Side::Target, Ask::Nothing),
            Do::Discard => (Side::Target, Ask::Discard),
            Do::RunsThere => (Side::Target, Ask::Runs),
            Do::LivesHere => (Side::Source, Ask::Lives),
            Do::Resume => (Side::Source, Ask::Resume),
            Do::Keep => (Side::Target, Ask::Keep),
            Do::Remove => (Side::Source, Ask::Remove),
            Do::Place(side) => {
                self.world.vms[at].place = side;
                return self.wake(task, 1, Told::Done);
            }
            Do::DiscardSomeTime => {
                let other = self.task(Task::Discard { at });
                self.order(other, Side::Target, Ask::Discard, at);
                return self.wake(task, 0, Told::Done);
            }
            Do::Pause => {
                return self.wake(task, AGAIN, Told::Done);
            }
            Do::End(end) => return self.script_ended(task, at, end),
        };
        self.order(task, order.0, order.1, at);
    }

    fn script_ended(&mut self, task: u64, at: usize, end: End) {
        let Some(Task::Script { to, .. }) = self.tasks.remove(&task) else {
            return;
        };
        if to == Purpose::Settle {
            self.settled.insert(at);
            if self.settled.len() == self.world.vms.len() {
                let there = self
                    .world
                    .vms
                    .iter()
                    .filter(|vm| vm.target == Target::Running);
                self.ended = Some(match there.count() {
                    0 => State::Aborted,
                    n if n == self.world.vms.len() => State::Arrived,
                    _ => State::Failed,
                });
            }
            return;
        }
        let vm = self.world.vms[at].name.clone();
        self.event(match end {
            End::TakenBack if to == Purpose::Attempt => Event::Cleared(vm),
            End::Unclear => Event::NotCleared(vm),
            End::TakenBack => Event::TakenBack(vm),
            End::RunsThere => Event::Resolved {
                vm,
                runs_at_target: true,
            },
            End::NotThere => Event::Resolved {
                vm,
                runs_at_target: false,
            },
            End::Finished => Event::Finished(vm),
            End::Gone => Event::Gone(vm),
        });
    }

    /// A task hears how its step went; `None` is no answer.
    pub(super) fn heard(&mut self, task: u64, told: Option<Told>) {
        let done = told == Some(Told::Done);
        let mut flips = Vec::new();
        match self.tasks.get_mut(&task) {
            None => {}
            Some(Task::Script { at, script, .. }) => {
                let at = *at;
                let next = script.next(match told {
                    Some(Told::Done) => Heard::Done,
                    Some(Told::Yes) => Heard::Yes,
                    Some(Told::No) => Heard::No,
                    Some(Told::Refused) | None => Heard::Failed,
                });
                self.step(task, at, next);
            }
            Some(Task::Discard { at }) => {
                let at = *at;
                match done {
                    true => drop(self.tasks.remove(&task)),
                    false => self.order(task, Side::Target, Ask::Discard, at),
                }
            }
            Some(Task::Pace { at, slow, number }) => {
                let (at, slow, newest) = (*at, *slow, self.paces.get(at) == Some(number));
                let vm = self.world.vms[at].name.clone();
                if !newest || done {
                    self.tasks.remove(&task);
                    if newest && !slow {
                        self.event(Event::Paced(vm));
                    }
                    return;
                }
                let wanted = |gang: &Gang| gang.can_pause() && gang.is_paused() == slow;
                match self.gang.as_ref().is_some_and(wanted) {
                    true => self.at(self.now + AGAIN, Happening::PaceAgain { task, at, slow }),
                    false => drop(self.tasks.remove(&task)),
                }
            }
            Some(Task::Arm { left }) if done => {
                flips.push(left.remove(0));
                self.arm_next(task);
            }
            Some(Task::Arm { .. }) => {
                self.tasks.remove(&task);
                self.event(Event::NotScheduled("a source was not armed".to_owned()));
            }
            Some(Task::Order { at, command }) => {
                let (at, command) = (*at, command.clone());
                let vm = self.world.vms[at].name.clone();
                if matches!(command, Command::Verify(_)) && told.is_none() {
                    return self.order(task, Side::Target, Ask::Verify, at);
                }
                self.tasks.remove(&task);
                let why = || "the order was not carried out".to_owned();
                match (command, done) {
                    (Command::Prepare(_), true) => self.event(Event::Prepared(vm)),
                    (Command::Send(_), true) => self.event(Event::Sending(vm)),
                    (Command::Verify(_), true) => self.event(Event::Verified(vm)),
                    (Command::Verify(_), false) => self.event(Event::Mute { vm, why: why() }),
                    (Command::Release(_), _) => {}
                    (Command::Prepare(_) | Command::Send(_), false) => {
                        self.event(Event::Hitch { vm, why: why() });
                    }
                    (_, _) => self.event(Event::Failed {
                        vm,
                        why: why(),
                        in_doubt: false,
                    }),
                }
            }
        }
        // Peers flip at the moment that was set when their VM was armed.
        flips.retain(|_| self.order == FlipOrder::BeforeStop);
        for at in flips {
            self.world.vms[at].place = Side::Target;
        }
    }
}
