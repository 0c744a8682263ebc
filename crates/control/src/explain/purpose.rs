//! The phrase for each kind of rule.

use super::{Words, member};
use crate::projection::{
    ANSWER, Action, ENTERED, ENTERING, FROM_OUTSIDE, Field, Key, Kind, ORIGIN, Rule, track,
};
use model::ClusterName;
use std::collections::BTreeSet;
use std::net::IpAddr;

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;

/// What rules of a kind are called.
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Base => "end of a table",
        Kind::Classify => "way in",
        Kind::Guard => "guard",
        Kind::Fence => "fence",
        Kind::Answer => "answer",
        Kind::Origin => "way out",
        Kind::Replicate => "copies",
        Kind::Arrivals => "arrivals",
        Kind::Redirect => "redirect",
        Kind::Gate => "gate",
        Kind::Security => "security rule",
    }
}

impl Words<'_> {
    pub(super) fn purpose(
        &self,
        rule: &Rule,
        key: Option<&Key>,
        net: Option<&ClusterName>,
    ) -> String {
        let whose = match (key, net) {
            (Some(key), _) => member(key),
            (None, Some(net)) => net.to_string(),
            (None, None) => "nobody".to_owned(),
        };
        match rule.cookie.kind() {
            Some(Kind::Base) | None => end(rule),
            Some(Kind::Classify) => self.way_in(rule, key, &whose),
            Some(Kind::Guard) => format!("guard: {whose} may send {}", allowed(rule)),
            Some(Kind::Fence) => format!(
                "fence: {whose} is {}; its port here may send nothing",
                self.place(key)
            ),
            Some(Kind::Answer) => answer(rule, &whose),
            Some(Kind::Origin) => self.way_out(rule, key, &whose),
            Some(Kind::Replicate) => self.copies(rule, &whose),
            Some(Kind::Arrivals) => match given(rule) {
                Given::Nothing => format!("arrivals for {whose}, which is not here: drop"),
                Given::Rules => format!("arrivals for {whose}: to its security rules"),
                Given::Port => format!("arrivals for {whose}: to its port"),
            },
            Some(Kind::Redirect) => match self.towards(rule).first() {
                Some(host) => format!("redirect: what still comes for {whose} goes on to {host}"),
                None => format!("redirect: what comes back for {whose} from its new place: drop"),
            },
            Some(Kind::Gate) => format!(
                "gate: what is for {whose} waits in a queue while its switchover is taken back"
            ),
            Some(Kind::Security) => security(rule, &whose),
        }
    }

    fn place(&self, key: Option<&Key>) -> String {
        let entry = key.and_then(|key| self.view.entries.get(key));
        match entry {
            Some(entry) if entry.locator.is_outside() => {
                format!("outside, at {}", entry.locator.address)
            }
            Some(entry) => format!("on {}", entry.locator.host),
            None => "elsewhere".to_owned(),
        }
    }

    fn way_in(&self, rule: &Rule, key: Option<&Key>, whose: &str) -> String {
        if let Some(key) = key {
            return match rule.table {
                0 => format!("port of {}: its network", member(key)),
                FROM_OUTSIDE => format!("from {whose}, outside: its Ethernet address"),
                _ => format!("from outside for {whose}: its Ethernet address"),
            };
        }
        let port = rule.matching.iter().find_map(|field| match field {
            Field::InPort(port) => Some(*port),
            _ => None,
        });
        match port {
            Some(port) if self.view.gpe == Some(port) => {
                format!("VXLAN-GPE from outside into {whose}")
            }
            Some(port) if self.view.gateways.values().any(|own| *own == port) => {
                format!("LISP gateway of {whose}: its network")
            }
            _ => format!("tunnel into {whose}"),
        }
    }

    fn way_out(&self, rule: &Rule, key: Option<&Key>, whose: &str) -> String {
        let entry = key.and_then(|key| self.view.entries.get(key));
        let outside = entry.filter(|entry| entry.locator.is_outside());
        if let Some(host) = self.towards(rule).first() {
            return match outside {
                Some(_) => format!("VXLAN-GPE to router {host} for {whose}, outside"),
                None => format!("tunnel to {host} for {whose}"),
            };
        }
        match (given(rule), outside) {
            (Given::Nothing, _) => format!("{whose} cannot be reached from here: drop"),
            (_, Some(_)) => format!("to the LISP gateway for {whose}, outside"),
            (Given::Rules, None) => format!("to the security rules of {whose}, here"),
            (Given::Port, None) => format!("to the port of {whose}, here"),
        }
    }

    fn copies(&self, rule: &Rule, whose: &str) -> String {
        let group = rule.matching.contains(&Field::EthGroup);
        let what = if group {
            "to a group"
        } else {
            "to nobody known"
        };
        let from = match rule.table {
            ORIGIN => "",
            _ => ", out of tunnels",
        };
        let ports = rule.actions.iter().filter(|action| match action {
            Action::Output(port) => !self.is_tunnel(*port),
            Action::Through(_) => true,
            _ => false,
        });
        let ports = ports.count();
        let mut to = Vec::new();
        if ports > 0 {
            to.push(format!(
                "{ports} port{} here",
                if ports == 1 { "" } else { "s" }
            ));
        }
        to.extend(self.towards(rule));
        match to.is_empty() {
            true => format!("frames of {whose} {what}{from}: nobody to copy to"),
            false => format!(
                "frames of {whose} {what}{from}: copies to {}",
                to.join(", ")
            ),
        }
    }

    fn is_tunnel(&self, port: u32) -> bool {
        self.view.gpe == Some(port) || self.view.tunnels.values().any(|tunnel| *tunnel == port)
    }

    /// The hosts that a rule sends to.
    fn towards(&self, rule: &Rule) -> Vec<String> {
        let all: BTreeSet<IpAddr> = destinations(rule).collect();
        all.into_iter().map(|address| self.host(address)).collect()
    }
}

/// The underlay addresses that a rule sends to.
pub fn destinations(rule: &Rule) -> impl Iterator<Item = IpAddr> {
    rule.actions.iter().filter_map(|action| match action {
        Action::SetTunnelDestination(to) => Some(*to),
        _ => None,
    })
}

enum Given {
    Nothing,
    Port,
    Rules,
}

fn given(rule: &Rule) -> Given {
    match (rule.goto, rule.actions.is_empty()) {
        (Some(_), _) => Given::Rules,
        (None, true) => Given::Nothing,
        (None, false) => Given::Port,
    }
}

fn end(rule: &Rule) -> String {
    match (rule.table, rule.priority) {
        (ANSWER, 0) => "what is no question goes on".to_owned(),
        (ANSWER, _) if ether(rule) == Some(ARP) => "ARP that nobody answers ends here".to_owned(),
        (ANSWER, _) => "neighbour discovery that nobody answers ends here".to_owned(),
        (table, _) => format!("end of table {table}: drops what no rule speaks of"),
    }
}

fn ether(rule: &Rule) -> Option<u16> {
    rule.matching.iter().find_map(|field| match field {
        Field::EthType(number) => Some(*number),
        _ => None,
    })
}

fn allowed(rule: &Rule) -> String {
    let mut from = None;
    for field in &rule.matching {
        match field {
            Field::ArpSenderIp(ip) if ip.is_unspecified() => return "ARP probes".to_owned(),
            Field::ArpSenderIp(ip) => return format!("ARP as {ip}"),
            Field::UdpDestination(67) => return "DHCP requests".to_owned(),
            Field::Ipv6Source(ip) if ip.is_unspecified() => {
                return "duplicate address detection".to_owned();
            }
            Field::Ipv4Source(ip) => from = Some(IpAddr::V4(*ip)),
            Field::Ipv6Source(ip) => from = Some(IpAddr::V6(*ip)),
            _ => {}
        }
    }
    from.map_or_else(|| "this".to_owned(), |ip| format!("as {ip}"))
}

fn answer(rule: &Rule, whose: &str) -> String {
    let about = rule.matching.iter().find_map(|field| match field {
        Field::ArpTargetIp(ip) => Some(("ARP", IpAddr::V4(*ip))),
        Field::NdTarget(ip) => Some(("neighbour discovery", IpAddr::V6(*ip))),
        _ => None,
    });
    let (protocol, address) = match about {
        Some((protocol, address)) => (protocol, format!(" ({address})")),
        None => ("questions", String::new()),
    };
    let probe = rule
        .matching
        .iter()
        .any(|field| matches!(field, Field::Ipv6Source(ip) if ip.is_unspecified()));
    match rule.actions.is_empty() {
        true => format!("{whose} asks for its own address{address}: no answer"),
        false if probe => {
            format!("tells who tries the address of {whose}{address} that it is taken")
        }
        false if rule.table == ANSWER => format!("answers {protocol} for {whose}{address}"),
        false => format!("completes the answer for {whose}{address}"),
    }
}

fn security(rule: &Rule, whose: &str) -> String {
    let direction = match rule.table {
        ENTERING | ENTERED => format!("to {whose}"),
        _ => format!("from {whose}"),
    };
    let looks = rule
        .actions
        .iter()
        .any(|action| matches!(action, Action::Track { .. }));
    if looks {
        return format!("security: looks up the connection of what goes {direction}");
    }
    let state = rule.matching.iter().find_map(|field| match field {
        Field::Tracked { set, .. } => Some(*set),
        _ => None,
    });
    match state {
        Some(set) if set & track::RELATED != 0 => {
            format!("security: what is about a known connection may go {direction}")
        }
        Some(set) if set & track::ESTABLISHED != 0 => {
            format!("security: known connections may go {direction}")
        }
        Some(_) => format!("security: {} may be opened {direction}", opened(rule)),
        None => format!("security: TCP of no known connection {direction}: drop"),
    }
}

/// What a security rule lets begin.
fn opened(rule: &Rule) -> String {
    let mut protocol = match ether(rule) {
        Some(IPV4) => "IPv4",
        _ => "IPv6",
    };
    let (mut ports, mut with) = (String::new(), String::new());
    for field in &rule.matching {
        match field {
            Field::IpProto(6) => protocol = "TCP",
            Field::IpProto(17) => protocol = "UDP",
            Field::IpProto(1) => protocol = "ICMP",
            Field::IpProto(58) => protocol = "ICMPv6",
            Field::TcpDestinationIn(port, mask) | Field::UdpDestinationIn(port, mask) => {
                let last = port | !mask;
                ports = match last == *port {
                    true => format!(" {port}"),
                    false => format!(" {port}-{last}"),
                };
            }
            Field::Ipv4SourceIn(ip, length) | Field::Ipv4DestinationIn(ip, length) => {
                with = format!(" with {ip}/{length}");
            }
            Field::Ipv6SourceIn(ip, length) | Field::Ipv6DestinationIn(ip, length) => {
                with = format!(" with {ip}/{length}");
            }
            _ => {}
        }
    }
    format!("{protocol}{ports}{with}")
}
