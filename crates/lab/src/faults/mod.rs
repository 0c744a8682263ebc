//! What a live move survives: each party killed, and the WAN cut, at each stage of it.
//!
//! - [`stage`]: where a migration stands, as seen from outside.
//! - [`fault`]: what is done to it.
//! - [`rest`]: what came of it: each VM in one place, as the directory says, with every write that it
//!   had acknowledged.
//! - here: one run after another, in labs that are made anew where a fault took a VM.

pub mod fault;
pub mod rest;
pub mod stage;

use crate::cli::{self, Standing, UpOptions};
use crate::demo::{Audience, DemoError};
use crate::parts;
use crate::shop::NAME;
use api::Client;
use fault::Fault;
use measure::control;
use model::migration::{Migration, Options, State};
use model::{ClusterName, MigrationId, SiteName};
use rest::Rest;
use stage::Stage;
use std::time::{Duration, Instant};

/// A migration has ended by then, whatever was done to it.
const END: Duration = Duration::from_secs(300);
/// A stage that was missed is waited for again this often.
const ATTEMPTS: u32 = 3;
/// A stage may be over before it is seen, so it is looked for this often.
const LOOK: Duration = Duration::from_millis(3);

/// What came of one run.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was done.
    pub fault: Fault,
    /// When.
    pub stage: Stage,
    /// Whether that stage was met.
    pub hit: bool,
    /// How the migration ended; none when it did not.
    pub end: Option<State>,
    /// Its last words.
    pub message: String,
    /// From the fault to the end, s.
    pub seconds: f64,
    /// What was found then.
    pub rest: Rest,
    /// Everything that must not be, a sentence each.
    pub wrong: Vec<String>,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self
            .end
            .map_or_else(|| "no end".to_owned(), |end| format!("{end:?}"));
        let mark = if self.wrong.is_empty() { '✓' } else { '✗' };
        write!(
            f,
            "{mark} {:<18} {:<10} {:<8} {:>5.1} s  {}",
            self.fault.to_string(),
            self.stage.to_string(),
            end.to_lowercase(),
            self.seconds,
            self.rest
        )?;
        for wrong in &self.wrong {
            write!(f, "\n    {wrong}")?;
        }
        if !self.wrong.is_empty() {
            write!(f, "\n    {}", self.message)?;
        }
        Ok(())
    }
}

/// Runs every fault at every stage.
///
/// # Errors
/// A lab that does not come up, or the user.
pub async fn matrix(
    up: &UpOptions,
    faults: &[Fault],
    stages: &[Stage],
    audience: &mut dyn Audience,
) -> Result<Vec<Row>, DemoError> {
    let mut rows = Vec::new();
    let mut lab: Option<Bed> = None;
    for fault in faults {
        for stage in stages {
            let bed = match lab.take() {
                Some(bed) => bed,
                None => Bed::up(up, audience).await?,
            };
            let done = tokio::select! {
                done = bed.attempt(*fault, *stage) => done,
                () = cli::interrupted() => Err(parts::PartError::Interrupted.into()),
            };
            let row = match done {
                Ok(row) => row,
                Err(error) => {
                    let _ = bed.down().await;
                    return Err(error);
                }
            };
            audience.say(&row.to_string());
            // Whatever is not as it was would be blamed on the next fault.
            match row.rest.is_gathered() && row.wrong.is_empty() {
                true => lab = Some(bed),
                false => bed.down().await?,
            }
            rows.push(row);
        }
    }
    if let Some(bed) = lab {
        bed.down().await?;
    }
    Ok(rows)
}

/// A lab and the eyes on it.
pub(crate) struct Bed {
    pub(crate) standing: Standing,
    pub(crate) probe: control::Client,
}

impl Bed {
    async fn up(up: &UpOptions, audience: &mut dyn Audience) -> Result<Self, DemoError> {
        let standing = cli::up(up, &mut |step| audience.step(step)).await?;
        match parts::start_probe(standing.testbed.boxed()).await {
            Ok(probe) => Ok(Self { standing, probe }),
            Err(error) => {
                let _ = standing.down().await;
                Err(error.into())
            }
        }
    }

    async fn down(self) -> Result<(), DemoError> {
        drop(self.probe);
        Ok(self.standing.down().await?)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.standing.client
    }

    /// A stage may be over before it is seen: then once more, with the cluster where it has come to.
    async fn attempt(&self, fault: Fault, stage: Stage) -> Result<Row, DemoError> {
        let mut row = self.run(fault, stage).await?;
        for _ in 1..ATTEMPTS {
            if row.hit {
                break;
            }
            row = self.run(fault, stage).await?;
        }
        Ok(row)
    }

    async fn run(&self, fault: Fault, stage: Stage) -> Result<Row, DemoError> {
        let from = self.home().await?;
        let to = if from == "north" { "south" } else { "north" };
        let before = self.acknowledged().await?;
        let mut wrong = Vec::new();
        let id = self.begin(to).await?;
        let hit = self.until(&id, stage).await?;
        let since = Instant::now();
        if hit {
            fault.strike(self, &from, to).await?;
        } else {
            wrong.push(format!("no migration was ever seen at '{stage}'"));
        }
        let ended = self.end_of(&id).await;
        let seconds = since.elapsed().as_secs_f64();
        let (end, message) = match ended {
            Some(seen) => (Some(seen.state), seen.message),
            None => {
                wrong.push("it did not end".to_owned());
                let seen = self.client().migration(&id).await;
                (
                    None,
                    seen.map_or_else(|error| error.to_string(), |seen| seen.message),
                )
            }
        };
        let rest = Rest::look(self, &before, fault.takes_a_vm()).await;
        wrong.extend(rest.wrong(fault.takes_a_vm()));
        Ok(Row {
            fault,
            stage,
            hit,
            end,
            message: format!("{id}: {message}"),
            seconds,
            rest,
            wrong,
        })
    }

    /// Where the cluster is.
    async fn home(&self) -> Result<String, DemoError> {
        let vms = self
            .client()
            .vms()
            .await
            .map_err(crate::demo::TourError::from)?;
        let home = vms
            .iter()
            .find(|vm| vm.state == model::vm::VmState::Running);
        Ok(home.map_or_else(|| "north".to_owned(), |vm| vm.site.to_string()))
    }

    /// What each guest says that it has written, by name.
    async fn acknowledged(&self) -> Result<std::collections::BTreeMap<String, u64>, DemoError> {
        let collected = self.probe.collect(&self.standing.targets).await;
        let collected = collected.map_err(crate::demo::TourError::from)?;
        let acked = |it: control::Collected| Some((it.name, it.stats?.disk?.acked));
        Ok(collected.into_iter().filter_map(acked).collect())
    }

    async fn begin(&self, to: &str) -> Result<MigrationId, DemoError> {
        let tour = crate::demo::TourError::from;
        let cluster = ClusterName::new(NAME).map_err(crate::demo::TourError::from)?;
        let to = SiteName::new(to).map_err(crate::demo::TourError::from)?;
        let since = Instant::now();
        loop {
            match self
                .client()
                .migrate(&cluster, &to, Options::default())
                .await
            {
                Ok(migration) => return Ok(migration.id),
                // What a fault left is still being put right.
                Err(error) if since.elapsed() > Duration::from_secs(60) => {
                    return Err(tour(error).into());
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
            }
        }
    }

    /// Whether the stage was seen before the end.
    async fn until(&self, id: &MigrationId, stage: Stage) -> Result<bool, DemoError> {
        let since = Instant::now();
        while since.elapsed() < END {
            let seen = self.client().migration(id).await;
            if let Ok(seen) = seen {
                if stage.is_now(&seen) {
                    return Ok(true);
                }
                if seen.state.is_final() {
                    return Ok(false);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(false)
    }

    async fn end_of(&self, id: &MigrationId) -> Option<Migration> {
        let since = Instant::now();
        while since.elapsed() < END {
            if let Ok(seen) = self.client().migration(id).await
                && seen.state.is_final()
            {
                return Some(seen);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None
    }
}
