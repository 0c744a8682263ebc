//! Values of columns in the notation of RFC 7047 5.1.
//!
//! A column holds a set of atoms or a map from atoms to atoms; a plain scalar is a set of one. A set of one is
//! written as the bare atom, any other as `["set", [...]]`. On the wire a whole real looks like an
//! integer (`1`); only the schema tells them apart ([`crate::schema::ColumnType::normalize`]).

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::{Value as Json, json};
use uuid::Uuid;

/// One scalar.
#[derive(Debug, Clone)]
pub enum Atom {
    /// A 64-bit integer.
    Integer(i64),
    /// A real. JSON has no infinities and no NaN; the server refuses them.
    Real(f64),
    /// A boolean.
    Boolean(bool),
    /// A string; without U+0000.
    String(String),
    /// Reference to a row, or any UUID.
    Uuid(Uuid),
    /// Reference to a row that the same transaction inserts under this name.
    NamedUuid(String),
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A set; a scalar is a set of one, an absent optional an empty one.
    Set(BTreeSet<Atom>),
    /// A map.
    Map(BTreeMap<Atom, Atom>),
}

/// JSON that is no value of RFC 7047 5.1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no OVSDB {wanted}: {got}")]
pub struct ValueError {
    wanted: &'static str,
    got: String,
}

impl ValueError {
    fn new(wanted: &'static str, got: &Json) -> Self {
        let mut got = got.to_string();
        if let Some((cut, _)) = got.char_indices().nth(200) {
            got.truncate(cut);
        }
        Self { wanted, got }
    }
}

impl Atom {
    /// Reference to a row inserted under `name` in the same transaction.
    pub fn named(name: impl Into<String>) -> Self {
        Self::NamedUuid(name.into())
    }

    /// `<atom>`
    pub fn to_json(&self) -> Json {
        match self {
            Self::Integer(number) => json!(number),
            Self::Real(number) => json!(number),
            Self::Boolean(flag) => json!(flag),
            Self::String(text) => json!(text),
            Self::Uuid(uuid) => json!(["uuid", uuid.hyphenated().to_string()]),
            Self::NamedUuid(name) => json!(["named-uuid", name]),
        }
    }

    /// `<atom>`
    ///
    /// # Errors
    /// When the JSON is none, or an integer does not fit in 64 bits with sign.
    pub fn from_json(json: &Json) -> Result<Self, ValueError> {
        let error = || ValueError::new("atom", json);
        match json {
            Json::Bool(flag) => Ok(Self::Boolean(*flag)),
            Json::String(text) => Ok(Self::String(text.clone())),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Ok(Self::Integer(number)),
                None if number.is_u64() => Err(error()),
                None => number.as_f64().map(Self::Real).ok_or_else(error),
            },
            Json::Array(pair) => match &pair[..] {
                [Json::String(tag), Json::String(text)] if tag == "uuid" => {
                    Uuid::try_parse(text).map(Self::Uuid).map_err(|_| error())
                }
                [Json::String(tag), Json::String(text)] if tag == "named-uuid" => {
                    Ok(Self::NamedUuid(text.clone()))
                }
                _ => Err(error()),
            },
            Json::Null | Json::Object(_) => Err(error()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Integer(_) => 0,
            Self::Real(_) => 1,
            Self::Boolean(_) => 2,
            Self::String(_) => 3,
            Self::Uuid(_) => 4,
            Self::NamedUuid(_) => 5,
        }
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(b),
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) | (Self::NamedUuid(a), Self::NamedUuid(b)) => {
                a.cmp(b)
            }
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Atom {}

impl Value {
    /// The empty set: an optional column without a value.
    pub fn none() -> Self {
        Self::Set(BTreeSet::new())
    }

    /// A set.
    pub fn set<A: Into<Atom>>(atoms: impl IntoIterator<Item = A>) -> Self {
        Self::Set(atoms.into_iter().map(Into::into).collect())
    }

    /// A map.
    pub fn map<K: Into<Atom>, V: Into<Atom>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Map(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }

    /// The only atom of a set of one.
    pub fn atom(&self) -> Option<&Atom> {
        match self {
            Self::Set(set) if set.len() == 1 => set.first(),
            _ => None,
        }
    }

    /// `<value>`
    pub fn to_json(&self) -> Json {
        match self {
            Self::Set(set) => match self.atom() {
                Some(atom) => atom.to_json(),
                None => json!(["set", set.iter().map(Atom::to_json).collect::<Vec<_>>()]),
            },
            Self::Map(map) => {
                let pairs: Vec<Json> = map
                    .iter()
                    .map(|(key, value)| json!([key.to_json(), value.to_json()]))
                    .collect();
                json!(["map", pairs])
            }
        }
    }

    /// `<value>`; elements that are given twice count once.
    ///
    /// # Errors
    /// When the JSON is no value.
    pub fn from_json(json: &Json) -> Result<Self, ValueError> {
        let error = || ValueError::new("value", json);
        let Json::Array(pair) = json else {
            return Ok(Self::Set(BTreeSet::from([Atom::from_json(json)?])));
        };
        match &pair[..] {
            [Json::String(tag), Json::Array(items)] if tag == "set" => items
                .iter()
                .map(Atom::from_json)
                .collect::<Result<_, _>>()
                .map(Self::Set),
            [Json::String(tag), Json::Array(items)] if tag == "map" => items
                .iter()
                .map(|item| match item.as_array().map(Vec::as_slice) {
                    Some([key, value]) => Ok((Atom::from_json(key)?, Atom::from_json(value)?)),
                    _ => Err(error()),
                })
                .collect::<Result<_, _>>()
                .map(Self::Map),
            _ => Ok(Self::Set(BTreeSet::from([Atom::from_json(json)?]))),
        }
    }
}

macro_rules! scalar {
    ($($from:ty => $name:ident => $make:expr;)*) => {$(
        impl From<$from> for Atom {
            fn from($name: $from) -> Self {
                $make
            }
        }
        impl From<$from> for Value {
            fn from(scalar: $from) -> Self {
                Self::Set(BTreeSet::from([Atom::from(scalar)]))
            }
        }
    )*};
}

scalar! {
    i64 => n => Self::Integer(n);
    i32 => n => Self::Integer(n.into());
    u32 => n => Self::Integer(n.into());
    u16 => n => Self::Integer(n.into());
    f64 => n => Self::Real(n);
    bool => flag => Self::Boolean(flag);
    &str => text => Self::String(text.to_owned());
    &String => text => Self::String(text.clone());
    String => text => Self::String(text);
    Uuid => uuid => Self::Uuid(uuid);
}

impl From<Atom> for Value {
    fn from(atom: Atom) -> Self {
        Self::Set(BTreeSet::from([atom]))
    }
}

impl<A: Into<Atom>> From<Option<A>> for Value {
    fn from(optional: Option<A>) -> Self {
        Self::set(optional)
    }
}

impl<A: Into<Atom>> From<Vec<A>> for Value {
    fn from(atoms: Vec<A>) -> Self {
        Self::set(atoms)
    }
}

impl<K: Into<Atom>, V: Into<Atom>, const N: usize> From<[(K, V); N]> for Value {
    fn from(pairs: [(K, V); N]) -> Self {
        Self::map(pairs)
    }
}

impl<K: Into<Atom>, V: Into<Atom>> From<BTreeMap<K, V>> for Value {
    fn from(map: BTreeMap<K, V>) -> Self {
        Self::map(map)
    }
}
