//! Sites and hosts.

use super::{joined, up};
use crate::output::table;
use api::view::{Host, JoinToken, Site};

pub(crate) fn sites(sites: &[Site]) -> String {
    let rows = sites.iter().map(|site| {
        vec![
            site.name.to_string(),
            site.provider.clone(),
            up(site.up).to_owned(),
            joined(&site.hosts, ", "),
            site.vms.to_string(),
        ]
    });
    table(&["NAME", "PROVIDER", "STATE", "HOSTS", "VMS"], rows)
}

pub(crate) fn hosts(hosts: &[Host]) -> String {
    let rows = hosts.iter().map(|host| {
        let can = &host.abilities;
        vec![
            host.name.to_string(),
            host.site.to_string(),
            up(host.up).to_owned(),
            host.underlay.to_string(),
            host.vms.to_string(),
            can.free_mib.to_string(),
            format!("{} {}", can.qemu, can.accel),
            if can.prediction {
                "yes".to_owned()
            } else {
                "no".to_owned()
            },
        ]
    });
    let header = [
        "NAME", "SITE", "STATE", "UNDERLAY", "VMS", "FREE MIB", "QEMU", "PREDICTS",
    ];
    let mut text = table(&header, rows);
    for host in hosts.iter().filter(|host| !host.abilities.prediction) {
        let why = &host.abilities.prediction_note;
        text.push_str(&format!("\n{} predicts no stop: {why}\n", host.name));
    }
    text
}

pub(crate) fn join_token(token: &JoinToken) -> String {
    format!(
        "token        {}\ncontroller   {}\nCA (SHA-256) {}\n\n\
         It is shown only here, and good for one host.\n",
        token.token, token.controller, token.ca_sha256
    )
}
