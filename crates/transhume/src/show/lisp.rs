//! Sites and mappings of the LISP Map-Server.

use crate::output::table;
use api::view::{LispLocator, LispMapping, LispSite, LispSource};

pub(crate) fn lisp_sites(sites: &[LispSite]) -> String {
    let rows = sites.iter().map(|site| {
        let keys: Vec<String> = site.key_ids.iter().map(u8::to_string).collect();
        let mut rules = Vec::new();
        if !site.accept_more_specifics {
            rules.push("whole prefixes only");
        }
        if site.accept_constant_nonce {
            rules.push("constant nonce");
        }
        vec![
            site.name.clone(),
            site.id.to_string(),
            keys.join(" "),
            site.prefixes.join(" "),
            rules.join(", "),
        ]
    });
    table(&["NAME", "SITE-ID", "KEYS", "PREFIXES", "RULES"], rows)
}

pub(crate) fn lisp_mappings(mappings: &[LispMapping]) -> String {
    let rows = mappings.iter().map(|mapping| {
        let source = match mapping.source {
            LispSource::Directory => "endpoint",
            LispSource::Static => "by hand",
            LispSource::Registered => "registered",
        };
        let locators: Vec<String> = mapping.locators.iter().map(locator).collect();
        vec![
            mapping.eid.clone(),
            match locators.is_empty() {
                true => "nowhere".to_owned(),
                false => locators.join(" "),
            },
            source.to_owned(),
            mapping.version.to_string(),
            format!("{} min", mapping.ttl_minutes),
        ]
    });
    table(&["EID", "LOCATORS", "FROM", "VERSION", "TTL"], rows)
}

/// Priority and weight are only said where they are not the usual ones.
fn locator(locator: &LispLocator) -> String {
    match (locator.priority, locator.weight) {
        (1, 100) => locator.address.to_string(),
        (priority, weight) => format!("{},{priority},{weight}", locator.address),
    }
}
