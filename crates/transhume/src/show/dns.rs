//! Names in the DNS.

use super::{joined, or_dash};
use crate::output::table;
use api::view::{DnsRecord, DnsState};

pub(crate) fn dns_records(records: &[DnsRecord]) -> String {
    let rows = records.iter().map(|record| {
        let state = match record.state {
            DnsState::Published => "published",
            DnsState::Pending => "pending",
            DnsState::Retrying => "retrying",
            DnsState::Stopped => "stopped",
        };
        let leads = match record.published.is_empty() {
            true => "nowhere".to_owned(),
            false => joined(&record.published, " "),
        };
        vec![
            record.name.clone(),
            leads,
            state.to_owned(),
            or_dash(record.published_epoch),
            or_dash(record.delay_ms.map(|ms| format!("{ms} ms"))),
        ]
    });
    let mut text = table(&["NAME", "LEADS TO", "STATE", "EPOCH", "AFTER"], rows);
    let troubled = records.iter().filter(|record| !record.message.is_empty());
    for record in troubled {
        let wanted = match record.wanted.is_empty() {
            true => "is to go".to_owned(),
            false => format!("should lead to {}", joined(&record.wanted, ", ")),
        };
        text.push_str(&format!(
            "\n{} {wanted}: {}.\n",
            record.name, record.message
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_published_is_said_below_with_its_reason() {
        let record = DnsRecord {
            name: "gate.shop.example".into(),
            zone: "shop.example".into(),
            state: DnsState::Retrying,
            wanted: vec!["203.0.113.5".parse().unwrap()],
            ttl_seconds: 30,
            epoch: 7,
            published: Vec::new(),
            published_epoch: None,
            published_unix_ms: None,
            delay_ms: None,
            message: "the server refuses the update".into(),
        };
        let text = dns_records(&[record]);
        assert!(text.contains("nowhere   retrying"), "{text}");
        let says = "gate.shop.example should lead to 203.0.113.5: the server refuses the update.";
        assert!(text.contains(says), "{text}");
    }
}
