//! Frames on their way out of one connection.
//!
//! Whoever has a frame writes it into the socket itself. Only when the socket is full does the rest
//! wait for [`Outbox::run`], which belongs to the connection's task. A caller that is dropped half
//! way therefore cannot leave half a frame behind.

use crate::lock;
use bytes::{Buf, BytesMut};
use model::order::MAX_FRAME;
use serde::Serialize;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::AsyncWrite;
use tokio::sync::Notify;

/// Bytes that may wait for a peer that does not read; beyond that it is as good as gone.
const MOST_WAITING: usize = 4 * MAX_FRAME;

/// Frames on their way out.
pub(crate) struct Outbox {
    out: Mutex<Out>,
    /// Something waits for the connection's task.
    stuck: Notify,
}

struct Out {
    socket: Box<dyn AsyncWrite + Send + Unpin>,
    waiting: BytesMut,
    /// The connection's task is at it. Nobody else may poll the socket then: it remembers one
    /// waker only.
    busy: bool,
    closed: bool,
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Closed,
    TooLarge,
}

impl Outbox {
    pub(crate) fn new(socket: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self {
            out: Mutex::new(Out {
                socket: Box::new(socket),
                waiting: BytesMut::new(),
                busy: false,
                closed: false,
            }),
            stuck: Notify::new(),
        }
    }

    /// Writes a frame, or queues what the socket does not take now.
    pub(crate) fn push(&self, frame: &impl Serialize) -> Result<(), NotTaken> {
        let frame = encode(frame)?;
        let mut out = lock(&self.out);
        if out.closed {
            return Err(NotTaken::Closed);
        }
        if out.waiting.is_empty() {
            out.waiting = frame;
        } else {
            out.waiting.extend_from_slice(&frame);
        }
        if out.waiting.len() > MOST_WAITING {
            out.close();
            self.stuck.notify_one();
            return Err(NotTaken::Closed);
        }
        if out.busy {
            return Ok(());
        }
        match out.drive(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(_)) => {
                out.close();
                self.stuck.notify_one();
                Err(NotTaken::Closed)
            }
            Poll::Pending => {
                out.busy = true;
                self.stuck.notify_one();
                Ok(())
            }
        }
    }

    /// Writes what waits, as the socket takes it. Ends when the connection is at its end.
    pub(crate) async fn run(&self) -> io::Error {
        loop {
            let written = poll_fn(|context| {
                let mut out = lock(&self.out);
                if out.closed {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                if !out.busy {
                    return Poll::Ready(Ok(()));
                }
                let written = ready!(out.drive(context));
                out.busy = false;
                Poll::Ready(written)
            });
            if let Err(error) = written.await {
                self.close();
                return error;
            }
            self.stuck.notified().await;
        }
    }

    /// Takes no more frames.
    pub(crate) fn close(&self) {
        lock(&self.out).close();
        self.stuck.notify_one();
    }
}

impl Out {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let taken = ready!(Pin::new(&mut self.socket).poll_write(context, &self.waiting))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(taken);
        }
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn close(&mut self) {
        self.closed = true;
        self.waiting = BytesMut::new();
    }
}

fn encode(frame: &impl Serialize) -> Result<BytesMut, NotTaken> {
    use bytes::BufMut;
    let mut bytes = BytesMut::with_capacity(512);
    bytes.put_u32(0);
    // Frames have a JSON form by their types; writing to memory does not fail.
    serde_json::to_writer((&mut bytes).writer(), frame).map_err(|_| NotTaken::TooLarge)?;
    let length = bytes.len() - 4;
    if length > MAX_FRAME {
        return Err(NotTaken::TooLarge);
    }
    let length = u32::try_from(length).map_err(|_| NotTaken::TooLarge)?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use std::sync::Arc;
    use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

    #[tokio::test]
    async fn frames_arrive_in_order_also_when_the_socket_is_full_in_between() {
        let (near, far) = tokio::io::duplex(64);
        let outbox = Arc::new(Outbox::new(near));
        let task = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.run().await }
        });
        for number in 0..200u32 {
            outbox.push(&number).unwrap();
        }
        let mut frames = FramedRead::new(far, LengthDelimitedCodec::new());
        for number in 0..200u32 {
            let frame = frames.next().await.unwrap().unwrap();
            assert_eq!(serde_json::from_slice::<u32>(&frame).unwrap(), number);
        }
        outbox.close();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_takes_nothing_more() {
        let (near, far) = tokio::io::duplex(64);
        drop(far);
        let outbox = Outbox::new(near);
        assert_eq!(outbox.push(&1), Err(NotTaken::Closed));
        assert_eq!(outbox.push(&1), Err(NotTaken::Closed));
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused() {
        assert_eq!(encode(&"x".repeat(MAX_FRAME)), Err(NotTaken::TooLarge));
    }
}
