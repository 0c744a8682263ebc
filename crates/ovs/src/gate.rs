//! Gates: a queue of the agent's in front of a member, while a switchover is being taken back.
//!
//! A gate is a tap that only the agent reads. While it is open, everything for the member, out of
//! tunnels and from local senders, waits there in order, until the agent has put what came back
//! from the target before it.

use crate::error::{Error, Result};
use crate::host::{Host, Inner};
use crate::names::{self, INTEGRATION};
use crate::ports::{free_number, gate_plan};
use crate::tap;
use control::projection::{Arrivals, Key};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// An open gate. Dropping the value does not close it; see [`Host::close_gate`].
#[derive(Debug, Clone)]
pub struct Gate {
    ifname: String,
    tap: Arc<OwnedFd>,
}

/// What is remembered of an open gate.
#[derive(Debug)]
pub(crate) struct OpenGate {
    ifname: String,
    ofport: u32,
    tap: Arc<OwnedFd>,
}

impl OpenGate {
    pub(crate) fn ofport(&self) -> u32 {
        self.ofport
    }

    fn gate(&self) -> Gate {
        Gate {
            ifname: self.ifname.clone(),
            tap: Arc::clone(&self.tap),
        }
    }
}

impl Gate {
    /// The frames that wait, in order. More may come until the gate is closed.
    pub fn drain(&self) -> Result<Vec<Vec<u8>>> {
        tap::read_waiting(&self.tap).map_err(|source| Error::Tap {
            ifname: self.ifname.clone(),
            what: "read what waits in it",
            source,
        })
    }

    /// The gate's interface; its `tx_dropped` counts what did not fit into the queue.
    pub fn ifname(&self) -> &str {
        &self.ifname
    }
}

impl Host {
    /// Puts a gate in front of a member that has its port here. One that is open stays.
    pub async fn open_gate(&self, key: &Key) -> Result<Gate> {
        let inner = &self.inner;
        let mut ports = inner.ports.lock().await;
        if !ports.members.contains_key(key) {
            return Err(Error::not_linked(key));
        }
        if let Some(open) = ports.gates.get(key) {
            return Ok(open.gate());
        }
        let ifname = names::gate(&key.0, &key.1);
        let ofport = free_number(&ports.numbers())?;
        let made = inner.make_gate(&ifname, ofport).await;
        let (tap, ofport) = match made {
            Ok(made) => made,
            Err(error) => {
                inner.remove_gate(&ifname).await?;
                return Err(error);
            }
        };
        let open = OpenGate {
            ifname,
            ofport,
            tap: Arc::new(tap),
        };
        let gate = open.gate();
        ports.gates.insert(key.clone(), open);
        drop(ports);
        self.set_arrivals(key, Some(Arrivals::Gate { ofport }))
            .await?;
        Ok(gate)
    }

    /// Opens the way to the member again and removes its gate. Gives the frames that still came
    /// to the gate, in order: put them into the member's queue.
    pub async fn close_gate(&self, key: &Key) -> Result<Vec<Vec<u8>>> {
        let open = self.inner.ports.lock().await.gates.remove(key);
        let Some(open) = open else {
            return Ok(Vec::new());
        };
        let restored = self.set_arrivals(key, None).await;
        let late = open.gate().drain();
        self.inner.remove_gate(&open.ifname).await?;
        restored?;
        late
    }
}

impl Inner {
    pub(crate) async fn make_gate(&self, ifname: &str, ofport: u32) -> Result<(OwnedFd, u32)> {
        // Opened without being kept: the queue is gone with the agent that read it.
        let tap = tap::open_tap(&self.netns, ifname).await?;
        tap::settle(&self.netns, &self.netlink, ifname).await?;
        let ops = self
            .database
            .add_ports(INTEGRATION, &[gate_plan(ifname, ofport)]);
        self.database.commit("add a gate", ops).await?;
        let numbers = self.database.ofports(&[ifname]).await?;
        Ok((tap, numbers.first().copied().unwrap_or(ofport)))
    }

    pub(crate) async fn remove_gate(&self, ifname: &str) -> Result<()> {
        let rows = self.database.ports().await?;
        if let Some(row) = rows.iter().find(|row| row.name == ifname) {
            self.database
                .commit(
                    "remove a gate",
                    vec![self.database.remove_port(INTEGRATION, row.uuid)],
                )
                .await?;
        }
        Ok(())
    }
}
