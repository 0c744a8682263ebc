//! QEMU's stream between agents.
//!
//! One TLS 1.3 connection a VM, from the source agent to the target agent's listener. Frames
//! ([`frame`]) carry QEMU's bytes compressed against what was sent before ([`codec`]), QEMU's return
//! path, and the switchover's own messages in order with them. [`listener`] accepts at the target.
//!
//! Where both ends agree on it, bytes travel as the blocks of a [`delta`]; what the connections of a
//! migration share for it is in [`catalogues`] at the source and on [`shelves`] at the target, whose half
//! of it is [`expand`].
//!
//! Buffers are small on purpose: whatever waits in them waits before the last burst. The socket's
//! send buffer stays autotuned; `TCP_NOTSENT_LOWAT` bounds what is queued but not yet sent.

pub mod catalogues;
pub mod codec;
pub mod dial;
pub mod expand;
pub mod frame;
pub mod listener;
pub mod shelves;
pub mod socket;

pub use frame::{Frame, Opening};
