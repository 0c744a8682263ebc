//! Publishing to real servers, and to a provider that misbehaves on demand.

mod knot;
mod provider;
mod setting;
mod updating;

use dns::edge::Sender;
use dns::publish::{Answer, Told};
use dns::{Content, DnsName, Publisher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A publisher with its sender and a clock.
struct Zone {
    publisher: Publisher,
    sender: Sender,
    begun: Instant,
    /// What it was answered, in order.
    answers: Vec<Answer>,
}

impl Zone {
    fn open(config: &str) -> Self {
        Self::owned(config, "test")
    }

    fn owned(config: &str, owner: &str) -> Self {
        let zone = toml::from_str(config).unwrap();
        let sender = Sender::open(&zone).unwrap();
        let (ability, servers) = sender.ability(owner);
        Self {
            publisher: Publisher::new(ability, servers),
            sender,
            begun: Instant::now(),
            answers: Vec::new(),
        }
    }

    fn want(&mut self, text: &str, address: &str, epoch: u64) {
        let content = Content::addresses(30, [address.parse::<IpAddr>().unwrap()]);
        let now = self.begun.elapsed();
        assert!(self.publisher.want(&name(text), content, epoch, now));
    }

    /// Sends what is due until nothing is, or for this long.
    async fn run(&mut self, at_most: Duration) -> Vec<Told> {
        let until = self.begun.elapsed() + at_most;
        let mut told = Vec::new();
        loop {
            let now = self.begun.elapsed();
            if let Some(job) = self.publisher.next(now) {
                let answer = self.sender.carry(&job).await;
                self.answers.push(answer.clone());
                let now = self.begun.elapsed();
                told.extend(self.publisher.answered(job.ticket, answer, now, 1));
                continue;
            }
            match self.publisher.wake() {
                Some(wake) if wake < until => tokio::time::sleep(wake.saturating_sub(now)).await,
                _ => return told,
            }
        }
    }

    fn why(&self) -> String {
        let why = self.publisher.views().find_map(|view| view.why);
        why.expect("some trouble")
    }
}

fn name(text: &str) -> DnsName {
    DnsName::new(text).unwrap()
}
