//! What the journal costs: an event into a store on disk, and 100,000 of them read and replayed.
//!
//! Run with `cargo bench -p controller --bench journal [-- EVENTS]`. The physical limit is the store's
//! own: one SQLite transaction an event, which survives the process, not the power.

use controller::engine::journal::Journal;
use migration::gang::{Command, Event, Gang};
use model::migration::FlipOrder;
use model::{MigrationId, VmName};
use std::sync::Arc;
use std::time::Instant;
use store::{Sqlite, Store};

const VMS: usize = 4;

fn main() {
    let events = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(bench(events));
}

fn names() -> Vec<VmName> {
    let name = |number| VmName::new(format!("vm-{number}")).expect("a plain name");
    (1..=VMS).map(name).collect()
}

/// Every event of a move without trouble.
fn one_move() -> Vec<Event> {
    let (mut gang, mut todo) = Gang::begin(names(), FlipOrder::BeforeStop);
    let mut events = Vec::new();
    while !todo.is_empty() {
        let answers: Vec<Event> = todo.drain(..).flat_map(answer).collect();
        for event in answers {
            todo.extend(gang.next(event.clone()));
            events.push(event);
        }
    }
    assert!(gang.state().is_final(), "{}", gang.message());
    events
}

fn answer(command: Command) -> Vec<Event> {
    match command {
        Command::Prepare(vm) => vec![Event::Prepared(vm)],
        Command::Send(vm) => vec![
            Event::Sending(vm.clone()),
            Event::Held {
                vm,
                burst_bytes: 7000,
            },
        ],
        Command::Arm(_) => vec![Event::Scheduled],
        Command::Release(vm) => vec![Event::Stopped(vm.clone()), Event::Resumed(vm)],
        Command::Verify(vm) => vec![Event::Verified(vm)],
        Command::Finish(vm) => vec![Event::Finished(vm)],
        _ => Vec::new(),
    }
}

async fn bench(events: usize) {
    let folder = std::env::temp_dir().join(format!("transhume-journal-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder of our own");
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(folder.join("state.db")).expect("a store"));
    let id = MigrationId::new("m-0001").expect("a plain identity");
    let mut journal = Journal::of(store, &id);
    let one = one_move();

    let begun = Instant::now();
    for event in one.iter().cycle().take(events) {
        journal.add(event).await.expect("written");
    }
    let each_us = begun.elapsed().as_secs_f64() * 1e6 / events as f64;
    let begun = Instant::now();
    let read = journal.read().await.expect("read");
    let read_ms = begun.elapsed().as_secs_f64() * 1e3;
    let begun = Instant::now();
    let replayed = read.len();
    for part in read.chunks(one.len()) {
        std::hint::black_box(Gang::replay(
            names(),
            (FlipOrder::BeforeStop, false),
            part.iter().cloned(),
        ));
    }
    let replay_ms = begun.elapsed().as_secs_f64() * 1e3;
    std::fs::remove_dir_all(&folder).expect("gone again");

    let cost_ms = each_us * one.len() as f64 / 1e3;
    println!(
        "journal: {each_us:.0} us an event; a move of {VMS} VMs has {}, {cost_ms:.1} ms: {:.3} % of 30 s (target < 1 %)",
        one.len(),
        cost_ms / 300.0
    );
    println!(
        "journal: {replayed} events read in {read_ms:.0} ms and replayed in {replay_ms:.0} ms (target together < 1000 ms)"
    );
    println!(
        "{}",
        serde_json::json!({
            "event_us": each_us, "events_a_move": one.len(), "events": replayed,
            "read_ms": read_ms, "replay_ms": replay_ms,
        })
    );
}
