//! A network that delivers at once unless a wire is cut, a Map-Server, and routers, under a clock that
//! the test moves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lisp::auth::Secret;
use lisp::{Eid, Message};
use mapping::{Audit, Key, MapServer, Site};
use offload::vnet::Vnet;
use xtr::Config;
use xtr::config::{Instance, MapResolver, Own, Rloc};
use xtr::control::status::Status;
use xtr::control::{Change, Core, Outcome, Saved, Waiting};
use xtr::data::table::{Presence, Route, Tables};

pub(crate) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
pub(crate) const OLD: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(crate) const NEW: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
pub(crate) const ITR: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const PORT: u16 = 4342;
const STEP: Duration = Duration::from_millis(50);

struct Host {
    core: Core,
    tables: Tables,
    saved: Saved,
    resumed: usize,
    received: Vec<(SocketAddr, Vec<u8>)>,
    sent: usize,
}

pub(crate) struct World {
    now: Duration,
    unix: u64,
    server: MapServer,
    seen: Vec<Message>,
    hosts: BTreeMap<IpAddr, Host>,
    wire: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    cut: BTreeSet<IpAddr>,
    solicitations: BTreeMap<IpAddr, usize>,
    requests: BTreeMap<IpAddr, usize>,
    unacknowledged: usize,
    dice: u64,
}

pub(crate) fn vm(last: u8) -> Eid {
    Eid::host(7, Ipv4Addr::new(10, 2, 0, last))
}

pub(crate) fn site(prefix: &str) -> Own {
    Own {
        prefix: prefix.to_owned(),
        instance: 7,
    }
}

fn rloc(address: IpAddr) -> Rloc {
    Rloc {
        address,
        priority: 1,
        weight: 100,
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(false)
    }

    /// Its Map-Server takes registrations as in 2013.
    pub(crate) fn old() -> Self {
        Self::with(true)
    }

    fn with(old: bool) -> Self {
        let sites = vec![Site {
            id: 9,
            keys: vec![Key {
                id: 0,
                secret: Secret::new(b"of the site"),
            }],
            prefixes: vec![Eid::new(7, Ipv4Addr::new(10, 2, 0, 0), 16)],
            accept_more_specifics: true,
            accept_constant_nonce: old,
        }];
        let config = mapping::Config {
            sites,
            ..mapping::Config::default()
        };
        Self {
            now: Duration::from_secs(1000),
            unix: 1_700_000_000,
            server: MapServer::new(config, SERVER),
            seen: Vec::new(),
            hosts: BTreeMap::new(),
            wire: Vec::new(),
            cut: BTreeSet::new(),
            solicitations: BTreeMap::new(),
            requests: BTreeMap::new(),
            unacknowledged: 0,
            dice: 1,
        }
    }

    pub(crate) fn add(&mut self, address: IpAddr, change: impl FnOnce(&mut Config)) {
        self.begin(address, Saved::default(), change);
    }

    /// Starts a router again with what it has saved.
    pub(crate) fn restart(&mut self, address: IpAddr, change: impl FnOnce(&mut Config)) {
        let saved = self.hosts.remove(&address).expect("a host").saved;
        self.begin(address, saved, change);
    }

    fn begin(&mut self, address: IpAddr, saved: Saved, change: impl FnOnce(&mut Config)) {
        let instance = Instance {
            id: 7,
            tun: "lisp7".to_owned(),
            mtu: None,
            addresses: Vec::new(),
            routes: Vec::new(),
        };
        let mut config = Config::small([address], instance);
        config.xtr_id = Some(format!("{:x}", address_number(address)));
        config.site_id = 9;
        config.probe_interval = 0;
        config.map_servers = vec![server()];
        config.map_resolvers = vec![MapResolver {
            address: SERVER,
            port: PORT,
            rfc6830: false,
        }];
        change(&mut config);
        self.dice += 1;
        let mut dice = self.dice << 32 | address_number(address) as u64;
        let random = Box::new(move || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            dice ^ dice >> 29
        });
        let (core, outcome) = Core::new(&config, saved.clone(), self.unix, random, self.now)
            .expect("a configuration");
        let host = Host {
            core,
            tables: Tables::default(),
            saved,
            resumed: 0,
            received: Vec::new(),
            sent: 0,
        };
        self.hosts.insert(address, host);
        self.take(address, outcome);
        self.deliver();
    }

    fn take(&mut self, address: IpAddr, outcome: Outcome) {
        let host = self.hosts.get_mut(&address).expect("a host");
        for change in outcome.changes {
            match change {
                Change::Route(eid, route) => host.tables.set_route(eid, route),
                Change::Own(eid, own) => host.tables.set_own(eid, own),
            }
        }
        if let Some(saved) = outcome.save {
            host.saved = saved;
        }
        host.resumed += outcome.resume.len();
        host.sent += outcome.send.len();
        let from = SocketAddr::new(address, PORT);
        let sent = outcome
            .send
            .into_iter()
            .map(|(to, bytes)| (from, to, bytes));
        self.wire.extend(sent);
    }

    fn call(&mut self, address: IpAddr, call: impl FnOnce(&mut Core, Duration, &mut Outcome)) {
        let now = self.now;
        let mut outcome = Outcome::default();
        let host = self.hosts.get_mut(&address).expect("a host");
        call(&mut host.core, now, &mut outcome);
        self.take(address, outcome);
    }

    fn deliver(&mut self) {
        while !self.wire.is_empty() {
            for (from, to, bytes) in std::mem::take(&mut self.wire) {
                if self.cut.contains(&from.ip()) || self.cut.contains(&to.ip()) {
                    continue;
                }
                if to.ip() == SERVER {
                    let mut outcome = mapping::Outcome::default();
                    let message = Message::decode(&bytes).expect("a message");
                    if matches!(message, Message::Encapsulated(_)) {
                        *self.requests.entry(from.ip()).or_default() += 1;
                    }
                    self.seen.push(message);
                    self.server.receive(from, &bytes, self.now, &mut outcome);
                    self.serve(outcome);
                } else if self.hosts.contains_key(&to.ip()) {
                    if let Ok(Message::MapRequest(request)) = Message::decode(&bytes)
                        && request.flags.contains(lisp::MapRequestFlags::SMR)
                    {
                        *self.solicitations.entry(to.ip()).or_default() += 1;
                    }
                    let host = self.hosts.get_mut(&to.ip()).expect("a host");
                    host.received.push((from, bytes.clone()));
                    self.call(to.ip(), |core, now, out| {
                        core.receive(from, &bytes, now, out)
                    });
                } else if let Ok(Message::MapRequest(_)) = Message::decode(&bytes) {
                    *self.solicitations.entry(to.ip()).or_default() += 1;
                }
            }
        }
    }

    fn serve(&mut self, outcome: mapping::Outcome) {
        for line in &outcome.audit {
            if matches!(line, Audit::Unacknowledged { .. }) {
                self.unacknowledged += 1;
            }
        }
        let from = SocketAddr::new(SERVER, PORT);
        let sent = outcome.datagrams();
        let sent = sent.map(|(to, bytes)| (from, to, bytes.to_vec()));
        self.wire.extend(sent);
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            self.deliver();
            let mut outcome = mapping::Outcome::default();
            self.server.tick(self.now, &mut outcome);
            self.serve(outcome);
            for address in self.hosts.keys().copied().collect::<Vec<_>>() {
                self.call(address, |core, now, outcome| core.tick(now, outcome));
            }
            self.deliver();
        }
        self.unix += time.as_secs();
    }

    pub(crate) fn sent_in(&mut self, host: IpAddr, time: Duration) -> usize {
        let before = self.hosts[&host].sent;
        self.run(time);
        self.hosts[&host].sent - before
    }

    /// A packet to a destination as a worker treats it. True if it may wait.
    pub(crate) fn send_packet(&mut self, host: IpAddr, to: Eid, number: u8) -> bool {
        let address = lisp::Address::from(to.address()).ip().expect("an address");
        let packet = Waiting {
            instance: to.instance(),
            vnet: Vnet::default(),
            packet: vec![number; 40],
        };
        let mut kept = false;
        self.call(host, |core, now, out| {
            kept = core.missed(address, packet, now, out)
        });
        kept
    }

    pub(crate) fn late(&mut self, host: IpAddr, eid: Eid, from: IpAddr) {
        self.call(host, |core, now, out| core.late(eid, from, now, out));
    }

    pub(crate) fn arrive(&mut self, host: IpAddr, eid: Eid) {
        self.call(host, |core, now, out| core.own_eid_arrived(eid, now, out));
    }

    pub(crate) fn leave(&mut self, host: IpAddr, eid: Eid, to: IpAddr) {
        self.call(host, |core, now, out| {
            let until = now + Duration::from_secs(20);
            core.own_eid_left(eid, vec![rloc(to)], until, now, out);
        });
    }

    pub(crate) fn inject(&mut self, host: IpAddr, from: SocketAddr, bytes: &[u8]) {
        self.call(host, |core, now, out| core.receive(from, bytes, now, out));
        self.deliver();
    }

    pub(crate) fn cut(&mut self, host: IpAddr) {
        self.cut.insert(host);
    }

    pub(crate) fn mend(&mut self, host: IpAddr) {
        self.cut.remove(&host);
    }

    pub(crate) fn route(&self, host: IpAddr, to: Eid) -> Option<Route> {
        let address = lisp::Address::from(to.address()).ip().expect("an address");
        self.hosts[&host].tables.route(to.instance(), address)
    }

    pub(crate) fn goes_to(&self, host: IpAddr, to: Eid) -> Vec<IpAddr> {
        match self.route(host, to) {
            Some(Route::To(choice)) => choice.locators().map(|to| to.ip()).collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn presence(&self, host: IpAddr, eid: Eid) -> Option<Presence> {
        let address = lisp::Address::from(eid.address()).ip().expect("an address");
        self.hosts[&host].tables.own(eid.instance(), address)
    }

    pub(crate) fn resumed(&self, host: IpAddr) -> usize {
        self.hosts[&host].resumed
    }

    pub(crate) fn received_by(&self, host: IpAddr) -> Vec<(SocketAddr, Vec<u8>)> {
        self.hosts[&host].received.clone()
    }

    pub(crate) fn status(&self, host: IpAddr) -> Status {
        self.hosts[&host].core.status(self.now)
    }

    pub(crate) fn requests_of(&self, host: IpAddr) -> usize {
        self.requests.get(&host).copied().unwrap_or(0)
    }

    pub(crate) fn solicitations_to(&self, host: IpAddr) -> usize {
        self.solicitations.get(&host).copied().unwrap_or(0)
    }

    pub(crate) fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    pub(crate) fn seen_by_server(&self) -> impl Iterator<Item = &Message> {
        self.seen.iter()
    }

    pub(crate) fn registered(&self, eid: Eid) -> Vec<IpAddr> {
        let record = self.server.mapping(eid, self.now).expect("a mapping");
        let locators = record.locators.iter();
        locators
            .filter_map(|locator| locator.address.ip())
            .collect()
    }
}

fn address_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn server() -> xtr::config::MapServer {
    xtr::config::MapServer {
        address: SERVER,
        port: PORT,
        key: Some("of the site".to_owned()),
        key_file: None,
        key_id: 0,
        algorithm: xtr::config::Hmac::Sha256,
        proxy_reply: true,
        rfc6830: false,
    }
}
