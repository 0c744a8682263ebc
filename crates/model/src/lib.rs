//! The words of Transhume as types.
//!
//! Everything that crosses a crate or a wire is spelled here once: names and addresses
//! ([`name`], [`net`]), what the directory says ([`directory`]), what a user describes
//! ([`cluster`], [`vm`], [`security`]) or has already ([`libvirt`]), what a migration would do ([`plan`], from what hosts find: [`facts`]), what it is
//! and tells ([`migration`]), when it may go ([`limits`], [`window`]), what switches hold and carry ([`flows`], [`trace`],
//! [`links`]), and the messages between controller and agents
//! ([`order`], [`news`]). No logic beyond validation and no I/O lives here.

pub mod cluster;
pub mod connection;
pub mod directory;
pub mod event;
pub mod facts;
pub mod flows;
pub mod libvirt;
pub mod limits;
pub mod links;
pub mod migration;
pub mod name;
pub mod net;
pub mod news;
pub mod order;
pub mod plan;
pub mod security;
pub mod time;
pub mod trace;
pub mod underlay;
pub mod vm;
pub mod window;

pub use cluster::{Cluster, Encap, Member, MemberKind};
pub use connection::{Connection, Flow};
pub use directory::{Entry, Epoch, Locator, Net, Slice};
pub use name::{ClusterName, HostName, InvalidName, MigrationId, SiteName, VmName};
pub use net::{InvalidMac, Mac};
pub use security::SecurityRule;
pub use time::Nanos;
