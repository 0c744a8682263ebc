//! Two hosts with their agents, the relays between them, and what the agents do by themselves.
//!
//! A model of `agent::outgoing` and `agent::incoming`: what each half of a VM does on an order, at
//! its moment, when the relay breaks, and when its agent dies and comes again.

use crate::chance::Chance;
use migration::gang::Event;
use migration::script::Side;
use model::VmName;

/// A VM's half at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Running,
    Sending,
    Held,
    Armed {
        released: bool,
    },
    /// Stopped by QEMU; the agent has not noted it.
    Stopped,
    /// Noted on disk that the target may run it.
    Relinquished,
    Removed,
}

impl Source {
    pub(crate) fn runs(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Sending | Self::Held | Self::Armed { .. }
        )
    }

    /// Something of it is being sent.
    fn sends(self) -> bool {
        matches!(
            self,
            Self::Sending | Self::Held | Self::Armed { .. } | Self::Stopped
        )
    }
}

/// A VM's half at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Absent,
    Waiting,
    Running,
}

/// A VM's disk: its writes, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Acknowledged to the guest.
    acknowledged: u64,
    /// In the source's image; none when it was removed.
    source: Option<u64>,
    /// In the target's image, and whether they would outlive the host; none when there is none.
    target: Option<(u64, bool)>,
    /// The target has applied the mirror's last record.
    whole: bool,
}

/// What a host is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Prepare,
    Send,
    /// Send at a trickle.
    Slow,
    /// As fast as it may be.
    Fast,
    Arm,
    Release,
    Verify,
    Discard,
    Runs,
    Lives,
    Resume,
    Keep,
    Remove,
    /// What every host does without a word: gate, give the queue back.
    Nothing,
}

/// How that went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Done,
    Refused,
    Yes,
    No,
}

/// Something that happens by itself after a while, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Later {
    Level {
        vm: usize,
        relay: u32,
    },
    Stop {
        vm: usize,
        relay: u32,
    },
    Note {
        vm: usize,
        relay: u32,
    },
    Leave {
        vm: usize,
        relay: u32,
    },
    /// The mirror's last record, on a connection of its own.
    Whole {
        vm: usize,
        life: u32,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Vm {
    pub(crate) name: VmName,
    pub(crate) source: Source,
    pub(crate) target: Target,
    /// Where the directory has it.
    pub(crate) place: Side,
    /// Its process at the source was killed while it ran there.
    pub(crate) lost: bool,
    /// The relay's number while it is up.
    relay: Option<u32>,
    /// The target's agent expects a relay, or has one; one that came again does not.
    expects: bool,
    /// Sent at a trickle.
    slow: bool,
    /// The source has told that it stopped, and all of the memory has come.
    loaded: bool,
    pub(crate) disk: Disk,
}

impl Vm {
    fn leave_target(&mut self) {
        self.target = Target::Absent;
        self.expects = false;
        self.loaded = false;
        (self.disk.target, self.disk.whole) = (None, false);
    }

    /// When memory and disks are there.
    fn run_at_target(&mut self, out: &mut Effects) {
        if self.loaded && self.disk.whole && self.target == Target::Waiting {
            self.target = Target::Running;
            let event = Event::Resumed(self.name.clone());
            out.news.push((Side::Target, event));
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    pub(crate) up: bool,
    pub(crate) life: u32,
}

pub(crate) struct World {
    pub(crate) vms: Vec<Vm>,
    pub(crate) source: Host,
    pub(crate) target: Host,
    pub(crate) wan: bool,
    relays: u32,
}

/// News from a side, and things to come.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) news: Vec<(Side, Event)>,
    pub(crate) later: Vec<(u64, Later)>,
}

impl World {
    pub(crate) fn new(vms: usize) -> Self {
        let vm = |number| Vm {
            name: VmName::new(format!("vm-{number}")).expect("a plain name"),
            source: Source::Running,
            target: Target::Absent,
            place: Side::Source,
            lost: false,
            relay: None,
            expects: false,
            slow: false,
            loaded: false,
            disk: Disk {
                source: Some(0),
                ..Disk::default()
            },
        };
        let host = Host { up: true, life: 0 };
        Self {
            vms: (0..vms).map(vm).collect(),
            source: host,
            target: host,
            wan: true,
            relays: 0,
        }
    }

    pub(crate) fn host(&mut self, side: Side) -> &mut Host {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }

    pub(crate) fn index(&self, name: &VmName) -> usize {
        let found = self.vms.iter().position(|vm| vm.name == *name);
        found.expect("a VM of the gang")
    }

    /// A host carries an order out.
    pub(crate) fn carry_out(
        &mut self,
        at: usize,
        ask: Ask,
        chance: &mut Chance,
        out: &mut Effects,
    ) -> Told {
        let (wan, target_up) = (self.wan, self.target.up);
        let relay = self.relays + 1;
        let vm = &mut self.vms[at];
        let told = |done: bool| if done { Told::Done } else { Told::Refused };
        match ask {
            Ask::Prepare => {
                let free = vm.target == Target::Absent;
                if free {
                    vm.target = Target::Waiting;
                    vm.expects = true;
                    vm.loaded = false;
                    (vm.disk.target, vm.disk.whole) = (Some((0, false)), false);
                }
                told(free)
            }
            Ask::Send => {
                let may = vm.source == Source::Running && wan && target_up && vm.expects;
                if may {
                    self.relays = relay;
                    vm.source = Source::Sending;
                    vm.relay = Some(relay);
                    vm.slow = false;
                    let ms = chance.between(1000, 30_000);
                    out.later.push((ms, Later::Level { vm: at, relay }));
                }
                told(may)
            }
            Ask::Slow => {
                vm.slow = matches!(vm.source, Source::Sending | Source::Held);
                told(vm.slow)
            }
            Ask::Fast => match (vm.source, vm.relay) {
                (Source::Sending | Source::Held, Some(relay)) => {
                    (vm.source, vm.slow) = (Source::Sending, false);
                    let ms = chance.between(200, 5000);
                    out.later.push((ms, Later::Level { vm: at, relay }));
                    Told::Done
                }
                _ => Told::Refused,
            },
            Ask::Arm => match (vm.source, vm.relay) {
                (Source::Held, Some(relay)) => {
                    vm.source = Source::Armed { released: false };
                    out.later
                        .push((chance.between(100, 600), Later::Stop { vm: at, relay }));
                    Told::Done
                }
                _ => Told::Refused,
            },
            Ask::Release => match vm.source {
                Source::Armed { .. } => {
                    vm.source = Source::Armed { released: true };
                    Told::Done
                }
                _ => Told::Refused,
            },
            Ask::Verify | Ask::Keep => {
                if let Some((_, durable)) = &mut vm.disk.target {
                    *durable = true;
                }
                told(ask == Ask::Keep || vm.target == Target::Running)
            }
            Ask::Discard => {
                let may = vm.target != Target::Running;
                if may {
                    vm.leave_target();
                    self.break_relay(at, out);
                }
                told(may)
            }
            Ask::Runs => match vm.target {
                Target::Running => Told::Yes,
                _ => Told::No,
            },
            Ask::Lives => match vm.source {
                Source::Removed => Told::No,
                _ => Told::Yes,
            },
            Ask::Resume => {
                let lives = vm.source != Source::Removed;
                if lives {
                    vm.source = Source::Running;
                    self.break_relay(at, out);
                }
                told(lives)
            }
            Ask::Nothing => Told::Done,
            Ask::Remove => {
                vm.source = Source::Removed;
                vm.disk.source = None;
                vm.relay = None;
                Told::Done
            }
        }
    }

    /// Something happens by itself; nothing when its relay is not up any more.
    pub(crate) fn happens(&mut self, what: Later, chance: &mut Chance, out: &mut Effects) {
        if let Later::Whole { vm, life } = what {
            return self.whole((vm, life), chance, out);
        }
        let life = self.source.life;
        let (Later::Level { vm: at, relay }
        | Later::Stop { vm: at, relay }
        | Later::Note { vm: at, relay }
        | Later::Leave { vm: at, relay }) = what
        else {
            return;
        };
        let vm = &mut self.vms[at];
        if vm.relay != Some(relay) {
            return;
        }
        let name = vm.name.clone();
        match (what, vm.source) {
            (Later::Level { .. }, Source::Sending) if !vm.slow => {
                vm.source = Source::Held;
                let event = Event::Held {
                    vm: name,
                    burst_bytes: 1000,
                };
                out.news.push((Side::Source, event));
            }
            (Later::Stop { .. }, Source::Armed { released: true }) => {
                vm.source = Source::Stopped;
                out.later
                    .push((chance.between(0, 3), Later::Note { vm: at, relay }));
            }
            (Later::Stop { .. }, Source::Armed { released: false }) => {
                vm.source = Source::Held;
                out.news.push((Side::Source, Event::DidNotStop(name)));
            }
            (Later::Note { .. }, Source::Stopped) => {
                vm.source = Source::Relinquished;
                out.news.push((Side::Source, Event::Stopped(name)));
                out.later
                    .push((chance.between(15, 60), Later::Leave { vm: at, relay }));
                out.later
                    .push((chance.between(15, 90), Later::Whole { vm: at, life }));
            }
            (Later::Leave { .. }, _) if vm.target == Target::Waiting => {
                vm.loaded = true;
                vm.run_at_target(out);
            }
            _ => {}
        }
    }

    /// The mirror's last record arrives, unless the agent that kept it has died. Over a WAN that is cut it
    /// comes later.
    fn whole(&mut self, (at, life): (usize, u32), chance: &mut Chance, out: &mut Effects) {
        if self.source.life != life {
            return;
        }
        if !self.wan || !self.target.up {
            let again = Later::Whole { vm: at, life };
            return out.later.push((chance.between(100, 400), again));
        }
        let vm = &mut self.vms[at];
        // One that was taken back, or given up at the target, has no use for it.
        if vm.source == Source::Relinquished && vm.target == Target::Waiting {
            let stopped_with = vm.disk.acknowledged;
            vm.disk.target = vm.disk.target.map(|(_, durable)| (stopped_with, durable));
            vm.disk.whole = true;
            vm.run_at_target(out);
        }
    }

    /// Every VM that runs writes, and each write must find all the earlier ones.
    pub(crate) fn write(&mut self) -> Result<(), String> {
        for vm in &mut self.vms {
            let disk = &mut vm.disk;
            let image = match (vm.source.runs(), vm.target == Target::Running) {
                (true, false) => disk.source.as_mut(),
                (false, true) => disk.target.as_mut().map(|(writes, _)| writes),
                _ => continue,
            };
            match image {
                Some(writes) if *writes == disk.acknowledged => {
                    *writes += 1;
                    disk.acknowledged += 1;
                }
                _ => {
                    return Err(format!(
                        "runs without writes that it was told are safe: {vm:?}"
                    ));
                }
            }
            if let (None, Some((_, false))) = (disk.source, disk.target) {
                return Err(format!("its only image would not outlive the host: {vm:?}"));
            }
        }
        Ok(())
    }

    /// Both ends of a VM's relay see it break, as far as they live.
    fn break_relay(&mut self, at: usize, out: &mut Effects) {
        let (source_up, target_up) = (self.source.up, self.target.up);
        let vm = &mut self.vms[at];
        if vm.relay.take().is_none() {
            return;
        }
        let why = || "the relay broke".to_owned();
        if source_up {
            if vm.source.sends() {
                vm.source = Source::Running;
                let event = Event::Hitch {
                    vm: vm.name.clone(),
                    why: why(),
                };
                out.news.push((Side::Source, event));
            } else if vm.source == Source::Relinquished {
                let event = Event::Failed {
                    vm: vm.name.clone(),
                    why: why(),
                    in_doubt: true,
                };
                out.news.push((Side::Source, event));
            }
        }
        // One that has all of the memory waits for its disks alone, on other connections.
        if target_up && vm.target == Target::Waiting && !vm.loaded {
            vm.leave_target();
            let event = Event::Hitch {
                vm: vm.name.clone(),
                why: why(),
            };
            out.news.push((Side::Target, event));
        }
    }

    /// The WAN goes down: every relay breaks.
    pub(crate) fn cut(&mut self, out: &mut Effects) {
        self.wan = false;
        for at in 0..self.vms.len() {
            self.break_relay(at, out);
        }
    }

    /// A VM's process at the source is killed.
    pub(crate) fn kill_vm(&mut self, at: usize, out: &mut Effects) {
        let source_up = self.source.up;
        let vm = &mut self.vms[at];
        if !vm.source.runs() {
            return;
        }
        let moving = vm.source.sends();
        (vm.source, vm.lost) = (Source::Removed, true);
        let event = Event::Failed {
            vm: vm.name.clone(),
            why: "QEMU ended".to_owned(),
            in_doubt: false,
        };
        if source_up && moving {
            out.news.push((Side::Source, event));
        }
        self.break_relay(at, out);
    }

    /// An agent is killed. Its VMs live on.
    pub(crate) fn kill_agent(&mut self, side: Side, out: &mut Effects) {
        let host = self.host(side);
        host.up = false;
        host.life += 1;
        for at in 0..self.vms.len() {
            self.break_relay(at, out);
            let vm = &mut self.vms[at];
            if side == Side::Target {
                vm.expects = false;
                // Nobody is left to give it leave.
                vm.loaded = false;
                vm.disk.whole = false;
            }
        }
    }

    /// It comes again, and looks at what its notes say.
    pub(crate) fn start_agent(&mut self, side: Side, out: &mut Effects) {
        self.host(side).up = true;
        if side == Side::Target {
            return;
        }
        for vm in &mut self.vms {
            let in_doubt = vm.source == Source::Relinquished;
            if vm.source.sends() {
                vm.source = Source::Running;
            } else if !in_doubt {
                continue;
            }
            let why = "the agent was restarted while it was sending".to_owned();
            let vm = vm.name.clone();
            let event = match in_doubt {
                true => Event::Failed { vm, why, in_doubt },
                false => Event::Hitch { vm, why },
            };
            out.news.push((Side::Source, event));
        }
    }

    /// In how many places a VM runs.
    pub(crate) fn places(&self, at: usize) -> usize {
        let vm = &self.vms[at];
        usize::from(vm.source.runs()) + usize::from(vm.target == Target::Running)
    }
}
