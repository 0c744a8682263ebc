//! The identity of a match field.

use super::table::{FIELDS, FieldInfo};

/// A match field: class, number, experimenter if the class says so, and width in bytes.
///
/// The known ones are constants: [`Field::ETH_DST`], [`Field::REG0`], [`Field::TUN_DST`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field {
    class: u16,
    number: u8,
    width: u8,
    experimenter: u32,
}

impl Field {
    /// The class whose fields carry an experimenter number.
    pub const EXPERIMENTER_CLASS: u16 = 0xffff;

    pub(super) const fn oxm(number: u8, width: u8) -> Self {
        Self {
            class: 0x8000,
            number,
            width,
            experimenter: 0,
        }
    }

    /// The one field of three bytes.
    pub(super) const fn pbb_isid(_: u8) -> Self {
        Self::oxm(37, 3)
    }

    pub(super) const fn pkt_reg(number: u8, width: u8) -> Self {
        Self {
            class: 0x8001,
            number,
            width,
            experimenter: 0,
        }
    }

    pub(super) const fn nxm0(number: u8, width: u8) -> Self {
        Self {
            class: 0,
            number,
            width,
            experimenter: 0,
        }
    }

    pub(super) const fn nxm1(number: u8, width: u8) -> Self {
        Self {
            class: 1,
            number,
            width,
            experimenter: 0,
        }
    }

    pub(super) const fn ericsson(number: u8, width: u8) -> Self {
        Self {
            class: 0x1000,
            number,
            width,
            experimenter: 0,
        }
    }

    pub(super) const fn experimenter(experimenter: u32, number: u8, width: u8) -> Self {
        Self {
            class: Self::EXPERIMENTER_CLASS,
            number,
            width,
            experimenter,
        }
    }

    pub(super) fn from_parts(class: u16, number: u8, experimenter: Option<u32>, width: u8) -> Self {
        Self {
            class,
            number,
            width,
            experimenter: experimenter.unwrap_or_default(),
        }
    }

    /// A field that has no constant here. `number` has 7 bits, `width` is in bytes.
    pub fn other(class: u16, number: u8, width: u8) -> Self {
        Self {
            class,
            number: number & 0x7f,
            width,
            experimenter: 0,
        }
    }

    /// A field of an experimenter that has no constant here.
    pub fn other_experimenter(experimenter: u32, number: u8, width: u8) -> Self {
        Self::experimenter(experimenter, number & 0x7f, width)
    }

    /// Register `n`, 0 to 15, 32 bits. Higher numbers wrap around.
    pub fn reg(n: u8) -> Self {
        Self::nxm1(n % 16, 4)
    }

    /// The 64-bit register `n`, 0 to 7: registers 2n and 2n+1 together. Higher numbers wrap around.
    pub fn xreg(n: u8) -> Self {
        Self::pkt_reg(n % 8, 8)
    }

    /// The 128-bit register `n`, 0 to 3: four registers together. Higher numbers wrap around.
    pub fn xxreg(n: u8) -> Self {
        Self::nxm1(111 + n % 4, 16)
    }

    /// Tunnel option `n`, 0 to 63, of `width` bytes as given in the switch's TLV table (1 to 124).
    pub fn tun_metadata(n: u8, width: u8) -> Self {
        Self::nxm1(40 + n % 64, width)
    }

    /// The class number.
    pub fn class(self) -> u16 {
        self.class
    }

    /// The number in its class.
    pub fn number(self) -> u8 {
        self.number
    }

    /// Bytes of a value.
    pub fn width(self) -> u8 {
        self.width
    }

    /// The experimenter, for fields of that class.
    pub fn experimenter_id(self) -> Option<u32> {
        (self.class == Self::EXPERIMENTER_CLASS).then_some(self.experimenter)
    }

    pub(super) fn with_width(self, width: u8) -> Self {
        Self { width, ..self }
    }

    /// What is known about the field, if its numbers and its width are known.
    pub fn info(self) -> Option<&'static FieldInfo> {
        FIELDS.iter().find(|info| info.field == self)
    }

    /// Significant bits: those of the table, or eight for each byte.
    pub fn bits(self) -> u16 {
        self.info()
            .map_or(u16::from(self.width) * 8, |info| info.bits)
    }

    /// The known name, or the numbers: `oxm_8000_63`, `oxm_ffff_00002320_5`.
    pub fn name(self) -> String {
        if let Some(info) = self.info() {
            return info.name.to_owned();
        }
        if self.class == 1 && (40..104).contains(&self.number) {
            return format!("tun_metadata{}", self.number - 40);
        }
        match self.experimenter_id() {
            Some(id) => format!("oxm_{:04x}_{id:08x}_{}", self.class, self.number),
            None => format!("oxm_{:04x}_{}", self.class, self.number),
        }
    }
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl serde::Serialize for Field {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// The header of a field without a value: names a field in actions and in table features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldHeader {
    /// The field.
    pub field: Field,
    /// Whether the header announces a mask.
    pub masked: bool,
}

impl Default for FieldHeader {
    /// Four zero bytes: what OVS puts where no field is meant.
    fn default() -> Self {
        Self {
            field: Field::from_parts(0, 0, None, 0),
            masked: false,
        }
    }
}

impl From<Field> for FieldHeader {
    fn from(field: Field) -> Self {
        Self {
            field,
            masked: false,
        }
    }
}

impl serde::Serialize for FieldHeader {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.masked {
            s.collect_str(&format_args!("{}/mask", self.field))
        } else {
            s.collect_str(&self.field)
        }
    }
}
