//! The target's end of one connection.

use crate::block::{self, KEEP, MOST, NEXT, Parts, Step, Unpacker};
use crate::former::Former;
use crate::page::{PAGE, Page, PageId};
use crate::shelf::Shelf;
use crate::stream::Place;
use crate::{DeltaError, difference};

/// How far a block came.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it.
    Done {
        /// The stream's bytes.
        bytes: Vec<u8>,
        /// Whether the source wants to hear how many blocks were read.
        asked: bool,
    },
    /// It names a page that another connection has yet to bring: [`Decoder::go_on`] when the shelf has it.
    Missing(PageId),
}

/// Reads the blocks of one [`crate::Encoder`], in their order.
pub struct Decoder {
    former: Former,
    unpacker: Unpacker,
    place: Place,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    asked: bool,
    check: [u8; 8],
    script: Vec<u8>,
    at: usize,
    plain: Vec<u8>,
    plain_at: usize,
    bytes: Vec<u8>,
}

impl Decoder {
    /// A decoder that keeps so many former versions, as it granted.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn new(former_pages: usize) -> Result<Self, DeltaError> {
        Ok(Self {
            former: Former::new(former_pages),
            unpacker: Unpacker::new()?,
            place: Place::default(),
            under_way: None,
        })
    }

    /// Reads a block, when the last one is done.
    ///
    /// # Errors
    /// When it is no block, or stands for other bytes than were sent. Nothing after it can be read.
    pub fn read(&mut self, shelf: &mut Shelf, block: &[u8]) -> Result<Outcome, DeltaError> {
        if self.under_way.is_some() {
            return Err(DeltaError::Broken("the one before is not done"));
        }
        let parts = Parts::read(block)?;
        self.under_way = Some(UnderWay {
            asked: parts.asks,
            check: parts.check,
            script: self.unpacker.unpack(parts.packed)?,
            at: 0,
            plain: parts.plain.to_vec(),
            plain_at: 0,
            bytes: Vec::new(),
        });
        self.go_on(shelf)
    }

    /// Goes on with the block that missed a page.
    ///
    /// # Errors
    /// As [`Decoder::read`].
    pub fn go_on(&mut self, shelf: &mut Shelf) -> Result<Outcome, DeltaError> {
        let Some(mut now) = self.under_way.take() else {
            return Err(DeltaError::Broken("there is none"));
        };
        while now.at < now.script.len() {
            let step_at = now.at;
            if let Some(missing) = self.step(shelf, &mut now)? {
                now.at = step_at;
                self.under_way = Some(now);
                return Ok(Outcome::Missing(missing));
            }
            if now.bytes.len() > MOST {
                return Err(DeltaError::Broken("it stands for too much"));
            }
        }
        if now.plain_at != now.plain.len() || block::check(&now.bytes) != now.check {
            return Err(DeltaError::Differs);
        }
        Ok(Outcome::Done {
            bytes: now.bytes,
            asked: now.asked,
        })
    }

    /// Takes one step, or says what it misses and changes nothing.
    fn step(
        &mut self,
        shelf: &mut Shelf,
        now: &mut UnderWay,
    ) -> Result<Option<PageId>, DeltaError> {
        let UnderWay { script, at, .. } = now;
        let byte = take::<1>(script, at)?[0];
        let step = Step::read(byte).ok_or(DeltaError::Broken("a step is unknown"))?;
        if step == Step::Other {
            let length = u32::from_be_bytes(*take::<4>(script, at)?) as usize;
            now.bytes.extend_from_slice(slice(script, at, length)?);
            return Ok(None);
        }
        let implied = self.place.next_header();
        let header = if byte & NEXT != 0 {
            &implied[..]
        } else {
            let length = take::<1>(script, at)?[0] as usize;
            slice(script, at, length)?
        };
        let place = self.place.after(header);
        let page: Page = match step {
            Step::Same | Step::Differs => {
                let none = DeltaError::Broken("nothing stood there before");
                let mut page = *self.former.get(place).ok_or(none)?;
                if step == Step::Differs {
                    let rest = difference::read(&mut page, &script[*at..])
                        .ok_or(DeltaError::Broken("a difference is none"))?;
                    *at = script.len() - rest.len();
                }
                page
            }
            Step::Named => {
                let id = PageId(*take::<16>(script, at)?);
                match shelf.get(id) {
                    Some(page) => *page,
                    None => return Ok(Some(id)),
                }
            }
            Step::Plain => *take::<PAGE>(&now.plain, &mut now.plain_at)?,
            Step::Packed | Step::Other => *take::<PAGE>(script, at)?,
        };
        now.bytes.extend_from_slice(header);
        now.bytes.extend_from_slice(&page);
        self.place = place;
        if byte & KEEP != 0 {
            shelf.put(&page)?;
        }
        if step != Step::Same {
            self.former.put(place, &page);
        }
        Ok(None)
    }
}

fn slice<'a>(bytes: &'a [u8], at: &mut usize, length: usize) -> Result<&'a [u8], DeltaError> {
    let short = DeltaError::Broken("a step is cut off");
    let taken = bytes
        .get(*at..)
        .and_then(|rest| rest.get(..length))
        .ok_or(short)?;
    *at += length;
    Ok(taken)
}

fn take<'a, const N: usize>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8; N], DeltaError> {
    slice(bytes, at, N)?
        .first_chunk()
        .ok_or(DeltaError::Broken("a step is cut off"))
}
