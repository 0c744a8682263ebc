//! What the host holds of the directory, on disk: a journal of the orders it took.
//!
//! An agent that restarts while the controller is away must know what its switch should hold, or a
//! switch that restarts as well would stay empty. An order is written before its rules are sent, so
//! the journal is never behind the switch; a line costs microseconds and survives the end of the
//! process. It is not synced to the disk: after a power failure there is no switch to compare with,
//! and the controller tells everything anyway.

use crate::error::{Error, Result};
use crate::held::Order;
use model::Slice;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A journal longer than this is written anew as one line, bytes.
const MOST: u64 = 4 << 20;

/// An open journal.
#[derive(Debug)]
pub(crate) struct Keep {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Keep {
    /// Opens the journal and gives the orders in it. A line that was cut off by a crash, and what
    /// follows it, is left out.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Order>)> {
        let failed = |source| Error::Keep {
            path: path.to_owned(),
            source,
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let orders = text
            .lines()
            .map_while(|line| serde_json::from_str(line).ok())
            .collect();
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(failed)?;
        Ok((
            Self {
                path: path.to_owned(),
                file,
                length: text.len() as u64,
            },
            orders,
        ))
    }

    /// Adds an order. `held` is asked for what is held after it, when the journal has grown too
    /// long.
    pub(crate) fn add(&mut self, order: &Order, held: impl FnOnce() -> Slice) -> Result<()> {
        if order.whole || self.length > MOST {
            return self.rewrite(&held().into());
        }
        let line = self.line(order)?;
        self.file
            .write_all(&line)
            .map_err(|source| self.failed(source))?;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Replaces the journal by one order, in one step.
    pub(crate) fn rewrite(&mut self, order: &Order) -> Result<()> {
        let line = self.line(order)?;
        let fresh = self.path.with_extension("new");
        std::fs::write(&fresh, &line)
            .and_then(|()| std::fs::rename(&fresh, &self.path))
            .map_err(|source| self.failed(source))?;
        self.file = OpenOptions::new()
            .append(true)
            .open(&self.path)
            .map_err(|source| self.failed(source))?;
        self.length = line.len() as u64;
        Ok(())
    }

    fn line(&self, order: &Order) -> Result<Vec<u8>> {
        let mut line = serde_json::to_vec(order).map_err(|error| self.failed(error.into()))?;
        line.push(b'\n');
        Ok(line)
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Keep {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ClusterName, Encap, Net};

    fn order(vni: u32) -> Order {
        let net = Net {
            cluster: ClusterName::new("shop").unwrap(),
            vni,
            encap: Encap::Gre,
            mtu: 1400,
        };
        Order {
            nets: vec![net],
            ..Order::default()
        }
    }

    #[test]
    fn orders_come_back_after_a_restart_without_the_line_that_a_crash_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directory.journal");
        let (mut keep, orders) = Keep::open(&path).unwrap();
        assert!(orders.is_empty());
        keep.add(&order(1), Slice::default).unwrap();
        keep.add(&order(2), Slice::default).unwrap();
        keep.file.write_all(b"{\"whole\":fal").unwrap();
        let (_, orders) = Keep::open(&path).unwrap();
        assert_eq!(orders, [order(1), order(2)]);
    }

    #[test]
    fn the_whole_truth_makes_the_journal_short_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directory.journal");
        let (mut keep, _) = Keep::open(&path).unwrap();
        keep.add(&order(1), Slice::default).unwrap();
        let slice = Slice {
            nets: order(3).nets,
            entries: Vec::new(),
        };
        let whole = Order::from(slice.clone());
        keep.add(&whole, || slice).unwrap();
        keep.add(&order(4), Slice::default).unwrap();
        let (_, orders) = Keep::open(&path).unwrap();
        assert_eq!(orders, [whole, order(4)]);
    }
}
