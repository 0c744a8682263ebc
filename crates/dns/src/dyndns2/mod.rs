//! The dyndns2 protocol as text: one request sets the addresses of one name, one word answers
//! (<https://help.dyn.com/remote-access-api/>). No I/O.

mod answer;
mod url;

pub use answer::answer;
pub use url::{InvalidUrl, Url};

use crate::DnsName;
use crate::publish::Change;
use data_encoding::BASE64;
use std::net::IpAddr;

/// How we call ourselves; providers block those that do not.
pub const USER_AGENT: &str = concat!("Transhume/", env!("CARGO_PKG_VERSION"), " dynamic-dns");

/// The query of a change: the first address of each family, as the protocol has it. None for one that takes a name away,
/// which it has not.
pub fn query(change: &Change) -> Option<String> {
    let content = change.content.as_ref()?;
    if content.seen {
        return Some(format!("hostname={}", change.name));
    }
    let first = |v4: bool| {
        content
            .addresses
            .iter()
            .find(|address| address.is_ipv4() == v4)
    };
    let addresses: Vec<String> = [first(true), first(false)]
        .into_iter()
        .flatten()
        .map(IpAddr::to_string)
        .collect();
    Some(format!(
        "hostname={}&myip={}",
        change.name,
        addresses.join(",")
    ))
}

/// The value of the `Authorization` header (RFC 7617).
pub fn authorization(user: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64.encode(format!("{user}:{password}").as_bytes())
    )
}

/// A name as sentences about it begin.
fn about(name: &DnsName) -> String {
    format!("the provider refuses '{name}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;
    use crate::publish::Expect;

    #[test]
    fn a_request_names_the_host_and_an_address_of_each_family() {
        let addresses = ["203.0.113.5", "2001:db8::5", "203.0.113.6"];
        let change = Change {
            name: DnsName::new("gate.ddns.example").unwrap(),
            expect: Expect::Anything,
            content: Some(Content::addresses(
                60,
                addresses.map(|text| text.parse().unwrap()),
            )),
            marker: None,
            owns_text: false,
        };
        let query = query(&change).unwrap();
        assert_eq!(
            query,
            "hostname=gate.ddns.example&myip=203.0.113.5,2001:db8::5"
        );
    }

    #[test]
    fn the_example_of_rfc_7617_comes_out() {
        assert_eq!(
            authorization("Aladdin", "open sesame"),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
    }
}
