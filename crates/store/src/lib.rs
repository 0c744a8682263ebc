//! The store: get, list, txn, watch, on SQLite
