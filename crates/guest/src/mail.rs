//! Answers that are not ready when they are asked for: a thread makes them, the event loop sends
//! them. An eventfd wakes it.

use crate::http::Answer;
use crate::sys;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A connection that waits: its slot, and its serial number, as slots are used again.
pub(crate) type Waiting = (usize, u64);

/// Where answers come in.
pub(crate) struct Mailbox {
    pub(crate) bell: Arc<sys::Bell>,
    sender: Sender<(Waiting, Answer)>,
    receiver: Receiver<(Waiting, Answer)>,
}

/// The promise of one answer.
pub(crate) struct Reply {
    to: Waiting,
    sender: Sender<(Waiting, Answer)>,
    bell: Arc<sys::Bell>,
}

impl Mailbox {
    pub(crate) fn new() -> std::io::Result<Mailbox> {
        let (sender, receiver) = channel();
        Ok(Mailbox {
            bell: Arc::new(sys::Bell::new()?),
            sender,
            receiver,
        })
    }

    pub(crate) fn reply(&self, to: Waiting) -> Reply {
        Reply {
            to,
            sender: self.sender.clone(),
            bell: Arc::clone(&self.bell),
        }
    }

    /// What has come since the last time.
    pub(crate) fn take(&self) -> Vec<(Waiting, Answer)> {
        self.bell.silence();
        self.receiver.try_iter().collect()
    }
}

impl Reply {
    pub(crate) fn send(self, answer: Answer) {
        // The receiver lives as long as the program.
        let _ = self.sender.send((self.to, answer));
        self.bell.ring();
    }

    /// Answers with what `make` says, in a thread of its own.
    pub(crate) fn by_thread(
        self,
        name: &str,
        make: impl FnOnce() -> Result<Answer, Answer> + Send + 'static,
    ) {
        let (to, sender, bell) = (self.to, self.sender.clone(), Arc::clone(&self.bell));
        let begun = sys::thread(name, move || self.send(make().unwrap_or_else(|e| e)));
        if let Err(error) = begun {
            let reply = Reply { to, sender, bell };
            let text = format!("no thread for this: {error}\n");
            reply.send(("503 Service Unavailable", text));
        }
    }
}
