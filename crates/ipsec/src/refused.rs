//! Refused authentications, read from charon's log: VICI has no event for them.
//!
//! charon says first why a certificate is not good, later, in the same association, that it answers with
//! a failure. Reasons are kept by association until then.

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
        let (association, name, text) = parts(line)?;
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
        let by_us = text.starts_with("generating ") && text.contains("N(AUTH_FAILED)");
        if !by_us && text != "received AUTHENTICATION_FAILED notify error" {
            return None;
        }
        let attempt = self.attempts.remove(&association)?;
        Some(Refusal {
            at: now,
            peer: attempt.peer.or(name.map(str::to_owned)),
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
        || (text.starts_with("no trusted ") && text.contains(" found for '"))
        || text.starts_with("no matching peer config found")
        || text.starts_with("no alternative config found")
}

/// `08[IKE] <north|3> text` as (3, north, text).
fn parts(line: &str) -> Option<(u64, Option<&str>, &str)> {
    let (_, rest) = line.split_once("] <")?;
    let (association, text) = rest.split_once("> ")?;
    let (name, number) = match association.rsplit_once('|') {
        Some((name, number)) => (Some(name), number),
        None => (None, association),
    };
    Some((number.parse().ok()?, name, text))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn all(log: &str) -> Vec<Refusal> {
        let mut reader = Reader::default();
        let read = |line| reader.read(line, SystemTime::UNIX_EPOCH);
        log.lines().filter_map(read).collect()
    }

    #[test]
    fn the_first_reason_of_an_association_is_the_cause() {
        let found = all("\
15[NET] <4> received packet: from 10.9.0.3[500] to 10.9.0.1[500] (260 bytes)
07[NET] <5> received packet: from 10.9.0.9[500] to 10.9.0.1[500] (260 bytes)
09[CFG] <4> looking for peer configs matching 10.9.0.1[host-1]...10.9.0.3[host-3]
09[CFG] <host-3|4> no issuer certificate found for \"CN=host-3\"
09[IKE] <host-3|4> no trusted ECDSA public key found for 'host-3'
09[ENC] <host-3|4> generating IKE_AUTH response 1 [ N(AUTH_FAILED) ]");
        let [one] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(one.peer.as_deref(), Some("host-3"));
        assert_eq!(one.endpoint.as_deref(), Some("10.9.0.3:500"));
        assert_eq!(one.why, "no issuer certificate found for \"CN=host-3\"");
        assert!(one.by_us);
    }

    #[test]
    fn the_other_ends_refusal_is_one_too() {
        let found = all("12[IKE] <host-1|2> received AUTHENTICATION_FAILED notify error");
        assert_eq!(found.len(), 1);
        assert!(!found[0].by_us && found[0].peer.as_deref() == Some("host-1"));
    }

    #[test]
    fn an_association_that_is_established_leaves_nothing() {
        let mut reader = Reader::default();
        for line in [
            "09[CFG] <4> looking for peer configs matching 10.9.0.1[host-1]...10.9.0.3[host-3]",
            "09[IKE] <host-3|4> IKE_SA host-3[4] established between 10.9.0.1[host-1]...10.9.0.3[host-3]",
            "something that is no line of it",
        ] {
            assert_eq!(reader.read(line, SystemTime::UNIX_EPOCH), None);
        }
        assert!(reader.attempts.is_empty());
    }

    #[test]
    fn a_flood_of_attempts_does_not_grow() {
        let mut reader = Reader::default();
        for n in 0..10_000 {
            reader.read(
                &format!("01[NET] <{n}> received packet: from x"),
                SystemTime::UNIX_EPOCH,
            );
        }
        assert!(reader.attempts.len() <= MOST);
    }
}
