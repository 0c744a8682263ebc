//! A row: columns by name, with typed access.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::value::{Atom, Value, ValueError};

/// Columns by name. The typed getters give `None` (or nothing) both for an absent column and for one of
/// another type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row(pub BTreeMap<String, Value>);

impl Row {
    /// An empty row.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more column.
    #[must_use]
    pub fn with(mut self, column: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(column.into(), value.into());
        self
    }

    /// A column.
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.0.get(column)
    }

    /// The atom of a scalar column, or of an optional one that has a value.
    pub fn atom(&self, column: &str) -> Option<&Atom> {
        self.get(column)?.atom()
    }

    /// A string.
    pub fn string(&self, column: &str) -> Option<&str> {
        match self.atom(column)? {
            Atom::String(text) => Some(text),
            _ => None,
        }
    }

    /// An integer.
    pub fn integer(&self, column: &str) -> Option<i64> {
        match self.atom(column)? {
            Atom::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// A real; also where the wire shows it as an integer.
    pub fn real(&self, column: &str) -> Option<f64> {
        match self.atom(column)? {
            Atom::Real(number) => Some(*number),
            Atom::Integer(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// A boolean.
    pub fn boolean(&self, column: &str) -> Option<bool> {
        match self.atom(column)? {
            Atom::Boolean(flag) => Some(*flag),
            _ => None,
        }
    }

    /// One UUID, such as `_uuid`.
    pub fn uuid(&self, column: &str) -> Option<Uuid> {
        match self.atom(column)? {
            Atom::Uuid(uuid) => Some(*uuid),
            _ => None,
        }
    }

    /// The UUIDs of a set, such as `ports` of a bridge.
    pub fn uuids(&self, column: &str) -> impl Iterator<Item = Uuid> + '_ {
        self.atoms(column).filter_map(|atom| match atom {
            Atom::Uuid(uuid) => Some(*uuid),
            _ => None,
        })
    }

    /// The strings of a set.
    pub fn strings(&self, column: &str) -> impl Iterator<Item = &str> + '_ {
        self.atoms(column).filter_map(|atom| match atom {
            Atom::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The value under a key in a map from strings to strings, such as `external_ids`.
    pub fn entry(&self, column: &str, key: &str) -> Option<&str> {
        self.entries(column)
            .find_map(|(have, value)| (have == key).then_some(value))
    }

    /// All of a map from strings to strings.
    pub fn entries(&self, column: &str) -> impl Iterator<Item = (&str, &str)> + '_ {
        let map = match self.get(column) {
            Some(Value::Map(map)) => Some(map),
            _ => None,
        };
        map.into_iter().flatten().filter_map(|pair| match pair {
            (Atom::String(key), Atom::String(value)) => Some((key.as_str(), value.as_str())),
            _ => None,
        })
    }

    fn atoms(&self, column: &str) -> impl Iterator<Item = &Atom> + '_ {
        let set = match self.get(column) {
            Some(Value::Set(set)) => Some(set),
            _ => None,
        };
        set.into_iter().flatten()
    }

    /// `<row>`
    pub fn to_json(&self) -> Json {
        Json::Object(
            self.0
                .iter()
                .map(|(column, value)| (column.clone(), value.to_json()))
                .collect(),
        )
    }

    /// `<row>`
    ///
    /// # Errors
    /// When a column holds no value of RFC 7047 5.1.
    pub fn from_json(columns: &Map<String, Json>) -> Result<Self, ValueError> {
        columns
            .iter()
            .map(|(column, value)| Ok((column.clone(), Value::from_json(value)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
