//! What carries out what `control` and `data` decide, on the devices and sockets of the crate `offload`.
//!
//! | module | what |
//! |---|---|
//! | [`forward`], [`hooks`] | one worker's way of a packet, both directions |
//! | [`worker`] | its thread |
//! | [`netlink`], `kernel` | links and routes; mappings as routes of the kernel's own VXLAN-GPE |
//! | `control_port`, [`status_socket`] | where control messages come in, and where the status goes out |

pub(crate) mod control_port;
pub mod forward;
pub mod hooks;
pub(crate) mod kernel;
pub mod netlink;
pub mod status_socket;
pub mod worker;
