//! A copy of monitored tables, kept current by the updates of a monitor.
//!
//! Rows are complete: columns that an update leaves out because they hold their default are filled in from
//! the schema, and values have the schema's types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{
    protocol::UpdateFormat,
    row::Row,
    schema::{ColumnType, Schema},
    value::{Atom, Value, ValueError},
};

/// Monitored tables; `None` for all columns of a table.
pub type Columns = BTreeMap<String, Option<Vec<String>>>;

/// Rows by table and UUID.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    tables: BTreeMap<String, BTreeMap<Uuid, Row>>,
}

/// One row that came, went or became another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its table.
    pub table: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// The row before; `None` if it is new.
    pub old: Option<Row>,
    /// The row now; `None` if it is gone.
    pub new: Option<Row>,
}

/// An update that does not fit what we hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// Not the form of `ovsdb-server(7)` and RFC 7047 4.1.6.
    #[error("table {table}: {what}")]
    Shape {
        /// The table.
        table: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A difference to a row that we do not have.
    #[error("table {table} has no row {uuid}")]
    NoRow {
        /// The table.
        table: String,
        /// The row.
        uuid: Uuid,
    },
    /// A value that is none.
    #[error(transparent)]
    Value(#[from] ValueError),
}

impl Snapshot {
    /// The rows of a table by UUID; none for a table that is not monitored.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Row)> {
        self.tables
            .get(table)
            .into_iter()
            .flatten()
            .map(|(uuid, row)| (*uuid, row))
    }

    /// One row.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Row> {
        self.tables.get(table)?.get(&uuid)
    }

    /// The first row whose column is exactly this.
    pub fn find(&self, table: &str, column: &str, value: impl Into<Value>) -> Option<(Uuid, &Row)> {
        let value = value.into();
        self.rows(table)
            .find(|(_, row)| row.get(column) == Some(&value))
    }

    /// Applies a `<table-updates>` or `<table-updates2>`; on an error nothing is changed.
    ///
    /// # Errors
    /// [`UpdateError`]
    pub fn update(
        &mut self,
        schema: &Schema,
        columns: &Columns,
        format: UpdateFormat,
        updates: &Json,
    ) -> Result<Vec<Change>, UpdateError> {
        let mut changes = Vec::new();
        for (table, rows) in object(updates, "", "the update is no object")? {
            let reader = Reader {
                table,
                schema,
                columns: columns.get(table),
            };
            for (uuid, update) in object(rows, table, "the rows are no object")? {
                let uuid =
                    Uuid::try_parse(uuid).map_err(|_| reader.shape("a row's name is no UUID"))?;
                let update = object(update, table, "a row's update is no object")?;
                let old = self.row(table, uuid);
                let new = match format {
                    UpdateFormat::Rows => {
                        update.get("new").map(|row| reader.whole(row)).transpose()?
                    }
                    UpdateFormat::Differences => reader.difference(uuid, old, update)?,
                };
                if old != new.as_ref() {
                    changes.push(Change {
                        table: table.clone(),
                        uuid,
                        old: old.cloned(),
                        new,
                    });
                }
            }
        }
        self.apply(&changes);
        Ok(changes)
    }

    /// The changes that make this snapshot into `newer`.
    pub fn difference(&self, newer: &Self) -> Vec<Change> {
        let tables: BTreeSet<&String> = self.tables.keys().chain(newer.tables.keys()).collect();
        let mut changes = Vec::new();
        for table in tables {
            let uuids: BTreeSet<Uuid> = self
                .rows(table)
                .chain(newer.rows(table))
                .map(|(uuid, _)| uuid)
                .collect();
            for uuid in uuids {
                let (old, new) = (self.row(table, uuid), newer.row(table, uuid));
                if old != new {
                    changes.push(Change {
                        table: table.clone(),
                        uuid,
                        old: old.cloned(),
                        new: new.cloned(),
                    });
                }
            }
        }
        changes
    }

    /// Makes the changes.
    pub fn apply(&mut self, changes: &[Change]) {
        for Change {
            table, uuid, new, ..
        } in changes
        {
            let rows = self.tables.entry(table.clone()).or_default();
            match new {
                Some(row) => rows.insert(*uuid, row.clone()),
                None => rows.remove(uuid),
            };
        }
        self.tables.retain(|_, rows| !rows.is_empty());
    }
}

struct Reader<'a> {
    table: &'a str,
    schema: &'a Schema,
    columns: Option<&'a Option<Vec<String>>>,
}

impl Reader<'_> {
    fn shape(&self, what: &'static str) -> UpdateError {
        UpdateError::Shape {
            table: self.table.to_owned(),
            what,
        }
    }

    /// The given columns with the schema's types, and defaults for the others.
    fn whole(&self, row: &Json) -> Result<Row, UpdateError> {
        let mut row = self.given(row)?;
        if let Some(all) = self.schema.tables.get(self.table) {
            for (column, of) in all {
                let monitored = match self.columns {
                    Some(Some(list)) => list.contains(column),
                    _ => true,
                };
                if monitored && !row.0.contains_key(column) {
                    row.0.insert(column.clone(), of.default_value());
                }
            }
        }
        Ok(row)
    }

    fn given(&self, row: &Json) -> Result<Row, UpdateError> {
        let columns = object(row, self.table, "a row is no object")?;
        let mut row = Row::from_json(columns)?;
        for (column, value) in &mut row.0 {
            if let Some(of) = self.schema.column(self.table, column) {
                *value = of.normalize(std::mem::replace(value, Value::none()));
            }
        }
        Ok(row)
    }

    fn difference(
        &self,
        uuid: Uuid,
        old: Option<&Row>,
        update: &Map<String, Json>,
    ) -> Result<Option<Row>, UpdateError> {
        if let Some(row) = update.get("initial").or_else(|| update.get("insert")) {
            return self.whole(row).map(Some);
        }
        if update.contains_key("delete") {
            return Ok(None);
        }
        let modify = update
            .get("modify")
            .ok_or_else(|| self.shape("neither initial, insert, modify nor delete"))?;
        let mut row = old.cloned().ok_or_else(|| UpdateError::NoRow {
            table: self.table.to_owned(),
            uuid,
        })?;
        for (column, change) in self.given(modify)?.0 {
            let composite = self
                .schema
                .column(self.table, &column)
                .is_some_and(ColumnType::is_composite);
            let value = match (composite, row.0.remove(&column)) {
                (true, Some(old)) => combine(old, change),
                _ => change,
            };
            row.0.insert(column, value);
        }
        Ok(Some(row))
    }
}

/// Applies a difference of a column with many elements (`ovsdb-server(7)`, "Update2"): a set lists the
/// elements that came or went; a map lists new pairs, changed pairs with their new value, and pairs that
/// went with their old value.
fn combine(old: Value, change: Value) -> Value {
    match (old, change) {
        (Value::Set(old), Value::Set(change)) => {
            Value::Set(old.symmetric_difference(&change).cloned().collect())
        }
        (Value::Map(mut old), Value::Map(change)) => {
            for (key, value) in change {
                toggle(&mut old, key, value);
            }
            Value::Map(old)
        }
        (_, change) => change,
    }
}

fn toggle(map: &mut BTreeMap<Atom, Atom>, key: Atom, value: Atom) {
    if map.get(&key) == Some(&value) {
        map.remove(&key);
    } else {
        map.insert(key, value);
    }
}

fn object<'a>(
    json: &'a Json,
    table: &str,
    what: &'static str,
) -> Result<&'a Map<String, Json>, UpdateError> {
    json.as_object().ok_or_else(|| UpdateError::Shape {
        table: table.to_owned(),
        what,
    })
}
