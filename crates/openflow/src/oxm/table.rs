//! The match fields with names: numbers, widths and how to show them.
//!
//! Sources: OpenFlow 1.3.5 section 7.2.3.8 and ovs-fields(7).

use super::Field;

/// How a field's value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A decimal number.
    Decimal,
    /// Hexadecimal digits with `0x`.
    Hex,
    /// An Ethernet address.
    Mac,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A 32-bit port number.
    Port,
}

/// What is known about a field.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// Its numbers.
    pub field: Field,
    /// Name in snake case, the one `ovs-ofctl` uses where it has one; the older NXM twin of a
    /// standard field begins with `nxm_`.
    pub name: &'static str,
    /// Significant low bits.
    pub bits: u16,
    /// How to show it.
    pub format: Format,
}

macro_rules! fields {
    ($($(#[$meta:meta])* $konst:ident $name:literal: $ctor:ident($($arg:expr),*) $bits:literal $format:ident;)*) => {
        impl Field {
            $(
                #[doc = concat!("`", $name, "`, ", stringify!($bits), " bits.")]
                pub const $konst: Self = Self::$ctor($($arg,)* width($bits));
            )*
        }
        /// Every field with a name.
        pub static FIELDS: &[FieldInfo] = &[
            $(FieldInfo { field: Field::$konst, name: $name, bits: $bits, format: Format::$format },)*
        ];
    };
}

/// Bytes on the wire: fields of 17 to 32 bits have four.
const fn width(bits: u16) -> u8 {
    match bits {
        17..=32 => 4,
        bits => bits.div_ceil(8) as u8,
    }
}

fields! {
    IN_PORT "in_port": oxm(0) 32 Port;
    IN_PHY_PORT "in_phy_port": oxm(1) 32 Port;
    METADATA "metadata": oxm(2) 64 Hex;
    ETH_DST "eth_dst": oxm(3) 48 Mac;
    ETH_SRC "eth_src": oxm(4) 48 Mac;
    ETH_TYPE "eth_type": oxm(5) 16 Hex;
    VLAN_VID "vlan_vid": oxm(6) 13 Hex;
    VLAN_PCP "vlan_pcp": oxm(7) 3 Decimal;
    IP_DSCP "ip_dscp": oxm(8) 6 Decimal;
    IP_ECN "ip_ecn": oxm(9) 2 Decimal;
    IP_PROTO "ip_proto": oxm(10) 8 Decimal;
    IPV4_SRC "ipv4_src": oxm(11) 32 Ipv4;
    IPV4_DST "ipv4_dst": oxm(12) 32 Ipv4;
    TCP_SRC "tcp_src": oxm(13) 16 Decimal;
    TCP_DST "tcp_dst": oxm(14) 16 Decimal;
    UDP_SRC "udp_src": oxm(15) 16 Decimal;
    UDP_DST "udp_dst": oxm(16) 16 Decimal;
    SCTP_SRC "sctp_src": oxm(17) 16 Decimal;
    SCTP_DST "sctp_dst": oxm(18) 16 Decimal;
    ICMPV4_TYPE "icmpv4_type": oxm(19) 8 Decimal;
    ICMPV4_CODE "icmpv4_code": oxm(20) 8 Decimal;
    ARP_OP "arp_op": oxm(21) 16 Decimal;
    ARP_SPA "arp_spa": oxm(22) 32 Ipv4;
    ARP_TPA "arp_tpa": oxm(23) 32 Ipv4;
    ARP_SHA "arp_sha": oxm(24) 48 Mac;
    ARP_THA "arp_tha": oxm(25) 48 Mac;
    IPV6_SRC "ipv6_src": oxm(26) 128 Ipv6;
    IPV6_DST "ipv6_dst": oxm(27) 128 Ipv6;
    IPV6_FLABEL "ipv6_flabel": oxm(28) 20 Hex;
    ICMPV6_TYPE "icmpv6_type": oxm(29) 8 Decimal;
    ICMPV6_CODE "icmpv6_code": oxm(30) 8 Decimal;
    IPV6_ND_TARGET "ipv6_nd_target": oxm(31) 128 Ipv6;
    IPV6_ND_SLL "ipv6_nd_sll": oxm(32) 48 Mac;
    IPV6_ND_TLL "ipv6_nd_tll": oxm(33) 48 Mac;
    MPLS_LABEL "mpls_label": oxm(34) 20 Decimal;
    MPLS_TC "mpls_tc": oxm(35) 3 Decimal;
    MPLS_BOS "mpls_bos": oxm(36) 1 Decimal;
    PBB_ISID "pbb_isid": pbb_isid() 24 Hex;
    TUNNEL_ID "tunnel_id": oxm(38) 64 Hex;
    IPV6_EXTHDR "ipv6_exthdr": oxm(39) 9 Hex;
    PBB_UCA "pbb_uca": oxm(41) 1 Decimal;
    TCP_FLAGS "tcp_flags": oxm(42) 12 Hex;
    ACTSET_OUTPUT "actset_output": oxm(43) 32 Port;
    PACKET_TYPE "packet_type": oxm(44) 32 Hex;

    XREG0 "xreg0": pkt_reg(0) 64 Hex;
    XREG1 "xreg1": pkt_reg(1) 64 Hex;
    XREG2 "xreg2": pkt_reg(2) 64 Hex;
    XREG3 "xreg3": pkt_reg(3) 64 Hex;
    XREG4 "xreg4": pkt_reg(4) 64 Hex;
    XREG5 "xreg5": pkt_reg(5) 64 Hex;
    XREG6 "xreg6": pkt_reg(6) 64 Hex;
    XREG7 "xreg7": pkt_reg(7) 64 Hex;

    NXM_IN_PORT "nxm_in_port": nxm0(0) 16 Decimal;
    NXM_ETH_DST "nxm_eth_dst": nxm0(1) 48 Mac;
    NXM_ETH_SRC "nxm_eth_src": nxm0(2) 48 Mac;
    NXM_ETH_TYPE "nxm_eth_type": nxm0(3) 16 Hex;
    VLAN_TCI "vlan_tci": nxm0(4) 16 Hex;
    NW_TOS "nw_tos": nxm0(5) 8 Decimal;
    NXM_IP_PROTO "nxm_ip_proto": nxm0(6) 8 Decimal;
    NXM_IP_SRC "nxm_ip_src": nxm0(7) 32 Ipv4;
    NXM_IP_DST "nxm_ip_dst": nxm0(8) 32 Ipv4;
    NXM_TCP_SRC "nxm_tcp_src": nxm0(9) 16 Decimal;
    NXM_TCP_DST "nxm_tcp_dst": nxm0(10) 16 Decimal;
    NXM_UDP_SRC "nxm_udp_src": nxm0(11) 16 Decimal;
    NXM_UDP_DST "nxm_udp_dst": nxm0(12) 16 Decimal;
    NXM_ICMP_TYPE "nxm_icmp_type": nxm0(13) 8 Decimal;
    NXM_ICMP_CODE "nxm_icmp_code": nxm0(14) 8 Decimal;
    NXM_ARP_OP "nxm_arp_op": nxm0(15) 16 Decimal;
    NXM_ARP_SPA "nxm_arp_spa": nxm0(16) 32 Ipv4;
    NXM_ARP_TPA "nxm_arp_tpa": nxm0(17) 32 Ipv4;

    REG0 "reg0": nxm1(0) 32 Hex;
    REG1 "reg1": nxm1(1) 32 Hex;
    REG2 "reg2": nxm1(2) 32 Hex;
    REG3 "reg3": nxm1(3) 32 Hex;
    REG4 "reg4": nxm1(4) 32 Hex;
    REG5 "reg5": nxm1(5) 32 Hex;
    REG6 "reg6": nxm1(6) 32 Hex;
    REG7 "reg7": nxm1(7) 32 Hex;
    REG8 "reg8": nxm1(8) 32 Hex;
    REG9 "reg9": nxm1(9) 32 Hex;
    REG10 "reg10": nxm1(10) 32 Hex;
    REG11 "reg11": nxm1(11) 32 Hex;
    REG12 "reg12": nxm1(12) 32 Hex;
    REG13 "reg13": nxm1(13) 32 Hex;
    REG14 "reg14": nxm1(14) 32 Hex;
    REG15 "reg15": nxm1(15) 32 Hex;
    NXM_TUN_ID "nxm_tun_id": nxm1(16) 64 Hex;
    NXM_ARP_SHA "nxm_arp_sha": nxm1(17) 48 Mac;
    NXM_ARP_THA "nxm_arp_tha": nxm1(18) 48 Mac;
    NXM_IPV6_SRC "nxm_ipv6_src": nxm1(19) 128 Ipv6;
    NXM_IPV6_DST "nxm_ipv6_dst": nxm1(20) 128 Ipv6;
    NXM_ICMPV6_TYPE "nxm_icmpv6_type": nxm1(21) 8 Decimal;
    NXM_ICMPV6_CODE "nxm_icmpv6_code": nxm1(22) 8 Decimal;
    NXM_ND_TARGET "nxm_nd_target": nxm1(23) 128 Ipv6;
    NXM_ND_SLL "nxm_nd_sll": nxm1(24) 48 Mac;
    NXM_ND_TLL "nxm_nd_tll": nxm1(25) 48 Mac;
    IP_FRAG "ip_frag": nxm1(26) 2 Hex;
    NXM_IPV6_LABEL "nxm_ipv6_label": nxm1(27) 20 Hex;
    NXM_IP_ECN "nxm_ip_ecn": nxm1(28) 2 Decimal;
    NW_TTL "nw_ttl": nxm1(29) 8 Decimal;
    MPLS_TTL "mpls_ttl": nxm1(30) 8 Decimal;
    TUN_SRC "tun_src": nxm1(31) 32 Ipv4;
    TUN_DST "tun_dst": nxm1(32) 32 Ipv4;
    PKT_MARK "pkt_mark": nxm1(33) 32 Hex;
    NXM_TCP_FLAGS "nxm_tcp_flags": nxm1(34) 12 Hex;
    NXM_DP_HASH "nxm_dp_hash": nxm1(35) 32 Hex;
    NXM_RECIRC_ID "nxm_recirc_id": nxm1(36) 32 Hex;
    CONJ_ID "conj_id": nxm1(37) 32 Decimal;
    TUN_GBP_ID "tun_gbp_id": nxm1(38) 16 Decimal;
    TUN_GBP_FLAGS "tun_gbp_flags": nxm1(39) 8 Hex;
    TUN_FLAGS "tun_flags": nxm1(104) 16 Hex;
    CT_STATE "ct_state": nxm1(105) 32 Hex;
    CT_ZONE "ct_zone": nxm1(106) 16 Decimal;
    CT_MARK "ct_mark": nxm1(107) 32 Hex;
    CT_LABEL "ct_label": nxm1(108) 128 Hex;
    TUN_IPV6_SRC "tun_ipv6_src": nxm1(109) 128 Ipv6;
    TUN_IPV6_DST "tun_ipv6_dst": nxm1(110) 128 Ipv6;
    XXREG0 "xxreg0": nxm1(111) 128 Hex;
    XXREG1 "xxreg1": nxm1(112) 128 Hex;
    XXREG2 "xxreg2": nxm1(113) 128 Hex;
    XXREG3 "xxreg3": nxm1(114) 128 Hex;
    CT_NW_PROTO "ct_nw_proto": nxm1(119) 8 Decimal;
    CT_NW_SRC "ct_nw_src": nxm1(120) 32 Ipv4;
    CT_NW_DST "ct_nw_dst": nxm1(121) 32 Ipv4;
    CT_IPV6_SRC "ct_ipv6_src": nxm1(122) 128 Ipv6;
    CT_IPV6_DST "ct_ipv6_dst": nxm1(123) 128 Ipv6;
    CT_TP_SRC "ct_tp_src": nxm1(124) 16 Decimal;
    CT_TP_DST "ct_tp_dst": nxm1(125) 16 Decimal;

    ND_RESERVED "nd_reserved": ericsson(1) 32 Decimal;
    ND_OPTIONS_TYPE "nd_options_type": ericsson(2) 8 Decimal;

    ONF_TCP_FLAGS "onf_tcp_flags": experimenter(0x4f4e_4600, 42) 12 Hex;
    ONF_ACTSET_OUTPUT "onf_actset_output": experimenter(0x4f4e_4600, 43) 32 Port;

    DP_HASH "dp_hash": experimenter(0x2320, 0) 32 Hex;
    TUN_ERSPAN_IDX "tun_erspan_idx": experimenter(0x2320, 11) 20 Hex;
    TUN_ERSPAN_VER "tun_erspan_ver": experimenter(0x2320, 12) 4 Decimal;
    TUN_ERSPAN_DIR "tun_erspan_dir": experimenter(0x2320, 13) 1 Decimal;
    TUN_ERSPAN_HWID "tun_erspan_hwid": experimenter(0x2320, 14) 6 Hex;
    TUN_GTPU_FLAGS "tun_gtpu_flags": experimenter(0x2320, 15) 8 Hex;
    TUN_GTPU_MSGTYPE "tun_gtpu_msgtype": experimenter(0x2320, 16) 8 Decimal;

    NSH_FLAGS "nsh_flags": experimenter(0x005a_d650, 1) 8 Decimal;
    NSH_MDTYPE "nsh_mdtype": experimenter(0x005a_d650, 2) 8 Decimal;
    NSH_NP "nsh_np": experimenter(0x005a_d650, 3) 8 Decimal;
    NSH_SPI "nsh_spi": experimenter(0x005a_d650, 4) 24 Hex;
    NSH_SI "nsh_si": experimenter(0x005a_d650, 5) 8 Decimal;
    NSH_C1 "nsh_c1": experimenter(0x005a_d650, 6) 32 Hex;
    NSH_C2 "nsh_c2": experimenter(0x005a_d650, 7) 32 Hex;
    NSH_C3 "nsh_c3": experimenter(0x005a_d650, 8) 32 Hex;
    NSH_C4 "nsh_c4": experimenter(0x005a_d650, 9) 32 Hex;
    NSH_TTL "nsh_ttl": experimenter(0x005a_d650, 10) 8 Decimal;
}
