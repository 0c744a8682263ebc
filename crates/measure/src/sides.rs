//! Two ways of moving a cluster side by side, from one report: ours, and `virsh migrate` over a
//! stretched layer 2. A table of totals, of the three downtimes and of what was lost, and one line a VM.

use crate::html::bytes;
use crate::report::verdict::{Spread, number};
use crate::report::{Migration, Report, Vm};
use crate::table::short;
use std::fmt::Write;

/// [`Migration::order`] of `virsh migrate` for all VMs at the same time.
pub const VIRSH_TOGETHER: &str = "virsh-together";

/// [`Migration::order`] of `virsh migrate` for one VM after another.
pub const VIRSH_IN_TURN: &str = "virsh-in-turn";

/// Whether an order is one of the other side's.
pub fn is_virsh(order: &str) -> bool {
    order == VIRSH_TOGETHER || order == VIRSH_IN_TURN
}

/// An order in words for people.
pub fn title(order: &str) -> &str {
    match order {
        VIRSH_TOGETHER => "virsh, all at once",
        VIRSH_IN_TURN => "virsh, one by one",
        _ => "ours",
    }
}

/// All moves of one side.
struct Side<'a> {
    order: &'a str,
    moves: Vec<&'a Migration>,
}

impl<'a> Side<'a> {
    fn all(report: &'a Report) -> Vec<Self> {
        let mut sides: Vec<Self> = Vec::new();
        for migration in &report.migrations {
            match sides.iter_mut().find(|side| side.order == migration.order) {
                Some(side) => side.moves.push(migration),
                None => sides.push(Self {
                    order: &migration.order,
                    moves: vec![migration],
                }),
            }
        }
        sides
    }

    fn vms(&self) -> impl Iterator<Item = &'a Vm> + use<'a, '_> {
        self.moves.iter().flat_map(|migration| &migration.vms)
    }

    fn sum(&self, of: impl Fn(&Vm) -> u64) -> u64 {
        self.vms().map(of).sum()
    }

    fn spread(&self, of: impl Fn(&Vm) -> Option<f64>) -> String {
        beside(Spread::of(self.vms().filter_map(of)), short)
    }

    /// Of one VM, the worst of all its moves.
    fn worst(&self, name: &str, of: impl Fn(&Vm) -> Option<f64>) -> Option<f64> {
        let of_it = self.vms().filter(|vm| vm.name == name);
        of_it.filter_map(of).reduce(f64::max)
    }
}

/// Median and worst.
fn beside(spread: Option<Spread>, show: fn(f64) -> String) -> String {
    spread.map_or_else(
        || "–".to_owned(),
        |s| match s.count {
            1 => show(s.median),
            _ => format!("{} ≤{}", show(s.median), show(s.most)),
        },
    )
}

fn guests(of: fn(&crate::report::GuestView) -> u64) -> impl Fn(&Vm) -> u64 {
    move |vm| vm.guest.as_ref().map_or(0, of)
}

/// Both tables as text, within 80 columns; nothing where the report has one side only.
pub fn render(report: &Report) -> String {
    let sides = Side::all(report);
    let mut out = String::new();
    if sides.len() < 2 {
        return out;
    }
    let mut row = |what: &str, of: &dyn Fn(&Side<'_>) -> String| {
        let cells: String = sides.iter().map(|s| format!("{:>20}", of(s))).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{what:<19}{cells}");
    };
    row("", &|s| title(s.order).to_owned());
    row("moves × VMs", &|s| {
        let vms = s.moves.first().map_or(0, |m| m.vms.len());
        format!("{} × {vms}", s.moves.len())
    });
    row("total, s", &|s| {
        let totals = s.moves.iter().map(|m| m.total_ms / 1e3);
        beside(Spread::of(totals), number)
    });
    row("network down, ms", &|s| {
        s.spread(|vm| vm.network_downtime_ms)
    });
    row("vCPU down, ms", &|s| s.spread(|vm| vm.vcpu_downtime_ms));
    row("rule switch, ms", &|s| s.spread(|vm| vm.rule_switch_ms));
    let of = |some: u64, all: u64| format!("{some} of {all}");
    row("UDP packets lost", &|s| {
        of(s.sum(|vm| vm.udp_lost), s.sum(|vm| vm.udp_sent))
    });
    row("- among the VMs", &|s| {
        of(
            s.sum(guests(|guest| guest.udp_lost)),
            s.sum(guests(|guest| guest.udp_sent)),
        )
    });
    row("TCP sessions lost", &|s| {
        of(s.sum(|vm| vm.tcp_lost), s.sum(|vm| vm.tcp_sessions))
    });
    row("- among the VMs", &|s| {
        of(
            s.sum(guests(|guest| guest.tcp_lost)),
            s.sum(guests(|guest| guest.tcp_sessions)),
        )
    });
    row("TCP stall, ms", &|s| s.spread(|vm| vm.tcp_stall_ms));
    row("over the WAN a move", &|s| {
        bytes(s.sum(|vm| vm.bytes_moved) / s.moves.len().max(1) as u64)
    });
    let _ = writeln!(out, "\nworst network downtime, ms; packets lost");
    let mut names: Vec<&str> = Vec::new();
    for vm in sides.iter().flat_map(Side::vms) {
        if !names.contains(&vm.name.as_str()) {
            names.push(&vm.name);
        }
    }
    for name in names {
        let cells: String = sides
            .iter()
            .map(|s| format!("{:>20}", of_vm(s, name)))
            .collect();
        let _ = writeln!(out, "{name:<19.18}{cells}");
    }
    let _ = writeln!(out, "\nmedian ≤worst of all VMs");
    out
}

fn of_vm(side: &Side<'_>, name: &str) -> String {
    let gap = side.worst(name, |vm| vm.network_downtime_ms);
    let lost = side.worst(name, |vm| Some(vm.udp_lost as f64));
    let text =
        |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| "–".to_owned(), show);
    format!("{}; {:>4}", text(gap, short), text(lost, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Wan;
    use crate::table::WIDTH;

    fn moved(order: &str, gap: f64, lost: u64) -> Migration {
        let vm = |name: &str| Vm {
            name: name.to_owned(),
            network_downtime_ms: Some(gap),
            udp_lost: lost,
            udp_sent: 1_234_567,
            bytes_moved: 123_456_789,
            ..Vm::default()
        };
        Migration {
            order: order.to_owned(),
            total_ms: 21_345.6,
            vms: vec![vm("shop-1"), vm("shop-2")],
            ..Migration::default()
        }
    }

    #[test]
    fn each_side_has_a_column_and_each_vm_a_line() {
        let mut report = Report::new("x", Wan::default());
        report.migrations = vec![moved("before-stop", 51.2, 0), moved("before-stop", 48.0, 0)];
        assert_eq!(render(&report), "", "one side is no comparison");
        report.migrations.push(moved(VIRSH_TOGETHER, 12_345.6, 321));
        report.migrations.push(moved(VIRSH_IN_TURN, 234.5, 99));
        let text = render(&report);
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(WIDTH), "{text}");
        let line = |begin: &str| text.lines().find(|line| line.starts_with(begin)).unwrap();
        assert!(line("moves").contains("2 × 2"), "{text}");
        assert!(line("UDP packets").contains("642 of 2469134"), "{text}");
        let shop = line("shop-2");
        assert!(
            shop.contains("51.2;    0") && shop.contains("234;   99"),
            "{text}"
        );
    }
}
