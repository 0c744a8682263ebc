//! The journal's file: a ring of slots of one size, made in full at first, so that a disk which is
//! too small shows at boot.

use super::record::{self, Found};
use crate::sys;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Size of the ring in bytes; a power of two.
pub(crate) const RING: u64 = 32 << 20;
/// What is read at once; the longest record is no longer.
const CHUNK: usize = 1 << 20;

/// Where the journal lies and how it is cut.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) path: PathBuf,
    /// Bytes of a slot: a power of two from 4 KiB to 1 MiB.
    pub(crate) record: usize,
    pub(crate) bytes: u64,
    /// Flags for reading: `O_DIRECT` on a real disk.
    pub(crate) flags: libc::c_int,
}

impl Shape {
    /// Slots of the ring, which is as many records as it holds.
    pub(crate) fn slots(&self) -> u64 {
        self.bytes / self.record as u64
    }

    /// Where a record lies; numbers begin with 1.
    pub(crate) fn offset(&self, sequence: u64) -> u64 {
        (sequence.saturating_sub(1) % self.slots()) * self.record as u64
    }

    /// Reads the records `from..=to` from the medium, in pieces, and shows each slot; `None` where
    /// the medium gave none.
    pub(crate) fn read(
        &self,
        from: u64,
        to: u64,
        mut show: impl FnMut(u64, Option<&[u8]>),
    ) -> io::Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(self.flags)
            .open(&self.path)?;
        let mut buffer = sys::Aligned::new(CHUNK);
        let mut next = from;
        while next <= to {
            let at = self.offset(next);
            let room = (self.bytes - at).min(CHUNK as u64) / self.record as u64;
            let count = room.min(to - next + 1);
            let piece = &mut buffer.bytes()[..count as usize * self.record];
            let read = file.read_exact_at(piece, at).is_ok();
            for (sequence, slot) in (next..).zip(piece.chunks_exact(self.record)) {
                show(sequence, read.then_some(slot));
            }
            next += count;
        }
        Ok(())
    }
}

/// The last record of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) id: u64,
    pub(crate) sequence: u64,
}

/// The journal, open for writing.
pub(crate) struct Ring {
    shape: Shape,
    file: File,
    slot: Vec<u8>,
}

impl Ring {
    /// Opens or makes the journal, and finds the record to go on after. What it finds is on the
    /// medium when this returns.
    pub(crate) fn open(shape: Shape) -> Result<(Ring, Option<Last>), String> {
        let wrong = |what: &str, error: io::Error| {
            format!("cannot {what} {}: {error}", shape.path.display())
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&shape.path)
            .map_err(|e| wrong("open", e))?;
        sys::allocate(&file, shape.bytes).map_err(|e| wrong("make room for", e))?;
        file.sync_all().map_err(|e| wrong("flush", e))?;
        sync_folder(&shape.path).map_err(|e| wrong("flush the folder of", e))?;
        let mut last: Option<Last> = None;
        let mut other = None;
        let look = |_, slot: Option<&[u8]>| match slot.map(record::look) {
            Some(Found::Record { id, sequence })
                if last.is_none_or(|last| last.sequence < sequence) =>
            {
                last = Some(Last { id, sequence });
            }
            Some(Found::OtherSize { bytes }) => other = Some(bytes),
            _ => {}
        };
        shape
            .read(1, shape.slots(), look)
            .map_err(|e| wrong("read", e))?;
        if let (Some(bytes), None) = (other, last) {
            let (path, kib) = (shape.path.display(), bytes / 1024);
            return Err(format!(
                "{path} has records of {kib} KiB: boot with th.disk=RATE,{kib}, or with a new image"
            ));
        }
        let slot = vec![0; shape.record];
        Ok((Ring { shape, file, slot }, last))
    }

    /// Writes a record; it is on the medium when this returns.
    pub(crate) fn write(&mut self, id: u64, sequence: u64) -> io::Result<()> {
        record::fill(&mut self.slot, id, sequence);
        let at = self.shape.offset(sequence);
        self.file.write_all_at(&self.slot, at)?;
        self.file.sync_data()?;
        // The record's page is free for the next: memory that moves with the VM, and what it dirties, stay as
        // small as without a disk.
        sys::forget(&self.file, at, self.shape.record as u64);
        Ok(())
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::tests::Folder;

    fn shape(folder: &Folder) -> Shape {
        Shape {
            path: folder.path().join("journal"),
            record: 4096,
            bytes: 16 * 4096,
            flags: 0,
        }
    }

    #[test]
    fn a_journal_goes_on_after_its_highest_record_wherever_the_ring_stands() {
        let folder = Folder::new("ring");
        for last in [0, 1, 15, 16, 17, 40] {
            let shape = shape(&folder);
            let _ = std::fs::remove_file(&shape.path);
            let (mut ring, none) = Ring::open(shape.clone()).unwrap();
            assert_eq!(none, None);
            for sequence in 1..=last {
                ring.write(9, sequence).unwrap();
            }
            drop(ring);
            let found = Ring::open(shape).unwrap().1;
            assert_eq!(found.map_or(0, |l| l.sequence), last);
            assert!(found.is_none_or(|l| l.id == 9));
        }
    }

    #[test]
    fn a_record_that_was_torn_by_a_crash_does_not_count() {
        let folder = Folder::new("torn");
        let (mut ring, _) = Ring::open(shape(&folder)).unwrap();
        (1..=3).for_each(|k| ring.write(9, k).unwrap());
        ring.file
            .write_all_at(&[0xee; 512], 2 * 4096 + 1024)
            .unwrap();
        let last = Ring::open(shape(&folder)).unwrap().1;
        assert_eq!(last, Some(Last { id: 9, sequence: 2 }));
    }

    #[test]
    fn a_journal_of_another_record_size_is_refused_with_its_own() {
        let folder = Folder::new("size");
        let (mut ring, _) = Ring::open(shape(&folder)).unwrap();
        (1..=16).for_each(|k| ring.write(9, k).unwrap());
        let larger = Shape {
            record: 8192,
            ..shape(&folder)
        };
        let refusal = Ring::open(larger).err().unwrap();
        assert!(refusal.contains("th.disk=RATE,4"), "{refusal}");
    }
}
