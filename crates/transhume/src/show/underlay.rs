//! Who takes part in the secure underlay, and how it stands between hosts.

use super::or_dash;
use crate::output::table;
use crate::units;
use api::view::Underlay;

pub(crate) fn underlay(underlay: &Underlay) -> String {
    let hosts = underlay.hosts.iter().map(|host| {
        vec![
            host.host.to_string(),
            super::up(host.up).to_owned(),
            host.inner.to_string(),
            host.outer.to_string(),
            host.keys.join("\n"),
        ]
    });
    let mut text = table(&["HOST", "STATE", "INSIDE", "OUTSIDE", "PUBLIC KEY"], hosts);
    let sessions = underlay.hosts.iter().flat_map(|host| {
        host.sessions.iter().map(|session| {
            vec![
                host.host.to_string(),
                session.host.to_string(),
                session.method.to_string(),
                or_dash(session.endpoint),
                or_dash(session.age_s.map(|age| format!("{age} s"))),
                units::bytes(session.received as f64),
                units::bytes(session.sent as f64),
            ]
        })
    });
    text.push('\n');
    text.push_str(&table(
        &[
            "FROM", "TO", "BY", "HEARD AT", "KEYS OF", "RECEIVED", "SENT",
        ],
        sessions,
    ));
    text.push_str(&format!(
        "\nWhere nothing else is said: {}.\n",
        underlay.default
    ));
    text
}
