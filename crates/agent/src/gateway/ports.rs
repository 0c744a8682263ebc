//! Gateway ports: made for the networks that want one, read, and written.

use super::Shared;
use super::table::Table;
use crate::desk::Host;
use model::ClusterName;
use ovs::LispGateway;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Largest frame: a VM's MTU is below that.
const FRAME: usize = 65_536;

/// The open ports, by virtual network identifier.
#[derive(Clone, Default)]
pub(super) struct Ports(Arc<Mutex<BTreeMap<u32, Open>>>);

struct Open {
    cluster: ClusterName,
    gateway: LispGateway,
    reader: tokio::task::JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Ports {
    /// Makes what is wanted and missing, removes what is not wanted any more.
    pub(super) async fn converge(&self, host: &Host, table: &Table, shared: &Arc<Shared>) {
        let wanted: BTreeMap<u32, ClusterName> = table
            .wanted()
            .map(|(vni, cluster)| (vni, cluster.clone()))
            .collect();
        let surplus: Vec<Open> = match self.0.lock() {
            Ok(mut open) => {
                let gone = open.extract_if(.., |vni, port| wanted.get(vni) != Some(&port.cluster));
                gone.map(|(_, port)| port).collect()
            }
            Err(_) => return,
        };
        for port in surplus {
            if let Err(error) = host.close_gateway(&port.cluster).await {
                tracing::warn!(%error, cluster = %port.cluster, "a LISP gateway's port stays");
            }
        }
        for (vni, cluster) in wanted {
            if self.0.lock().is_ok_and(|open| open.contains_key(&vni)) {
                continue;
            }
            match host.open_gateway(&cluster).await {
                Ok(gateway) => {
                    tracing::info!(%cluster, "endpoints outside are reached from here");
                    let reader = tokio::spawn(read(vni, gateway.clone(), shared.clone()));
                    if let Ok(mut open) = self.0.lock() {
                        let port = Open {
                            cluster,
                            gateway,
                            reader,
                        };
                        open.insert(vni, port);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, %cluster, "no LISP gateway: endpoints outside are not reached")
                }
            }
        }
    }

    /// Hands a frame to the switch. What it cannot take is lost, as on any wire.
    pub(super) fn write(&self, vni: u32, frame: &[u8]) {
        let gateway = match self.0.lock() {
            Ok(open) => open.get(&vni).map(|port| port.gateway.clone()),
            Err(_) => None,
        };
        if let Some(gateway) = gateway
            && let Err(error) = gateway.send(frame)
        {
            tracing::debug!(%error, "a frame from outside was not taken");
        }
    }
}

async fn read(vni: u32, gateway: LispGateway, shared: Arc<Shared>) {
    let mut buffer = vec![0; FRAME];
    loop {
        match gateway.receive(&mut buffer).await {
            Ok(length) => shared.out(vni, &buffer[..length]).await,
            Err(error) => {
                tracing::warn!(%error, "a LISP gateway's port is not read any more");
                return;
            }
        }
    }
}
