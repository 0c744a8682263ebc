//! The agents, one a site, with the site's Open vSwitch as the plan says.

use super::PartError;
use super::controller;
use super::waiting::{apart, until};
use crate::boxed::{BoxHandle, Program, SELF_EXE};
use crate::compare::libvirtd;
use crate::net::{Attachment, Network, Plan, SitePlan};
use crate::shop;
use agent::AgentConfig;
use api::Client;
use model::cluster::Cidr;
use model::underlay::Method;
use model::{Mac, SiteName};
use ovs::config::{BondMode, Gateway, HostConfig};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Relay and delay responder of an agent.
const RELAY_PORT: u16 = 6640;
const DELAY_PORT: u16 = 6641;

/// Switches start, QEMU is tested, tokens cross the WAN.
const LIMIT: Duration = Duration::from_secs(60);

/// The name of a site's agent among the box's processes.
pub fn agent(site: &str) -> String {
    format!("agent-{site}")
}

/// What every agent is started with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// What the uplinks carry, Mbit/s; 0 is unknown.
    pub uplink_mbit: f64,
    /// How the two data uplinks share the load.
    pub bond: BondMode,
    /// Whether a libvirtd runs beside those that run VMs.
    pub libvirt: bool,
    /// What tunnels between sites run in.
    pub underlay: Method,
    /// Whether those that run VMs reach endpoints of other LISP sites.
    pub lisp: bool,
}

/// The sites that have a libvirtd.
fn with_libvirt(options: Options, site: &str) -> bool {
    options.libvirt && [shop::HOME, crate::compare::AWAY].contains(&site)
}

/// Starts an agent at every site and waits until all of them have dialled in.
///
/// # Errors
/// One ended, or took too long; with the end of its log.
pub async fn start(
    handle: &BoxHandle,
    plan: &Plan,
    client: &Client,
    options: Options,
) -> Result<(), PartError> {
    for site in &plan.sites {
        let token = client.join_token().await?;
        let folder = handle.folder().join(format!("sites/{}", site.name));
        let config = config(plan, site, &folder, options)?;
        let text = toml::to_string(&config).map_err(|e| PartError::Config("agent", e))?;
        let file = |path: &Path, text: &str| write(path, text);
        std::fs::create_dir_all(&folder).map_err(|source| PartError::File {
            path: folder.clone(),
            source,
        })?;
        file(&folder.join("token"), &token.token)?;
        file(&folder.join("agent.toml"), &text)?;
        let path = folder.join("agent.toml").to_string_lossy().into_owned();
        let words = ["agent", "--config", path.as_str()];
        let argv = match with_libvirt(options, &site.name) {
            true => libvirtd::beside(handle, &site.name, &words),
            false => std::iter::once(SELF_EXE)
                .chain(words)
                .map(str::to_owned)
                .collect(),
        };
        // With the switches that it starts it stands for what every real host has to itself; the
        // guests it gives back to the ordinary scheduler.
        let program = Program::new(&site.name, argv).urgent().env("NO_COLOR", "1");
        let name = agent(&site.name);
        apart(handle, move |handle| handle.spawn(&name, &program)).await?;
    }
    for site in &plan.sites {
        let host = shop::host(&site.name)?;
        let what = format!("the agent at {} has not dialled in", site.name);
        until(handle, &agent(&site.name), &what, LIMIT, || async {
            let found = client.host(&host).await.ok()?;
            found.up.then_some(())
        })
        .await?;
    }
    Ok(())
}

/// Only its owner reads it: it may hold a secret.
pub(super) fn write(path: &Path, text: &str) -> Result<(), PartError> {
    let open = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| PartError::File {
            path: path.to_owned(),
            source,
        })
}

fn config(
    plan: &Plan,
    site: &SitePlan,
    folder: &Path,
    options: Options,
) -> Result<AgentConfig, PartError> {
    let host = shop::host(&site.name)?;
    let data = &site.data;
    let uplinks = site.uplinks.iter();
    Ok(AgentConfig {
        host: host.clone(),
        site: SiteName::new(site.name.clone())?,
        controller: controller::address(plan),
        token_file: Some(folder.join("token")),
        state: folder.to_owned(),
        management: IpAddr::V4(site.mgmt.v4),
        relay_port: RELAY_PORT,
        delay_port: DELAY_PORT,
        qemu: "qemu-system-x86_64".into(),
        uplink_mbit: options.uplink_mbit,
        lisp: options.lisp && site.name != shop::CLIENT_SITE,
        libvirt: with_libvirt(options, &site.name).then(|| "qemu:///system".to_owned()),
        wireguard_port: 51820,
        ipsec: options.underlay == Method::Ipsec,
        roams: false,
        vm_nice: 0,
        vm_memory_mib: 0,
        wall_offset_s: 0.0,
        page_store_mib: 512,
        ovs: HostConfig {
            host,
            rundir: folder.join("ovs"),
            uplinks: uplinks
                .filter(|uplink| uplink.network == Network::Data)
                .map(|uplink| uplink.site_end.clone())
                .collect(),
            bond: options.bond,
            underlay: vec![Cidr {
                address: IpAddr::V4(data.v4),
                prefix: Attachment::V4_PREFIX,
            }],
            gateway: vec![Gateway {
                address: IpAddr::V4(data.gateway_v4),
                mac: Some(Mac(data.gateway_mac.0)),
            }],
            routes: Plan::DATA_V4.parse().into_iter().collect(),
            bridge_mac: Mac(data.mac.0),
            uplink_mtu: plan.mtu,
            secured: None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_every_site_fits_together_and_survives_its_file() {
        let plan = Plan::default();
        let options = Options {
            uplink_mbit: 200.0,
            bond: BondMode::ActiveBackup,
            libvirt: true,
            lisp: false,
            underlay: Method::None,
        };
        for site in &plan.sites {
            let config = config(&plan, site, Path::new("/lab/sites/x"), options).unwrap();
            config.ovs.check().unwrap();
            assert_eq!(config.ovs.uplinks, ["eth0", "eth1"]);
            assert_eq!(config.ovs.routes.len(), 1);
            let text = toml::to_string(&config).unwrap();
            let read: AgentConfig = toml::from_str(&text).unwrap();
            assert_eq!(read.ovs, config.ovs);
            assert_eq!(read.controller.to_string(), "10.20.3.2:7443");
        }
    }
}
