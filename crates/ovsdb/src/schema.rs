//! Tables, columns and their types (RFC 7047 3.2), as far as a client needs them.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use uuid::Uuid;

use crate::{
    error::Error,
    value::{Atom, Value},
};

/// A database's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// `Open_vSwitch`
    pub name: String,
    /// Three numbers with points.
    pub version: String,
    /// Tables by name, their columns by name.
    pub tables: BTreeMap<String, BTreeMap<String, ColumnType>>,
}

/// Type of an atom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtomType {
    /// `integer`
    Integer,
    /// `real`
    Real,
    /// `boolean`
    Boolean,
    /// `string`
    String,
    /// `uuid`
    Uuid,
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnType {
    /// Elements of a set, keys of a map.
    pub key: AtomType,
    /// Values of a map; `None` for a set.
    pub value: Option<AtomType>,
    /// Least number of elements, 0 or 1.
    pub min: u64,
    /// Greatest number of elements; `None` for unlimited.
    pub max: Option<u64>,
}

impl Schema {
    /// Reads a `<database-schema>`.
    ///
    /// # Errors
    /// [`Error::Shape`]
    pub fn from_json(json: &Json) -> Result<Self, Error> {
        let text = |key: &str| {
            json.get(key)
                .and_then(Json::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let mut tables = BTreeMap::new();
        for (name, table) in json
            .get("tables")
            .and_then(Json::as_object)
            .ok_or_else(|| bad("tables"))?
        {
            let mut columns = BTreeMap::new();
            for (column, definition) in table
                .get("columns")
                .and_then(Json::as_object)
                .ok_or_else(|| bad("columns"))?
            {
                let of = definition
                    .get("type")
                    .and_then(ColumnType::from_json)
                    .ok_or_else(|| bad(column))?;
                columns.insert(column.clone(), of);
            }
            tables.insert(name.clone(), columns);
        }
        Ok(Self {
            name: text("name"),
            version: text("version"),
            tables,
        })
    }

    /// The type of a column.
    pub fn column(&self, table: &str, column: &str) -> Option<&ColumnType> {
        self.tables.get(table)?.get(column)
    }
}

fn bad(what: &str) -> Error {
    Error::Shape {
        method: "get_schema".to_owned(),
        what: format!("{what} cannot be read"),
    }
}

impl AtomType {
    fn from_json(json: &Json) -> Option<Self> {
        match json.as_str().or_else(|| json.get("type")?.as_str())? {
            "integer" => Some(Self::Integer),
            "real" => Some(Self::Real),
            "boolean" => Some(Self::Boolean),
            "string" => Some(Self::String),
            "uuid" => Some(Self::Uuid),
            _ => None,
        }
    }

    fn default_atom(self) -> Atom {
        match self {
            Self::Integer => Atom::Integer(0),
            Self::Real => Atom::Real(0.0),
            Self::Boolean => Atom::Boolean(false),
            Self::String => Atom::String(String::new()),
            Self::Uuid => Atom::Uuid(Uuid::nil()),
        }
    }

    fn normalize(self, atom: Atom) -> Atom {
        match (self, atom) {
            (Self::Real, Atom::Integer(number)) => Atom::Real(number as f64),
            (_, atom) => atom,
        }
    }
}

impl ColumnType {
    fn from_json(json: &Json) -> Option<Self> {
        let scalar = |key| Self {
            key,
            value: None,
            min: 1,
            max: Some(1),
        };
        if json.is_string() {
            return AtomType::from_json(json).map(scalar);
        }
        let max = match json.get("max") {
            None => Some(1),
            Some(Json::String(word)) if word == "unlimited" => None,
            Some(number) => Some(number.as_u64()?),
        };
        Some(Self {
            key: AtomType::from_json(json.get("key")?)?,
            value: match json.get("value") {
                Some(of) => Some(AtomType::from_json(of)?),
                None => None,
            },
            min: json.get("min").map_or(Some(1), Json::as_u64)?,
            max,
        })
    }

    /// Whether the column holds many elements, so that `update2` writes its change as a difference.
    pub fn is_composite(&self) -> bool {
        self.max != Some(1)
    }

    /// What a new row has where nothing is given (RFC 7047 5.2.1).
    pub fn default_value(&self) -> Value {
        match self.value {
            None if self.min == 0 => Value::none(),
            None => self.key.default_atom().into(),
            Some(_) if self.min == 0 => Value::Map(BTreeMap::new()),
            Some(value) => Value::map([(self.key.default_atom(), value.default_atom())]),
        }
    }

    /// Undoes what the wire cannot tell: whole reals look like integers, and an empty map may look like
    /// an empty set.
    pub fn normalize(&self, value: Value) -> Value {
        match (value, self.value) {
            (Value::Set(set), Some(_)) if set.is_empty() => Value::Map(BTreeMap::new()),
            (Value::Set(set), _) => {
                Value::set(set.into_iter().map(|atom| self.key.normalize(atom)))
            }
            (Value::Map(map), of) => Value::map(map.into_iter().map(|(key, value)| {
                (
                    self.key.normalize(key),
                    of.map_or(value.clone(), |of| of.normalize(value)),
                )
            })),
        }
    }
}
