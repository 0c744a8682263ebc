//! What the Map-Server keeps in the store: sites with their secrets, mappings set by hand, registrations
//! and nonces. The store lies in the state folder, which only this user can read.

use crate::clock;
use api::view::{LispMappingSpec, LispSiteSpec};
use lisp::{Eid, Record};
use mapping::{MapServer, Saved, Unsaved, Who};
use model::SiteName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use store::{Store, StoreError, StoreExt, Txn};

const SITES: &str = "lisp/site/";
const MAPPINGS: &str = "lisp/mapping/";
const REGISTERED: &str = "lisp/registered/";
const NONCES: &str = "lisp/nonce/";

/// Rows of one transaction: one of registrations is about 300 bytes.
const AT_ONCE: usize = 500;

/// Sites and mappings that people have described.
#[derive(Default)]
pub(super) struct Described {
    pub(super) sites: BTreeMap<SiteName, LispSiteSpec>,
    pub(super) mappings: BTreeMap<Eid, LispMappingSpec>,
}

impl Described {
    pub(super) async fn load(store: &Arc<dyn Store>) -> Result<Self, StoreError> {
        let (sites, _) = store.list_json::<(SiteName, LispSiteSpec)>(SITES).await?;
        let (mappings, _) = store.list_json::<LispMappingSpec>(MAPPINGS).await?;
        let mappings = mappings.into_iter().filter_map(|row| {
            let eid = row.key.strip_prefix(MAPPINGS)?.parse().ok()?;
            Some((eid, row.value))
        });
        Ok(Self {
            sites: sites.into_iter().map(|row| row.value).collect(),
            mappings: mappings.collect(),
        })
    }

    /// Whether the routers of the site that may register this speak VXLAN-GPE.
    pub(super) fn speaks_gpe(&self, eid: Eid) -> bool {
        let of_site = |spec: &&LispSiteSpec| {
            let mut prefixes = spec.prefixes.iter();
            prefixes.any(|prefix| prefix.parse::<Eid>().is_ok_and(|own| own.covers(eid)))
        };
        self.sites.values().filter(of_site).any(|spec| spec.gpe)
    }
}

pub(super) fn put_site(name: &SiteName, spec: &LispSiteSpec) -> Result<Txn, StoreError> {
    Txn::new().put_json(format!("{SITES}{name}"), &(name, spec))
}

pub(super) fn delete_site(name: &SiteName) -> Txn {
    Txn::new().delete(format!("{SITES}{name}"))
}

pub(super) fn put_mapping(eid: Eid, spec: &LispMappingSpec) -> Result<Txn, StoreError> {
    Txn::new().put_json(format!("{MAPPINGS}{eid}"), spec)
}

pub(super) fn delete_mapping(eid: Eid) -> Txn {
    Txn::new().delete(format!("{MAPPINGS}{eid}"))
}

/// Who has registered.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeptWho {
    /// xTR-ID and Site-ID.
    Xtr(String, u64),
    Address(IpAddr),
}

impl From<Who> for KeptWho {
    fn from(who: Who) -> Self {
        match who {
            Who::Xtr(id, site) => Self::Xtr(format!("{id:032x}"), site),
            Who::Address(address) => Self::Address(address),
        }
    }
}

impl KeptWho {
    fn read(&self) -> Option<Who> {
        Some(match self {
            Self::Xtr(id, site) => Who::Xtr(u128::from_str_radix(id, 16).ok()?, *site),
            Self::Address(address) => Who::Address(*address),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct KeptRegistration {
    site: u64,
    who: KeptWho,
    expires_unix_ms: u64,
    proxy: bool,
    merge: bool,
    /// As messages have it.
    record: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct KeptNonce {
    site: u64,
    who: KeptWho,
    nonce: u64,
}

/// What a server had before a restart.
pub(super) struct Before {
    nonces: Vec<KeptNonce>,
    registered: Vec<(Eid, Vec<KeptRegistration>)>,
}

impl Before {
    pub(super) async fn load(store: &Arc<dyn Store>) -> Result<Self, StoreError> {
        let (nonces, _) = store.list_json::<KeptNonce>(NONCES).await?;
        let (registered, _) = store.list_json::<Vec<KeptRegistration>>(REGISTERED).await?;
        let registered = registered.into_iter().filter_map(|row| {
            let eid = row.key.strip_prefix(REGISTERED)?.parse().ok()?;
            Some((eid, row.value))
        });
        Ok(Self {
            nonces: nonces.into_iter().map(|row| row.value).collect(),
            registered: registered.collect(),
        })
    }

    /// Gives it to a server that knows its sites and what it holds.
    pub(super) fn restore(&self, server: &mut MapServer, now: Duration) {
        for kept in &self.nonces {
            if let Some(who) = kept.who.read() {
                server.restore_nonce(kept.site, who, kept.nonce);
            }
        }
        let unix_ms = clock::unix_ms();
        for (eid, registered) in &self.registered {
            let saved = registered.iter().filter_map(|kept| {
                Some(Saved {
                    eid: *eid,
                    site: kept.site,
                    who: kept.who.read()?,
                    left: Duration::from_millis(kept.expires_unix_ms.checked_sub(unix_ms)?),
                    proxy: kept.proxy,
                    merge: kept.merge,
                    record: Record::from_bytes(&kept.record).ok()?,
                })
            });
            saved.for_each(|saved| server.restore(&saved, now));
        }
    }
}

/// Rows for what has changed since it was saved.
pub(super) fn changed(
    server: &MapServer,
    unsaved: &Unsaved,
    now: Duration,
) -> Result<Vec<Txn>, StoreError> {
    let mut txns = Vec::new();
    let unix_ms = clock::unix_ms();
    for some in unsaved.eids.chunks(AT_ONCE) {
        let mut txn = Txn::new();
        for &eid in some {
            let key = format!("{REGISTERED}{eid}");
            let kept: Vec<KeptRegistration> = server
                .registrations(eid, now)
                .into_iter()
                .filter_map(|saved| {
                    let left = u64::try_from(saved.left.as_millis()).unwrap_or(u64::MAX);
                    Some(KeptRegistration {
                        site: saved.site,
                        who: saved.who.into(),
                        expires_unix_ms: unix_ms.saturating_add(left),
                        proxy: saved.proxy,
                        merge: saved.merge,
                        record: saved.record.to_bytes().ok()?,
                    })
                })
                .collect();
            txn = match kept.is_empty() {
                true => txn.delete(key),
                false => txn.put_json(key, &kept)?,
            };
        }
        txns.push(txn);
    }
    for some in unsaved.nonces.chunks(AT_ONCE) {
        let mut txn = Txn::new();
        for &(site, who, nonce) in some {
            let kept = KeptNonce {
                site,
                who: who.into(),
                nonce,
            };
            let name = match &kept.who {
                KeptWho::Xtr(id, of) => format!("{id}-{of}"),
                KeptWho::Address(address) => address.to_string(),
            };
            txn = txn.put_json(format!("{NONCES}{site}/{name}"), &kept)?;
        }
        txns.push(txn);
    }
    Ok(txns)
}
