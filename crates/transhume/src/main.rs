//! The `transhume` binary: argument parsing and output only.
fn main() {}
