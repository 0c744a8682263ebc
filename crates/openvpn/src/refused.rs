//! Refused authentications, read from openvpn's log.

use std::time::SystemTime;

/// An authentication that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: SystemTime,
    /// Why, in openvpn's words.
    pub why: String,
}

/// A refusal, when the line tells one.
pub(crate) fn read(line: &str, now: SystemTime) -> Option<Refusal> {
    let why = line
        .split_once("VERIFY ERROR: ")
        .or(line.split_once("VERIFY X509NAME ERROR: "))
        .map(|(_, why)| why)?;
    Some(Refusal {
        at: now,
        why: why.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_certificate_and_a_wrong_name_are_refusals_and_the_rest_is_not() {
        let read = |line| read(line, SystemTime::UNIX_EPOCH).map(|one| one.why);
        assert_eq!(
            read("10.9.0.2:1194 VERIFY ERROR: depth=0, error=certificate revoked: CN=south")
                .unwrap(),
            "depth=0, error=certificate revoked: CN=south"
        );
        assert!(read("VERIFY X509NAME ERROR: CN=east, must be south").is_some());
        assert!(read("VERIFY OK: depth=0, CN=south").is_none());
    }
}
