//! The names that lead to this machine.

use super::unix_ms;
use crate::config::OwnName;
use crate::machine::Seen;
use dns::edge::{EdgeError, Sender};
use dns::{Content, Publisher};
use std::time::{Duration, Instant};

pub(super) struct OwnNames {
    names: Vec<Own>,
    begun: Instant,
}

struct Own {
    config: OwnName,
    publisher: Publisher,
    sender: Sender,
}

impl OwnNames {
    pub(super) fn open(names: &[OwnName]) -> Result<Self, EdgeError> {
        let opened = names.iter().map(|name| {
            let sender = match (&name.rfc2136, &name.dyndns2, &name.zone) {
                (Some(rfc2136), _, Some(zone)) => Sender::rfc2136(zone, rfc2136)?,
                (_, Some(dyndns2), _) => Sender::dyndns2(&name.name, dyndns2)?,
                _ => return Err(dns::config::InvalidConfig::OneProtocol(name.name.clone()).into()),
            };
            let owner = name.owner.as_deref().unwrap_or(name.name.as_str());
            let (ability, servers) = sender.ability(owner);
            Ok(Own {
                config: name.clone(),
                publisher: Publisher::new(ability, servers),
                sender,
            })
        });
        Ok(Self {
            names: opened.collect::<Result<_, EdgeError>>()?,
            begun: Instant::now(),
        })
    }

    /// Has every name lead to the machine's addresses.
    pub(super) async fn update(&mut self, place: &Seen) -> Result<(), String> {
        let mut failed = Vec::new();
        for own in &mut self.names {
            if let Err(why) = own.update(place, self.begun).await {
                failed.push(format!("{}: {why}", own.config.name));
            }
        }
        match failed.is_empty() {
            true => Ok(()),
            false => Err(failed.join("; ")),
        }
    }
}

impl Own {
    async fn update(&mut self, place: &Seen, begun: Instant) -> Result<(), String> {
        let mut content =
            Content::addresses(self.config.ttl_seconds, place.addresses.iter().copied());
        if self.config.seen {
            content = Content::as_seen(self.config.ttl_seconds);
        }
        if content.is_empty() {
            return Err("the machine has no address".to_owned());
        }
        let name = &self.config.name;
        let now = begun.elapsed();
        // The address that a provider sees may be another one though nothing here differs.
        if self.config.seen {
            self.publisher.again(Some(name), now);
        }
        // The wall clock goes on over restarts.
        self.publisher.want(name, content, unix_ms(), now);
        let until = now + Duration::from_millis(self.config.patience_ms);
        loop {
            let now = begun.elapsed();
            if let Some(job) = self.publisher.next(now) {
                let answer = self.sender.carry(&job).await;
                self.publisher
                    .answered(job.ticket, answer, begun.elapsed(), unix_ms());
                continue;
            }
            match self.publisher.wake() {
                None => break,
                Some(wake) if wake > until => break,
                Some(wake) => tokio::time::sleep(wake.saturating_sub(now)).await,
            }
        }
        self.sender.hang_up();
        let why = self.publisher.views().find_map(|view| view.why);
        why.map_or(Ok(()), Err)
    }
}
