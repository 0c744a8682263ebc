//! What this crate writes into the switch database, as ports and bridges; no policy.
//!
//! Tables and columns: ovs-vswitchd.conf.db(5). Every change waits until ovs-vswitchd has acted on
//! it, so that what comes next (an address on an internal port, a rule to a port number) finds it
//! there. Rows of ours carry `external_ids`, by which a restarted agent knows them again.

use crate::error::{Error, Result};
use crate::names;
use model::Mac;
use ovsdb::vswitch::DB;
use ovsdb::{Atom, Condition, Insert, Mutate, Op, Row, Select, Update, Uuid, Value, Vswitch, Wait};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A port as it should be.
#[derive(Debug, Clone, Default)]
pub(crate) struct PortPlan {
    /// Name of the port, and of its interface when there is one only.
    pub(crate) name: String,
    /// Its interfaces; several make it a bond.
    pub(crate) interfaces: Vec<InterfacePlan>,
    /// Columns of the port.
    pub(crate) columns: Row,
    /// `external_ids` of the port.
    pub(crate) ids: BTreeMap<String, String>,
}

/// An interface as it should be.
#[derive(Debug, Clone, Default)]
pub(crate) struct InterfacePlan {
    /// Its name.
    pub(crate) name: String,
    /// Its type; empty for a link of the system.
    pub(crate) kind: &'static str,
    /// `options`.
    pub(crate) options: BTreeMap<String, String>,
    /// The OpenFlow port number to ask for.
    pub(crate) ofport: Option<u32>,
    /// Ethernet address of an internal port.
    pub(crate) mac: Option<Mac>,
    /// MTU to enforce, bytes.
    pub(crate) mtu: Option<u16>,
}

/// A port as the database has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct PortRow {
    /// Row of table Port.
    pub(crate) uuid: Uuid,
    /// Its name.
    pub(crate) name: String,
    /// Its bridge.
    pub(crate) bridge: String,
    /// `external_ids`.
    pub(crate) ids: BTreeMap<String, String>,
    /// Its interfaces.
    pub(crate) interfaces: Vec<InterfaceRow>,
}

/// An interface as the database has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct InterfaceRow {
    /// Its name.
    pub(crate) name: String,
    /// The port number asked for.
    pub(crate) requested: Option<u32>,
    /// The port number it has; none while it does not work.
    pub(crate) ofport: Option<u32>,
    /// Why it does not work.
    pub(crate) error: Option<String>,
}

/// The switch database of one host.
#[derive(Clone)]
pub(crate) struct Database {
    vswitch: Vswitch,
}

impl Database {
    /// Connects, and makes the root row when the database is new.
    pub(crate) async fn open(socket: &Path) -> Result<Self> {
        let remote = format!("unix:{}", socket.display())
            .parse()
            .map_err(|error| Error::Config(format!("socket {}: {error}", socket.display())))?;
        let vswitch = Vswitch::connect(remote)
            .await
            .map_err(|error| Error::database("connect", error))?;
        let rows = vswitch
            .select(Select::from(DB).columns(["_uuid"]))
            .await
            .map_err(|error| Error::database("read the root row", error))?;
        if rows.is_empty() {
            let empty = Wait::on(DB, ["_uuid"])
                .until_equal([])
                .timeout(Duration::ZERO);
            vswitch
                .transact([Op::from(empty), Insert::into(DB).into()])
                .await
                .map_err(|error| Error::database("make the root row", error))?;
        }
        Ok(Self { vswitch })
    }

    /// Every port of every bridge.
    pub(crate) async fn ports(&self) -> Result<Vec<PortRow>> {
        let columns = ["_uuid", "name", "type", "ofport", "ofport_request", "error"];
        let read = [
            Op::from(Select::from("Bridge").columns(["name", "ports"])),
            Select::from("Port")
                .columns(["_uuid", "name", "interfaces", "external_ids"])
                .into(),
            Select::from("Interface").columns(columns).into(),
        ];
        let results = self
            .vswitch
            .transact(read)
            .await
            .map_err(|error| Error::database("list ports", error))?;
        let [bridges, ports, interfaces] = results.as_slice() else {
            return Ok(Vec::new());
        };
        let interfaces: BTreeMap<Uuid, InterfaceRow> = interfaces
            .rows
            .iter()
            .filter_map(|row| Some((row.uuid("_uuid")?, read_interface(row))))
            .collect();
        let bridge_of: BTreeMap<Uuid, &str> = bridges
            .rows
            .iter()
            .flat_map(|row| {
                let name = row.string("name").unwrap_or_default();
                row.uuids("ports").map(move |port| (port, name))
            })
            .collect();
        Ok(ports
            .rows
            .iter()
            .filter_map(|row| {
                let uuid = row.uuid("_uuid")?;
                Some(PortRow {
                    uuid,
                    name: row.string("name")?.to_owned(),
                    bridge: (*bridge_of.get(&uuid)?).to_owned(),
                    ids: row
                        .entries("external_ids")
                        .map(|(key, value)| (key.to_owned(), value.to_owned()))
                        .collect(),
                    interfaces: row
                        .uuids("interfaces")
                        .filter_map(|interface| interfaces.get(&interface).cloned())
                        .collect(),
                })
            })
            .collect())
    }

    /// Makes a bridge with these columns, or gives an existing one these columns.
    pub(crate) fn bridge(&self, exists: bool, name: &str, columns: Row) -> Vec<Op> {
        if exists {
            return vec![
                Update::table("Bridge")
                    .when(Condition::eq("name", name))
                    .row(columns)
                    .into(),
            ];
        }
        let local = InterfacePlan {
            name: name.to_owned(),
            kind: "internal",
            ..Default::default()
        };
        let port = PortPlan {
            name: name.to_owned(),
            interfaces: vec![local],
            ..Default::default()
        };
        let (mut ops, port) = insert_port(&port);
        let handle = symbol("bridge", name);
        ops.push(
            Insert::into("Bridge")
                .named(handle.clone())
                .row(columns)
                .set("name", name)
                .set("ports", Value::set([port]))
                .into(),
        );
        ops.push(
            Mutate::table(DB)
                .insert("bridges", Value::set([Atom::named(handle)]))
                .into(),
        );
        ops
    }

    /// The names of the bridges.
    pub(crate) async fn bridges(&self) -> Result<Vec<String>> {
        let rows = self
            .vswitch
            .select(Select::from("Bridge").columns(["name"]))
            .await
            .map_err(|error| Error::database("list bridges", error))?;
        Ok(rows
            .iter()
            .filter_map(|row| row.string("name").map(str::to_owned))
            .collect())
    }

    /// Adds ports to a bridge.
    pub(crate) fn add_ports(&self, bridge: &str, plans: &[PortPlan]) -> Vec<Op> {
        let mut ops = Vec::new();
        let mut handles = Vec::new();
        for plan in plans {
            let (more, handle) = insert_port(plan);
            ops.extend(more);
            handles.push(handle);
        }
        ops.push(
            Mutate::table("Bridge")
                .when(Condition::eq("name", bridge))
                .insert("ports", Value::set(handles))
                .into(),
        );
        ops
    }

    /// Takes a port from a bridge; its rows go with it.
    pub(crate) fn remove_port(&self, bridge: &str, port: Uuid) -> Op {
        Mutate::table("Bridge")
            .when(Condition::eq("name", bridge))
            .delete("ports", Value::set([Atom::Uuid(port)]))
            .into()
    }

    /// Sets columns of a port.
    pub(crate) fn update_port(&self, port: &str, columns: Row) -> Op {
        Update::table("Port")
            .when(Condition::eq("name", port))
            .row(columns)
            .into()
    }

    /// Asks for an interface's MTU, which the switch would otherwise choose.
    pub(crate) fn request_mtu(&self, interface: &str, mtu: u16) -> Op {
        Update::table("Interface")
            .when(Condition::eq("name", interface))
            .set("mtu_request", i64::from(mtu))
            .into()
    }

    /// Commits and waits until ovs-vswitchd has acted.
    pub(crate) async fn commit(&self, what: &str, ops: Vec<Op>) -> Result<()> {
        self.vswitch
            .transact_and_wait(ops)
            .await
            .map(drop)
            .map_err(|error| Error::database(what, error))
    }

    /// The port numbers of interfaces; an interface that does not work is an error.
    pub(crate) async fn ofports(&self, interfaces: &[&str]) -> Result<Vec<u32>> {
        let read = interfaces.iter().map(|name| {
            Select::from("Interface")
                .when(Condition::eq("name", *name))
                .columns(["name", "ofport", "ofport_request", "error"])
        });
        let results = self
            .vswitch
            .transact(read)
            .await
            .map_err(|error| Error::database("read port numbers", error))?;
        interfaces
            .iter()
            .zip(&results)
            .map(|(name, result)| {
                let row = result.rows.first().map(read_interface).unwrap_or_default();
                row.ofport.ok_or_else(|| Error::Port {
                    ifname: (*name).to_owned(),
                    why: row
                        .error
                        .unwrap_or_else(|| "it has no port number".to_owned()),
                })
            })
            .collect()
    }
}

fn read_interface(row: &Row) -> InterfaceRow {
    let port = |column| {
        row.integer(column)
            .and_then(|number| u32::try_from(number).ok())
    };
    InterfaceRow {
        name: row.string("name").unwrap_or_default().to_owned(),
        requested: port("ofport_request"),
        ofport: port("ofport"),
        error: row.string("error").map(str::to_owned),
    }
}

fn symbol(kind: &str, name: &str) -> String {
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    format!("{kind}_{name}")
}

fn insert_port(plan: &PortPlan) -> (Vec<Op>, Atom) {
    let mut ops = Vec::new();
    let mut members = Vec::new();
    for interface in &plan.interfaces {
        let handle = symbol("interface", &interface.name);
        let mut insert = Insert::into("Interface")
            .named(handle.clone())
            .set("name", interface.name.as_str())
            .set("type", interface.kind);
        if !interface.options.is_empty() {
            insert = insert.set("options", interface.options.clone());
        }
        if let Some(ofport) = interface.ofport {
            insert = insert.set("ofport_request", i64::from(ofport));
        }
        if let Some(mac) = interface.mac {
            insert = insert.set("mac", mac.to_string());
        }
        if let Some(mtu) = interface.mtu {
            insert = insert.set("mtu_request", i64::from(mtu));
        }
        ops.push(insert.into());
        members.push(Atom::named(handle));
    }
    let handle = symbol("port", &plan.name);
    let mut insert = Insert::into("Port")
        .named(handle.clone())
        .row(plan.columns.clone())
        .set("name", plan.name.as_str())
        .set("interfaces", Value::set(members));
    if !plan.ids.is_empty() {
        insert = insert.set("external_ids", plan.ids.clone());
    }
    ops.push(insert.into());
    (ops, Atom::named(handle))
}

impl PortRow {
    /// What the port is for, when it is ours.
    pub(crate) fn purpose(&self) -> Option<&str> {
        self.ids.get(names::KIND).map(String::as_str)
    }
}
