//! Our Map-Server behind a socket.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lisp::auth::Secret;
use lisp::message::CONTROL_PORT;
use lisp::{Eid, Record};
use mapping::{Audit, Config, Key, MapServer, Outcome, Site};

use crate::driver::world::World;

/// Where the Map-Server is in every world.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// What its only site shares with it.
pub(crate) const SECRET: &str = "of the site";

/// Serves until dropped.
pub(crate) struct Served {
    core: Arc<Mutex<MapServer>>,
    audit: Arc<Mutex<Vec<Audit>>>,
    began: Instant,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// A Map-Server for 10.0.0.0/8 and fd10::/16 of the instances given.
    pub(crate) fn start(world: &mut World, instances: &[u32]) -> Self {
        world.place("ms", SERVER.into());
        let socket = world.inside("ms", || {
            UdpSocket::bind((SERVER, CONTROL_PORT)).expect("nobody else has the port")
        });
        let pause = Duration::from_millis(5);
        socket.set_read_timeout(Some(pause)).expect("not zero");
        let ten = Ipv4Addr::new(10, 0, 0, 0);
        let six = "fd10::".parse::<std::net::Ipv6Addr>().expect("an address");
        let prefixes = instances
            .iter()
            .flat_map(|&iid| [Eid::new(iid, ten, 8), Eid::new(iid, six, 16)]);
        let site = Site {
            id: 9,
            keys: vec![Key {
                id: 0,
                secret: Secret::new(SECRET.as_bytes()),
            }],
            prefixes: prefixes.collect(),
            accept_more_specifics: true,
            accept_constant_nonce: true,
        };
        let config = Config {
            sites: vec![site],
            ..Config::default()
        };
        let served = Self {
            core: Arc::new(Mutex::new(MapServer::new(config, IpAddr::V4(SERVER)))),
            audit: Arc::default(),
            began: Instant::now(),
            end: Arc::default(),
            thread: None,
        };
        served.run(socket)
    }

    fn run(mut self, socket: UdpSocket) -> Self {
        let (core, audit) = (Arc::clone(&self.core), Arc::clone(&self.audit));
        let (end, began) = (Arc::clone(&self.end), self.began);
        self.thread = Some(thread::spawn(move || {
            let mut buffer = [0; 65535];
            while !end.load(Ordering::Relaxed) {
                let mut outcome = Outcome::default();
                let received = socket.recv_from(&mut buffer);
                let mut core = core.lock().expect("nobody panics with it");
                match received {
                    Ok((length, from)) => {
                        let datagram = buffer.get(..length).expect("it fits");
                        core.receive(from, datagram, began.elapsed(), &mut outcome);
                    }
                    Err(error) => assert!(
                        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                        "{error}"
                    ),
                }
                core.tick(began.elapsed(), &mut outcome);
                for (to, bytes) in outcome.datagrams() {
                    // A locator that is gone is no reason to stop.
                    let _ = socket.send_to(bytes, to);
                }
                let mut lines = audit.lock().expect("nobody panics with it");
                lines.extend(outcome.audit);
            }
        }));
        self
    }

    /// What is registered for a prefix.
    pub(crate) fn mapping(&self, eid: Eid) -> Option<Record> {
        let core = self.core.lock().expect("nobody panics with it");
        core.mapping(eid, self.began.elapsed())
    }

    /// The audit lines so far.
    #[allow(dead_code, reason = "the tests of the router do not read them")]
    pub(crate) fn audit(&self) -> Vec<Audit> {
        self.audit.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the server panicked");
        }
    }
}
