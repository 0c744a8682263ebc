//! Operations of a transaction (RFC 7047 5.2) and their results.
//!
//! Each operation has a small builder that turns into an [`Op`]. Where no condition is given, an operation
//! means all rows of its table.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::{
    error::{Error, OpError, OpErrorKind},
    row::Row,
    value::Value,
};

/// One operation, ready to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Op(Map<String, Json>);

impl Op {
    /// Any operation, as its JSON object; for those without a builder (`commit`, `abort`, `assert`).
    pub fn raw(object: Map<String, Json>) -> Self {
        Self(object)
    }

    /// The JSON to send.
    pub fn into_json(self) -> Json {
        Json::Object(self.0)
    }

    fn new(op: &str, members: impl IntoIterator<Item = (&'static str, Json)>) -> Self {
        let mut object = Map::new();
        object.insert("op".to_owned(), json!(op));
        object.extend(
            members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        Self(object)
    }
}

/// Which rows (`<condition>`, RFC 7047 5.1).
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(Json);

impl Condition {
    /// Any function: `==`, `!=`, `<`, `<=`, `>`, `>=`, `includes`, `excludes`.
    pub fn new(column: &str, function: &str, value: impl Into<Value>) -> Self {
        Self(json!([column, function, value.into().to_json()]))
    }

    /// The column is exactly the value.
    pub fn eq(column: &str, value: impl Into<Value>) -> Self {
        Self::new(column, "==", value)
    }

    /// The column is not exactly the value.
    pub fn ne(column: &str, value: impl Into<Value>) -> Self {
        Self::new(column, "!=", value)
    }

    /// The column's set or map contains all of the value.
    pub fn includes(column: &str, value: impl Into<Value>) -> Self {
        Self::new(column, "includes", value)
    }

    /// The column's set or map contains nothing of the value.
    pub fn excludes(column: &str, value: impl Into<Value>) -> Self {
        Self::new(column, "excludes", value)
    }

    /// The row with this UUID.
    pub fn uuid(uuid: Uuid) -> Self {
        Self::eq("_uuid", uuid)
    }

    /// The JSON to send.
    pub fn to_json(&self) -> Json {
        self.0.clone()
    }
}

fn conditions(list: Vec<Condition>) -> Json {
    list.into_iter().map(|condition| condition.0).collect()
}

macro_rules! when {
    ($type:ty) => {
        impl $type {
            /// Only rows for which this holds, and all earlier conditions.
            pub fn when(mut self, condition: Condition) -> Self {
                self.conditions.push(condition);
                self
            }
        }
    };
}

macro_rules! set {
    ($type:ty) => {
        impl $type {
            /// Gives a column.
            pub fn set(mut self, column: &str, value: impl Into<Value>) -> Self {
                self.row = self.row.with(column, value);
                self
            }

            /// Gives all columns of a row.
            pub fn row(mut self, row: Row) -> Self {
                self.row.0.extend(row.0);
                self
            }
        }
    };
}

when!(Select);
when!(Update);
when!(Mutate);
when!(Delete);
when!(Wait);
set!(Insert);
set!(Update);

/// `insert`: a new row. Columns that are not set get their default.
#[derive(Debug, Clone)]
#[must_use]
pub struct Insert {
    table: String,
    name: Option<String>,
    row: Row,
}

impl Insert {
    /// A new row of `table`.
    pub fn into(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            name: None,
            row: Row::new(),
        }
    }

    /// Lets the transaction refer to the row as [`crate::Atom::named`]. An identifier: letters, digits, `_`.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl From<Insert> for Op {
    fn from(insert: Insert) -> Self {
        let mut op = Self::new(
            "insert",
            [
                ("table", json!(insert.table)),
                ("row", insert.row.to_json()),
            ],
        );
        if let Some(name) = insert.name {
            op.0.insert("uuid-name".to_owned(), json!(name));
        }
        op
    }
}

/// `select`: reads rows.
#[derive(Debug, Clone)]
#[must_use]
pub struct Select {
    table: String,
    conditions: Vec<Condition>,
    columns: Option<Vec<String>>,
}

impl Select {
    /// Rows of `table`, with all columns and `_uuid`.
    pub fn from(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            conditions: Vec::new(),
            columns: None,
        }
    }

    /// Only these columns; name `_uuid` if it is wanted.
    pub fn columns<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        self.columns = Some(columns.into_iter().map(str::to_owned).collect());
        self
    }
}

impl From<Select> for Op {
    fn from(select: Select) -> Self {
        let mut op = Self::new(
            "select",
            [
                ("table", json!(select.table)),
                ("where", conditions(select.conditions)),
            ],
        );
        if let Some(columns) = select.columns {
            op.0.insert("columns".to_owned(), json!(columns));
        }
        op
    }
}

/// `update`: sets columns of rows.
#[derive(Debug, Clone)]
#[must_use]
pub struct Update {
    table: String,
    conditions: Vec<Condition>,
    row: Row,
}

impl Update {
    /// Rows of `table`.
    pub fn table(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            conditions: Vec::new(),
            row: Row::new(),
        }
    }
}

impl From<Update> for Op {
    fn from(update: Update) -> Self {
        Self::new(
            "update",
            [
                ("table", json!(update.table)),
                ("where", conditions(update.conditions)),
                ("row", update.row.to_json()),
            ],
        )
    }
}

/// `mutate`: changes columns of rows relative to what they hold.
#[derive(Debug, Clone)]
#[must_use]
pub struct Mutate {
    table: String,
    conditions: Vec<Condition>,
    mutations: Vec<Json>,
}

impl Mutate {
    /// Rows of `table`.
    pub fn table(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            conditions: Vec::new(),
            mutations: Vec::new(),
        }
    }

    /// Any mutator: `+=`, `-=`, `*=`, `/=`, `%=`, `insert`, `delete`.
    pub fn mutation(mut self, column: &str, mutator: &str, value: impl Into<Value>) -> Self {
        self.mutations
            .push(json!([column, mutator, value.into().to_json()]));
        self
    }

    /// Adds a number.
    pub fn add(self, column: &str, number: i64) -> Self {
        self.mutation(column, "+=", number)
    }

    /// Adds elements to a set, or pairs to a map; a key that is there keeps its value.
    pub fn insert(self, column: &str, elements: impl Into<Value>) -> Self {
        self.mutation(column, "insert", elements)
    }

    /// Takes elements out of a set; out of a map: by keys (a set) or by pairs (a map).
    pub fn delete(self, column: &str, elements: impl Into<Value>) -> Self {
        self.mutation(column, "delete", elements)
    }
}

impl From<Mutate> for Op {
    fn from(mutate: Mutate) -> Self {
        Self::new(
            "mutate",
            [
                ("table", json!(mutate.table)),
                ("where", conditions(mutate.conditions)),
                ("mutations", Json::Array(mutate.mutations)),
            ],
        )
    }
}

/// `delete`: removes rows.
#[derive(Debug, Clone)]
#[must_use]
pub struct Delete {
    table: String,
    conditions: Vec<Condition>,
}

impl Delete {
    /// Rows of `table`.
    pub fn from(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            conditions: Vec::new(),
        }
    }
}

impl From<Delete> for Op {
    fn from(delete: Delete) -> Self {
        Self::new(
            "delete",
            [
                ("table", json!(delete.table)),
                ("where", conditions(delete.conditions)),
            ],
        )
    }
}

/// `wait`: holds the transaction until rows are, or are no longer, as given.
#[derive(Debug, Clone)]
#[must_use]
pub struct Wait {
    table: String,
    conditions: Vec<Condition>,
    columns: Vec<String>,
    until: &'static str,
    rows: Vec<Row>,
    timeout: Option<Duration>,
}

impl Wait {
    /// Looks at these columns of the rows of `table`, without a limit of time.
    pub fn on<'a>(table: &str, columns: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            table: table.to_owned(),
            conditions: Vec::new(),
            columns: columns.into_iter().map(str::to_owned).collect(),
            until: "!=",
            rows: Vec::new(),
            timeout: None,
        }
    }

    /// Until the rows are exactly these.
    pub fn until_equal(mut self, rows: impl IntoIterator<Item = Row>) -> Self {
        self.until = "==";
        self.rows = rows.into_iter().collect();
        self
    }

    /// Until the rows are not exactly these; with no rows: until any row fits the condition.
    pub fn until_not_equal(mut self, rows: impl IntoIterator<Item = Row>) -> Self {
        self.until = "!=";
        self.rows = rows.into_iter().collect();
        self
    }

    /// Fails with [`OpErrorKind::TimedOut`] after this time, at 1 ms resolution. Zero checks once, which makes
    /// the transaction depend on the state that was read before.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl From<Wait> for Op {
    fn from(wait: Wait) -> Self {
        let mut op = Self::new(
            "wait",
            [
                ("table", json!(wait.table)),
                ("where", conditions(wait.conditions)),
                ("columns", json!(wait.columns)),
                ("until", json!(wait.until)),
                ("rows", wait.rows.iter().map(Row::to_json).collect()),
            ],
        );
        if let Some(timeout) = wait.timeout {
            let ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
            op.0.insert("timeout".to_owned(), json!(ms));
        }
        op
    }
}

/// `comment`: a note for the database's log.
#[derive(Debug, Clone)]
pub struct Comment(pub String);

impl From<Comment> for Op {
    fn from(comment: Comment) -> Self {
        Self::new("comment", [("comment", json!(comment.0))])
    }
}

/// What an operation gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpResult {
    /// Rows that `update`, `mutate` or `delete` matched.
    pub count: Option<u64>,
    /// The new row of `insert`.
    pub uuid: Option<Uuid>,
    /// The rows of `select`.
    pub rows: Vec<Row>,
}

/// Reads the `result` of `transact` for `count` operations.
///
/// # Errors
/// [`Error::Transaction`] for the first operation that failed, [`Error::Shape`] and [`Error::Value`].
pub fn read_results(result: &Json, count: usize) -> Result<Vec<OpResult>, Error> {
    let shape = |what: &str| Error::Shape {
        method: "transact".to_owned(),
        what: what.to_owned(),
    };
    let list = result
        .as_array()
        .ok_or_else(|| shape("the result is no array"))?;
    // Operations after a failed one have null; a failed commit adds one element to a full list.
    for (index, item) in list.iter().enumerate() {
        if let Some(error) = item.get("error").and_then(Json::as_str) {
            let details = item
                .get("details")
                .and_then(Json::as_str)
                .unwrap_or("no details")
                .to_owned();
            let operation = (index < count).then_some(index);
            return Err(OpError {
                operation,
                kind: OpErrorKind::from(error),
                details,
            }
            .into());
        }
    }
    if list.len() < count {
        return Err(shape("fewer results than operations"));
    }
    list.iter()
        .take(count)
        .map(|item| read_result(item, &shape))
        .collect()
}

fn read_result(item: &Json, shape: &dyn Fn(&str) -> Error) -> Result<OpResult, Error> {
    let uuid = match item.get("uuid").map(Value::from_json).transpose()? {
        None => None,
        Some(value) => match value.atom() {
            Some(crate::Atom::Uuid(uuid)) => Some(*uuid),
            _ => return Err(shape("the uuid of an insert is none")),
        },
    };
    let rows = match item.get("rows") {
        None => Vec::new(),
        Some(Json::Array(rows)) => rows
            .iter()
            .map(|row| {
                Ok(Row::from_json(
                    row.as_object().ok_or_else(|| shape("a row is no object"))?,
                )?)
            })
            .collect::<Result<_, Error>>()?,
        Some(_) => return Err(shape("rows are no array")),
    };
    Ok(OpResult {
        count: item.get("count").and_then(Json::as_u64),
        uuid,
        rows,
    })
}
