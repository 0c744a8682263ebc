//! Which peers a new list of revoked certificates concerns.
//!
//! charon looks a list up when somebody proves itself, not for those whom it has let in already.

use crate::error::{Error, Result};
use std::collections::HashSet;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::{
    certificate::X509Certificate, pem::parse_x509_pem, revocation_list::CertificateRevocationList,
};

/// The serial numbers on a list, PEM.
pub(crate) fn serials(list: &str) -> Result<HashSet<Vec<u8>>> {
    let bad = || {
        Error::Config(
            "the list of revoked certificates is no CRL in PEM; nothing was changed".into(),
        )
    };
    let (_, pem) = parse_x509_pem(list.as_bytes()).map_err(|_| bad())?;
    let (_, list) = CertificateRevocationList::from_der(&pem.contents).map_err(|_| bad())?;
    let all = list.iter_revoked_certificates();
    Ok(all.map(|one| one.raw_serial().to_vec()).collect())
}

/// The names and the serial number of a certificate, DER. `None` for one that cannot be read.
pub(crate) fn holder(der: &[u8]) -> Option<(Vec<String>, Vec<u8>)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten()?;
    let names = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
    Some((names.collect(), certificate.raw_serial().to_vec()))
}

/// Which of these peers must prove themselves again: those with a certificate on the list, and those whose
/// certificate is not known (charon forgets some when it has seen many).
pub(crate) fn concerned<'a>(
    peers: impl Iterator<Item = &'a String>,
    known: &[(Vec<String>, Vec<u8>)],
    serials: &HashSet<Vec<u8>>,
) -> Vec<String> {
    let is_concerned = |id: &&String| {
        let mut own = known
            .iter()
            .filter(|(names, _)| names.contains(id))
            .peekable();
        own.peek().is_none() || own.any(|(_, serial)| serials.contains(serial))
    };
    peers.filter(is_concerned).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_a_certificate_on_the_list_or_an_unknown_one_is_concerned() {
        let of = |name: &str, serial: u8| (vec![name.to_owned()], vec![serial]);
        let known = [of("a", 1), of("b", 2), of("b", 3), of("c", 4)];
        let peers = ["a", "b", "c", "d"].map(str::to_owned);
        let serials = HashSet::from([vec![3], vec![4]]);
        assert_eq!(concerned(peers.iter(), &known, &serials), ["b", "c", "d"]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert!(serials("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").is_err());
        assert!(serials("").is_err());
    }
}
