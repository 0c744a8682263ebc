//! What the switch would do with a packet: asked of the switch itself, which looks it up in the rules that
//! are really installed. No packet is sent and nothing is counted.

mod flow;
mod parse;

pub use flow::NoWayIn;

use crate::error::{Error, Result};
use crate::flows::{compare, hex};
use crate::host::Host;
use crate::names::INTEGRATION;
use control::explain::Words;
use control::projection::{Arrivals, Cookie, HostView, Kind};
use model::flows::FlowRow;
use model::trace::{End, Enters, Probe, Step, Traced};
use openflow::multipart::FlowStatsRequest;
use parse::{Done, Told, parse};
use std::collections::BTreeSet;
use std::net::IpAddr;

impl Host {
    /// What this host's switch would do with a packet.
    ///
    /// # Errors
    /// The packet cannot come in as it is said, or the switch does not tell.
    pub async fn trace(&self, probe: &Probe) -> Result<Traced> {
        let view = self.inner.state.lock().await.held.view.clone();
        let own: Vec<IpAddr> = self
            .config()
            .underlay
            .iter()
            .map(|own| own.address)
            .collect();
        let (port, flow) = flow::flow(&view, &own, probe)?;
        let mut arguments = vec![INTEGRATION, &flow];
        if probe.packet.established {
            // Looked up once where it leaves and once where it enters.
            arguments.extend(["--ct-next", "trk,est", "--ct-next", "trk,est"]);
        }
        let text = self.control().run("ofproto/trace", &arguments).await?;
        let told = parse(&text);
        if told.met.is_empty() {
            return Err(Error::ControlRefused {
                command: format!("ofproto/trace {INTEGRATION} {flow}"),
                answer: "the answer names no table; is this a version of Open vSwitch that is known to work?"
                    .to_owned(),
            });
        }
        let rows = self.rows_met(&view, &told).await?;
        Ok(traced(&view, probe, port, &told, &rows))
    }

    /// The rows of the rules that were met, with their marks.
    async fn rows_met(&self, view: &HostView, told: &Told) -> Result<Vec<FlowRow>> {
        let cookies: BTreeSet<u64> = told.met.iter().map(|met| met.cookie).collect();
        let mut installed = Vec::new();
        for cookie in cookies {
            let request = FlowStatsRequest::default().cookie(cookie, u64::MAX);
            installed.extend(self.inner.switch.flows(request).await?);
        }
        let view = view.clone();
        let made = tokio::task::spawn_blocking(move || compare(&view, &installed, None));
        Ok(made.await.unwrap_or_default())
    }
}

fn traced(view: &HostView, probe: &Probe, port: u32, told: &Told, rows: &[FlowRow]) -> Traced {
    let words = Words::of(view);
    let steps: Vec<Step> = told
        .met
        .iter()
        .enumerate()
        .map(|(number, met)| {
            let cookie = hex(met.cookie);
            let row = rows.iter().find(|row| {
                row.table == met.table
                    && Some(row.priority) == met.priority
                    && row.cookie == cookie
                    && row.counted.is_some()
            });
            let done = told.done.iter().filter(|done| done.rule == number);
            Step {
                table: met.table,
                priority: met.priority,
                matching: met.matching.clone(),
                purpose: match (row, met.priority) {
                    (_, None) => "no rule matches".to_owned(),
                    (Some(row), _) => row.purpose.clone(),
                    (None, _) => words.stray(met.cookie).purpose,
                },
                mark: met.priority.and(row.map(|row| row.mark)),
                cookie,
                actions: done.flat_map(said).collect(),
            }
        })
        .collect();
    let mut ends = Outputs {
        view,
        probe,
        port,
        to_v4: None,
        to_v6: None,
        ends: Vec::new(),
        lost: None,
    };
    for done in &told.done {
        let cookie = told.met.get(done.rule).map_or(0, |met| met.cookie);
        ends.take(done, Cookie(cookie));
    }
    let mut found = ends.ends;
    if found.is_empty() {
        let because = ends.lost.unwrap_or_else(|| why(&steps));
        found.push(End::Dropped { because });
    }
    Traced { steps, ends: found }
}

/// An action, and what the switch says to it, a line each.
fn said(done: &Done) -> impl Iterator<Item = String> {
    let notes = done.notes.iter().map(|note| format!("-> {note}"));
    std::iter::once(done.action.clone()).chain(notes)
}

/// Why a packet that goes nowhere ended.
fn why(steps: &[Step]) -> String {
    match steps.last() {
        Some(step) if step.priority.is_none() => format!("no rule of table {} matches", step.table),
        Some(step) => format!(
            "rule of table {}, priority {}: {}",
            step.table,
            step.priority.unwrap_or_default(),
            step.purpose
        ),
        None => "no rule was met".to_owned(),
    }
}

/// Follows a packet's actions to where it goes.
struct Outputs<'a> {
    view: &'a HostView,
    probe: &'a Probe,
    /// Where it came in.
    port: u32,
    /// The tunnel's other end, as set so far.
    to_v4: Option<IpAddr>,
    to_v6: Option<IpAddr>,
    ends: Vec<End>,
    /// Why an output came to nothing.
    lost: Option<String>,
}

impl Outputs<'_> {
    fn take(&mut self, done: &Done, cookie: Cookie) {
        if let Some((value, field)) = set(&done.action) {
            let to = value
                .parse()
                .ok()
                .filter(|to: &IpAddr| !to.is_unspecified());
            match field {
                "tun_dst" => self.to_v4 = to,
                "tun_ipv6_dst" => self.to_v6 = to,
                _ => {}
            }
            return;
        }
        let back = done.action == "IN_PORT";
        let number = match done.action.strip_prefix("output:") {
            Some(number) => number.parse().ok(),
            None => back.then_some(self.port),
        };
        let Some(number) = number else { return };
        if let Some(lost) = done.notes.iter().find_map(|note| swallowed(note)) {
            self.lost = Some(match self.to() {
                Some(to) if self.is_tunnel(number) => format!("{lost} ({to})"),
                _ => lost.to_owned(),
            });
            return;
        }
        let end = self.end(number, back, cookie);
        self.ends.push(end);
    }

    fn to(&self) -> Option<IpAddr> {
        self.to_v4.or(self.to_v6)
    }

    fn is_tunnel(&self, number: u32) -> bool {
        self.view.gpe == Some(number) || self.view.tunnels.values().any(|port| *port == number)
    }

    fn end(&self, number: u32, back: bool, cookie: Cookie) -> End {
        if let Some(to) = self.to().filter(|_| self.is_tunnel(number)) {
            let redirected = cookie.kind() == Some(Kind::Redirect);
            let gpe = self.view.gpe == Some(number);
            // What a redirect sends on by VXLAN-GPE goes to a host of ours, which takes it as from a router.
            return match gpe && !redirected {
                true => End::Outside { router: to },
                false => End::Tunnel {
                    to,
                    redirected,
                    gpe,
                },
            };
        }
        if back && matches!(self.probe.enters, Enters::Member { .. } | Enters::Gateway) {
            return End::Answered;
        }
        if let Some((key, _)) = self.view.ports.iter().find(|(_, port)| **port == number) {
            return End::Member {
                cluster: key.0.clone(),
                vm: key.1.clone(),
                state: None,
            };
        }
        if self.view.gateways.values().any(|port| *port == number) {
            return End::Gateway;
        }
        let gate = self.view.arrivals.iter().find(
            |(_, arrivals)| matches!(arrivals, Arrivals::Gate { ofport } if *ofport == number),
        );
        match gate {
            Some((key, _)) => End::Held { vm: key.1.clone() },
            None => End::Port { number },
        }
    }
}

/// `set_field:VALUE->FIELD`.
fn set(action: &str) -> Option<(&str, &str)> {
    action.strip_prefix("set_field:")?.rsplit_once("->")
}

/// What the switch says where an output comes to nothing.
fn swallowed(note: &str) -> Option<&'static str> {
    [
        (
            "neighbor cache miss",
            "the tunnel's neighbour is not known to the switch",
        ),
        (
            "native tunnel routing failed",
            "the switch has no route to the tunnel's other end",
        ),
        (
            "native tunnel header build failed",
            "the switch cannot build the tunnel's header",
        ),
        (
            "skipping output to input port",
            "it would go back to where it came from",
        ),
        (
            "Nonexistent output port",
            "the port that it goes to does not exist",
        ),
        ("Port down", "the port that it goes to is down"),
    ]
    .into_iter()
    .find_map(|(said, meant)| note.contains(said).then_some(meant))
}

#[cfg(test)]
mod tests;
