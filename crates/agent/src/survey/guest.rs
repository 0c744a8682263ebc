//! What a running guest does with its memory: how much of it is not zero, and how much it dirties in a
//! second. Both from a sample of its pages, which are read from outside: QEMU and the guest notice nothing.
//! Where that is not allowed, QEMU takes a sample itself, more coarsely.

use crate::vms::Vm;
use model::MemberKind;
use model::facts::GuestMemory;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};
use std::io::{IoSliceMut, Write};
use std::time::{Duration, Instant};

const PAGE: usize = 4096;
/// Pages that are looked at: a share of all is right to about one in a hundred.
const SAMPLE: usize = 4096;
/// One of so many pages of the sample is packed.
const PACKED_EACH: usize = 4;
/// Pages that QEMU looks at for a dirty rate, each GiB of the guest.
const QEMU_SAMPLE: u32 = 4096;
/// A page is compared in so many parts.
const PARTS: usize = 64;
/// Smaller changes than QEMU's whole MB/s are told as half of one, bytes a second.
const QEMU_HALF: f64 = (1 << 19) as f64;

/// Memory that a VM was promised, MiB.
pub(super) fn promised_mib(vm: &Vm) -> u64 {
    match &vm.record.member.kind {
        MemberKind::Vm { spec } => u64::from(spec.memory_mib),
        MemberKind::Host => 0,
    }
}

/// Memory that a process has, MiB.
pub(super) fn resident_mib(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// What was seen of a guest, and hashes of the pages that were looked at.
pub(super) struct Looked {
    pub(super) memory: GuestMemory,
    pages: Vec<u64>,
}

/// Looks at a guest for this long, s; with 0 its dirty pages are not counted.
pub(super) async fn look(vm: &Vm, watch_s: u32) -> Looked {
    let size = promised_mib(vm) << 20;
    let pid = vm.record.pid;
    let first = sampled(pid, size).await;
    let (mut dirty_rate, mut differs) = (None, None);
    match (&first, watch_s) {
        (_, 0) => {}
        (Some(first), seconds) => {
            tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
            if let Some(second) = sampled(pid, size).await {
                dirty_rate = Some(first.changed(&second) * size as f64);
                differs = first.differs(&second);
            }
        }
        (None, seconds) => dirty_rate = qemus_rate(vm, seconds).await,
    }
    let machine: Result<String, _> = vm
        .qmp
        .query("qom-get", json!({"path": "/machine", "property": "type"}))
        .await;
    Looked {
        memory: GuestMemory {
            machine: machine
                .ok()
                .map(|name| name.trim_end_matches("-machine").to_owned()),
            used: first
                .as_ref()
                .map(|first| (first.full() * size as f64) as u64),
            packs: first.as_ref().and_then(|first| first.packs),
            dirty_rate,
            differs,
            shared: None,
            disk_bytes: None,
        },
        pages: first.map(|first| first.pages).unwrap_or_default(),
    }
}

/// Says of each guest which share of its pages another one of them has as well. Samples are of the same
/// places in memories of one size, so this is what guests that began alike still have in common; more
/// may lie at other places.
pub(super) fn compare<'a>(guests: impl IntoIterator<Item = &'a mut Looked>) {
    let mut guests: Vec<_> = guests.into_iter().collect();
    let mut holders: HashMap<u64, u32> = HashMap::new();
    for guest in &guests {
        let own: HashSet<_> = guest.pages.iter().copied().collect();
        for page in own {
            *holders.entry(page).or_default() += 1;
        }
    }
    for guest in &mut guests {
        let full = guest.pages.iter().filter(|page| **page != 0);
        let (mut all, mut elsewhere) = (0u32, 0u32);
        for page in full {
            all += 1;
            elsewhere += u32::from(holders.get(page).is_some_and(|holders| *holders > 1));
        }
        guest.memory.shared = (all > 0).then(|| f64::from(elsewhere) / f64::from(all));
    }
}

/// QEMU hashes a sample of the pages, waits, and hashes them again (`calc-dirty-rate`,
/// mode `page-sampling`; QMP reference, section "Dirty page rate"). Bytes a second.
async fn qemus_rate(vm: &Vm, seconds: u32) -> Option<f64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Rate {
        status: String,
        dirty_rate: Option<u64>,
    }
    let how = json!({"calc-time": seconds, "sample-pages": QEMU_SAMPLE, "mode": "page-sampling"});
    // Where one runs already, its result is as good.
    let _ = vm.qmp.execute("calc-dirty-rate", how).await;
    tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
    for _ in 0..40 {
        let rate: Rate = vm.qmp.query("query-dirty-rate", json!({})).await.ok()?;
        if rate.status == "measured" {
            let whole = rate.dirty_rate? << 20;
            return Some(whole as f64 + QEMU_HALF);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    None
}

/// A sample of a guest's pages.
struct Sample {
    /// A hash each; 0 for a page of zeroes.
    pages: Vec<u64>,
    /// A short hash of each part of each page.
    parts: Vec<[u8; PARTS]>,
    /// Packed size of those that are not zero, as a share.
    packs: Option<f64>,
    at: Instant,
}

impl Sample {
    /// Share of the pages that are not zero: what is zero travels as a mark.
    fn full(&self) -> f64 {
        let full = self.pages.iter().filter(|hash| **hash != 0).count();
        full as f64 / self.pages.len().max(1) as f64
    }

    /// Share of the pages that changed, a second.
    fn changed(&self, later: &Self) -> f64 {
        let pairs = self.pages.iter().zip(&later.pages);
        let changed = pairs.filter(|(before, after)| before != after).count();
        let seconds = later.at.duration_since(self.at).as_secs_f64().max(0.001);
        changed as f64 / self.pages.len().max(1) as f64 / seconds
    }

    /// Of the pages that changed, the share of their parts that did.
    fn differs(&self, later: &Self) -> Option<f64> {
        let pages = self.pages.iter().zip(&later.pages);
        let pairs = pages.zip(self.parts.iter().zip(&later.parts));
        let (mut changed, mut parts) = (0usize, 0);
        for ((before, after), (old, new)) in pairs {
            if before != after {
                changed += 1;
                parts += old.iter().zip(new).filter(|(old, new)| old != new).count();
            }
        }
        (changed > 0).then(|| parts as f64 / (changed * PARTS) as f64)
    }
}

/// A short hash of each part of a page.
fn parts(page: &[u8; PAGE]) -> [u8; PARTS] {
    let mut parts = [0; PARTS];
    for (part, bytes) in parts.iter_mut().zip(page.chunks_exact(PAGE / PARTS)) {
        let mixed = bytes.chunks_exact(8).fold(0u64, |mixed, word| {
            let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
            (mixed.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
        });
        *part = (mixed >> 56) as u8;
    }
    parts
}

async fn sampled(pid: i32, size: u64) -> Option<Sample> {
    tokio::task::spawn_blocking(move || sample(pid, size))
        .await
        .ok()?
}

fn sample(pid: i32, size: u64) -> Option<Sample> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let begin = memory(&maps, size)?;
    let pages = usize::try_from(size).ok()? / PAGE;
    // Odd, so that it keeps no time with what lies at round addresses.
    let step = (pages / SAMPLE).max(1) | 1;
    let mut hashes = Vec::with_capacity(pages / step + 1);
    let mut all_parts = Vec::with_capacity(pages / step + 1);
    let mut page = [0u8; PAGE];
    let mut packer = Packer::new();
    for number in (0..pages).step_by(step) {
        let base = begin + number * PAGE;
        let remote = [RemoteIoVec { base, len: PAGE }];
        let read = process_vm_readv(
            Pid::from_raw(pid),
            &mut [IoSliceMut::new(&mut page)],
            &remote,
        );
        if read.ok()? != PAGE {
            return None;
        }
        all_parts.push(parts(&page));
        hashes.push(match page.iter().any(|byte| *byte != 0) {
            false => 0,
            true => {
                packer.add(&page);
                let mut hasher = DefaultHasher::new();
                hasher.write(&page);
                hasher.finish().max(1)
            }
        });
    }
    Some(Sample {
        pages: hashes,
        parts: all_parts,
        packs: packer.share(),
        at: Instant::now(),
    })
}

/// Packs a part of the sample, as the relay would.
struct Packer {
    stream: Option<zstd::stream::write::Encoder<'static, Vec<u8>>>,
    seen: usize,
    taken: usize,
}

impl Packer {
    fn new() -> Self {
        Self {
            stream: zstd::stream::write::Encoder::new(Vec::new(), 1).ok(),
            seen: 0,
            taken: 0,
        }
    }

    fn add(&mut self, page: &[u8]) {
        self.seen += 1;
        if !self.seen.is_multiple_of(PACKED_EACH) {
            return;
        }
        let written = self.stream.as_mut().map(|stream| stream.write_all(page));
        match written {
            Some(Ok(())) => self.taken += page.len(),
            _ => self.stream = None,
        }
    }

    fn share(self) -> Option<f64> {
        let packed = self.stream?.finish().ok()?.len();
        (self.taken > 0).then(|| (packed as f64 / self.taken as f64).min(1.0))
    }
}

/// Where a guest's memory begins in its QEMU: the writable private mapping without a file that is as
/// large as it, or else the smallest that is larger (neighbours may have been joined to it).
fn memory(maps: &str, size: u64) -> Option<usize> {
    let mappings = maps.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (begin, end) = words.next()?.split_once('-')?;
        let (rights, inode) = (words.next()?, words.nth(2)?);
        let begin = usize::from_str_radix(begin, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        (rights == "rw-p" && inode == "0").then_some((end.checked_sub(begin)? as u64, begin))
    });
    let fits = mappings.filter(|(length, _)| *length >= size);
    fits.min().map(|(_, begin)| begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_memory_is_the_mapping_of_its_size() {
        let maps = "\
7f0000000000-7f0008000000 rw-p 00000000 00:00 0
7f0010000000-7f0050000000 rwxp 00000000 00:00 0
7f0060000000-7f0068000000 rw-p 00000000 08:01 77 /tmp/file
7f0070000000-7f0070021000 rw-p 00000000 00:00 0";
        assert_eq!(memory(maps, 128 << 20), Some(0x7f00_0000_0000));
        assert_eq!(memory(maps, 64 << 20), Some(0x7f00_0000_0000));
        assert_eq!(memory(maps, 256 << 20), None);
    }

    #[test]
    fn pages_that_two_guests_have_are_shared_and_pages_of_zeroes_are_not_counted() {
        let guest = |pages: &[u64]| Looked {
            memory: GuestMemory::default(),
            pages: pages.to_vec(),
        };
        let mut guests = [
            guest(&[0, 1, 2, 3, 3]),
            guest(&[0, 1, 5, 6, 7]),
            guest(&[0, 0]),
        ];
        compare(&mut guests);
        let shared = guests.map(|guest| guest.memory.shared);
        assert_eq!(shared, [Some(0.25), Some(0.25), None]);
    }

    #[test]
    fn a_sample_tells_how_much_is_full_and_how_much_changes() {
        let page = |n: u64| if n.is_multiple_of(2) { 0 } else { n };
        let first = Sample {
            pages: (0..1000).map(page).collect(),
            parts: vec![[0; PARTS]; 1000],
            packs: None,
            at: Instant::now(),
        };
        let mut later = Sample {
            pages: first.pages.clone(),
            parts: first.parts.clone(),
            packs: None,
            at: first.at + Duration::from_secs(2),
        };
        later.pages.iter_mut().take(100).for_each(|hash| *hash += 1);
        let changed = later.parts.iter_mut().take(100);
        changed.for_each(|parts| parts[..16].fill(1));
        assert_eq!(first.differs(&later), Some(0.25));
        assert_eq!(first.differs(&first), None);
        assert!((first.full() - 0.5).abs() < 1e-9);
        assert!((first.changed(&later) - 0.05).abs() < 1e-9);
    }

    #[test]
    fn a_word_that_changes_is_seen_in_its_part_alone() {
        let mut page = [7u8; PAGE];
        let before = parts(&page);
        page[100] = 8;
        let after = parts(&page);
        let changed = (0..PARTS).filter(|part| before[*part] != after[*part]);
        assert_eq!(changed.collect::<Vec<_>>(), [1]);
    }

    /// Its own memory is read as another process's would be.
    #[test]
    fn memory_that_is_half_full_is_found_to_be_so() {
        // So large that no other mapping of this process is mistaken for it.
        let size = 512usize << 20;
        let mut held = vec![0u8; size];
        held.chunks_mut(PAGE)
            .step_by(2)
            .for_each(|page| page[7] = 1);
        let sample = sample(std::process::id() as i32, size as u64).unwrap();
        assert!((sample.full() - 0.5).abs() < 0.02, "{}", sample.full());
        // A page that is the same but for one byte packs to next to nothing.
        assert!(sample.packs.unwrap() < 0.05, "{:?}", sample.packs);
        assert_eq!(held[7], 1);
    }
}
