//! A LISP tunnel router at the client's site, which then is no host of ours: its address is registered, and
//! it finds the VMs by asking the controller's Map-Server.

use super::PartError;
use super::controller;
use super::waiting::{apart, until};
use crate::boxed::{BoxHandle, Program, SELF_EXE};
use crate::net::Plan;
use crate::shop::{self, CLIENT_SITE, Shop};
use api::Client;
use api::view::{LispKey, LispSiteSpec};
use model::{ClusterName, SiteName};
use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

/// Its name among the box's processes.
pub const ROUTER: &str = "router";

const LIMIT: Duration = Duration::from_secs(20);

/// The secret of a site that is gone with its box.
const SECRET: &str = "of this lab alone";

/// The site's number among those of the Map-Server.
const SITE_ID: u64 = 1;

/// How endpoints at the client's site are joined to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plane {
    /// A member's port in the site's Open vSwitch.
    #[default]
    Ovs,
    /// A LISP router that subscribes to what it asks for (RFC 9437), and whose kernel carries the packets in
    /// VXLAN-GPE, as hosts' switches do.
    LispGpe,
    /// The same with LISP's own data packets (RFC 9300).
    Lisp,
    /// A LISP router that only knows to ask anew when it is solicited to (RFC 9301 section 6.1).
    LispSolicited,
}

impl Plane {
    /// Whether a LISP router stands at the client's site.
    pub fn is_lisp(self) -> bool {
        self != Self::Ovs
    }
}

/// The router's configuration; see `docs/xtr.md`.
#[derive(Serialize)]
struct Config {
    xtr_id: String,
    site_id: u64,
    subscribe: bool,
    probe_interval: u64,
    source_ports: usize,
    rlocs: Vec<Rloc>,
    instances: Vec<Instance>,
    eids: Vec<Own>,
    map_servers: Vec<MapServer>,
    map_resolvers: Vec<MapResolver>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<Kernel>,
}

#[derive(Serialize)]
struct Kernel {
    peers: Vec<String>,
}

#[derive(Serialize)]
struct Rloc {
    address: IpAddr,
}

#[derive(Serialize)]
struct Instance {
    id: u32,
    tun: String,
    mtu: u16,
    addresses: Vec<String>,
}

#[derive(Serialize)]
struct Own {
    prefix: String,
    instance: u32,
}

#[derive(Serialize)]
struct MapServer {
    address: IpAddr,
    port: u16,
    key: String,
}

#[derive(Serialize)]
struct MapResolver {
    address: IpAddr,
    port: u16,
}

/// Registers the site, starts its router, and waits until the client's address is known.
///
/// # Errors
/// It ended, or took too long; with the end of its log.
pub async fn start(
    handle: &BoxHandle,
    plan: &Plan,
    client: &Client,
    plane: Plane,
) -> Result<(), PartError> {
    let Some(site) = plan.site(CLIENT_SITE) else {
        return Ok(());
    };
    let cluster = client.cluster(&ClusterName::new(shop::NAME)?).await?;
    let net = cluster.spec;
    let own = Shop::client_addresses();
    let prefixes = own.iter().map(|cidr| cidr.address.to_string());
    let spec = LispSiteSpec {
        id: SITE_ID,
        keys: vec![LispKey {
            id: 0,
            secret: SECRET.to_owned(),
        }],
        prefixes: prefixes
            .map(|prefix| format!("[{}]{prefix}", net.vni))
            .collect(),
        accept_more_specifics: true,
        accept_constant_nonce: false,
        gpe: plane == Plane::LispGpe,
    };
    let name = SiteName::new(CLIENT_SITE)?;
    client.put_lisp_site(&name, &spec).await?;
    let server = controller::map_server(plan);
    let config = Config {
        xtr_id: "1".to_owned(),
        site_id: SITE_ID,
        subscribe: plane != Plane::LispSolicited,
        probe_interval: 0,
        source_ports: 1,
        rlocs: vec![Rloc {
            address: IpAddr::V4(site.data.v4),
        }],
        instances: vec![Instance {
            id: net.vni,
            tun: "lisp0".to_owned(),
            mtu: MTU,
            addresses: own.iter().map(ToString::to_string).collect(),
        }],
        eids: own
            .iter()
            .map(|cidr| Own {
                prefix: cidr.address.to_string(),
                instance: net.vni,
            })
            .collect(),
        map_servers: vec![MapServer {
            address: server.ip(),
            port: server.port(),
            key: SECRET.to_owned(),
        }],
        map_resolvers: vec![MapResolver {
            address: server.ip(),
            port: server.port(),
        }],
        kernel: (plane == Plane::LispGpe).then(|| Kernel {
            // The data networks of all sites.
            peers: plan
                .sites
                .iter()
                .map(|site| format!("{}/32", site.data.v4))
                .collect(),
        }),
    };
    let text = toml::to_string(&config).map_err(|e| PartError::Config(ROUTER, e))?;
    let path = handle.folder().join("router.toml");
    super::agents::write(&path, &text)?;
    let path = path.to_string_lossy().into_owned();
    let program = Program::new(CLIENT_SITE, [SELF_EXE, "xtr", "--config", &path])
        .urgent()
        .env("NO_COLOR", "1");
    apart(handle, move |handle| handle.spawn(ROUTER, &program)).await?;
    let what = "the client's address has not been registered";
    until(handle, ROUTER, what, LIMIT, || async {
        let rows = client.endpoints().await.ok()?;
        let mut outside = rows.iter().filter(|row| row.entry.locator.is_outside());
        outside.next().map(drop)
    })
    .await
}

/// That of the cluster's network over VXLAN, of which LISP needs less.
const MTU: u16 = 1400;
