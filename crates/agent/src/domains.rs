//! VMs that libvirt keeps.
//!
//! libvirt has the process and the definition; sending, holding and receiving go through the domain's
//! QMP as with our own. Every call waits for libvirtd, so each runs where it may block.

use crate::AgentError;
use libvirt::xml::port;
use libvirt::{Host, monitor, process};
use model::Mac;
use model::libvirt::{Description, Found, Plugged};
use qmp::Qmp;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::UnixStream;

/// libvirt on this host, where the configuration names one.
#[derive(Debug)]
pub struct Domains {
    uri: Option<String>,
    host: Mutex<Option<Arc<Host>>>,
}

/// One domain.
#[derive(Debug, Clone)]
pub struct Domain {
    host: Arc<Host>,
    name: String,
    mac: Mac,
}

impl Domains {
    /// libvirt at this URI; it need not answer yet.
    pub fn new(uri: Option<String>) -> Self {
        Self {
            uri,
            host: Mutex::default(),
        }
    }

    async fn host(&self) -> Result<Arc<Host>, AgentError> {
        let kept = self
            .host
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(host) = kept {
            return Ok(host);
        }
        let uri = self.uri.clone().ok_or_else(|| {
            AgentError::plain(
                "this host's agent knows of no libvirt; set `libvirt` in its configuration, for example \"qemu:///system\"",
            )
        })?;
        let host = Arc::new(aside(move || Host::open(&uri)).await?);
        *self.host.lock().unwrap_or_else(PoisonError::into_inner) = Some(host.clone());
        Ok(host)
    }

    /// Every domain of this host.
    ///
    /// # Errors
    /// When there is no libvirt, or it does not answer.
    pub async fn list(&self) -> Result<Vec<Found>, AgentError> {
        let host = self.host().await?;
        aside(move || host.list()).await
    }

    /// The domain of this name, linked by its interface with this address. It need not exist.
    ///
    /// # Errors
    /// When there is no libvirt, or it does not answer.
    pub async fn domain(&self, name: &str, mac: Mac) -> Result<Domain, AgentError> {
        Ok(Domain {
            host: self.host().await?,
            name: name.to_owned(),
            mac,
        })
    }
}

impl Domain {
    async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Host, &str) -> libvirt::Result<T> + Send + 'static,
    ) -> Result<T, AgentError> {
        let (host, name) = (self.host.clone(), self.name.clone());
        aside(move || job(&host, &name)).await
    }

    /// What it is.
    ///
    /// # Errors
    /// When there is none.
    pub async fn find(&self) -> Result<Found, AgentError> {
        self.ask(|host, name| host.find(name)).await
    }

    /// Plugs its interface into this bridge; gives what it was plugged into.
    ///
    /// # Errors
    /// libvirt's words.
    pub async fn plug_into(&self, bridge: &str) -> Result<Plugged, AgentError> {
        self.plug(port(bridge)).await
    }

    /// Plugs its interface into something; gives what it was plugged into.
    ///
    /// # Errors
    /// libvirt's words.
    pub async fn plug(&self, into: Plugged) -> Result<Plugged, AgentError> {
        let mac = self.mac;
        self.ask(move |host, name| host.plug(name, mac, &into))
            .await
    }

    /// Makes the target of a migration from a description, with its interface in this bridge.
    ///
    /// # Errors
    /// libvirt's words.
    pub async fn create_incoming(&self, running: String, bridge: String) -> Result<(), AgentError> {
        let mac = self.mac;
        self.ask(move |host, _| host.create_incoming(&running, mac, &bridge))
            .await
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    /// libvirt's words.
    pub async fn start(&self) -> Result<(), AgentError> {
        self.ask(|host, name| host.start(name)).await
    }

    /// Lets it run.
    ///
    /// # Errors
    /// libvirt's words.
    pub async fn resume(&self) -> Result<(), AgentError> {
        self.ask(|host, name| host.resume(name)).await
    }

    /// Ends its process, and waits until libvirt knows.
    pub async fn destroy(&self) {
        if let Err(error) = self.ask(|host, name| host.destroy(name)).await {
            tracing::warn!(%error, "a domain was not ended");
        }
    }

    /// Forgets its definition.
    ///
    /// # Errors
    /// libvirt's words.
    pub async fn undefine(&self) -> Result<(), AgentError> {
        self.ask(|host, name| host.undefine(name)).await
    }

    /// Defines it as it was where it came from.
    ///
    /// # Errors
    /// libvirt's words.
    pub async fn define(&self, description: Description) -> Result<(), AgentError> {
        self.ask(move |host, _| host.define(&description)).await
    }

    /// What a target must know of it.
    ///
    /// # Errors
    /// When it does not run, or cannot be carried; by name.
    pub async fn describe(&self) -> Result<Description, AgentError> {
        let found = self.find().await?;
        if let Some(first) = found.obstacles.first() {
            return Err(AgentError::plain(format!(
                "domain '{}' cannot be moved: {first}",
                self.name
            )));
        }
        self.ask(|host, name| host.describe(name)).await
    }

    /// Its process.
    ///
    /// # Errors
    /// When it is not to be seen from here.
    pub async fn process(&self) -> Result<i32, AgentError> {
        self.ask(process::id).await
    }

    /// Its machine protocol.
    ///
    /// # Errors
    /// When libvirt does not pass it on.
    pub async fn monitor(&self, pid: i32) -> Result<Qmp, AgentError> {
        let (host, name) = (self.host.clone(), self.name.clone());
        let stream = aside(move || monitor::open(host, &name, pid)).await?;
        stream.set_nonblocking(true)?;
        Ok(Qmp::negotiate(UnixStream::from_std(stream)?).await?)
    }

    /// The host's interface behind its interface.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn tap(&self) -> Result<String, AgentError> {
        let mac = self.mac;
        self.ask(move |host, name| host.tap(name, mac)).await
    }

    /// QEMU's block node of each disk.
    ///
    /// # Errors
    /// When QEMU or libvirt does not tell.
    pub async fn nodes(&self, qmp: &Qmp) -> Result<BTreeMap<String, String>, AgentError> {
        #[derive(Deserialize)]
        struct Device {
            #[serde(default)]
            qdev: String,
            inserted: Option<Inserted>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Inserted {
            node_name: String,
        }
        let aliases = self.ask(|host, name| host.aliases(name)).await?;
        let devices: Vec<Device> = qmp.query("query-block", json!({})).await?;
        let node = |alias: &str| {
            let its = |device: &&Device| device.qdev.split('/').any(|part| part == alias);
            let inserted = devices.iter().find(its)?.inserted.as_ref()?;
            Some(inserted.node_name.clone())
        };
        let named = aliases
            .into_iter()
            .filter_map(|(disk, alias)| Some((disk, node(&alias)?)));
        Ok(named.collect())
    }
}

async fn aside<T: Send + 'static>(
    job: impl FnOnce() -> libvirt::Result<T> + Send + 'static,
) -> Result<T, AgentError> {
    let done = tokio::task::spawn_blocking(job).await;
    done.map_err(|_| AgentError::plain("the agent ends"))?
        .map_err(|error| AgentError::plain(error.to_string()))
}
