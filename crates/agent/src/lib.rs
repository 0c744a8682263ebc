//! The host agent: QEMU processes, the relay, the local half of a migration
