//! A LISP tunnel router (RFC 9300, RFC 9301, RFC 9437): carries packets of endpoints between places,
//! wherever the endpoints are.
//!
//! [`Router::start`] runs one in the network namespace of the calling thread; its [`Handle`] takes
//! mappings and moves, and gives the status. All of its threads are its own, and no call waits for the
//! network, so it can be called from anywhere.
//!
//! ```no_run
//! use xtr::config::{Instance, Rloc};
//! use std::net::{IpAddr, Ipv4Addr};
//! use std::time::Duration;
//!
//! let here = IpAddr::from([192, 0, 2, 1]);
//! let instance = Instance {
//!     id: 7,
//!     tun: "lisp7".to_owned(),
//!     mtu: None,
//!     addresses: vec![],
//!     routes: vec!["10.2.0.0/16".to_owned()],
//! };
//! let router = xtr::Router::start(xtr::Config::small([here], instance))?;
//! let vm = lisp::Eid::host(7, Ipv4Addr::new(10, 2, 0, 5));
//! router.own_eid_arrived(vm);
//! // It moves: what still arrives is sent on for half a minute, then dropped.
//! let there = Rloc { address: IpAddr::from([198, 51, 100, 1]), priority: 1, weight: 100 };
//! router.own_eid_left(vm, vec![there], Duration::from_secs(30));
//! println!("{:?}", router.status().packets);
//! router.stop();
//! # Ok::<(), xtr::Error>(())
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`config`] | what a router is told |
//! | [`control`] | its conversations, without I/O |
//! | [`data`] | forwarding, without I/O |
//! | [`edge`] | TUN, UDP, threads, the kernel's routes |
//!
//! `docs/xtr.md` is for people who run one. What is not here: LISP-SEC, multicast, Ethernet endpoints, NAT
//! traversal.

pub mod config;
pub mod control;
pub mod data;
pub mod edge;
pub mod error;
mod router;

pub use config::Config;
pub use edge::status_socket::ask;
pub use error::Error;
pub use router::{Handle, Router};
