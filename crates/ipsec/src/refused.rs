//! Refused authentications, read from charon's log: VICI has no event for them.
//!
//! charon says first why a certificate is not good, later, in the same association, that there is no
//! key to be trusted. Reasons are kept by association until the end of it.

use std::collections::HashMap;
use std::time::SystemTime;

/// An authentication that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: SystemTime,
    /// Who the other end said it was, when it came to that.
    pub peer: Option<String>,
    /// The address that it called from, or was called at.
    pub endpoint: Option<String>,
    /// Who refused: this host, or the other end.
    pub by_us: bool,
    /// Why, in strongSwan's words.
    pub why: String,
}

/// What is known of an association that is not established.
#[derive(Debug, Default)]
struct Attempt {
    peer: Option<String>,
    endpoint: Option<String>,
    reason: Option<String>,
}

/// Attempts remembered at once. A flood of them pushes out others, not memory.
const MOST: usize = 1024;

/// Reads one daemon's log.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    attempts: HashMap<u64, Attempt>,
}

impl Reader {
    /// Takes a line and gives what it completes.
    pub(crate) fn read(&mut self, line: &str, now: SystemTime) -> Option<Refusal> {
        let (association, text) = parts(line)?;
        if self.attempts.len() >= MOST && !self.attempts.contains_key(&association) {
            self.attempts.clear();
        }
        let attempt = self.attempts.entry(association).or_default();
        if let Some(rest) = text.strip_prefix("received packet: from ") {
            attempt.endpoint = rest.split(' ').next().and_then(address);
            return None;
        }
        if let Some(rest) = text.strip_prefix("looking for peer configs matching ") {
            attempt.peer = rest
                .rsplit_once('[')
                .map(|(_, id)| id.trim_end_matches(']').to_owned());
            return None;
        }
        if text.contains("] established between ") || text.starts_with("deleting IKE_SA ") {
            self.attempts.remove(&association);
            return None;
        }
        if is_reason(text) {
            // The first one is the cause, later ones follow from it.
            attempt.reason.get_or_insert_with(|| text.to_owned());
            return None;
        }
        let by_us = is_refusal(text);
        if !by_us && text != "received AUTHENTICATION_FAILED notify error" {
            return None;
        }
        let attempt = self.attempts.remove(&association)?;
        let named = text
            .split_once(" found for '")
            .map(|(_, id)| id.trim_end_matches('\'').to_owned());
        Some(Refusal {
            at: now,
            peer: named.or(attempt.peer),
            endpoint: attempt.endpoint,
            by_us,
            why: attempt.reason.unwrap_or_else(|| text.to_owned()),
        })
    }
}

/// Why a certificate or a peer is not good.
fn is_reason(text: &str) -> bool {
    text.starts_with("subject certificate invalid")
        || text.starts_with("issuer certificate invalid")
        || text.starts_with("no issuer certificate found")
        || text.starts_with("certificate was revoked")
        || text.starts_with("constraint check failed")
        || text.contains("constraint requires")
        || (text.starts_with("signature validation") && text.contains("failed"))
}

/// The end of an attempt, refused here.
fn is_refusal(text: &str) -> bool {
    (text.starts_with("no trusted ") && text.contains(" found for '"))
        || text.starts_with("no matching peer config found")
        || text.starts_with("no alternative config found")
}

/// `08[IKE] <north|3> text` as (3, text).
fn parts(line: &str) -> Option<(u64, &str)> {
    let (_, rest) = line.split_once("] <")?;
    let (association, text) = rest.split_once("> ")?;
    let number = association.rsplit('|').next()?;
    Some((number.parse().ok()?, text))
}

/// `10.9.0.2[4500]` as `10.9.0.2:4500`.
fn address(text: &str) -> Option<String> {
    let (host, port) = text.strip_suffix(']')?.split_once('[')?;
    Some(if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    })
}
