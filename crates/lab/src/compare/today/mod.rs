//! Today's way: libvirt at both sites, a stretched layer 2, and `virsh migrate --live --p2p`.
//!
//! Here: a lab of it, up and down. A lab of its own and not beside ours, so that neither waits for
//! the other one's CPU; box, network, WAN and probe are the same.
//!
//! - [`layer2`]: bridges and tunnels.
//! - [`daemon`]: a site's libvirtd.
//! - [`domain`]: a VM as libvirt describes it.
//! - [`moving`]: the cluster moved.
//! - [`heard`]: when what happened.

pub(crate) mod daemon;
mod domain;
mod heard;
mod layer2;
mod moving;

pub(crate) use daemon::{INSIDE_COMMAND, inside_main};
pub(super) use moving::{How, go};

use crate::boxed::{BoxHandle, Program};
use crate::cli::{self, Step, UpOptions};
use crate::net::{Plan, SitePlan};
use crate::parts::{self, PartError, apart};
use crate::preflight::Needs;
use crate::shop::{CLIENT_SITE, HOME, NAME, Shop};
use crate::testbed::{Options, Testbed};
use crate::wan::Shaping;
use measure::probe::Target;
use model::{Cluster, MemberKind};
use std::path::PathBuf;
use std::time::Instant;

/// Programs that today's way needs.
pub(super) const PROGRAMS: &[&str] = &["ip", "bridge", "libvirtd", "virsh", "qemu-system-x86_64"];

/// Where VMs run, by turns.
const PLACES: [&str; 2] = [HOME, super::AWAY];

/// A lab in which libvirt runs the cluster.
pub(super) struct Today {
    testbed: Testbed,
    cluster: Cluster,
    targets: Vec<Target>,
}

/// Brings it up, with the cluster at home, until every VM answers. When anything fails, or the user
/// ends it, what was made is gone again. `accel` is how guests run here, `kvm` or `tcg`.
///
/// # Errors
/// What stood in the way.
pub(super) async fn up(
    options: &UpOptions,
    shop: &Shop,
    accel: &str,
    tell: &mut (dyn FnMut(Step) + Send),
) -> Result<Today, PartError> {
    let begun = Instant::now();
    let ground = options.clone();
    let testbed = tokio::task::spawn_blocking(move || {
        Testbed::up(&Options {
            folder: ground.folder.as_deref(),
            shaping: ground.shaping,
            exe: ground.exe,
            plan: Plan {
                tcp_buffer_max: tcp_buffer(&ground.shaping),
                ..Plan::default()
            },
            needs: Needs {
                programs: PROGRAMS,
                ..Needs::default()
            },
            ..Options::default()
        })
    });
    let testbed = testbed.await.map_err(|_| PartError::Interrupted)??;
    let mut made = |what: &str| {
        tell(Step {
            what: what.to_owned(),
            at_ms: begun.elapsed().as_secs_f64() * 1e3,
        });
    };
    made("sites and the WAN, as before");
    let furnished = tokio::select! {
        done = furnish(&testbed, shop, accel, &mut made) => done,
        () = cli::interrupted() => Err(PartError::Interrupted),
    };
    match furnished {
        Ok(cluster) => Ok(Today {
            testbed,
            cluster,
            targets: shop.targets(),
        }),
        Err(error) => {
            // The first error is the one to tell.
            let _ = cli::end(testbed.folder()).await;
            Err(error)
        }
    }
}

/// Largest TCP buffers, bytes: Linux's own 4 MiB, or four times what is under way on this path. The
/// lab's usual 16 MiB would do QEMU harm here: it takes for sent what its socket holds, believes in a
/// bandwidth that is not there, and stops the VM for longer than it was told.
fn tcp_buffer(shaping: &Shaping) -> u32 {
    const LEAST: u32 = 4 << 20;
    let usual = Plan::default().tcp_buffer_max;
    if shaping.rate_mbit <= 0.0 {
        return usual;
    }
    let under_way = shaping.rate_mbit * 1e6 / 8.0 * (shaping.delay_ms * 4.0 / 1e3);
    // Out of range saturates.
    ((under_way * 4.0) as u32).clamp(LEAST, usual.max(LEAST))
}

async fn furnish(
    testbed: &Testbed,
    shop: &Shop,
    accel: &str,
    made: &mut (dyn FnMut(&str) + Send),
) -> Result<Cluster, PartError> {
    let (handle, plan) = (testbed.boxed(), testbed.plan());
    let cluster = shop.describe()?;
    let mut members = cluster.members.iter();
    let client = members.find(|member| matches!(member.kind, MemberKind::Host));
    layer2::make(handle, plan, client).await?;
    made("a layer 2 stretched over them: bridges, and a VXLAN that learns");
    let hosts = || PLACES.iter().filter_map(|name| plan.site(name));
    for site in hosts() {
        daemon::start(handle, plan, site).await?;
        listen(handle, &site.name, &events(&site.name), &EVENTS).await?;
    }
    for site in &plan.sites {
        let words = ["ip", "-ts", "monitor", "neigh"];
        listen(handle, &site.name, &learns(&site.name), &words).await?;
    }
    made("libvirtd at north and at south");
    for member in &cluster.members {
        let serial = serial(handle, member.name.as_str());
        if let Some(xml) = domain::xml(member, accel, &serial) {
            let create = daemon::virsh(HOME, ["create", "/dev/stdin"]);
            apart(handle, move |handle| {
                handle.run_with_input(&create, xml.as_bytes())
            })
            .await?;
        }
    }
    made(&format!("cluster {NAME} as domains at {HOME}"));
    let probe = parts::start_probe(handle).await?;
    cli::all_answer(&probe, &shop.targets()).await?;
    parts::end_probe(handle, probe).await?;
    made(&format!("all answer at {CLIENT_SITE}"));
    Ok(cluster)
}

const EVENTS: [&str; 8] = [
    "virsh",
    "-c",
    daemon::HERE,
    "qemu-monitor-event",
    "--loop",
    "--regex",
    "--event",
    "^(STOP|RESUME)$",
];

/// Name of the process that hears when VMs stop and run at a site.
fn events(site: &str) -> String {
    format!("events-{site}")
}

/// Name of the process that hears what a site's bridge and tunnel learn.
fn learns(site: &str) -> String {
    format!("learns-{site}")
}

/// What it hears goes to its log.
async fn listen(
    handle: &BoxHandle,
    site: &str,
    name: &str,
    words: &[&str],
) -> Result<(), PartError> {
    // It measures: what it is late by would look like the network's doing.
    let program = Program::new(site, words.iter().copied()).urgent();
    let program = program.env("TZ", "UTC0").env("LC_ALL", "C");
    let name = name.to_owned();
    apart(handle, move |handle| handle.spawn(&name, &program)).await?;
    Ok(())
}

fn serial(handle: &BoxHandle, vm: &str) -> PathBuf {
    handle.folder().join(format!("log/{vm}.serial"))
}

impl Today {
    /// The box, network and WAN.
    pub(super) fn testbed(&self) -> &Testbed {
        &self.testbed
    }

    /// What a probe talks to.
    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    fn site(&self, name: &str) -> Option<&SitePlan> {
        self.testbed.plan().site(name)
    }

    /// What a listener has heard until now.
    fn heard(&self, listener: &str) -> String {
        let said = std::fs::read(self.testbed.folder().log(listener)).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Ends it all and removes the folder.
    ///
    /// # Errors
    /// Something would not end.
    pub(super) async fn down(self) -> Result<(), PartError> {
        cli::end(self.testbed.folder()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_buffers_are_linux_own_unless_the_path_needs_larger_ones() {
        let of = |rate_mbit| {
            tcp_buffer(&Shaping {
                rate_mbit,
                ..Shaping::with_rtt_ms(31.0)
            })
        };
        assert_eq!(of(200.0), 4 << 20);
        assert_eq!(of(1000.0), 15_500_000);
        assert_eq!(of(10_000.0), 16 << 20);
        assert_eq!(of(0.0), 16 << 20);
    }
}
