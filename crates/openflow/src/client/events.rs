//! What a switch says on its own.

use tokio::sync::broadcast;

use super::Client;
use crate::Blob;
use crate::connection::CloseReason;
use crate::error::DecodeError;
use crate::message::{ErrorMessage, FlowRemoved, Message, PacketIn, PortStatus};

/// Something a switch says without being asked.
#[derive(Clone, Debug, PartialEq)]
pub enum SwitchEvent {
    /// A packet for the controller.
    PacketIn(PacketIn),
    /// A port came, went or changed.
    PortStatus(PortStatus),
    /// A rule is gone.
    FlowRemoved(FlowRemoved),
    /// An error of a message that nobody waits for, such as a packet-out.
    Error {
        /// Its transaction id, as [`Client::send`] returned it.
        xid: u32,
        /// The error.
        error: ErrorMessage,
    },
    /// Any other message.
    Other(Message),
    /// A message that cannot be decoded.
    Malformed {
        /// What is wrong.
        error: DecodeError,
        /// The message.
        bytes: Blob,
    },
    /// The listener was too slow and has missed this many events.
    Missed(u64),
    /// The connection is over. Nothing follows.
    Closed(CloseReason),
}

/// A listener. It hears what comes after it was made.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<SwitchEvent>,
}

impl Events {
    /// The next event; `None` when the connection is over and all has been heard.
    pub async fn next(&mut self) -> Option<SwitchEvent> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(n)) => Some(SwitchEvent::Missed(n)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Client {
    /// Listens to what the switch says on its own.
    ///
    /// OVS sends nothing of it on a bridge's management socket until
    /// [`Client::enable_async`] was called.
    pub fn events(&self) -> Events {
        Events {
            receiver: self.shared.events.subscribe(),
        }
    }
}
