//! Frames of the relay: type, length (32 bit big endian), payload.

use model::{ClusterName, Connection, MigrationId, VmName};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Largest payload, bytes.
const MAX: usize = 4 << 20;

/// First frame: what this connection is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Opening {
    /// The migration.
    pub migration: MigrationId,
    /// The cluster.
    pub cluster: ClusterName,
    /// The VM.
    pub vm: VmName,
    /// The disk whose writes travel here; none for the VM's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
}

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Source to target: what this connection is for.
    Open(Opening),
    /// Source to target: QEMU's stream, compressed.
    Data(Vec<u8>),
    /// Source to target: QEMU's stream as it is. The bulk is sent so: its pages are seen once, and
    /// compressing them costs more CPU than it saves time.
    Plain(Vec<u8>),
    /// Source to target, first: it would send blocks of a [`delta::Encoder`], given something to refer to.
    Offer,
    /// Source to target: QEMU's stream, a block.
    Block(Vec<u8>),
    /// Source to target: the vCPUs have stopped and stay stopped unless the target says that it
    /// did not start; the target may run the VM when it has loaded all of it.
    Stopped,
    /// Packets in order. Source to target: read from the source's queue after the stop. Target to
    /// source: what waited at the target, for an abort.
    Packets(Vec<Vec<u8>>),
    /// Source to target: nothing of a VM, a short stream that only measures the path. Given back when it may
    /// begin.
    Measure,
    /// Target to source: what arrived of it.
    Measured(crate::survey::path::Measured),
    /// Source to target: connections through the VM's security rules that go on there.
    Connections(Vec<Connection>),
    /// Target to source: QEMU's return path.
    Return(Vec<u8>),
    /// Target to source: the VM runs here.
    Running,
    /// Target to source: the VM did not start and never will; why.
    Discarded(String),
    /// Target to source: no more packets will come.
    PacketsEnd,
    /// Target to source: the answer to an offer.
    Grant(delta::Grant),
    /// Target to source: so many blocks were read.
    Read(u64),
    /// Target to source, on a disk's connection: the first one tells up to which record it has received,
    /// later ones up to which it has applied.
    Applied(u64),
}

/// Bytes that are no frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection ended or failed.
    #[error("the relay's connection ended: {0}")]
    Io(#[from] std::io::Error),
    /// Unknown type.
    #[error(
        "the peer's relay sent a frame of unknown type {0}; both agents must have the same version"
    )]
    Unknown(u8),
    /// Too long or not to be understood.
    #[error("the peer's relay sent a broken frame of type {0}")]
    Broken(u8),
}

impl Frame {
    fn kind(&self) -> u8 {
        match self {
            Self::Open(_) => 1,
            Self::Data(_) => 2,
            Self::Stopped => 3,
            Self::Packets(_) => 4,
            Self::Plain(_) => 5,
            Self::Measure => 32,
            Self::Measured(_) => 33,
            Self::Connections(_) => 9,
            Self::Offer => 6,
            Self::Block(_) => 7,
            Self::Return(_) => 16,
            Self::Running => 17,
            Self::Discarded(_) => 18,
            Self::PacketsEnd => 19,
            Self::Applied(_) => 20,
            Self::Grant(_) => 21,
            Self::Read(_) => 22,
        }
    }

    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let payload = match self {
            Self::Open(opening) => serde_json::to_vec(opening).unwrap_or_default(),
            Self::Connections(all) => serde_json::to_vec(all).unwrap_or_default(),
            Self::Data(bytes) | Self::Plain(bytes) | Self::Block(bytes) | Self::Return(bytes) => {
                return header(self.kind(), bytes);
            }
            Self::Packets(packets) => packets
                .iter()
                .flat_map(|packet| {
                    let length = (packet.len() as u32).to_be_bytes();
                    length.into_iter().chain(packet.iter().copied())
                })
                .collect(),
            Self::Discarded(why) => why.clone().into_bytes(),
            Self::Applied(number) | Self::Read(number) => number.to_be_bytes().to_vec(),
            Self::Grant(grant) => [
                &grant.shelf.to_be_bytes()[..],
                &grant.shelf_pages.to_be_bytes(),
                &grant.former_pages.to_be_bytes(),
            ]
            .concat(),
            Self::Measured(measured) => serde_json::to_vec(measured).unwrap_or_default(),
            Self::Measure | Self::Offer | Self::Stopped | Self::Running | Self::PacketsEnd => {
                Vec::new()
            }
        };
        header(self.kind(), &payload)
    }

    /// Understands a frame's payload.
    ///
    /// # Errors
    /// Unknown or broken frames.
    pub fn decode(kind: u8, payload: Vec<u8>) -> Result<Self, FrameError> {
        Ok(match kind {
            1 => {
                Self::Open(serde_json::from_slice(&payload).map_err(|_| FrameError::Broken(kind))?)
            }
            2 => Self::Data(payload),
            3 => Self::Stopped,
            4 => Self::Packets(packets(&payload).ok_or(FrameError::Broken(kind))?),
            5 => Self::Plain(payload),
            32 => Self::Measure,
            33 => {
                let measured = serde_json::from_slice(&payload);
                Self::Measured(measured.map_err(|_| FrameError::Broken(kind))?)
            }
            9 => Self::Connections(
                serde_json::from_slice(&payload).map_err(|_| FrameError::Broken(kind))?,
            ),
            6 => Self::Offer,
            7 => Self::Block(payload),
            16 => Self::Return(payload),
            17 => Self::Running,
            18 => Self::Discarded(String::from_utf8_lossy(&payload).into_owned()),
            19 => Self::PacketsEnd,
            20 => Self::Applied(number(&payload).ok_or(FrameError::Broken(kind))?),
            21 => Self::Grant(grant(&payload).ok_or(FrameError::Broken(kind))?),
            22 => Self::Read(number(&payload).ok_or(FrameError::Broken(kind))?),
            _ => return Err(FrameError::Unknown(kind)),
        })
    }

    /// Reads one frame.
    ///
    /// # Errors
    /// When the connection ends or the frame is not one.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Self, FrameError> {
        let mut head = [0u8; 5];
        from.read_exact(&mut head).await?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX {
            return Err(FrameError::Broken(kind));
        }
        let mut payload = vec![0; length];
        from.read_exact(&mut payload).await?;
        Self::decode(kind, payload)
    }

    /// Writes one frame and flushes.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<usize> {
        let bytes = self.encode();
        to.write_all(&bytes).await?;
        to.flush().await?;
        Ok(bytes.len())
    }
}

fn header(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5 + payload.len());
    bytes.push(kind);
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn grant(bytes: &[u8]) -> Option<delta::Grant> {
    let (shelf, rest) = bytes.split_first_chunk::<8>()?;
    let (shelf_pages, rest) = rest.split_first_chunk::<4>()?;
    Some(delta::Grant {
        shelf: u64::from_be_bytes(*shelf),
        shelf_pages: u32::from_be_bytes(*shelf_pages),
        former_pages: u32::from_be_bytes(rest.try_into().ok()?),
    })
}

fn packets(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (packet, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        packets.push(packet.to_vec());
        bytes = rest;
    }
    Some(packets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn connections()(
            (member, member_port) in any::<(std::net::IpAddr, u16)>(),
            (remote, remote_port) in any::<(std::net::IpAddr, u16)>(),
            (protocol, expires_s) in any::<(u8, u32)>(),
            (by_member, established) in any::<(bool, bool)>(),
        ) -> Connection {
            let flow = model::Flow { protocol, by_member, member, member_port, remote, remote_port };
            Connection { flow, expires_s, established }
        }
    }

    fn frames() -> impl Strategy<Value = Frame> {
        let bytes = prop::collection::vec(any::<u8>(), 0..200);
        prop_oneof![
            bytes.clone().prop_map(Frame::Data),
            bytes.clone().prop_map(Frame::Plain),
            bytes.clone().prop_map(Frame::Block),
            bytes.clone().prop_map(Frame::Return),
            prop::collection::vec(bytes, 0..5).prop_map(Frame::Packets),
            prop::collection::vec(connections(), 0..5).prop_map(Frame::Connections),
            ".*".prop_map(Frame::Discarded),
            Just(Frame::Stopped),
            Just(Frame::Running),
            Just(Frame::Measure),
            Just(Frame::PacketsEnd),
            any::<u64>().prop_map(Frame::Applied),
            any::<u64>().prop_map(Frame::Read),
            Just(Frame::Offer),
            any::<(u64, u32, u32)>().prop_map(|(shelf, shelf_pages, former_pages)| {
                Frame::Grant(delta::Grant {
                    shelf,
                    shelf_pages,
                    former_pages,
                })
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_frame_survives_the_wire(frame in frames()) {
            let bytes = frame.encode();
            let back = Frame::decode(bytes[0], bytes[5..].to_vec()).unwrap();
            prop_assert_eq!(back, frame);
        }

        #[test]
        fn any_payload_is_a_frame_or_an_error(kind: u8, payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Frame::decode(kind, payload);
        }
    }
}
