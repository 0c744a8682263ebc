//! Type-length-value properties whose length excludes the padding behind them.

use super::{Reader, Writer};
use crate::error::{DecodeError, DecodeErrorKind};

/// Reads type and contents, and skips the padding up to a multiple of eight.
pub(crate) fn decode_tlv<'a>(
    r: &mut Reader<'a>,
    what: &'static str,
) -> Result<(u16, Reader<'a>), DecodeError> {
    let at = r.fork();
    let kind = r.u16()?;
    let length = usize::from(r.u16()?);
    let Some(body) = length.checked_sub(4) else {
        return Err(at.error(DecodeErrorKind::Length { what, length }));
    };
    let body = r.sub(body)?;
    r.pad(length.next_multiple_of(8) - length)?;
    Ok((kind, body))
}

/// Writes a property whose contents `body` writes.
pub(crate) fn encode_tlv(
    kind: u16,
    w: &mut Writer<'_>,
    what: &'static str,
    body: impl FnOnce(&mut Writer<'_>),
) {
    let start = w.position();
    w.u16(kind);
    w.u16(0);
    body(w);
    w.patch_len(start + 2, start, what);
    w.align8(start);
}

/// Declares a property with a kind and bytes.
macro_rules! blob_property {
    ($(#[$meta:meta])* pub struct $name:ident($kind:ty) $what:literal) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
        pub struct $name {
            /// What it is.
            pub kind: $kind,
            /// Its bytes.
            pub data: $crate::wire::Blob,
        }
        impl $crate::wire::Wire for $name {
            fn decode(
                r: &mut $crate::wire::Reader<'_>,
            ) -> Result<Self, $crate::error::DecodeError> {
                let (kind, mut body) = $crate::wire::decode_tlv(r, $what)?;
                Ok(Self { kind: kind.into(), data: body.rest().into() })
            }
            fn encode(&self, w: &mut $crate::wire::Writer<'_>) {
                $crate::wire::encode_tlv(self.kind.into(), w, $what, |w| w.bytes(&self.data));
            }
        }
    };
}
pub(crate) use blob_property;
