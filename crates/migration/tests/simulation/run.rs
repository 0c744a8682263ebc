//! One migration with its faults: a controller, the network to two agents, and time.

mod tasks;

use crate::chance::Chance;
use crate::world::{Ask, Effects, Later, Target, Told, World};
use migration::gang::{Command, Event, Gang};
use migration::script::{Script, Side};
use model::migration::{FlipOrder, State};
use std::collections::{BTreeMap, BTreeSet};

/// Faults come until then, ms.
const FAULTS_UNTIL: u64 = 60_000;
/// A migration has ended by then, ms: faults are over, and everything is tried again.
const DEADLINE: u64 = 900_000;
/// The user's patience until every VM is ready, ms.
const CONVERGE: u64 = 120_000;
/// What counts as long without news, ms.
const QUIET: u64 = 30_000;
/// What failed is tried again after this, ms.
const AGAIN: u64 = 500;

/// What a task of the controller waits for.
enum Task {
    /// One order, and the event that its success is.
    Order {
        at: usize,
        command: Command,
    },
    /// The VMs still to be armed.
    Arm {
        left: Vec<usize>,
    },
    Script {
        at: usize,
        script: Script,
        to: Purpose,
    },
    /// A VM's pace, until it is taken or another one follows.
    Pace {
        at: usize,
        slow: bool,
        number: u64,
    },
    Discard {
        at: usize,
    },
}

/// What a script is played for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Gang,
    Attempt,
    Settle,
}

#[derive(Debug, Clone)]
enum Happening {
    Arrives {
        task: u64,
        side: Side,
        ask: Ask,
        at: usize,
        life: u32,
        link: u32,
    },
    Answers {
        task: u64,
        side: Side,
        told: Told,
        link: u32,
    },
    Wakes {
        task: u64,
        told: Told,
    },
    News {
        side: Side,
        event: Event,
        link: u32,
    },
    By(Later),
    AgentStarts(Side),
    ControllerStarts,
    LinkUp(Side),
    WanUp,
    TimedOut,
    /// The user has paused it and resumes it.
    Resume,
    /// The time of a wait is over.
    Again(usize),
    /// A pace that was not taken is told again.
    PaceAgain {
        task: u64,
        at: usize,
        slow: bool,
    },
    /// Nothing was heard since this many events.
    Quiet(u64),
}

#[derive(Default)]
struct Link {
    down: bool,
    epoch: u32,
    /// Nothing overtakes on a connection.
    last: [u64; 2],
    /// News that waits for the connection.
    outbox: Vec<Event>,
}

pub(crate) struct Run {
    chance: Chance,
    now: u64,
    seq: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    world: World,
    gang: Option<Gang>,
    up: bool,
    tasks: BTreeMap<u64, Task>,
    links: [Link; 2],
    order: FlipOrder,
    faults: u64,
    settled: BTreeSet<usize>,
    heard: u64,
    journal: Vec<Event>,
    ended: Option<State>,
    /// Number of the newest pace of each VM.
    paces: BTreeMap<usize, u64>,
    /// The gang was told to do this while it was paused, or after a release.
    forbidden: Option<String>,
    released: bool,
    /// So many attempts were made again.
    pub(crate) again: u64,
    /// So many pauses took effect.
    pub(crate) pauses: u64,
    pub(crate) story: Vec<String>,
}

fn slot(side: Side) -> usize {
    usize::from(side == Side::Target)
}

impl Run {
    /// The world that follows from a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let world = World::new(chance.between(1, 4) as usize);
        let order = chance.of(&[
            FlipOrder::BeforeStop,
            FlipOrder::BeforeStop,
            FlipOrder::Redirect,
            FlipOrder::AfterResume,
        ]);
        // A fault with about every so many happenings; 0 is none.
        let faults = chance.of(&[0, 200, 60, 25, 12]);
        let names: Vec<_> = world.vms.iter().map(|vm| vm.name.clone()).collect();
        let (gang, commands) = Gang::begin(names, order);
        let mut run = Self {
            chance,
            now: 0,
            seq: 0,
            queue: BTreeMap::new(),
            world,
            gang: Some(gang),
            up: true,
            tasks: BTreeMap::new(),
            links: Default::default(),
            order,
            faults,
            settled: BTreeSet::new(),
            heard: 0,
            journal: Vec::new(),
            ended: None,
            paces: BTreeMap::new(),
            forbidden: None,
            released: false,
            again: 0,
            pauses: 0,
            story: Vec::new(),
        };
        run.at(CONVERGE, Happening::TimedOut);
        run.begin(commands);
        run
    }

    /// Runs to its end.
    ///
    /// # Errors
    /// The promise that was broken.
    pub(crate) fn play_out(&mut self) -> Result<State, String> {
        while let Some(((now, _), what)) = self.queue.pop_first() {
            self.now = now;
            if now > DEADLINE {
                return Err(format!("it has not ended: {:?}", self.world.vms));
            }
            if self.faults > 0 && now < FAULTS_UNTIL && self.chance.one_in(self.faults) {
                self.fault();
            }
            self.tell(&what);
            self.happens(what);
            if let Some(what) = self.forbidden.take() {
                return Err(what);
            }
            self.world.write()?;
            for at in 0..self.world.vms.len() {
                if self.world.places(at) > 1 {
                    return Err(format!("in two places: {:?}", self.world.vms[at]));
                }
            }
            if let Some(state) = self.ended
                && self.tasks.is_empty()
            {
                return self.judge(state).map(|()| state);
            }
        }
        Err(format!(
            "nothing happens any more, and it has not ended: {:?}",
            self.world.vms
        ))
    }

    fn judge(&self, state: State) -> Result<(), String> {
        for (at, vm) in self.world.vms.iter().enumerate() {
            let there = vm.target == Target::Running;
            let place = if there { Side::Target } else { Side::Source };
            if vm.lost {
                continue;
            }
            let wrong = |what: &str| Err(format!("{state:?}: {what}: {vm:?}"));
            if self.world.places(at) != 1 {
                return wrong("runs nowhere");
            }
            if vm.place != place {
                return wrong("the directory has it elsewhere");
            }
            match state {
                State::Arrived if !there => return wrong("has not arrived"),
                State::Aborted if there => return wrong("is not at its source"),
                _ => {}
            }
        }
        Ok(())
    }

    fn tell(&mut self, what: &Happening) {
        if self.story.len() < 3000 {
            self.story.push(format!("{:>7} {what:?}", self.now));
        }
    }

    fn at(&mut self, when: u64, what: Happening) {
        self.seq += 1;
        self.queue.insert((when, self.seq), what);
    }

    /// A task hears this after so many ms.
    fn wake(&mut self, task: u64, ms: u64, told: Told) {
        self.at(self.now + ms, Happening::Wakes { task, told });
    }

    fn delay(&mut self) -> u64 {
        match self.chance.one_in(50) {
            true => self.chance.between(100, 4000),
            false => self.chance.between(1, 60),
        }
    }

    /// When something that leaves now comes out of a connection; `way` 0 is to the host.
    fn over(&mut self, side: Side, way: usize) -> u64 {
        let when = self.now + self.delay();
        let last = &mut self.links[slot(side)].last[way];
        *last = when.max(*last);
        *last
    }

    fn connected(&mut self, side: Side) -> bool {
        !self.links[slot(side)].down && self.world.host(side).up && self.up
    }

    fn effects(&mut self, effects: Effects) {
        for (ms, later) in effects.later {
            self.at(self.now + ms, Happening::By(later));
        }
        for (side, event) in effects.news {
            self.links[slot(side)].outbox.push(event);
        }
        self.flush();
    }

    fn flush(&mut self) {
        for side in [Side::Source, Side::Target] {
            if !self.connected(side) {
                continue;
            }
            let link = self.links[slot(side)].epoch;
            for event in std::mem::take(&mut self.links[slot(side)].outbox) {
                let when = self.over(side, 1);
                self.at(when, Happening::News { side, event, link });
            }
        }
    }

    /// Whatever is under way on a connection is lost with it.
    fn disconnect(&mut self, side: Side) {
        self.links[slot(side)].epoch += 1;
    }

    fn fault(&mut self) {
        let lasts = self.chance.between(50, 12_000);
        let side = self.chance.of(&[Side::Source, Side::Target]);
        let mut effects = Effects::default();
        match self.chance.between(0, 12) {
            0..=2 if self.world.host(side).up => {
                self.story
                    .push(format!("{:>7} agent killed: {side:?}", self.now));
                self.world.kill_agent(side, &mut effects);
                self.links[slot(side)].outbox.clear();
                self.disconnect(side);
                self.at(self.now + lasts, Happening::AgentStarts(side));
            }
            3..=4 if self.up => {
                self.story
                    .push(format!("{:>7} controller killed", self.now));
                self.up = false;
                self.gang = None;
                self.tasks.clear();
                self.disconnect(Side::Source);
                self.disconnect(Side::Target);
                self.at(self.now + lasts, Happening::ControllerStarts);
            }
            5..=6 if self.world.wan => {
                self.story.push(format!("{:>7} WAN cut", self.now));
                self.world.cut(&mut effects);
                self.at(self.now + lasts, Happening::WanUp);
            }
            7..=8 if !self.links[slot(side)].down => {
                self.story
                    .push(format!("{:>7} link cut: {side:?}", self.now));
                self.links[slot(side)].down = true;
                self.disconnect(side);
                self.at(self.now + lasts, Happening::LinkUp(side));
            }
            9 => self.event(Event::Cancel),
            11..=12 => {
                self.event(Event::Pause);
                if self.gang.as_ref().is_some_and(Gang::is_paused) {
                    self.pauses += 1;
                    self.at(self.now + lasts, Happening::Resume);
                }
            }
            10 if self.chance.one_in(3) => {
                let at = self.chance.between(0, self.world.vms.len() as u64 - 1) as usize;
                self.story
                    .push(format!("{:>7} a VM is killed: {at}", self.now));
                self.world.kill_vm(at, &mut effects);
            }
            _ => {}
        }
        self.effects(effects);
    }

    fn happens(&mut self, what: Happening) {
        let mut effects = Effects::default();
        match what {
            Happening::Arrives {
                task,
                side,
                ask,
                at,
                life,
                link,
            } => {
                let there = self.connected(side)
                    && self.links[slot(side)].epoch == link
                    && self.world.host(side).life == life;
                if !there {
                    return self.wake(task, AGAIN, Told::Refused);
                }
                let told = self
                    .world
                    .carry_out(at, ask, &mut self.chance, &mut effects);
                let when = self.over(side, 1);
                self.at(
                    when,
                    Happening::Answers {
                        task,
                        side,
                        told,
                        link,
                    },
                );
            }
            Happening::Answers {
                task,
                side,
                told,
                link,
            } => {
                let lost = self.links[slot(side)].epoch != link;
                self.heard(task, if lost { None } else { Some(told) });
            }
            Happening::Wakes { task, told } => {
                let asked = matches!(told, Told::Done);
                self.heard(task, asked.then_some(told));
            }
            Happening::News { side, event, link } => {
                if self.links[slot(side)].epoch == link {
                    self.event(event);
                }
            }
            Happening::By(later) => self.world.happens(later, &mut self.chance, &mut effects),
            Happening::AgentStarts(side) => self.world.start_agent(side, &mut effects),
            Happening::ControllerStarts => {
                self.up = true;
                if self.ended.is_none() {
                    self.settled.clear();
                    let names = self.world.vms.iter().map(|vm| vm.name.clone());
                    let gang = Gang::replay(names, (self.order, false), self.journal.clone());
                    for at in 0..self.world.vms.len() {
                        self.play(at, gang.settle(&self.world.vms[at].name), Purpose::Settle);
                    }
                }
            }
            Happening::LinkUp(side) => self.links[slot(side)].down = false,
            Happening::WanUp => self.world.wan = true,
            Happening::TimedOut if self.gang.as_ref().is_some_and(Gang::is_paused) => {
                // No time passes for one that is paused.
                self.at(self.now + AGAIN, Happening::TimedOut);
            }
            Happening::TimedOut => self.event(Event::TimedOut),
            Happening::Resume => self.event(Event::Resume),
            Happening::PaceAgain { task, at, slow } => self.pace(task, at, slow),
            Happening::Again(at) => {
                self.again += 1;
                let vm = self.world.vms[at].name.clone();
                self.event(Event::Again(vm));
            }
            Happening::Quiet(heard) if heard == self.heard => {
                self.event(Event::Overdue);
            }
            Happening::Quiet(_) => {}
        }
        self.effects(effects);
        self.flush();
    }

    fn event(&mut self, event: Event) {
        let Some(gang) = &mut self.gang else { return };
        self.story
            .push(format!("{:>7}   event {event:?}", self.now));
        self.journal.push(event.clone());
        let commands = gang.next(event);
        self.heard += 1;
        let quiet = Happening::Quiet(self.heard);
        if gang.state().is_final() && self.ended.is_none() {
            self.ended = Some(gang.state());
        }
        self.at(self.now + QUIET, quiet);
        self.begin(commands);
    }
}
