//! The target's half of what QEMU's bytes travel as.

use super::Frame;
use super::codec::Expander;
use super::shelves::{Claim, Shelves};
use delta::{Decoder, Outcome};
use model::{HostName, MigrationId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A page that another VM's connection was to bring must be there by then. No VM is stopped while a
/// page is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who sends, and where its pages are kept.
pub struct Origin {
    /// The host that sends.
    pub source: HostName,
    /// The migration.
    pub migration: MigrationId,
    /// What may be referred to.
    pub shelves: Arc<Shelves>,
}

/// Makes one VM's stream of frames again.
pub struct Expand {
    origin: Origin,
    expander: Expander,
    blocks: Option<Blocks>,
}

struct Blocks {
    claim: Claim,
    decoder: Decoder,
    read: u64,
}

impl Expand {
    /// Nothing was read yet.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn new(origin: Origin) -> std::io::Result<Self> {
        Ok(Self {
            origin,
            expander: Expander::new()?,
            blocks: None,
        })
    }

    /// Gives QEMU's bytes of a frame, or the frame when it carries none. Answers go to `back`.
    ///
    /// # Errors
    /// A sentence for the person, when the stream cannot be made again.
    pub async fn take(
        &mut self,
        frame: Frame,
        back: &mpsc::Sender<Frame>,
    ) -> Result<Result<Vec<u8>, Frame>, String> {
        match frame {
            Frame::Plain(bytes) => Ok(Ok(bytes)),
            Frame::Data(bytes) => self
                .expander
                .expand(&bytes)
                .map(Ok)
                .map_err(|error| error.to_string()),
            Frame::Offer => {
                let grant = self.grant()?;
                let _ = back.send(Frame::Grant(grant)).await;
                Ok(Ok(Vec::new()))
            }
            Frame::Block(block) => match &mut self.blocks {
                Some(blocks) => blocks.read(&block, back).await.map(Ok),
                None => Err("the source sent a block without asking".to_owned()),
            },
            other => Ok(Err(other)),
        }
    }

    fn grant(&mut self) -> Result<delta::Grant, String> {
        let Origin {
            source,
            migration,
            shelves,
        } = &self.origin;
        let claim = shelves
            .claim(source, migration)
            .ok_or("the pages kept for this migration are lost")?;
        let grant = claim.grant;
        self.blocks = Some(Blocks {
            claim,
            decoder: Decoder::new(grant.former_pages as usize).map_err(|e| e.to_string())?,
            read: 0,
        });
        Ok(grant)
    }
}

impl Blocks {
    async fn read(&mut self, block: &[u8], back: &mpsc::Sender<Frame>) -> Result<Vec<u8>, String> {
        let shared = self.claim.shared.clone();
        let lost = |_| "the pages kept for this migration are lost".to_owned();
        let mut outcome = {
            let mut shelf = shared.shelf.lock().map_err(lost)?;
            self.decoder.read(&mut shelf, block)
        };
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            // Before the shelf is looked at again, so that nothing put there meanwhile is missed.
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match outcome.map_err(|error| error.to_string())? {
                Outcome::Done { bytes, asked } => {
                    shared.changed.notify_waiters();
                    self.read += 1;
                    if asked {
                        let _ = back.send(Frame::Read(self.read)).await;
                    }
                    return Ok(bytes);
                }
                Outcome::Missing(_) => {
                    outcome = {
                        let mut shelf = shared.shelf.lock().map_err(lost)?;
                        self.decoder.go_on(&mut shelf)
                    };
                    if !matches!(outcome, Ok(Outcome::Missing(_))) {
                        continue;
                    }
                    tokio::time::timeout_at(until, changed)
                        .await
                        .map_err(|_| {
                            "a page that another VM of the migration was to bring did not come within 20 s"
                                .to_owned()
                        })?;
                }
            }
        }
    }
}
