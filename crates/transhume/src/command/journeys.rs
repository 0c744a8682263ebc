//! Plans, migrations, events.

use super::Asking;
use crate::cli::{EventArgs, Format, MigrateArgs, MigrationCommand, PlanArgs};
use crate::failure::{Exit, Failure};
use crate::{output, show, watch};
use api::client::Wanted;
use futures::StreamExt;
use model::MigrationId;
use model::migration::{Migration, State};

pub(super) async fn plan(asking: Asking, args: PlanArgs) -> Result<(), Failure> {
    let journey = &args.journey;
    let plan = asking
        .client
        .plan(&journey.cluster, &journey.to, journey.options())
        .await?;
    match asking.format {
        Format::Json => output::json(&plan)?,
        Format::Table => output::text(&show::plan(&plan))?,
    }
    match plan.refusal() {
        None => Ok(()),
        Some(why) => Err(Failure::new(
            Exit::Refused,
            format!("'{}' cannot go to '{}': {why}", plan.cluster, plan.to),
            "",
        )),
    }
}

pub(super) async fn migrate(asking: Asking, args: MigrateArgs) -> Result<(), Failure> {
    let journey = &args.journey;
    let begun = asking
        .client
        .migrate(&journey.cluster, &journey.to, journey.options())
        .await?;
    if args.watch {
        return follow(asking, begun.id).await;
    }
    match asking.format {
        Format::Json => output::json(&begun),
        Format::Table if begun.state == State::Queued => output::line(&format!(
            "{} is queued, '{}' stays at '{}' meanwhile: {}\nFollow it with `transhume migration watch {}`.",
            begun.id, begun.cluster, begun.from, begun.message, begun.id
        )),
        Format::Table => output::line(&format!(
            "{} has begun: '{}' goes from '{}' to '{}'.\nFollow it with `transhume migration watch {}`.",
            begun.id, begun.cluster, begun.from, begun.to, begun.id
        )),
    }
}

pub(super) async fn run(asking: Asking, command: MigrationCommand) -> Result<(), Failure> {
    let Asking { client, format } = &asking;
    match command {
        MigrationCommand::List => {
            let migrations = client.migrations().await?;
            match format {
                Format::Json => output::json(&migrations),
                Format::Table => output::text(&show::migrations(&migrations)),
            }
        }
        MigrationCommand::Show { id } => {
            let migration = client.migration(&id).await?;
            match format {
                Format::Json => output::json(&migration),
                Format::Table => output::text(&show::migration(&migration)),
            }
        }
        MigrationCommand::Watch { id } => follow(asking, id).await,
        MigrationCommand::Rollback { id, watch } => {
            let back = client.rollback(&id).await?;
            match format {
                // One that was cancelled ends where it should: at its source.
                _ if watch && back.id != id => follow(asking, back.id).await,
                Format::Json => output::json(&back),
                Format::Table => output::line(&format!(
                    "{} is {}: {}",
                    back.id,
                    show::state(back.state),
                    back.message
                )),
            }
        }
        MigrationCommand::Pause { id } => {
            let migration = client.pause(&id).await?;
            match format {
                Format::Json => output::json(&migration),
                Format::Table => output::line(&format!(
                    "{id} is paused, {}: {}\nLet it go on with `transhume migration resume {id}`.",
                    show::state(migration.state),
                    migration.message
                )),
            }
        }
        MigrationCommand::Resume { id } => {
            let migration = client.resume(&id).await?;
            match format {
                Format::Json => output::json(&migration),
                Format::Table => output::line(&format!(
                    "{id} goes on, {}: {}",
                    show::state(migration.state),
                    migration.message
                )),
            }
        }
        MigrationCommand::Cancel { id } => {
            let migration = client.cancel(&id).await?;
            match format {
                Format::Json => output::json(&migration),
                Format::Table => output::line(&format!(
                    "{id} is {}: {}",
                    show::state(migration.state),
                    migration.message
                )),
            }
        }
    }
}

/// Follows a migration to its end; one that does not arrive is a failure.
async fn follow(asking: Asking, id: MigrationId) -> Result<(), Failure> {
    let mut view = watch::view(asking.format);
    let followed = tokio::select! {
        followed = watch::follow(&asking.client, &id, view.as_mut()) => followed.map_err(Failure::from),
        _ = tokio::signal::ctrl_c() => Err(Failure::new(
            Exit::Failed,
            format!("not watched any more; {id} itself goes on"),
            format!(
                "See it again with `transhume migration watch {id}`, stop it with \
                 `transhume migration cancel {id}`."
            ),
        )),
    };
    view.close();
    let ended = followed?;
    match asking.format {
        Format::Json => output::json(&ended)?,
        Format::Table => output::text(&show::summary(&ended))?,
    }
    arrived(&ended)
}

fn arrived(ended: &Migration) -> Result<(), Failure> {
    let way_out = match ended.state {
        State::Arrived => return Ok(()),
        State::Aborted => "Every VM runs at the source as before.",
        _ => "Look at it with `transhume migration show` and `transhume topology`.",
    };
    let what = format!(
        "{} is {}: {}",
        ended.id,
        show::state(ended.state),
        ended.message
    );
    Err(Failure::new(Exit::Failed, what, way_out))
}

pub(super) async fn events(asking: Asking, args: EventArgs) -> Result<(), Failure> {
    let from = args.from.or((!args.follow).then_some(0));
    let wanted = Wanted {
        from,
        migration: args.migration,
        follow: args.follow,
    };
    let mut events = asking.client.events(&wanted).await?;
    while let Some(event) = events.next().await {
        let event = event?;
        match asking.format {
            Format::Table => output::line(&show::event(&event))?,
            // A line each: a stream has no end that an array could wait for.
            Format::Json => {
                let text = serde_json::to_string(&event);
                output::line(&text.map_err(|error| Failure::of(Exit::Failed, &error))?)?;
            }
        }
    }
    Ok(())
}
