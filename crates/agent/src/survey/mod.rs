//! Looks at the host for one plan, and changes nothing.
//!
//! | module | looks at |
//! |---|---|
//! | [`qemu`] | what machine types and CPU models mean to this host's QEMU |
//! | [`host`] | memory, room for images, load, files, what is in a port's way |
//! | [`guest`] | what a running guest does with its memory |
//! | [`tunnels`] | whether other hosts are reached through the data network |
//! | [`path`] | what a path between two relays carries |

mod guest;
mod host;
pub mod path;
pub mod qemu;
pub mod tunnels;

pub use host::free_mib;

use crate::desk::Desk;
use model::facts::{Facts, Memory, Survey, VmFound, WallClock};
use model::{MemberKind, vm::Accel};

/// What is kept between surveys: what does not change as long as its files do not.
#[derive(Default)]
pub struct Known {
    qemu: qemu::Expansions,
    digests: host::Digests,
    certificates: Option<identity::Ends>,
}

impl Known {
    /// Begins with what the host's certificates say of themselves.
    pub fn new(own: &identity::Credentials) -> Self {
        let certificates = own.ends();
        if let Err(error) = &certificates {
            tracing::warn!(%error, "the end of this host's certificate is not known");
        }
        Self {
            certificates: certificates.ok(),
            ..Self::default()
        }
    }
}

/// Looks at everything that was asked for.
pub async fn survey(desk: &Desk, survey: Survey) -> Facts {
    let (qemu, vms, tunnels, path) = tokio::join!(
        qemu::expand(&desk.known.qemu, desk.vms.qemu(), wanted(desk, &survey)),
        vms(desk, &survey),
        tunnels::reach(desk, &survey.peers, survey.packet),
        path::measure(desk, survey.path.as_ref()),
    );
    let (machines, cpus, qemu_note) = match qemu {
        Ok((machines, cpus)) => (machines, cpus, String::new()),
        Err(note) => (Vec::new(), Vec::new(), note),
    };
    let files = files(desk, &survey).await;
    let certificates = desk.known.certificates;
    Facts {
        machines,
        cpus,
        qemu_note,
        memory: Memory {
            free_mib: host::free_mib(),
            limit_mib: desk.config.vm_memory_mib,
        },
        images: host::space(desk.vms.images().root()),
        load: host::load(),
        clock: Some(wall_clock(desk)),
        certificate_ends_s: certificates.map(|ends| ends.own_s),
        authority_ends_s: certificates.map(|ends| ends.authority_s),
        files,
        disks: host::disks(desk, &survey.vms),
        ports: host::ports(desk, &survey.vms).await,
        vms,
        moving: desk.moving(),
        tunnels,
        path,
    }
}

fn wall_clock(desk: &Desk) -> WallClock {
    let wall_unix_ns = crate::clock::wall_now() + (desk.config.wall_offset_s * 1e9) as i64;
    WallClock {
        moment: desk.clock.now(),
        wall_unix_ns,
        uncertainty_ms: desk.clock.round_trip_ms().unwrap_or(1000.0) / 2.0,
    }
}

/// What QEMU is asked of the VMs: machine type, CPU model and accelerator.
fn wanted(desk: &Desk, survey: &Survey) -> Vec<qemu::Wanted> {
    let specs = survey
        .vms
        .iter()
        .filter_map(|asked| match &asked.member.kind {
            MemberKind::Vm { spec } => Some(spec),
            MemberKind::Host => None,
        });
    specs
        .map(|spec| qemu::Wanted {
            machine: spec.machine.clone(),
            cpu: spec.cpu.clone(),
            accel: match spec.accel {
                Accel::Auto if desk.vms.accel() == "kvm" => Accel::Kvm,
                Accel::Auto => Accel::Tcg,
                named => named,
            },
        })
        .collect()
}

async fn vms(desk: &Desk, survey: &Survey) -> Vec<VmFound> {
    let looks = desk.vms.all().into_iter().map(|vm| async move {
        let (cluster, name) = vm.key();
        let asked = survey
            .vms
            .iter()
            .any(|asked| asked.cluster == cluster && asked.member.name == name);
        let mut looked = None;
        if asked {
            let mut guest = guest::look(&vm, survey.watch_s).await;
            guest.memory.disk_bytes = host::allocated(desk, &vm);
            looked = Some(guest);
        }
        let found = VmFound {
            seen: None,
            cluster,
            vm: name,
            memory_mib: guest::promised_mib(&vm),
            resident_mib: guest::resident_mib(vm.record.pid),
        };
        (found, looked)
    });
    let mut all = futures::future::join_all(looks).await;
    guest::compare(all.iter_mut().filter_map(|(_, looked)| looked.as_mut()));
    let told = all.into_iter().map(|(found, looked)| VmFound {
        seen: looked.map(|looked| looked.memory),
        ..found
    });
    told.collect()
}

async fn files(desk: &Desk, survey: &Survey) -> Vec<model::facts::FileFound> {
    let mut paths = Vec::new();
    for asked in &survey.vms {
        if let MemberKind::Vm { spec } = &asked.member.kind {
            paths.extend(spec.boot_files().cloned());
        }
    }
    paths.sort();
    paths.dedup();
    let digests = desk.known.digests.clone();
    let read = tokio::task::spawn_blocking(move || digests.of(paths));
    read.await.unwrap_or_default()
}
