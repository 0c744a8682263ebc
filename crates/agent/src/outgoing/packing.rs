//! QEMU's bytes as frames.

use crate::relay::Frame;
use crate::relay::catalogues::Entry;
use crate::relay::codec::Compressor;
use delta::Encoder;
use model::migration::Ways;
use std::io;
use std::sync::Arc;

/// How one connection tells QEMU's bytes.
pub(super) enum Packing {
    /// The bulk as it is, compressed on hold.
    Plain {
        compressor: Box<Compressor>,
        ways: Ways,
    },
    /// As blocks.
    Blocks {
        encoder: Box<Encoder>,
        entry: Arc<Entry>,
    },
}

impl Packing {
    pub(super) fn plain() -> io::Result<Self> {
        Ok(Self::Plain {
            compressor: Box::new(Compressor::new()?),
            ways: Ways::default(),
        })
    }

    pub(super) fn blocks(entry: Arc<Entry>, former_pages: u32) -> io::Result<Self> {
        let encoder = Encoder::new(entry.sender, former_pages as usize).map_err(other)?;
        Ok(Self::Blocks {
            encoder: Box::new(encoder),
            entry,
        })
    }

    /// Takes bytes; `hold` from the time on when they are the last ones.
    pub(super) fn take(&mut self, bytes: &[u8], hold: bool) -> io::Result<Vec<Frame>> {
        match self {
            Self::Plain { compressor, ways } if hold => {
                ways.packed += bytes.len() as u64;
                Ok(vec![Frame::Data(compressor.compress(bytes)?)])
            }
            Self::Plain { ways, .. } => {
                ways.plain += bytes.len() as u64;
                Ok(vec![Frame::Plain(bytes.to_vec())])
            }
            Self::Blocks { encoder, .. } => {
                if hold {
                    encoder.settle();
                }
                encoder.feed(bytes);
                self.drain(false)
            }
        }
    }

    /// Bytes wait for the rest of their page.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Blocks { encoder, .. } if encoder.pending() > 0)
    }

    /// The rest does not come now.
    pub(super) fn flush(&mut self) -> io::Result<Vec<Frame>> {
        self.drain(true)
    }

    /// How many blocks the target must have read until it waits for no other VM's pages, if that is known.
    pub(super) fn stands_alone_after(&self) -> Option<u64> {
        match self {
            Self::Plain { .. } => Some(0),
            Self::Blocks { encoder, .. } => encoder.stands_alone_after(),
        }
    }

    /// Where the bytes went.
    pub(super) fn ways(&self) -> Ways {
        match self {
            Self::Plain { ways, .. } => *ways,
            Self::Blocks { encoder, .. } => {
                let ways = encoder.ways();
                Ways {
                    referenced: ways.named,
                    differences: ways.differences,
                    packed: ways.packed,
                    plain: ways.plain,
                }
            }
        }
    }

    fn drain(&mut self, all: bool) -> io::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        if let Self::Blocks { encoder, entry } = self {
            while let Some(block) = entry
                .with(|catalogue| encoder.block(catalogue, all))
                .map_err(other)?
            {
                frames.push(Frame::Block(block));
            }
        }
        Ok(frames)
    }
}

fn other(error: delta::DeltaError) -> io::Error {
    io::Error::other(error)
}
