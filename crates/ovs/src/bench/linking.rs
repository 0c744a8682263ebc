//! How long a link takes: two members on two hosts, from the request until both switches have
//! acknowledged and the addresses are set.

use super::stage::{Stage, entry, member, net};
use crate::error::Result;
use model::{Encap, Slice};
use std::time::Instant;

/// Times of pairings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Linking {
    /// Each pairing, milliseconds: the later of the two members.
    pub pairing_ms: Vec<f64>,
    /// Each member's port alone, milliseconds.
    pub port_ms: Vec<f64>,
}

/// Links `pairings` pairs of members, each pair in a network of its own, and unlinks them after.
/// The directory's rows are part of the link.
pub async fn linking(stage: &Stage, pairings: u32, encap: Encap) -> Result<Linking> {
    let mut times = Linking::default();
    for number in 0..pairings {
        let net = net(number, encap, 1400)?;
        let mut rows = Slice {
            nets: vec![net.clone()],
            entries: Vec::new(),
        };
        let mut members = Vec::new();
        for (at, host) in stage.hosts.iter().enumerate().take(2) {
            let member = member(&net, at as u8 + 1, &host.config.host)?;
            rows.entries
                .push(entry(&net, &member, &host.config, false, 1)?);
            members.push(member);
        }
        let begun = Instant::now();
        let one = |at: usize| {
            let (net, rows, members) = (&net, &rows, &members);
            async move {
                let host = stage.host(at)?;
                let port = match members.get(at) {
                    Some(member) => host.link_host(net, member).await?.micros,
                    None => 0,
                };
                host.apply(rows.nets.clone(), rows.entries.clone(), Vec::new())
                    .await?;
                Ok::<_, crate::Error>(port)
            }
        };
        let (first, second) = tokio::try_join!(one(0), one(1))?;
        times.pairing_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        times
            .port_ms
            .extend([first, second].map(|micros| micros as f64 / 1e3));
        // The pairs that were linked stay until the end, as they would.
    }
    for number in 0..pairings {
        let net = net(number, encap, 1400)?;
        for (at, host) in stage.hosts.iter().enumerate().take(2) {
            let member = member(&net, at as u8 + 1, &host.config.host)?;
            stage.host(at)?.unlink(&net.cluster, &member.name).await?;
        }
    }
    Ok(times)
}
