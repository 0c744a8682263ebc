//! The orders of flipping side by side: what the orchestrated switchover gains over flipping when
//! the VM has stopped or has resumed.

use super::verdict::Spread;
use super::{Migration, Report, Vm};

/// All migrations of one order.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderRow {
    /// The order, as in [`Migration::order`].
    pub order: String,
    /// VM switchovers.
    pub switchovers: usize,
    /// UDP packets lost, each switchover.
    pub lost: Option<Spread>,
    /// UDP packets duplicated, all.
    pub duplicated: u64,
    /// TCP sessions lost, all.
    pub tcp_lost: u64,
    /// Network downtime, ms.
    pub network_ms: Option<Spread>,
    /// vCPU downtime, ms.
    pub vcpu_ms: Option<Spread>,
    /// Real stop less predicted stop, ms.
    pub stop_error_ms: Option<Spread>,
}

/// One row for each order, in order of first appearance; none when all migrations have the same.
pub fn orders(report: &Report) -> Vec<OrderRow> {
    let mut names: Vec<&str> = Vec::new();
    for migration in &report.migrations {
        if !names.contains(&migration.order.as_str()) {
            names.push(&migration.order);
        }
    }
    if names.len() < 2 {
        return Vec::new();
    }
    names.into_iter().map(|name| row(report, name)).collect()
}

fn row(report: &Report, order: &str) -> OrderRow {
    let of_order = |m: &&Migration| m.order == order;
    let vms = || {
        report
            .migrations
            .iter()
            .filter(of_order)
            .flat_map(|m| &m.vms)
    };
    let spread = |of: fn(&Vm) -> Option<f64>| Spread::of(vms().filter_map(of));
    OrderRow {
        order: order.to_owned(),
        switchovers: vms().count(),
        lost: spread(|vm| Some(vm.udp_lost as f64)),
        duplicated: vms().map(|vm| vm.udp_duplicated).sum(),
        tcp_lost: vms().map(|vm| vm.tcp_lost).sum(),
        network_ms: spread(|vm| vm.network_downtime_ms),
        vcpu_ms: spread(|vm| vm.vcpu_downtime_ms),
        stop_error_ms: spread(|vm| vm.stop_error_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Wan;

    fn migration(order: &str, lost: u64) -> Migration {
        Migration {
            order: order.to_owned(),
            vms: vec![Vm {
                udp_lost: lost,
                ..Vm::default()
            }],
            ..Migration::default()
        }
    }

    #[test]
    fn each_order_has_a_row_and_a_single_order_needs_none() {
        let mut report = Report::new("x", Wan::default());
        report.migrations = vec![migration("before-stop", 0), migration("before-stop", 1)];
        assert!(orders(&report).is_empty());
        report.migrations.push(migration("after-resume", 133));
        let rows = orders(&report);
        assert_eq!((rows[0].switchovers, rows[0].lost.unwrap().most), (2, 1.0));
        assert_eq!(
            (rows[1].order.as_str(), rows[1].lost.unwrap().median),
            ("after-resume", 133.0)
        );
        assert_eq!(rows[1].network_ms, None);
    }
}
