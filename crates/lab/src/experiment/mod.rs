//! The experiments of the papers, done again in the lab, with the papers' figures beside ours.
//!
//! | module | what |
//! |---|---|
//! | [`scenario3`] | paper B, section V: LISP instead of tunnels and dynamic DNS, which it proposed and did not build |
//! | `load` | what a move costs the machine and those who talk to the VM |

mod load;
pub mod scenario3;
