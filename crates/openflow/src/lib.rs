//! OpenFlow 1.3 with the extensions of Open vSwitch: a codec, the logic of a connection without
//! I/O, and a tokio client.
//!
//! # A tour
//!
//! Rules are built with [`FlowMod`], [`Match`] and [`Action`]:
//!
//! ```
//! use openflow::{Action, BitRange, Field, FlowMod, MacAddr, Match};
//!
//! let mac: MacAddr = "02:00:00:00:00:07".parse().unwrap();
//! let rule = FlowMod::add()
//!     .table(0)
//!     .priority(100)
//!     .cookie(7)
//!     .matching(Match::new().in_port(1).eth_dst(mac).reg_masked(0, 7, 0xff))
//!     .apply([
//!         Action::set_tunnel_id(7),
//!         Action::set_tun_dst([10, 0, 0, 2].into()),
//!         Action::move_field(BitRange::new(Field::REG0, 0, 16), BitRange::new(Field::REG1, 16, 16)),
//!         Action::resubmit(5),
//!         Action::output(2),
//!     ])
//!     .goto(2);
//! # let _ = rule;
//! ```
//!
//! A match field is a [`Field`] with a value ([`Oxm`]); every field of OpenFlow 1.3 and of OVS is a
//! constant, and `Match::field`, `Match::masked`, `Action::set_field` and `Action::load_masked` take
//! any of them. Unknown fields, actions, instructions, properties and experimenters are values too:
//! they keep their bytes.
//!
//! The [`client`] talks to a switch:
//!
//! ```no_run
//! # async fn f(rule: openflow::FlowMod) -> Result<(), openflow::client::ClientError> {
//! use openflow::client::{Client, SwitchEvent};
//!
//! let switch = Client::connect_unix("/run/openvswitch/br0.mgmt").await?;
//! switch.send_batch([rule.clone()]).await?;         // one write, a barrier, errors of just these
//! switch.commit_bundle([rule]).await?;              // all or nothing
//! let rules = switch.dump_flows(Default::default()).await?;
//! let ports = switch.port_desc().await?;
//!
//! let mut events = switch.events();
//! switch.enable_async(128).await?;
//! while let Some(event) = events.next().await {
//!     if let SwitchEvent::PacketIn(packet) = event {
//!         println!("{:?} from {:?}", packet.data, packet.in_port());
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! Without tokio, or to test a protocol over a channel, there is [`connection::Connection`]: bytes
//! and time in, bytes and events out.
//!
//! [`Message`] is what goes over the wire. [`describe`] shows captured bytes as JSON.
//!
//! # What decoding promises
//!
//! * Any bytes give a message or a [`DecodeError`]; nothing panics.
//! * What was decoded encodes to the same bytes. Reserved bytes that are not zero are kept beside
//!   the message ([`Message::reserved`]); experimenters' actions and messages with a layout that is
//!   not the expected one are kept as bytes.
//! * Versions: 1.3 (4); of 1.4 (5) what has the same layout, and bundles, the rest as
//!   [`Body::Opaque`]; hello, error and echo of every version.
//!
//! What is not here: OpenFlow 1.5, OVS's flow monitor and IPFIX messages (carried as bytes), TLS.
//!
//! # Where things are
//!
//! | module | what |
//! |---|---|
//! | [`message`] | header and bodies |
//! | [`multipart`] | statistics and descriptions |
//! | [`oxm`] | match fields |
//! | [`action`] | actions, OVS's included |
//! | [`connection`] | negotiation, keepalive, matching of answers; no I/O |
//! | [`client`] | sockets |
//! | [`describe`] | hexadecimal lines to JSON and back, for people |
//! | [`ofctl`] | rules as `ovs-ofctl` writes them, for people |

pub mod action;
mod address;
pub mod client;
pub mod connection;
pub mod describe;
pub mod error;
mod flow_match;
mod instruction;
pub mod message;
pub mod multipart;
pub mod ofctl;
pub mod oxm;
mod wire;

pub use action::{Action, BitRange};
pub use address::{MacAddr, MacAddrError, PortNo};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use flow_match::Match;
pub use instruction::Instruction;
pub use message::{Body, FlowMod, Message, PacketOut};
pub use oxm::{Field, Oxm};
pub use wire::{Blob, FixedText, ReservedBytes};
