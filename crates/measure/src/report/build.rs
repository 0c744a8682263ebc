//! From what the engine says of a migration and what the probe recorded to an entry of the report.

use super::{GuestView, Migration, Phase, Plot, Vm, VmTotal};
use crate::analysis::{VmFigures, Window, figures, of_target, plot};
use crate::guest::Stats;
use crate::recording::Recording;
use model::migration::{Figures, Migration as Moved};
use std::collections::BTreeMap;

/// Room around the switchover in plots, ns.
const MARGIN_NS: i64 = 300_000_000;

/// Room around stop and resume that counts as the switchover, ns.
const SWITCH_NS: i64 = 200_000_000;

/// Longest plot, ns; what is longer is cut at its end.
const MAX_PLOT_NS: i64 = 6_000_000_000;

/// What the outside saw of one migration.
pub struct Evidence<'a> {
    /// The probe's recording. Its targets carry the VMs' names.
    pub recording: &'a Recording,
    /// From the migration's begin to its end.
    pub window: &'a Window,
    /// The windows of all migrations of this recording; the baseline lies outside of them.
    pub windows: &'a [Window],
    /// The guests' own accounts over the window, by VM; may be empty.
    pub guests: &'a BTreeMap<String, Stats>,
}

/// The report's entry of one migration.
pub fn migration(moved: &Moved, evidence: &Evidence<'_>) -> Migration {
    let seen = figures(evidence.recording, evidence.window, evidence.windows);
    let seen: BTreeMap<&str, &VmFigures> = seen.iter().map(|f| (f.vm.as_str(), f)).collect();
    let origin_unix_ns = i64::try_from(moved.started_unix_ms).unwrap_or(0) * 1_000_000;
    let origin_ns = evidence.recording.clock.to_mono_ns(origin_unix_ns);
    Migration {
        id: moved.id.to_string(),
        cluster: moved.cluster.to_string(),
        from: moved.from.to_string(),
        to: moved.to.to_string(),
        kind: word(&moved.kind),
        order: word(&moved.options.order),
        state: word(&moved.state),
        started_unix_ms: moved.started_unix_ms,
        total_ms: moved.total_ms,
        predicted_total_ms: moved.predicted.map(|plan| plan.total_ms),
        predicted_bytes: moved.predicted.map(|plan| plan.bytes),
        predicted_gap_ms: moved.predicted.map(|plan| plan.gap_ms),
        phases: moved.phases.iter().map(phase).collect(),
        vms: moved
            .vms
            .iter()
            .map(|vm| {
                let name = vm.vm.as_str();
                let mut entry = inside(name, &vm.figures, origin_unix_ns);
                if let Some(seen) = seen.get(name) {
                    outside(&mut entry, seen, origin_ns);
                    at_switch(&mut entry, evidence, &vm.figures);
                    entry.plot = around(evidence, &vm.figures, seen, origin_ns);
                }
                entry.guest = evidence.guests.get(name).map(guest_view);
                entry
            })
            .collect(),
    }
}

/// The whole recording, VM by VM.
pub fn whole(recording: &Recording) -> Vec<VmTotal> {
    let window = Window::whole(recording);
    let seen = figures(recording, &window, std::slice::from_ref(&window));
    let targets = recording.targets.iter().zip(seen);
    targets
        .map(|(target, seen)| VmTotal {
            name: seen.vm,
            udp_sent: seen.udp.sent,
            udp_lost: seen.udp.lost,
            udp_duplicated: seen.udp.duplicated,
            udp_max_copies: seen.udp.max_copies,
            udp_reordered: seen.udp.reordered,
            tcp_sessions: seen.tcp.sessions,
            tcp_lost: seen.tcp.lost,
            tcp_records: seen.tcp.records,
            probe_skipped: target.udp.skipped,
            probe_drops: target.udp.socket_drops,
        })
        .collect()
}

/// What the host side measured.
fn inside(name: &str, figures: &Figures, origin_unix_ns: i64) -> Vm {
    let after = |unix_ns: i64| (unix_ns - origin_unix_ns) as f64 / 1e6;
    Vm {
        name: name.to_owned(),
        vcpu_downtime_ms: figures.vcpu_downtime_ms,
        rule_switch_ms: figures.rule_switch_ms,
        bytes_moved: figures.wire_bytes,
        predicted_gap_ms: figures.predicted_gap_ms,
        stop_error_ms: figures.stop_error_ms,
        stop_at_ms: figures.stopped_unix_ns.map(after),
        resume_at_ms: figures.resumed_unix_ns.map(after),
        bytes_sent: figures.sent_bytes,
        bytes_referenced: figures.ways.referenced,
        bytes_differences: figures.ways.differences,
        bytes_packed: figures.ways.packed,
        bytes_plain: figures.ways.plain,
        last_burst_bytes: figures.last_burst_bytes,
        salvaged: figures.salvaged,
        queue_drops: figures.queue_drops,
        ..Vm::default()
    }
}

/// What the probe saw.
fn outside(entry: &mut Vm, seen: &VmFigures, origin_ns: i64) {
    entry.udp_sent = seen.udp.sent;
    entry.udp_lost = seen.udp.lost;
    entry.udp_lost_requests = seen.udp.lost_requests;
    entry.udp_lost_replies = seen.udp.lost_replies;
    entry.udp_pending = seen.udp.pending;
    entry.udp_duplicated = seen.udp.duplicated;
    entry.udp_max_copies = seen.udp.max_copies;
    entry.udp_reordered = seen.udp.reordered;
    entry.udp_max_displacement = seen.udp.max_displacement;
    entry.network_downtime_ms = seen.gap.map(|gap| gap.ms);
    entry.network_downtime_minus_interval_ms = seen.gap.map(|gap| gap.minus_interval_ms);
    entry.gap_at_ms = seen.gap.map(|gap| (gap.from_ns - origin_ns) as f64 / 1e6);
    entry.gap_open = seen.gap.is_some_and(|gap| gap.open);
    entry.probe_pause_ms = seen.gap.map(|gap| gap.probe_pause_ms);
    entry.tcp_sessions = seen.tcp.sessions;
    entry.tcp_lost = seen.tcp.lost;
    entry.tcp_silent = seen.tcp.silent;
    entry.tcp_stall_ms = (seen.tcp.sessions > 0).then_some(seen.tcp.stall_ms);
    entry.tcp_reasons.clone_from(&seen.tcp.reasons);
    entry.baseline = seen.baseline;
}

/// What the probe saw from shortly before the stop to shortly after the resume: it tells what the
/// switchover costs from what the machine's load costs in the many seconds before it.
fn at_switch(entry: &mut Vm, evidence: &Evidence<'_>, figures: &Figures) {
    let (Some(stop), Some(resume)) = (figures.stopped_unix_ns, figures.resumed_unix_ns) else {
        return;
    };
    let recording = evidence.recording;
    let window = Window::unix("switch", stop, resume, &recording.clock).widened(SWITCH_NS);
    let seen = recording.target(&entry.name);
    let Some(seen) = seen.map(|target| of_target(recording, target, &window, &[])) else {
        return;
    };
    entry.switch_udp_lost = Some(seen.udp.lost);
    entry.switch_gap_ms = seen.gap.map(|gap| gap.ms);
}

/// The packets around stop and resume; around the gap when those are not known.
fn around(
    evidence: &Evidence<'_>,
    figures: &Figures,
    seen: &VmFigures,
    origin_ns: i64,
) -> Option<Plot> {
    let recording = evidence.recording;
    let gap = seen.gap?;
    let mono = |unix: Option<i64>| unix.map(|unix| recording.clock.to_mono_ns(unix));
    let (from, to) = match (mono(figures.stopped_unix_ns), mono(figures.resumed_unix_ns)) {
        (Some(stop), Some(resume)) => {
            // The first reply comes after the resume, and the gap may begin before the stop.
            let near = gap.from_ns < resume + MARGIN_NS && gap.to_ns > stop - MARGIN_NS;
            let ends = if near {
                (gap.from_ns, gap.to_ns)
            } else {
                (stop, resume)
            };
            (stop.min(ends.0), resume.max(ends.1))
        }
        (Some(stop), None) => (stop, stop.max(gap.to_ns)),
        _ => (gap.from_ns, gap.to_ns),
    };
    let from = from - MARGIN_NS;
    let to = (to + MARGIN_NS).min(from + MAX_PLOT_NS);
    let target = recording.target(&seen.vm)?;
    let window = Window::new("plot", from, to);
    Some(Plot {
        interval_ms: target.udp.interval_ns as f64 / 1e6,
        packets: plot::points(recording, target, &window, origin_ns),
    })
}

fn guest_view(stats: &Stats) -> GuestView {
    let longest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    GuestView {
        udp_sent: stats.udp.iter().map(|peer| peer.sent).sum(),
        udp_lost: stats.udp.iter().map(|peer| peer.lost).sum(),
        udp_duplicated: stats.udp.iter().map(|peer| peer.duplicated).sum(),
        udp_reordered: stats.udp.iter().map(|peer| peer.reordered).sum(),
        longest_gap_ms: longest(&mut stats.udp.iter().map(|peer| peer.longest_gap_ms)),
        tcp_sessions: stats.tcp.len() as u64,
        tcp_lost: stats.tcp.iter().map(|peer| peer.lost).sum(),
        longest_stall_ms: longest(&mut stats.tcp.iter().map(|peer| peer.longest_stall_ms)),
    }
}

fn phase(phase: &model::migration::Phase) -> Phase {
    Phase {
        name: phase.name.clone(),
        vm: phase.vm.as_ref().map(ToString::to_string),
        start_ms: phase.start_ms,
        ms: phase.ms,
    }
}

/// An enum's word as serde spells it.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
