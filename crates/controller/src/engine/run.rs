//! One migration: events in, commands out, and what people see of it.

use super::journal::Journal;
use super::queue::Queue;
use super::record::{Record, phase_name};
use super::steps::Steps;
use crate::Events;
use migration::gang::{Command, Event, Gang};
use model::HostName;
use model::event::What;
use model::migration::{Migration, State};
use model::news::News;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Store, StoreExt};
use tokio::sync::{mpsc, oneshot};

/// News that should have come and has not for this long may be lost.
const QUIET: Duration = Duration::from_secs(30);

/// What is armed is let go, stops and resumes in this time: a window that closes sooner is closed, ms.
const SWITCH_MS: u64 = 3000;
/// A window that is always open is looked at again after this, ms.
const FAR_MS: u64 = 3_600_000;

/// A store that failed is tried again after this.
const STORE_AGAIN: Duration = Duration::from_millis(500);

/// What reaches a running migration.
pub(crate) enum Input {
    /// An agent's news.
    News(HostName, News),
    /// How a command went.
    Event(Event),
    /// A prediction for every VM, ms.
    Predicted(f64),
    /// Something is tried again until it succeeds; one sentence.
    Waiting(String),
    /// An unscheduled flip took this long, ms.
    RuleSwitch(model::VmName, f64),
    /// The user wants it back; answered with whether it goes.
    Cancel(oneshot::Sender<bool>),
    /// The user wants it to go no further; answered with whether it stops.
    Pause(oneshot::Sender<Result<(), String>>),
    /// The user wants it to go on.
    Resume(oneshot::Sender<Result<(), String>>),
    /// Windows may have changed.
    Windows,
}

/// A running migration.
pub(crate) struct Run {
    steps: Arc<Steps>,
    events: Events,
    store: Arc<dyn Store>,
    seen: Arc<Mutex<Migration>>,
    record: Record,
    journal: Journal,
    queue: Arc<Queue>,
}

impl Run {
    pub(crate) fn new(
        steps: Steps,
        events: Events,
        store: Arc<dyn Store>,
        seen: Arc<Mutex<Migration>>,
        queue: Arc<Queue>,
    ) -> Self {
        let record = Record::new(steps.hosts.now());
        let journal = Journal::of(store.clone(), &steps.id);
        Self {
            journal,
            steps: Arc::new(steps),
            events,
            store,
            seen,
            record,
            queue,
        }
    }

    pub(crate) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Input>) {
        let (mut gang, commands) = Gang::begin(self.steps.names(), self.steps.options.order);
        gang = gang.rehearsing(self.steps.options.rehearse);
        self.save().await;
        self.tell_phase(State::Preparing, gang.message());
        self.steps.measure().await;
        self.carry_out(commands);
        let patience = self.steps.options.converge_s.clamp(1.0, 1e6) + self.steps.mirror_s();
        let timeout = Duration::from_secs_f64(patience);
        let deadline = tokio::time::sleep(timeout);
        tokio::pin!(deadline);
        let (mut late, mut left) = (false, timeout);
        let closing = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(closing);
        let quiet = tokio::time::sleep(QUIET);
        tokio::pin!(quiet);
        while !gang.state().is_final() {
            let event = tokio::select! {
                input = inbox.recv() => match input {
                    Some(Input::Windows) => {
                        closing.as_mut().reset(tokio::time::Instant::now());
                        None
                    }
                    Some(input) => self.take(input, &gang),
                    None => return,
                },
                () = &mut closing => {
                    let open = self.open_ms();
                    closing.as_mut().reset(tokio::time::Instant::now() + open);
                    (open.is_zero()).then(|| {
                        closing.as_mut().reset(tokio::time::Instant::now() + QUIET);
                        Event::Closed("its window closed before every VM was ready to switch".into())
                    })
                }
                () = &mut deadline, if !late && !gang.is_paused() => {
                    late = true;
                    Some(Event::TimedOut)
                }
                () = &mut quiet => Some(Event::Overdue),
            };
            let Some(event) = event else { continue };
            quiet.as_mut().reset(tokio::time::Instant::now() + QUIET);
            tracing::debug!(migration = %self.steps.id, ?event);
            self.write_down(&event).await;
            let was_paused = gang.is_paused();
            let commands = gang.next(event);
            match (was_paused, gang.is_paused()) {
                // No time passes for one that is paused.
                (false, true) => left = deadline.deadline() - tokio::time::Instant::now(),
                (true, false) => deadline.as_mut().reset(tokio::time::Instant::now() + left),
                _ => {}
            }
            self.steps.paces.now(gang.can_pause(), gang.is_paused());
            self.steps.burst_bytes(gang.burst_bytes());
            self.show(&gang).await;
            self.carry_out(commands);
        }
        // Late news (the last flips' acknowledgements, the byte counts) still belongs to the report.
        let grace = tokio::time::sleep(Duration::from_millis(150));
        tokio::pin!(grace);
        loop {
            tokio::select! {
                Some(input) = inbox.recv() => {
                    self.take(input, &gang);
                }
                () = &mut grace => break,
            }
        }
        self.steps.release_cluster();
        self.queue.left(&self.steps.id);
        if self.save().await
            && let Err(error) = self.journal.forget().await
        {
            tracing::warn!(%error, migration = %self.steps.id, "its journal is left behind");
        }
        let message = gang.message().to_owned();
        self.events.emit(What::Ended {
            migration: self.steps.id.clone(),
            arrived: gang.state() == State::Arrived,
            message,
        });
    }

    /// Takes an input into the record and gives the gang's event for it.
    fn take(&mut self, input: Input, gang: &Gang) -> Option<Event> {
        match input {
            Input::Event(event) => Some(event),
            Input::Cancel(reply) => {
                let _ = reply.send(gang.can_cancel());
                Some(Event::Cancel)
            }
            Input::Pause(reply) => {
                let may = self.may_pause(gang);
                let event = may.is_ok().then_some(Event::Pause);
                self.show_paused(may.is_ok());
                let _ = reply.send(may);
                event
            }
            Input::Resume(reply) => {
                self.show_paused(false);
                let _ = reply.send(Ok(()));
                Some(Event::Resume)
            }
            Input::Windows => None,
            Input::Predicted(gap_ms) => {
                if let Ok(mut seen) = self.seen.lock() {
                    for it in &mut seen.vms {
                        it.figures.predicted_gap_ms = Some(gap_ms);
                    }
                }
                None
            }
            Input::Waiting(why) => {
                wait(&self.seen, why);
                None
            }
            Input::RuleSwitch(vm, took) => {
                if let Ok(mut seen) = self.seen.lock()
                    && let Some(it) = seen.vms.iter_mut().find(|it| it.vm == vm)
                {
                    it.figures.rule_switch_ms = Some(took);
                }
                None
            }
            Input::News(host, news) => {
                if let Ok(mut seen) = self.seen.lock() {
                    self.record.news(&mut seen, &self.steps.hosts, &news);
                }
                if let News::Progress { vm, progress, .. } = &news {
                    self.events.emit(What::Progress {
                        migration: self.steps.id.clone(),
                        vm: vm.clone(),
                        progress: *progress,
                    });
                }
                event_of(&host, news)
            }
        }
    }

    /// Why it cannot be paused, if so.
    fn may_pause(&self, gang: &Gang) -> Result<(), String> {
        if !gang.can_pause() {
            let state = super::state_word(gang.state());
            return Err(format!("it is {state}, and what stops now must go on"));
        }
        if gang.state() != State::Preparing && !self.steps.can_hold() {
            return Err("its QEMU cannot be held, and may stop when it is slowed down".to_owned());
        }
        Ok(())
    }

    fn show_paused(&self, paused: bool) {
        if let Ok(mut seen) = self.seen.lock() {
            seen.paused = paused;
        }
    }

    /// How long its windows stay open.
    fn open_ms(&self) -> Duration {
        let closes = self.queue.closes(&self.steps.id).unwrap_or(0);
        let left = closes.saturating_sub(crate::clock::unix_ms() + SWITCH_MS);
        Duration::from_millis(left.min(FAR_MS))
    }

    async fn show(&mut self, gang: &Gang) {
        let message = match gang.is_paused() {
            true => format!("paused by the user; {}", gang.message()),
            false => gang.message().to_owned(),
        };
        let (changed, said) = match self.seen.lock() {
            Ok(mut seen) => {
                let said = seen.message != message || seen.paused != gang.is_paused();
                seen.message = message.clone();
                seen.paused = gang.is_paused();
                (self.record.state(&mut seen, gang.state()), said)
            }
            Err(_) => (false, false),
        };
        if changed {
            self.save().await;
        }
        if changed || said {
            self.tell_phase(gang.state(), &message);
        }
    }

    fn tell_phase(&self, state: State, message: &str) {
        tracing::info!(migration = %self.steps.id, state = super::state_word(state), "{message}");
        self.events.emit(What::Phase {
            migration: self.steps.id.clone(),
            vm: None,
            phase: phase_name(state).unwrap_or("end").to_owned(),
            message: message.to_owned(),
        });
    }

    /// Nothing is done about an event before it is written down: whoever drives the migration after
    /// a crash must know at least as much as was acted upon.
    async fn write_down(&mut self, event: &Event) {
        while let Err(error) = self.journal.add(event).await {
            tracing::error!(%error, migration = %self.steps.id, "the journal cannot be written");
            wait(
                &self.seen,
                format!("nothing is done before the controller's store takes its journal: {error}"),
            );
            tokio::time::sleep(STORE_AGAIN).await;
        }
    }

    /// True when it was saved.
    async fn save(&self) -> bool {
        let seen = self.seen.lock().ok().map(|seen| seen.clone());
        let Some(seen) = seen else { return false };
        let key = format!("{}{}", super::PREFIX, seen.id);
        if let Err(error) = self.store.put_json(&key, &seen).await {
            tracing::error!(%error, migration = %seen.id, "the migration could not be saved");
            return false;
        }
        true
    }

    fn carry_out(&self, commands: Vec<Command>) {
        for command in commands {
            tracing::debug!(migration = %self.steps.id, ?command);
            let steps = self.steps.clone();
            tokio::spawn(async move { steps.carry_out(command).await });
        }
    }
}

/// Says what a migration waits for.
pub(super) fn wait(seen: &Mutex<Migration>, why: String) {
    if let Ok(mut seen) = seen.lock() {
        seen.message = why;
    }
}

fn event_of(host: &HostName, news: News) -> Option<Event> {
    Some(match news {
        News::Held {
            vm, burst_bytes, ..
        } => Event::Held { vm, burst_bytes },
        News::WontConverge {
            vm,
            dirty_rate,
            send_rate,
            ..
        } => Event::WontConverge {
            why: format!(
                "'{vm}' dirties {:.0} MB/s and only {:.0} MB/s can be sent, so it never becomes ready; give it more bandwidth or allow the guest to be slowed (--allow-slowdown)",
                dirty_rate / 1e6,
                send_rate / 1e6
            ),
            vm,
        },
        News::PreSwitchover { vm, .. } => Event::AtPreSwitchover(vm),
        News::Stopped { vm, .. } => Event::Stopped(vm),
        News::Resumed { vm, .. } => Event::Resumed(vm),
        News::DidNotStop { vm, .. } => Event::DidNotStop(vm),
        News::Interrupted { vm, reason, .. } => Event::Hitch {
            vm,
            why: format!("on '{host}': {reason}"),
        },
        News::Failed {
            vm,
            reason,
            in_doubt,
            ..
        } => Event::Failed {
            vm,
            why: format!("on '{host}': {reason}"),
            in_doubt,
        },
        News::Flipped { .. }
        | News::Mirrored { .. }
        | News::Progress { .. }
        | News::Sent { .. }
        | News::VmGone { .. } => {
            return None;
        }
    })
}
