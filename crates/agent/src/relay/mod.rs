//! QEMU's stream between agents.
//!
//! One TLS 1.3 connection a VM, from the source agent to the target agent's listener. Frames
//! ([`frame`]) carry QEMU's bytes compressed against what was sent before ([`codec`]), QEMU's return
//! path, and the switchover's own messages in order with them. [`listener`] accepts at the target.
//!
//! Buffers are small on purpose: whatever waits in them waits before the last burst. The socket's
//! send buffer stays autotuned; `TCP_NOTSENT_LOWAT` bounds what is queued but not yet sent.

pub mod codec;
pub mod dial;
pub mod frame;
pub mod listener;
pub mod socket;

pub use frame::{Frame, Opening};
