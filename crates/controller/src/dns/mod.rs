//! Dynamic DNS: the directory as names in the world's DNS. Sockets, store and directory around
//! [`dns::Publisher`].
//!
//! | module | job |
//! |---|---|
//! | `feed` | the directory's changes become wishes for names, at the moments of the moves |
//! | `zone` | one zone: what is due is sent, what is answered is kept and told |
//! | `kept` | what survives a restart |
//! | `asked` | what is shown, and publishing by hand |

mod asked;
mod feed;
mod kept;
mod zone;

use crate::lisp::Turns;
use crate::{ControllerError, Events, Registry, clock};
use dns::config::DnsConfig;
use dns::edge::{EdgeError, Sender};
use dns::project;
use feed::Followed;
use model::SiteName;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::task::JoinSet;
use zone::ZoneDesk;

/// The names of a controller. Clones share them.
#[derive(Clone)]
pub struct Names {
    inner: Arc<Inner>,
}

struct Inner {
    sites: BTreeMap<SiteName, Vec<IpAddr>>,
    zones: Vec<ZoneDesk>,
    store: Arc<dyn Store>,
    registry: Registry,
    events: Events,
    turns: Turns,
}

/// Names that were read and are not sent yet.
pub struct Opened {
    /// What they can be asked.
    pub names: Names,
    followed: Followed,
    senders: Vec<Sender>,
}

impl Names {
    /// Reads secrets and the store. Nothing is sent yet.
    ///
    /// # Errors
    /// The configuration cannot be followed, a secret is not there, or the store fails.
    pub async fn open(
        config: &DnsConfig,
        store: Arc<dyn Store>,
        registry: Registry,
        events: Events,
    ) -> Result<Opened, ControllerError> {
        config.check().map_err(EdgeError::from)?;
        let owner = kept::owner(&store).await?;
        let (mut zones, mut senders) = (Vec::new(), Vec::new());
        for zone in &config.zones {
            let sender = Sender::open(zone)?;
            let (ability, servers) = sender.ability(&owner);
            let mut publisher = dns::Publisher::new(ability, servers);
            kept::restore(&store, &zone.zone, &mut publisher).await?;
            zones.push(ZoneDesk::new(zone.clone(), publisher));
            senders.push(sender);
        }
        let names = Self {
            inner: Arc::new(Inner {
                sites: config.sites.clone(),
                zones,
                store,
                turns: registry.turns().another(),
                registry,
                events,
            }),
        };
        let mut followed = Followed::default();
        names.read(&mut followed).await?;
        Ok(Opened {
            names,
            followed,
            senders,
        })
    }
}

impl Opened {
    /// Publishes until the tasks are ended.
    pub fn serve(self, tasks: &mut JoinSet<()>) {
        for (number, sender) in self.senders.into_iter().enumerate() {
            tasks.spawn(self.names.clone().publish(number, sender));
        }
        tasks.spawn(self.names.follow(self.followed));
    }
}

/// The publishers' clock.
fn now() -> Duration {
    Duration::from_nanos(u64::try_from(clock::now().0).unwrap_or_default())
}
