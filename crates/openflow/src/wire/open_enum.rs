//! Numbers with names, where numbers without a name stay what they are.

use serde::Serializer;

/// `FlowRemoved` becomes `flow_removed`, `MAC_ONLY` becomes `mac_only`.
pub(crate) fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut previous_lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && previous_lower {
            out.push('_');
        }
        previous_lower = c.is_ascii_lowercase();
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Writes the names of the set bits, and what has no name as a hexadecimal number.
pub(crate) fn serialize_flags<S: Serializer>(
    bits: u64,
    names: &[(u64, &str)],
    s: S,
) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeSeq;
    let mut rest = bits;
    let mut set = Vec::new();
    for (bit, name) in names {
        if bits & bit == *bit && rest & bit != 0 {
            rest &= !bit;
            set.push(snake(name));
        }
    }
    if rest != 0 {
        set.push(format!("{rest:#x}"));
    }
    let mut seq = s.serialize_seq(Some(set.len()))?;
    for name in &set {
        seq.serialize_element(name)?;
    }
    seq.end()
}

/// An enum over an integer that keeps unknown numbers in `Other`. The first name is the default.
macro_rules! open_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $int:ty {
            $(#[$fmeta:meta])* $first:ident = $fval:literal,
            $($(#[$vmeta:meta])* $variant:ident = $val:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[$fmeta])* #[default] $first,
            $($(#[$vmeta])* $variant,)*
            /// A number without a name here.
            Other($int),
        }
        impl From<$int> for $name {
            fn from(v: $int) -> Self {
                match v {
                    $fval => Self::$first,
                    $($val => Self::$variant,)*
                    other => Self::Other(other),
                }
            }
        }
        impl From<$name> for $int {
            fn from(v: $name) -> Self {
                match v {
                    $name::$first => $fval,
                    $($name::$variant => $val,)*
                    $name::Other(other) => other,
                }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    Self::$first => f.write_str(&$crate::wire::snake(stringify!($first))),
                    $(Self::$variant => f.write_str(&$crate::wire::snake(stringify!($variant))),)*
                    Self::Other(other) => write!(f, "{other}"),
                }
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                match self {
                    Self::Other(other) => s.serialize_u64(u64::from(*other)),
                    named => s.collect_str(named),
                }
            }
        }
        impl $crate::wire::Wire for $name {
            fn decode(
                r: &mut $crate::wire::Reader<'_>,
            ) -> Result<Self, $crate::error::DecodeError> {
                Ok(<$int as $crate::wire::Wire>::decode(r)?.into())
            }
            fn encode(&self, w: &mut $crate::wire::Writer<'_>) {
                $crate::wire::Wire::encode(&<$int>::from(*self), w);
            }
        }
    };
}
pub(crate) use open_enum;

/// A set of bits with names. Bits without a name are kept.
macro_rules! flags {
    (
        $(#[$meta:meta])*
        pub struct $name:ident: $int:ty {
            $($(#[$fmeta:meta])* $flag:ident = $val:expr,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(pub $int);
        impl $name {
            $($(#[$fmeta])* pub const $flag: Self = Self($val);)*
            /// Whether all bits of `other` are set here.
            pub fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }
        impl std::ops::BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                $crate::wire::serialize_flags(
                    u64::from(self.0),
                    &[$((u64::from(Self::$flag.0), stringify!($flag)),)*],
                    s,
                )
            }
        }
        impl $crate::wire::Wire for $name {
            fn decode(
                r: &mut $crate::wire::Reader<'_>,
            ) -> Result<Self, $crate::error::DecodeError> {
                Ok(Self($crate::wire::Wire::decode(r)?))
            }
            fn encode(&self, w: &mut $crate::wire::Writer<'_>) {
                $crate::wire::Wire::encode(&self.0, w);
            }
        }
    };
}
pub(crate) use flags;
