//! Who takes part in the secure underlay, and how keys take each other's place. Pure.
//!
//! - [`mesh`]: every host's address inside, its keys, and what each of the others must know of it.
//! - [`turn`]: the steps by which a host's key is replaced while packets flow.
//!
//! What agents do with it is in `agent::underlay`, who tells them in `controller::underlay`.

pub mod mesh;
pub mod turn;

pub use mesh::{Mesh, MeshError};
