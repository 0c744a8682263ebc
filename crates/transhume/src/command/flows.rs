//! What switches hold, do and carry.

use super::Asking;
use crate::cli::{FlowsArgs, Format, TopologyArgs, TraceArgs};
use crate::failure::Failure;
use crate::{output, show};
use model::flows::{FlowMark, FlowsAsked};
use model::trace::Question;
use std::io::IsTerminal;

/// Between two pictures, ms.
const WATCH_MS: u32 = 2_000;

pub(super) async fn flows(asking: Asking, args: FlowsArgs) -> Result<(), Failure> {
    let asked = FlowsAsked {
        cluster: args.cluster,
        table: args.table,
        over_ms: args.rates.unwrap_or(if args.watch { WATCH_MS } else { 0 }),
        next: None,
    };
    loop {
        let mut flows = asking.client.flows(&args.host, &asked).await?;
        match asking.format {
            Format::Json => {
                if args.differing {
                    flows.rules.retain(|rule| rule.mark != FlowMark::AsAsked);
                }
                output::json(&flows)?;
            }
            Format::Table => {
                if args.watch && std::io::stdout().is_terminal() {
                    // Up, and what is below away (ECMA-48, CUP and ED).
                    output::text("\x1b[H\x1b[J")?;
                }
                output::text(&show::flows(&flows, args.differing))?;
            }
        }
        if !args.watch {
            return Ok(());
        }
    }
}

pub(super) async fn trace(asking: Asking, args: TraceArgs) -> Result<(), Failure> {
    let question = Question {
        from: args.from,
        to: args.to,
        proto: args.proto.into(),
        port: args.port,
        established: args.established,
        both: args.both,
    };
    let trace = asking.client.trace(&question).await?;
    match asking.format {
        Format::Json => output::json(&trace),
        Format::Table => output::text(&show::trace(&trace)),
    }
}

pub(super) async fn topology(asking: Asking, args: TopologyArgs, dot: bool) -> Result<(), Failure> {
    let topology = asking.client.topology(args.rates.unwrap_or(0)).await?;
    match asking.format {
        _ if dot => output::text(&show::dot(&topology)),
        Format::Json => output::json(&topology),
        Format::Table => output::text(&show::topology(&topology)),
    }
}
