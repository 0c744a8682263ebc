//! One endpoint: a namespace with an interface, plugged into a host's integration bridge.

use super::frame::{Raw, numbered};
use super::host::Host;
use super::netns::Netns;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses by number, the same in every cluster.
pub fn mac(vm: u8) -> [u8; 6] {
    [0x52, 0x54, 0, 0x77, 0, vm]
}

pub fn ipv4(vm: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, vm)
}

pub fn ipv6(vm: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, u16::from(vm))
}

pub const BROADCAST: [u8; 6] = [0xff; 6];

/// Numbers from here on are no test's own.
const MARK: u32 = 1_000_000;

#[derive(Debug)]
pub struct Endpoint {
    pub netns: Netns,
    pub raw: Raw,
    pub vm: u8,
    pub ofport: u32,
}

impl Endpoint {
    /// Plugs an endpoint in. Its kernel has no address yet and says nothing by itself.
    pub fn plug(host: &Host, vm: u8, ofport: u32) -> Self {
        let netns = Netns::new(&format!("e{vm}"));
        let _ = netns.exec("sysctl -qw net.ipv6.conf.default.addr_gen_mode=1");
        let mac = model::Mac(mac(vm));
        let tap = format!("tap{ofport}");
        host.netns.ip(&format!(
            "link add {tap} type veth peer name eth0 netns {} address {mac} mtu 1400",
            netns.name
        ));
        host.netns
            .ip(&format!("link set {tap} mtu 1400 addrgenmode none up"));
        netns.ip("link set eth0 up");
        host.vsctl(&format!(
            "add-port icint0 {tap} -- set interface {tap} ofport_request={ofport}"
        ));
        let raw = Raw::open(&netns, "eth0");
        Self {
            netns,
            raw,
            vm,
            ofport,
        }
    }

    /// Gives its kernel the endpoint's addresses.
    pub fn configure(&self) {
        self.netns
            .ip(&format!("addr add {}/24 dev eth0", ipv4(self.vm)));
        self.netns
            .ip(&format!("addr add {}/64 dev eth0 nodad", ipv6(self.vm)));
    }

    /// True when the other endpoint answers within a second or a few, by both families.
    pub fn reaches(&self, vm: u8) -> bool {
        let ping = |ip: IpAddr| {
            let ping = if ip.is_ipv4() { "ping" } else { "ping6" };
            self.netns
                .exec(&format!("busybox {ping} -c 5 -A -w 5 {ip}"))
                .is_ok()
        };
        ping(ipv4(vm).into()) && ping(ipv6(vm).into())
    }

    /// Sends a numbered packet to another endpoint.
    pub fn send(&self, to: u8, number: u32) {
        self.send_frame(&numbered(
            mac(self.vm),
            mac(to),
            ipv4(self.vm).into(),
            ipv4(to).into(),
            number,
        ));
    }

    pub fn broadcast(&self, number: u32) {
        let to = Ipv4Addr::new(10, 77, 0, 255);
        self.send_frame(&numbered(
            mac(self.vm),
            BROADCAST,
            ipv4(self.vm).into(),
            to.into(),
            number,
        ));
    }

    /// What the receiver has got of all that was sent before, sorted. It is known to be all when
    /// two packets of ours in turn have come: one alone may overtake what came with it in a burst
    /// and goes by other rules.
    pub fn seen_by(&self, receiver: &Self) -> Vec<u32> {
        let mut seen = Vec::new();
        for last in [MARK, MARK + 1] {
            self.send(receiver.vm, last);
            seen.extend(receiver.raw.numbers_until(last));
        }
        seen.retain(|number| *number < MARK);
        seen.sort_unstable();
        seen
    }

    pub fn send_frame(&self, frame: &[u8]) {
        self.raw.send(frame);
    }
}
