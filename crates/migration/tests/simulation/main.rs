//! Whole migrations against a model of two agents and their network: messages are late, connections
//! break, every party is killed and comes again, at any moment. What must hold, always: a VM runs in
//! at most one place, on a disk with every write that it was told is safe; at the end it runs in one, and
//! the directory has it there; every migration ends.
//!
//! A seed decides everything. `TRANSHUME_SEED=N` tells the story of one; `TRANSHUME_RUNS=N` makes that
//! many.

mod chance;
mod run;
mod world;

use model::migration::State;
use run::Run;
use std::collections::BTreeMap;

const RUNS: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn ten_thousand_migrations_with_faults_lose_no_vm() {
    let seeds = match number("TRANSHUME_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TRANSHUME_RUNS").unwrap_or(RUNS),
    };
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    let mut broken = Vec::new();
    let (mut again, mut pauses) = (0, 0);
    for seed in seeds.clone() {
        let mut run = Run::new(seed);
        let played = run.play_out();
        again += run.again;
        pauses += run.pauses;
        match played {
            Ok(State::Arrived) => *ends.entry("arrived").or_default() += 1,
            Ok(State::Aborted) => *ends.entry("aborted").or_default() += 1,
            Ok(_) => *ends.entry("split").or_default() += 1,
            Err(why) => {
                if broken.is_empty() || seeds.end - seeds.start == 1 {
                    println!("{}", run.story.join("\n"));
                }
                broken.push(format!("seed {seed}: {why}"));
            }
        }
    }
    println!("{ends:?}, {again} attempts made again, {pauses} pauses");
    assert!(
        broken.is_empty(),
        "{} of {} broke a promise; the first: {:#?}",
        broken.len(),
        seeds.end - seeds.start,
        &broken[..broken.len().min(5)]
    );
    if seeds.end - seeds.start == RUNS {
        assert!(
            ends.len() == 3 && ends.values().all(|n| *n > 100),
            "{ends:?}"
        );
        assert!(again > RUNS / 10 && pauses > RUNS / 10);
    }
}
