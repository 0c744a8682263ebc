//! Hello: which versions the sender speaks (OpenFlow 1.3.5, 7.5.1).

use serde::Serialize;

use super::version;
use crate::error::DecodeError;
use crate::wire::{Blob, Reader, Writer};

/// Body of a hello. A peer of version 1.2 or older sends none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hello {
    /// The elements.
    pub elements: Vec<HelloElement>,
    /// Bytes that are not elements. Receivers must accept them.
    #[serde(skip_serializing_if = "is_empty")]
    pub trailing: Blob,
}

fn is_empty(blob: &Blob) -> bool {
    blob.is_empty()
}

/// One element of a hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HelloElement {
    /// Bit n of word w stands for version 32 w + n.
    VersionBitmap(Vec<u32>),
    /// An element of a type that is not known.
    Unknown {
        /// Type number.
        kind: u16,
        /// Its bytes.
        data: Blob,
    },
}

impl Hello {
    /// A hello that offers these versions, 0 to 31.
    pub fn offering(versions: &[u8]) -> Self {
        let bits = versions
            .iter()
            .filter(|v| **v < 32)
            .fold(0, |bits, v| bits | 1 << v);
        Self {
            elements: vec![HelloElement::VersionBitmap(vec![bits])],
            trailing: Blob::default(),
        }
    }

    /// The highest version that both sides speak. `ours` is sorted; `header` is the version in the
    /// peer's header, which counts where a side sent no bitmap.
    pub fn negotiate(&self, header: u8, ours: &[u8]) -> Option<u8> {
        let bitmap = self.elements.iter().find_map(|element| match element {
            HelloElement::VersionBitmap(words) => Some(words),
            HelloElement::Unknown { .. } => None,
        });
        let Some(words) = bitmap else {
            let highest = ours.iter().copied().max()?;
            let version = header.min(highest);
            return ours.contains(&version).then_some(version);
        };
        ours.iter().copied().rev().find(|v| {
            let word = words.get(usize::from(v / 32)).copied().unwrap_or_default();
            word >> (v % 32) & 1 == 1
        })
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut elements = Vec::new();
        // A hello must never be refused for its contents, so whatever is odd is only carried. The
        // bitmap came with 1.3; older peers may send any bytes.
        if r.version() >= version::OF13 {
            while let Some(element) = element(r) {
                elements.push(element);
            }
        }
        Ok(Self {
            elements,
            trailing: r.rest().into(),
        })
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        for element in &self.elements {
            let start = w.position();
            match element {
                HelloElement::VersionBitmap(words) => {
                    w.u16(1);
                    w.u16(0);
                    words.iter().for_each(|word| w.u32(*word));
                }
                HelloElement::Unknown { kind, data } => {
                    w.u16(*kind);
                    w.u16(0);
                    w.bytes(data);
                }
            }
            w.patch_len(start + 2, start, "a hello element");
            w.align8(start);
        }
        w.bytes(&self.trailing);
    }
}

/// The next element, if what follows has the form of one.
fn element(r: &mut Reader<'_>) -> Option<HelloElement> {
    let mut attempt = r.fork();
    let kind = attempt.u16().ok()?;
    let length = usize::from(attempt.u16().ok()?);
    let data = attempt.take(length.checked_sub(4)?).ok()?;
    let padding = attempt.take(length.next_multiple_of(8) - length).ok()?;
    if padding.iter().any(|b| *b != 0) {
        return None;
    }
    r.take(length.next_multiple_of(8)).ok()?;
    let (words, rest) = data.as_chunks::<4>();
    Some(if kind == 1 && rest.is_empty() {
        HelloElement::VersionBitmap(words.iter().map(|w| u32::from_be_bytes(*w)).collect())
    } else {
        HelloElement::Unknown {
            kind,
            data: data.into(),
        }
    })
}
