//! The `th.` parameters. Words without that prefix belong to the kernel and are passed over.

use std::net::IpAddr;

/// An address with its prefix length, as in `10.77.0.11/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    pub(crate) addr: IpAddr,
    pub(crate) prefix: u8,
}

/// What the memory dirtier does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dirty {
    /// Size of the area in MiB.
    pub(crate) mb: u32,
    /// Whole 4 KiB pages rewritten each second.
    pub(crate) pages_per_s: u32,
    /// Fresh random data (incompressible) rather than one counter all over the page.
    pub(crate) random: bool,
}

/// What is written to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskLoad {
    /// Records each second; 0 is paused.
    pub(crate) rate: u32,
    /// Size of a record in KiB: a power of two up to 1024.
    pub(crate) kib: u32,
}

/// Everything a guest is told at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Params {
    pub(crate) name: String,
    pub(crate) addrs: Vec<Cidr>,
    pub(crate) gateways: Vec<IpAddr>,
    pub(crate) mtu: Option<u32>,
    pub(crate) dirty: Dirty,
    pub(crate) disk: Option<DiskLoad>,
    pub(crate) peers: Vec<IpAddr>,
    pub(crate) udp_peers: Vec<IpAddr>,
    pub(crate) stream_ms: u32,
    pub(crate) tcp_ms: u32,
    pub(crate) shell: bool,
}

impl Params {
    /// Reads a command line. What cannot be read is left at its default and comes back as a
    /// sentence: a guest that boots and complains is easier to find than one that stops.
    pub(crate) fn parse(words: &str) -> (Params, Vec<String>) {
        let mut out = Params {
            name: "guest".into(),
            addrs: Vec::new(),
            gateways: Vec::new(),
            mtu: None,
            dirty: Dirty::default(),
            disk: None,
            peers: Vec::new(),
            udp_peers: Vec::new(),
            stream_ms: 2,
            tcp_ms: 10,
            shell: false,
        };
        let mut complaints = Vec::new();
        let mut udp_given = false;
        for word in words.split_ascii_whitespace() {
            let Some(rest) = word.strip_prefix("th.") else {
                continue;
            };
            let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
            let read = match key {
                "name" => {
                    out.name = value.into();
                    Some(())
                }
                "ip" => list(value, cidr).map(|v| out.addrs = v),
                "gw" => list(value, ip).map(|v| out.gateways = v),
                "mtu" => value.parse().ok().map(|v| out.mtu = Some(v)),
                "dirty" => dirty(value).map(|v| out.dirty = v),
                "disk" => disk(value).map(|v| out.disk = Some(v)),
                "peers" => list(value, ip).map(|v| out.peers = v),
                "udp_peers" => list(value, ip).map(|v| {
                    out.udp_peers = v;
                    udp_given = true;
                }),
                "tcp_ms" => value.parse().ok().map(|v| out.tcp_ms = v),
                "stream_ms" => value.parse().ok().map(|v| out.stream_ms = v),
                "shell" => {
                    out.shell = true;
                    Some(())
                }
                _ => None,
            };
            if read.is_none() {
                complaints.push(format!(
                    "cannot read the parameter `{word}`; see crates/guest/src/main.rs for the list"
                ));
            }
        }
        if !udp_given {
            out.udp_peers = out.peers.iter().take(1).copied().collect();
        }
        (out, complaints)
    }
}

fn list<T>(text: &str, one: fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',').filter(|s| !s.is_empty()).map(one).collect()
}

fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

fn cidr(text: &str) -> Option<Cidr> {
    let (addr, prefix) = text.split_once('/')?;
    let (addr, prefix): (IpAddr, u8) = (addr.parse().ok()?, prefix.parse().ok()?);
    let longest = if addr.is_ipv4() { 32 } else { 128 };
    (prefix <= longest).then_some(Cidr { addr, prefix })
}

fn dirty(text: &str) -> Option<Dirty> {
    let mut parts = text.split(',');
    let out = Dirty {
        mb: parts.next()?.parse().ok()?,
        pages_per_s: parts.next()?.parse().ok()?,
        random: flag(parts.next()?)?,
    };
    parts.next().is_none().then_some(out)
}

fn disk(text: &str) -> Option<DiskLoad> {
    let (rate, kib) = text.split_once(',').unwrap_or((text, "4"));
    let (rate, kib): (u32, u32) = (rate.parse().ok()?, kib.parse().ok()?);
    // Whole pages, so that a record can be read past the cache; no larger than what is read at once.
    let fits = kib.is_power_of_two() && (4..=1024).contains(&kib);
    fits.then_some(DiskLoad { rate, kib })
}

/// `1` or `0`.
pub(crate) fn flag(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_command_line_is_read_and_the_kernels_words_are_passed_over() {
        let (p, complaints) = Params::parse(
            "console=ttyS0 quiet panic=-1 th.name=shop-1 th.ip=10.77.0.11/24,fd77::11/64 th.gw=10.77.0.1 \
             th.dirty=48,500,1 th.peers=10.77.0.12,10.77.0.13 th.stream_ms=5 th.tcp_ms=50 th.mtu=1450\n",
        );
        assert!(complaints.is_empty(), "{complaints:?}");
        assert_eq!(p.name, "shop-1");
        assert_eq!(p.addrs.len(), 2);
        assert_eq!(
            (p.addrs[1].addr, p.addrs[1].prefix),
            ("fd77::11".parse().unwrap(), 64)
        );
        assert_eq!(
            p.dirty,
            Dirty {
                mb: 48,
                pages_per_s: 500,
                random: true
            }
        );
        assert_eq!((p.stream_ms, p.tcp_ms), (5, 50));
        assert_eq!((p.mtu, p.shell), (Some(1450), false));
    }

    #[test]
    fn the_udp_stream_goes_to_the_first_peer_unless_told_otherwise() {
        let (p, _) = Params::parse("th.peers=10.0.0.2,10.0.0.3");
        assert_eq!(p.udp_peers, vec!["10.0.0.2".parse::<IpAddr>().unwrap()]);
        let (p, _) = Params::parse("th.peers=10.0.0.2 th.udp_peers=");
        assert!(p.udp_peers.is_empty());
    }

    #[test]
    fn a_disks_records_are_of_4_kib_unless_told_otherwise() {
        let disk = |words| Params::parse(words).0.disk;
        assert_eq!(disk("th.disk=100"), Some(DiskLoad { rate: 100, kib: 4 }));
        assert_eq!(disk("th.disk=0,64"), Some(DiskLoad { rate: 0, kib: 64 }));
        assert_eq!(disk("th.dirty=1,2,1"), None);
    }

    #[test]
    fn what_cannot_be_read_is_named_and_left_at_its_default() {
        for bad in [
            "th.ip=10.0.0.1",
            "th.ip=10.0.0.1/33",
            "th.dirty=1,2",
            "th.dirty=1,2,yes",
            "th.disk=",
            "th.disk=10,3",
            "th.disk=10,2048",
            "th.peers=x",
            "th.nonsense=1",
        ] {
            let (p, complaints) = Params::parse(bad);
            assert_eq!(complaints.len(), 1, "{bad}");
            assert!(complaints[0].contains(bad));
            assert_eq!(p, Params::parse("").0);
        }
    }
}
