//! The source's end of one connection.

use crate::block::{self, KEEP, MOST, NEXT, Packer, Parts, Step};
use crate::catalogue::{Catalogue, Found, Sender};
use crate::former::Former;
use crate::page::{self, PAGE, Page, PageId};
use crate::stream::{self, Part, Place};
use crate::{DeltaError, difference};

/// Of a page that differs in more bytes than this, packing it anew is as short.
const WORTH: usize = 1536;
/// The target is asked after so many bytes what it has read, that other connections may know soon.
const ASK_AFTER: usize = 256 << 10;

/// Bytes of the stream by the way they went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ways {
    /// Pages of this VM or another one that the target had.
    pub named: u64,
    /// Pages that were told by what stood there before.
    pub differences: u64,
    /// Pages that were packed, and all that is not a page.
    pub packed: u64,
    /// Pages as they are.
    pub plain: u64,
}

/// Makes blocks of one VM's stream.
pub struct Encoder {
    sender: Sender,
    former: Former,
    packer: Packer,
    place: Place,
    pending: Vec<u8>,
    blocks: u64,
    /// Blocks up to the last one that named a page under way.
    leans: u64,
    since_asked: usize,
    settled: bool,
    ways: Ways,
}

/// A block under construction.
#[derive(Default)]
struct Draft {
    script: Vec<u8>,
    plain: Vec<u8>,
    leans: bool,
}

impl Encoder {
    /// An encoder that keeps so many former versions, as was granted to it.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn new(sender: Sender, former_pages: usize) -> Result<Self, DeltaError> {
        Ok(Self {
            sender,
            former: Former::new(former_pages),
            packer: Packer::new()?,
            place: Place::default(),
            pending: Vec::new(),
            blocks: 0,
            leans: 0,
            since_asked: 0,
            settled: false,
            ways: Ways::default(),
        })
    }

    /// Takes bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Bytes that were fed and are in no block yet.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Makes a block of what was fed; `None` when nothing is left. What may be the beginning of a page
    /// stays, unless `all` is wanted now. Blocks go to the target in this order, each once.
    ///
    /// # Errors
    /// When zstd fails.
    pub fn block(
        &mut self,
        catalogue: &mut Catalogue,
        all: bool,
    ) -> Result<Option<Vec<u8>>, DeltaError> {
        let pending = std::mem::take(&mut self.pending);
        let front = &pending[..pending.len().min(MOST / 2)];
        let (parts, used) = stream::cut(front, all && front.len() == pending.len());
        let block = match used {
            0 => None,
            _ => Some(self.make(catalogue, front, &parts, used)?),
        };
        self.pending = pending;
        self.pending.drain(..used);
        Ok(block)
    }

    /// From now on only pages that the target is known to have are named, none is offered to others, and the
    /// target is asked at once what it has read.
    pub fn settle(&mut self) {
        if !self.settled {
            self.settled = true;
            self.since_asked = ASK_AFTER;
        }
    }

    /// Once it has settled: when the target has read so many blocks, it waits for no other connection,
    /// and nothing that comes after can be held up or refused for want of a page.
    pub fn stands_alone_after(&self) -> Option<u64> {
        self.settled.then_some(self.leans)
    }

    /// Where the stream's bytes went.
    pub fn ways(&self) -> Ways {
        self.ways
    }

    fn make(
        &mut self,
        catalogue: &mut Catalogue,
        bytes: &[u8],
        parts: &[Part],
        used: usize,
    ) -> Result<Vec<u8>, DeltaError> {
        let mut draft = Draft::default();
        for part in parts {
            match part {
                Part::Other(range) => {
                    draft.script.push(Step::Other as u8);
                    draft.script.extend((range.len() as u32).to_be_bytes());
                    draft.script.extend_from_slice(&bytes[range.clone()]);
                    self.ways.packed += range.len() as u64;
                }
                Part::Page { header, page } => {
                    if let Some(page) = bytes[page.clone()].first_chunk::<PAGE>() {
                        self.page(catalogue, &bytes[header.clone()], page, &mut draft);
                    }
                }
            }
        }
        self.since_asked += used;
        let asks = self.since_asked >= ASK_AFTER;
        if asks {
            self.since_asked = 0;
        }
        self.blocks += 1;
        if draft.leans {
            self.leans = self.blocks;
        }
        Ok(Parts {
            asks,
            check: block::check(&bytes[..used]),
            packed: &self.packer.pack(&draft.script)?,
            plain: &draft.plain,
        }
        .write())
    }

    fn page(&mut self, catalogue: &mut Catalogue, header: &[u8], page: &Page, draft: &mut Draft) {
        let next = header == self.place.next_header();
        let place = self.place.after(header);
        self.place = place;
        let begin = draft.script.len();
        draft.script.push(0);
        if !next {
            draft.script.push(header.len() as u8);
            draft.script.extend_from_slice(header);
        }
        let (step, keep) = self.body(catalogue, place, page, draft);
        draft.script[begin] =
            step as u8 | if next { NEXT } else { 0 } | if keep { KEEP } else { 0 };
        let way = match step {
            Step::Named => &mut self.ways.named,
            Step::Same | Step::Differs => &mut self.ways.differences,
            Step::Packed | Step::Other => &mut self.ways.packed,
            Step::Plain => &mut self.ways.plain,
        };
        *way += (header.len() + PAGE) as u64;
        if step != Step::Same {
            self.former.put(place, page);
        }
    }

    /// Writes a page in its shortest form; gives that, and whether it goes on the shelf.
    fn body(
        &mut self,
        catalogue: &mut Catalogue,
        place: Place,
        page: &Page,
        draft: &mut Draft,
    ) -> (Step, bool) {
        if let Some(former) = self.former.get(place) {
            if former == page {
                return (Step::Same, false);
            }
            if difference::write(former, page, WORTH, &mut draft.script) {
                return (Step::Differs, false);
            }
        }
        let id = PageId::of(page);
        match catalogue.find(id, self.sender) {
            Some(found) if found == Found::There || !self.settled => {
                draft.leans |= found == Found::UnderWay;
                draft.script.extend(id.0);
                return (Step::Named, false);
            }
            _ => {}
        }
        let plain = !page::looks_packable(page);
        let keep = !self.settled && catalogue.offer(id, self.sender, self.blocks, plain);
        if plain {
            draft.plain.extend_from_slice(page);
            (Step::Plain, keep)
        } else {
            draft.script.extend_from_slice(page);
            (Step::Packed, keep)
        }
    }
}
