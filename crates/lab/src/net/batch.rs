//! What `ip -batch` is told to make a plan real. Text only; see [`super::apply`] for the doing.

use super::plan::{Attachment, Network, Plan, SitePlan, WAN};

/// The veth pairs, made straight into the namespaces they belong to.
pub(crate) fn links(plan: &Plan) -> String {
    let mut text = String::new();
    let mtu = plan.mtu;
    for site in &plan.sites {
        for uplink in &site.uplinks {
            text += &format!(
                "link add name {} mtu {mtu} address {} netns {} type veth peer name {} mtu {mtu} netns {WAN}\n",
                uplink.site_end, uplink.mac, site.name, uplink.wan_end
            );
        }
    }
    text
}

/// Links up, addresses and routes of one site.
pub(crate) fn site(site: &SitePlan) -> String {
    let mut text = String::from("link set lo up\n");
    for uplink in &site.uplinks {
        match uplink.network {
            // The kernel must not answer for icbr0's address on the ports below it.
            Network::Data => text += &format!("link set {} arp off up\n", uplink.site_end),
            Network::Mgmt => {
                let Attachment {
                    v4,
                    v6,
                    gateway_v4,
                    gateway_v6,
                    ..
                } = &site.mgmt;
                let dev = &uplink.site_end;
                text += &format!("addr add {v4}/{} dev {dev}\n", Attachment::V4_PREFIX);
                text += &format!("addr add {v6}/{} dev {dev} nodad\n", Attachment::V6_PREFIX);
                text += &format!("link set {dev} up\n");
                text += &format!("route add default via {gateway_v4} dev {dev}\n");
                text += &format!("route add ::/0 via {gateway_v6} dev {dev}\n");
            }
        }
    }
    text
}

/// Links up at the WAN's end; its kernel takes no part in ARP.
pub(crate) fn wan(plan: &Plan) -> String {
    let mut text = String::from("link set lo up\n");
    for uplink in plan.sites.iter().flat_map(|site| &site.uplinks) {
        text += &format!("link set {} arp off up\n", uplink.wan_end);
    }
    text
}

/// Settings below /proc/sys/net for a namespace, in the order in which they are to be written.
pub(crate) fn sysctls(plan: &Plan, is_wan: bool) -> Vec<(&'static str, String)> {
    let max = plan.tcp_buffer_max;
    let fixed = |path: &'static str, value: &str| (path, value.to_owned());
    if is_wan {
        // The relay alone speaks in this namespace.
        return vec![
            fixed("ipv6/conf/all/disable_ipv6", "1"),
            fixed("ipv6/conf/default/disable_ipv6", "1"),
            fixed("ipv4/ip_forward", "0"),
        ];
    }
    vec![
        fixed("ipv4/conf/all/arp_ignore", "1"),
        fixed("ipv4/conf/default/arp_ignore", "1"),
        fixed("ipv4/conf/all/rp_filter", "0"),
        fixed("ipv4/conf/default/rp_filter", "0"),
        fixed("ipv6/conf/all/accept_ra", "0"),
        fixed("ipv6/conf/default/accept_ra", "0"),
        fixed("ipv6/conf/all/accept_dad", "0"),
        fixed("ipv6/conf/default/accept_dad", "0"),
        // A path that was quiet for a moment must not start from ten packets again.
        fixed("ipv4/tcp_slow_start_after_idle", "0"),
        ("ipv4/tcp_rmem", format!("4096 131072 {max}")),
        ("ipv4/tcp_wmem", format!("4096 65536 {max}")),
    ]
}

/// Interfaces of a site whose kernel must stay out of IPv6 (OVS ports).
pub(crate) fn without_ipv6(site: &SitePlan) -> impl Iterator<Item = &str> {
    site.uplinks
        .iter()
        .filter(|u| u.network == Network::Data)
        .map(|u| u.site_end.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_gets_its_management_address_and_no_data_address() {
        let plan = Plan::default();
        let text = site(&plan.sites[0]);
        assert!(text.contains("addr add 10.20.1.2/24 dev mgmt0"));
        assert!(text.contains("route add default via 10.20.1.1 dev mgmt0"));
        assert!(text.contains("link set eth0 arp off up"));
        assert!(!text.contains("10.10."));
    }

    #[test]
    fn every_uplink_ends_in_the_wan() {
        let plan = Plan::default();
        let text = links(&plan);
        assert_eq!(text.lines().count(), 9);
        assert!(text.lines().all(|line| line.ends_with("netns wan")));
    }
}
