//! The calls.

use tokio::sync::oneshot;

use super::shared::Outcome;
use super::{Client, ClientError};
use crate::address::PortNo;
use crate::connection::{CloseReason, Connection};
use crate::error::EncodeError;
use crate::message::{Body, ControllerRole, Features, Port, SwitchConfig};
use crate::multipart::{
    AggregateStats, FlowStats, FlowStatsRequest, MultipartReplyBody, MultipartRequestBody,
    PortStats, SwitchDesc,
};

impl Client {
    /// Sends a request and waits for its answer; an answer in parts is put together.
    ///
    /// # Errors
    /// The switch refused, does not answer in time, or the connection is over.
    pub async fn request(&self, body: impl Into<Body>) -> Result<Body, ClientError> {
        match self.run(|c| c.request(body)).await? {
            Outcome::Reply(body) => Ok(body),
            Outcome::Done(_) => Err(ClientError::unexpected(&Body::BarrierReply)),
            Outcome::Failed(error) => Err(error),
        }
    }

    /// Sends a message that has no answer. If it is refused, listeners hear of it
    /// ([`super::SwitchEvent::Error`]).
    ///
    /// # Errors
    /// The connection is over, or the message does not fit its length field.
    pub fn send(&self, body: impl Into<Body>) -> Result<u32, ClientError> {
        let mut state = self.shared.lock_open()?;
        let xid = state.connection.send(body)?;
        self.shared.flush(&mut state);
        Ok(xid)
    }

    /// Waits until the switch has done everything sent before on this connection.
    ///
    /// # Errors
    /// [`ClientError::BatchRefused`] names refused messages of [`Client::send`] since the
    /// previous barrier, batch or bundle.
    pub async fn barrier(&self) -> Result<(), ClientError> {
        self.decided(|c| Ok(c.barrier())).await
    }

    /// Sends messages, usually flow-mods, and waits until the switch has done them. One write, one
    /// round trip.
    ///
    /// # Errors
    /// [`ClientError::BatchRefused`] names the refused ones; the others are done.
    pub async fn send_batch<B: Into<Body>>(
        &self,
        bodies: impl IntoIterator<Item = B>,
    ) -> Result<(), ClientError> {
        self.decided(|c| c.batch(bodies)).await
    }

    /// Sends messages, usually flow-mods, that take effect together or not at all. Two round
    /// trips.
    ///
    /// # Errors
    /// [`ClientError::BatchRefused`] names the refused ones; nothing was changed.
    pub async fn commit_bundle<B: Into<Body>>(
        &self,
        bodies: impl IntoIterator<Item = B>,
    ) -> Result<(), ClientError> {
        self.decided(|c| c.bundle(bodies)).await
    }

    /// The rules that the request asks for; the default request asks for all.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn dump_flows(
        &self,
        request: FlowStatsRequest,
    ) -> Result<Vec<FlowStats>, ClientError> {
        match self.multipart(MultipartRequestBody::Flow(request)).await? {
            MultipartReplyBody::Flow(rules) => Ok(rules),
            other => Err(unexpected(other)),
        }
    }

    /// Sums over the rules that the request asks for.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn aggregate(
        &self,
        request: FlowStatsRequest,
    ) -> Result<AggregateStats, ClientError> {
        match self
            .multipart(MultipartRequestBody::Aggregate(request))
            .await?
        {
            MultipartReplyBody::Aggregate(sums) => Ok(sums),
            other => Err(unexpected(other)),
        }
    }

    /// The switch's ports.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn port_desc(&self) -> Result<Vec<Port>, ClientError> {
        match self.multipart(MultipartRequestBody::PortDesc).await? {
            MultipartReplyBody::PortDesc(ports) => Ok(ports),
            other => Err(unexpected(other)),
        }
    }

    /// Counters of a port, or of all with [`PortNo::ANY`].
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn port_stats(&self, port: PortNo) -> Result<Vec<PortStats>, ClientError> {
        match self
            .multipart(MultipartRequestBody::PortStats(port))
            .await?
        {
            MultipartReplyBody::PortStats(stats) => Ok(stats),
            other => Err(unexpected(other)),
        }
    }

    /// Who made the switch.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn desc(&self) -> Result<SwitchDesc, ClientError> {
        match self.multipart(MultipartRequestBody::Desc).await? {
            MultipartReplyBody::Desc(desc) => Ok(*desc),
            other => Err(unexpected(other)),
        }
    }

    /// Any other multipart request.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn multipart(
        &self,
        request: MultipartRequestBody,
    ) -> Result<MultipartReplyBody, ClientError> {
        match self.request(request).await? {
            Body::MultipartReply(reply) => Ok(reply.body),
            other => Err(ClientError::unexpected(&other)),
        }
    }

    /// What the switch is.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn features(&self) -> Result<Features, ClientError> {
        match self.request(Body::FeaturesRequest).await? {
            Body::FeaturesReply(features) => Ok(features),
            other => Err(ClientError::unexpected(&other)),
        }
    }

    /// Takes a role, or asks with [`crate::message::Role::Nochange`].
    ///
    /// # Errors
    /// As [`Client::request`]; a generation id that is too old is refused.
    pub async fn role(&self, role: ControllerRole) -> Result<ControllerRole, ClientError> {
        match self.request(Body::RoleRequest(role)).await? {
            Body::RoleReply(role) => Ok(role),
            other => Err(ClientError::unexpected(&other)),
        }
    }

    /// Asks OVS for packet-ins (at most `max_packet` bytes of packets that matched nothing, at
    /// least one), port changes and removed rules. It sends none on a bridge's management socket
    /// before.
    ///
    /// # Errors
    /// As [`Client::barrier`].
    pub async fn enable_async(&self, max_packet: u16) -> Result<(), ClientError> {
        let config = SwitchConfig {
            miss_send_len: max_packet.max(1),
            ..SwitchConfig::default()
        };
        self.send_batch([Body::SetConfig(config)]).await
    }

    /// The version both sides speak.
    pub fn version(&self) -> Option<u8> {
        self.shared.lock().connection.version()
    }

    /// Why the connection is over, if it is.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared.closed()
    }

    /// Waits until the connection is over.
    pub async fn closed(&self) -> CloseReason {
        let mut status = self.shared.status.subscribe();
        let is_over = |s: &Option<Result<u8, CloseReason>>| matches!(s, Some(Err(_)));
        match status.wait_for(is_over).await.as_deref() {
            Ok(Some(Err(reason))) => reason.clone(),
            _ => CloseReason::PeerClosed,
        }
    }

    async fn decided(
        &self,
        make: impl FnOnce(&mut Connection) -> Result<u32, EncodeError>,
    ) -> Result<(), ClientError> {
        match self.run(make).await? {
            Outcome::Done(refusals) if refusals.is_empty() => Ok(()),
            Outcome::Done(refusals) => Err(ClientError::BatchRefused(refusals)),
            Outcome::Failed(error) => Err(error),
            Outcome::Reply(body) => Err(ClientError::unexpected(&body)),
        }
    }

    async fn run(
        &self,
        make: impl FnOnce(&mut Connection) -> Result<u32, EncodeError>,
    ) -> Result<Outcome, ClientError> {
        let (id, receiver) = self.shared.start(make)?;
        let mut waiting = Waiting {
            client: self,
            id,
            receiver: Some(receiver),
        };
        let limit = self.shared.options.request_timeout;
        match tokio::time::timeout(limit, waiting.receive()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ClientError::Timeout(limit)),
        }
    }
}

fn unexpected(body: MultipartReplyBody) -> ClientError {
    ClientError::unexpected(&Body::MultipartReply(body.into()))
}

/// Forgets the request when the caller gives up.
struct Waiting<'a> {
    client: &'a Client,
    id: u32,
    receiver: Option<oneshot::Receiver<Outcome>>,
}

impl Waiting<'_> {
    async fn receive(&mut self) -> Result<Outcome, ClientError> {
        let Some(receiver) = &mut self.receiver else {
            return Err(CloseReason::PeerClosed.into());
        };
        let outcome = receiver.await;
        self.receiver = None;
        outcome.map_err(|_| CloseReason::PeerClosed.into())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.receiver.is_some() {
            self.client.shared.lock().forget(self.id);
        }
    }
}
