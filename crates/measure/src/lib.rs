//! Measurement from outside: what a peer of the VMs sees while they move.
//!
//! The way of a figure through this crate:
//!
//! 1. [`probe`] runs in the peer's network namespace. It holds a UDP stream and TCP sessions with
//!    every VM ([`wire`] is their 64-byte record) and writes down every packet with the kernel's
//!    time of arrival: a [`recording::Recording`].
//! 2. [`control`] lets another process start a probe in a namespace, set marks and fetch results,
//!    with JSON lines; [`guest`] asks the guests for their own counts through the same process.
//! 3. [`analysis`] turns a recording and a window of time into figures. It is pure.
//! 4. [`report`] is the versioned JSON document that holds them, beside what the migration engine
//!    measured on the inside.
//! 5. [`html`] and [`table`] show a report to people; [`sides`] two ways of moving beside each other.
//!
//! How a demo or a bench uses it:
//!
//! ```no_run
//! use measure::analysis::Window;
//! use measure::control::Client;
//! use measure::probe::{Config, Target};
//! use measure::report::{Report, Wan, build};
//! use std::collections::BTreeMap;
//!
//! # async fn run(command: tokio::process::Command, moved: model::migration::Migration,
//! #     targets: Vec<Target>) -> Result<(), Box<dyn std::error::Error>> {
//! let probe = Client::spawn(command)?; // runs `control::serve_stdio` in the peer's namespace
//! probe.reset(&targets).await?;
//! probe.start(&Config { targets: targets.clone(), ..Config::default() }).await?;
//! probe.mark("begin").await?;
//! // … the migration …
//! probe.mark("end").await?;
//! let guests = probe.collect(&targets).await?;
//! let guests: BTreeMap<_, _> =
//!     guests.into_iter().filter_map(|guest| Some((guest.name, guest.stats?))).collect();
//! let recording = probe.stop().await?;
//! let window = Window::marks("there", &recording, "begin", "end").ok_or("a mark is missing")?;
//! let windows = [window];
//! let mut report = Report::new("demo", Wan { rtt_ms: 31.0, rate_mbit: 200.0, ..Wan::default() });
//! report.migrations.push(build::migration(&moved, &build::Evidence {
//!     recording: &recording,
//!     window: &windows[0],
//!     windows: &windows,
//!     guests: &guests,
//! }));
//! report.whole = build::whole(&recording);
//! report.save("target/demo/report.json".as_ref())?; // and report.html beside it
//! print!("{}", measure::table::render(&report));
//! # Ok(())
//! # }
//! ```
//!
//! Moving anything, and knowing when it moves, is not the business of this crate: it is told the
//! windows. All times are `CLOCK_MONOTONIC` nanoseconds of the machine the probe runs on; the
//! recording's [`clock::Clock`] relates them to Unix time.

pub mod analysis;
pub mod clock;
pub mod control;
pub mod guest;
pub mod html;
pub mod probe;
pub mod recording;
pub mod report;
pub mod sides;
pub mod table;
pub mod wire;
