//! Limits and windows.

use super::{joined, or_dash};
use crate::output::table;
use model::limits::{Limit, Limits};

pub(crate) fn limits(limits: &Limits) -> String {
    let row = |what: String, limit: Limit| {
        let mbit = limit.mbit.map(|mbit| format!("{mbit} Mbit/s"));
        vec![what, or_dash(limit.at_once), or_dash(mbit)]
    };
    let mut rows = vec![
        row("controller".to_owned(), limits.controller),
        row("each site".to_owned(), limits.site),
    ];
    let sites = limits.sites.iter();
    rows.extend(sites.map(|(site, limit)| row(format!("site {site}"), *limit)));
    rows.push(row("each uplink".to_owned(), limits.uplink));
    let hosts = limits.uplinks.iter();
    rows.extend(hosts.map(|(host, limit)| row(format!("uplink of {host}"), *limit)));
    let mut text = table(&["FOR", "AT ONCE", "TOGETHER"], rows);
    text.push_str(&format!(
        "\nNone begins with less than {} Mbit/s, unless it asks for less.\n",
        limits.least_mbit
    ));
    if !limits.windows.is_empty() {
        let rows = limits.windows.iter();
        let rows = rows.map(|(site, windows)| vec![site.to_string(), joined(windows, "\n")]);
        text.push('\n');
        text.push_str(&table(&["SITE", "WINDOWS (UTC)"], rows));
    }
    text
}
