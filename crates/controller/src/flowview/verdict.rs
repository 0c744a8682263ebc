//! Where a packet's way ends, in one sentence.

use super::resolve::End;
use crate::problems::sentence;
use model::HostName;
use model::trace::{self, Hop, Packet, What};
use model::vm::VmState;

/// Whether it reaches who it is for, and where it ends. `unknown` is why the way could not be followed to
/// its end.
pub(super) fn verdict(
    hops: &[Hop],
    to: &End,
    packet: &Packet,
    unknown: Option<String>,
) -> (bool, String) {
    let ends = hops
        .iter()
        .flat_map(|hop| hop.traced.ends.iter().map(move |end| (&hop.host, end)));
    let ends: Vec<_> = ends
        .filter(|(_, end)| !matches!(end, trace::End::Tunnel { .. }))
        .collect();
    let good = ends.iter().find(|(_, end)| reaches(end, to, packet));
    match (good, unknown, ends.last()) {
        (Some((host, end)), ..) => (true, sentence(&said(host, end, to))),
        (None, Some(unknown), _) => (false, sentence(&unknown)),
        (None, None, Some((host, end))) => (false, sentence(&said(host, end, to))),
        (None, None, None) => (false, sentence("it comes back to where it was already")),
    }
}

fn reaches(end: &trace::End, to: &End, packet: &Packet) -> bool {
    match end {
        trace::End::Member { cluster, vm, state } => {
            (cluster, vm) == (&to.entry.cluster, &to.entry.vm) && *state != Some(VmState::Gone)
        }
        trace::End::Answered => packet.what == What::Arp,
        trace::End::Outside { .. } | trace::End::Gateway => to.entry.locator.is_outside(),
        _ => false,
    }
}

fn said(host: &HostName, end: &trace::End, to: &End) -> String {
    let meant = format!("{}/{}", to.entry.cluster, to.entry.vm);
    match end {
        trace::End::Member { cluster, vm, state } => {
            let who = format!("{cluster}/{vm}");
            let not_meant = if who == meant {
                ""
            } else {
                ", which it is not for"
            };
            let waits = match state {
                Some(VmState::Incoming) => {
                    "; the VM is on its way here, and the packet waits in its port's queue until it runs"
                }
                Some(VmState::Paused) => {
                    "; the VM is paused, and the packet waits in its port's queue"
                }
                Some(VmState::Gone) => "; but the VM's process has ended",
                Some(VmState::Running) | None => "",
            };
            format!("delivered to {who} on {host}{not_meant}{waits}")
        }
        trace::End::Answered => format!("answered by the switch of {host} for {meant}"),
        trace::End::Outside { router } => {
            format!("sent by {host} to router {router} outside, by VXLAN-GPE")
        }
        trace::End::Gateway => format!(
            "handed to the LISP gateway of {host}, which sends it to router {} outside",
            to.entry.locator.address
        ),
        trace::End::Held { vm } => {
            format!("held on {host}, in the queue for {vm}, while a switchover is taken back")
        }
        trace::End::Port { number } => {
            format!("sent by {host} to port {number} of its switch, which is nobody's of ours")
        }
        trace::End::Dropped { because } => format!("dropped on {host}: {because}"),
        trace::End::Tunnel { to, .. } => format!("sent by {host} into a tunnel to {to}"),
    }
}
