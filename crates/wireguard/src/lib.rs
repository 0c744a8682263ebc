//! A WireGuard device in user space (<https://www.wireguard.com/protocol/>): encrypted IP between hosts that know each
//! other's keys, wherever they are.
//!
//! Handshakes, sessions and replay windows are those of `defguard_boringtun`; what is here is the device around them:
//! which packet is whose, two keys at once while they change, moving endpoints, and many packets a system call.
//!
//! ```no_run
//! use wireguard::{Attach, Device, DeviceConfig, Peer, SecretKey, Transport, Wanted};
//!
//! let device = Device::open(DeviceConfig {
//!     listen: "0.0.0.0:51820".parse()?,
//!     attach: Attach::Tun { name: "wg0".to_owned() },
//!     mtu: 1420,
//! })?;
//! device.set(Wanted {
//!     identities: vec![SecretKey::generate()],
//!     peers: vec![Peer {
//!         keys: vec!["hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=".parse()?],
//!         allowed: vec!["10.0.0.2/32".parse()?],
//!         endpoint: Some("192.0.2.7:51820".parse()?),
//!         keepalive: Some(25),
//!         transport: Transport::Wireguard,
//!         roam: true,
//!     }],
//! })?;
//! println!("{:?}", device.status());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`core`] | the device without I/O |
//! | [`ethernet`] | the little Ethernet that a layer-2 device needs |
//! | `device`, `edge` | threads, sockets, TUN and TAP |

pub mod core;
mod device;
mod edge;
mod error;
pub mod ethernet;
mod event;
mod key;
mod prefix;
mod status;
mod wanted;

pub use device::{Attach, Device, DeviceConfig};
pub use error::Error;
pub use event::Event;
pub use key::{NoKey, PublicKey, SecretKey};
pub use prefix::{NoPrefix, Prefix};
pub use status::{Drops, PeerStatus, Reason, Status, Traffic};
pub use wanted::{Contradiction, Peer, Transport, Wanted};
