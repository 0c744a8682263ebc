//! Following a migration to its end: bars where a person watches, lines elsewhere.
//!
//! Events tell the news, the migration itself is asked for what it says by now; if events are cut
//! off, asking alone carries on. What is known is in [`Scene`]; a [`View`] shows it.

mod bars;
mod lines;
mod scene;

pub(crate) use scene::{News, Scene};

use crate::cli::Format;
use api::Client;
use api::client::{Error, Wanted};
use futures::StreamExt;
use model::MigrationId;
use model::migration::Migration;
use std::io::IsTerminal;
use std::time::Duration;

/// The migration is asked for at least this often.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Attempts in a row without any event after which watching is given up.
const PATIENCE: u32 = 15;

/// Shows what happens.
pub(crate) trait View: Send {
    /// Something happened; the scene knows it already.
    fn show(&mut self, scene: &Scene, news: &News);
    /// Nothing more comes.
    fn close(&mut self) {}
}

/// Shows nothing: the result is all that was asked for.
struct Silent;

impl View for Silent {
    fn show(&mut self, _: &Scene, _: &News) {}
}

/// The view that fits the output.
pub(crate) fn view(format: Format) -> Box<dyn View> {
    match format {
        Format::Json => Box::new(Silent),
        Format::Table if std::io::stdout().is_terminal() => Box::new(bars::Bars::new()),
        Format::Table => Box::new(lines::Lines::default()),
    }
}

/// Follows a migration until it has ended.
pub(crate) async fn follow(
    client: &Client,
    id: &MigrationId,
    view: &mut dyn View,
) -> Result<Migration, Error> {
    let mut scene = Scene::new(client.migration(id).await?);
    view.show(&scene, &News::Asked);
    let (mut next, mut silent) = (0, 0);
    loop {
        match listen(client, &mut scene, &mut next, view).await {
            Ok(()) => return Ok(scene.migration),
            Err(error @ Error::Problem(_)) => return Err(error),
            Err(error) if silent >= PATIENCE => return Err(error),
            Err(_) => {
                // The controller may be starting again; its numbers begin anew then.
                silent = if next == 0 { silent + 1 } else { 0 };
                next = 0;
                tokio::time::sleep(ASK_EVERY).await;
            }
        }
    }
}

/// Takes in events until the migration has ended or the connection has.
async fn listen(
    client: &Client,
    scene: &mut Scene,
    next: &mut u64,
    view: &mut dyn View,
) -> Result<(), Error> {
    let id = scene.migration.id.clone();
    // One that is over has told all: its story is read to the end of what is kept.
    let follow = !scene.migration.state.is_final();
    let wanted = Wanted {
        from: Some(*next),
        migration: Some(id.clone()),
        follow,
    };
    let mut events = client.events(&wanted).await?;
    loop {
        let news = match tokio::time::timeout(ASK_EVERY, events.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(event)) => {
                let event = event?;
                *next = event.seq + 1;
                scene.take(event)
            }
            Err(_) => News::Asked,
        };
        if follow && !matches!(news, News::Progress) {
            // Phases bring figures and sentences that only the migration itself has.
            scene.ask(client.migration(&id).await?);
        }
        view.show(scene, &news);
        if follow && scene.migration.state.is_final() {
            return Ok(());
        }
    }
}
