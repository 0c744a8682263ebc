//! QEMU machine protocol client
