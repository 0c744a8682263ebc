//! Fields with two numbers: OVS had its own before OpenFlow had them.

use super::Field;

const TWINS: [(Field, Field); 31] = [
    (Field::ETH_DST, Field::NXM_ETH_DST),
    (Field::ETH_SRC, Field::NXM_ETH_SRC),
    (Field::ETH_TYPE, Field::NXM_ETH_TYPE),
    (Field::IP_PROTO, Field::NXM_IP_PROTO),
    (Field::IP_ECN, Field::NXM_IP_ECN),
    (Field::IPV4_SRC, Field::NXM_IP_SRC),
    (Field::IPV4_DST, Field::NXM_IP_DST),
    (Field::TCP_SRC, Field::NXM_TCP_SRC),
    (Field::TCP_DST, Field::NXM_TCP_DST),
    (Field::TCP_FLAGS, Field::NXM_TCP_FLAGS),
    (Field::ONF_TCP_FLAGS, Field::NXM_TCP_FLAGS),
    (Field::UDP_SRC, Field::NXM_UDP_SRC),
    (Field::UDP_DST, Field::NXM_UDP_DST),
    (Field::ICMPV4_TYPE, Field::NXM_ICMP_TYPE),
    (Field::ICMPV4_CODE, Field::NXM_ICMP_CODE),
    (Field::ARP_OP, Field::NXM_ARP_OP),
    (Field::ARP_SPA, Field::NXM_ARP_SPA),
    (Field::ARP_TPA, Field::NXM_ARP_TPA),
    (Field::ARP_SHA, Field::NXM_ARP_SHA),
    (Field::ARP_THA, Field::NXM_ARP_THA),
    (Field::IPV6_SRC, Field::NXM_IPV6_SRC),
    (Field::IPV6_DST, Field::NXM_IPV6_DST),
    (Field::IPV6_FLABEL, Field::NXM_IPV6_LABEL),
    (Field::ICMPV6_TYPE, Field::NXM_ICMPV6_TYPE),
    (Field::ICMPV6_CODE, Field::NXM_ICMPV6_CODE),
    (Field::IPV6_ND_TARGET, Field::NXM_ND_TARGET),
    (Field::IPV6_ND_SLL, Field::NXM_ND_SLL),
    (Field::IPV6_ND_TLL, Field::NXM_ND_TLL),
    (Field::TUNNEL_ID, Field::NXM_TUN_ID),
    (Field::DP_HASH, Field::NXM_DP_HASH),
    (Field::ACTSET_OUTPUT, Field::ONF_ACTSET_OUTPUT),
];

impl Field {
    /// The number by which OVS's own actions call the field, and report it.
    #[must_use]
    pub fn in_nicira_actions(self) -> Self {
        TWINS
            .iter()
            .find(|(field, _)| *field == self)
            .map_or(self, |(_, twin)| *twin)
    }
}
