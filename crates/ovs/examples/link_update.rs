//! Prints how fast a host links, updates and survives the death of an uplink. Needs root.

use model::Encap;
use ovs::bench::stage::Plan;
use ovs::bench::{Stage, failover, linking, quantile, updating};
use ovs::{BondMode, Error};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let stage = Stage::build(Plan {
        hosts: 3,
        ..Plan::default()
    })
    .await?;
    let links = linking(&stage, 10, Encap::Vxlan).await?;
    let half = |numbers: &[f64]| quantile(numbers, 0.5);
    println!(
        "link       10 pairings  median {:.2} ms  worst {:.2} ms  (a port alone: median {:.2} ms)",
        half(&links.pairing_ms),
        quantile(&links.pairing_ms, 1.0),
        half(&links.port_ms),
    );
    let updates = updating(&stage, 100, Duration::from_millis(50), Encap::Vxlan).await?;
    println!(
        "update    100 moves     median {:.3} ms  p99 {:.3} ms  old way for {:.1} ms, at most {:.1} ms  of {} packets lost {} duplicated {} gap {:.1} ms",
        half(&updates.rule_switch_ms),
        quantile(&updates.rule_switch_ms, 0.99),
        half(&updates.old_way_ms),
        quantile(&updates.old_way_ms, 1.0),
        updates.stream.sent,
        updates.stream.lost,
        updates.stream.duplicated,
        updates.stream.longest_gap_ms,
    );
    drop(stage);
    for bond in [BondMode::ActiveBackup, BondMode::BalanceSlb] {
        let stage = Stage::build(Plan {
            uplinks: 2,
            bond,
            ..Plan::default()
        })
        .await?;
        for uplink in [0, 1] {
            let cost = failover(&stage, uplink, Encap::Vxlan).await?;
            println!(
                "bond       {:13} uplink {uplink}: out gap {:.1} ms lost {}, in gap {:.1} ms lost {}",
                bond.as_str(),
                cost.outward.longest_gap_ms,
                cost.outward.lost,
                cost.inward.longest_gap_ms,
                cost.inward.lost,
            );
        }
    }
    Ok(())
}
