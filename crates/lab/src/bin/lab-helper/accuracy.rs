//! How exact the WAN is on this machine now: a table to print, nothing to assert.

use std::path::Path;

use lab::boxed::Program;
use lab::testbed::{Testbed, down};
use lab::wan::{Change, Direction, Shaping};

use crate::udp::Tally;
use crate::{Failure, up};

struct Row {
    what: &'static str,
    shaping: Shaping,
    count: u64,
    bytes: usize,
    gap_us: u64,
}

pub(crate) fn run(folder: &str) -> Result<(), Failure> {
    let lab = up(folder)?;
    let measured = measure(&lab);
    down(Some(Path::new(folder)))?;
    measured
}

fn measure(lab: &Testbed) -> Result<(), Failure> {
    let base = Shaping {
        rate_mbit: 0.0,
        ..Shaping::default()
    };
    let row = |what, shaping, count, bytes, gap_us| Row {
        what,
        shaping,
        count,
        bytes,
        gap_us,
    };
    let rows = [
        row("7.75 ms each way, 1 ms stream", base, 2000, 64, 1000),
        row("the same at 0.1 ms", base, 20_000, 64, 100),
        row(
            "no delay",
            Shaping {
                delay_ms: 0.0,
                ..base
            },
            2000,
            64,
            1000,
        ),
        row(
            "jitter 2 ms, 20 ms stream",
            Shaping {
                jitter_ms: 2.0,
                ..base
            },
            200,
            64,
            20_000,
        ),
        row(
            "200 Mbit/s, overrun",
            Shaping {
                rate_mbit: 200.0,
                ..base
            },
            20_000,
            1400,
            40,
        ),
        row(
            "1 Gbit/s, overrun",
            Shaping {
                rate_mbit: 1000.0,
                ..base
            },
            60_000,
            1400,
            8,
        ),
        row("loss 2 %", Shaping { loss: 0.02, ..base }, 10_000, 64, 100),
    ];
    println!(
        "{:32} {:>8} {:>8} {:>27} {:>9} {:>12} {:>7}",
        "", "sent", "received", "delay ms min/p50/p99/max", "Mbit/s", "late us p50/99", "cpu ms"
    );
    for row in rows {
        let mut wan = lab.wan()?;
        // The other accesses only delay, so that one number is measured at a time.
        let plain = Shaping {
            jitter_ms: 0.0,
            rate_mbit: 0.0,
            loss: 0.0,
            ..row.shaping
        };
        wan.set_all(&plain)?;
        wan.set(
            &Change::all_to(&row.shaping)
                .at("north")
                .towards(Direction::Up),
        )?;
        wan.reset_lateness()?;
        let before = wan.stats()?.cpu_ms;
        let tally = stream(lab, row.count, row.bytes, row.gap_us)?;
        let after = wan.stats()?;
        let [min, p50, p99, max] = tally.delay_us.map(|us| us as f64 / 1000.0);
        // As the line counts: with UDP, IP and Ethernet headers.
        let bits = (tally.bytes + 42 * tally.received) as f64 * 8.0;
        println!(
            "{:32} {:8} {:8} {min:6.2}/{p50:6.2}/{p99:6.2}/{max:6.2} {:9.1} {:>8}/{:<5} {:7}",
            row.what,
            row.count,
            tally.received,
            bits / tally.lasted_us.max(1) as f64,
            after.lateness.p50_us,
            after.lateness.p99_us,
            after.cpu_ms - before,
        );
    }
    Ok(())
}

/// A UDP stream from north to south over the management network.
fn stream(lab: &Testbed, count: u64, bytes: usize, gap_us: u64) -> Result<Tally, Failure> {
    let us = std::env::current_exe()?.to_string_lossy().into_owned();
    let address = format!("{}:7000", lab.plan().sites[1].mgmt.v4);
    let count = count.to_string();
    let receiver = Program::new("south", [&us, "receive", &address, &count]).urgent();
    lab.boxed().spawn("receiver", &receiver)?;
    let log = lab.folder().log("receiver");
    // Each stream starts its log anew.
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    while !read().contains("ready") {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let (bytes, gap_us) = (bytes.to_string(), gap_us.to_string());
    lab.boxed().run(&Program::new(
        "north",
        [&us, "send", &address, &count, &bytes, &gap_us],
    ))?;
    loop {
        if let Some(line) = read().lines().find(|line| line.starts_with('{')) {
            std::fs::remove_file(&log)?;
            return Ok(serde_json::from_str(line)?);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
