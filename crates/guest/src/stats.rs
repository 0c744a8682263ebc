//! `GET /stats` and `GET /`: the guest's account as JSON and as a few lines of text.
//!
//! ```json
//! {"name":"shop-1","uptime_ms":81234,"unix_ms":1763780000000,"epoch":2,"epoch_ms":60012,
//!  "udp":[{"peer":"10.77.0.12","interval_ms":2.000,"answered":true,"sent":30006,"received":30006,"lost":0,
//!          "in_flight":0,"duplicated":0,"reordered":0,"echoed":30006,"longest_gap_ms":5.300,"longest_gap_at_unix_ms":1763779990000}],
//!  "tcp":[{"peer":"10.77.0.12","open":true,"connects":0,"lost":0,"records":5990,"bad_records":0,
//!          "longest_stall_ms":8.100,"longest_stall_at_unix_ms":1763779990000}],
//!  "echo":{"udp_datagrams":12,"udp_refused":0,"udp_flows":1,"tcp_open":3,"tcp_accepted":3,"tcp_closed":0,"tcp_reset":0,"tcp_bytes":640},
//!  "dirty":{"mb":48,"pages_per_s":500,"random":true,"filled":true,"pages_written":30000},
//!  "disk":{"state":"open","error":"","id":"3b0c5d8f00112233","rate":100,"kib":4,"found":2999,"acked":9000,"written":6001,"errors":0,"slowest_ms":12.345}}
//! ```
//!
//! `lost` are datagrams unanswered for at least a second, `in_flight` the younger ones. `echoed`
//! is how many of ours the peer answered (its counters' span), so `echoed - received - duplicated` were lost on
//! the way back. `disk` is there with `th.disk` only: `state` is opening, open or failed (then `error` says why; else
//! it is what the last failed write said), `found` the last
//! record that was on the medium when this boot opened it (what a crash left), `acked` the last that is now,
//! `slowest_ms` the longest time of one. `connects` counts connections opened in this epoch, `lost` those that broke.

use crate::json::Json;
use crate::server::Server;
use crate::sys;

/// Counters of the echo services in this epoch.
#[derive(Default)]
pub(crate) struct EchoCounters {
    pub(crate) udp_datagrams: u64,
    pub(crate) udp_refused: u64,
    pub(crate) tcp_accepted: u64,
    pub(crate) tcp_closed: u64,
    pub(crate) tcp_reset: u64,
    pub(crate) tcp_bytes: u64,
}

/// The body of `GET /stats`.
pub(crate) fn json(server: &mut Server) -> String {
    let (now, unix_ms) = (sys::now(), sys::unix_ms());
    let mut j = Json::default();
    j.object("", |j| {
        j.text("name", &server.params.name);
        j.value("uptime_ms", now / 1_000_000);
        j.value("unix_ms", unix_ms);
        j.value("epoch", server.epoch);
        j.value("epoch_ms", (now - server.epoch_since) / 1_000_000);
        j.array("udp", |j| {
            for (_, stream) in &mut server.streams {
                j.object("", |j| stream.write(j, now, unix_ms));
            }
        });
        j.array("tcp", |j| {
            for session in &mut server.sessions {
                j.object("", |j| session.write(j, now, unix_ms));
            }
        });
        let echo = &server.echo;
        j.object("echo", |j| {
            j.value("udp_datagrams", echo.udp_datagrams);
            j.value("udp_refused", echo.udp_refused);
            j.value("udp_flows", server.flows.len());
            j.value("tcp_open", server.open_echoes());
            j.value("tcp_accepted", echo.tcp_accepted);
            j.value("tcp_closed", echo.tcp_closed);
            j.value("tcp_reset", echo.tcp_reset);
            j.value("tcp_bytes", echo.tcp_bytes);
        });
        let dirty = server.dirtier.settings();
        j.object("dirty", |j| {
            j.value("mb", dirty.mb);
            j.value("pages_per_s", dirty.pages_per_s);
            j.value("random", dirty.random);
            j.value("filled", server.dirtier.is_filled());
            j.value("pages_written", server.dirtier.written);
        });
        if let Some(disk) = &server.disk {
            j.object("disk", |j| disk.describe(j));
        }
    });
    j.finish()
}

/// The body of `GET /`.
pub(crate) fn hello(server: &Server) -> String {
    format!(
        "{}, up {:.1} s, epoch {}\nechoed {} datagrams in {} flows, {} bytes in {} open TCP sessions\n\
         dirtied {} pages\nmore: GET /stats, POST /dirty?mb=48&pages=500&random=1, POST /reset,\n\
         POST /disk?rate=100, POST /disk-check\n",
        server.params.name,
        sys::now() as f64 / 1e9,
        server.epoch,
        server.echo.udp_datagrams,
        server.flows.len(),
        server.echo.tcp_bytes,
        server.open_echoes(),
        server.dirtier.written,
    )
}
