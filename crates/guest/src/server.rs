//! The event loop: one thread, one epoll instance, everything else hangs on it. An idle guest
//! sleeps until a packet comes.

use crate::dirtier::Dirtier;
use crate::disk::Disk;
use crate::echo::{self, Flows, Next, TcpEcho};
use crate::http::{self, HttpConnection, Request};
use crate::mail::{Mailbox, Waiting};
use crate::params::Params;
use crate::probe_tcp::TcpSession;
use crate::probe_udp::UdpStream;
use crate::stats::{self, EchoCounters};
use crate::{boot, sys};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

const ECHO_PORT: u16 = 7;
const HTTP_PORT: u16 = 80;
/// Connections of each service; more are closed at once rather than run the guest out of memory.
const CONNECTIONS: usize = 8192;

/// What a token stands for: the kind in the upper half, an index in the lower.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Kind {
    UdpEcho,
    EchoListener,
    HttpListener,
    TcpEcho,
    Http,
    Stream,
    Session,
    Alarm,
    Mail,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::UdpEcho,
        Kind::EchoListener,
        Kind::HttpListener,
        Kind::TcpEcho,
        Kind::Http,
        Kind::Stream,
        Kind::Session,
        Kind::Alarm,
        Kind::Mail,
    ];

    fn token(self, index: usize) -> u64 {
        (self as u64) << 32 | index as u64
    }
}

/// All there is in a running guest.
pub(crate) struct Server {
    pub(crate) params: Params,
    pub(crate) epoch: u64,
    pub(crate) epoch_since: u64,
    pub(crate) streams: Vec<(UdpSocket, UdpStream)>,
    pub(crate) sessions: Vec<TcpSession>,
    pub(crate) flows: Flows,
    pub(crate) echo: EchoCounters,
    pub(crate) dirtier: Dirtier,
    pub(crate) disk: Option<Disk>,
    epoll: sys::Epoll,
    alarm: sys::Alarm,
    udp_echo: Vec<UdpSocket>,
    echo_listener: Vec<TcpListener>,
    http_listener: Vec<TcpListener>,
    echoes: Vec<Option<TcpEcho>>,
    https: Vec<Option<HttpConnection>>,
    /// HTTP connections there ever were.
    asked: u64,
    mail: Mailbox,
    buffer: Box<[u8]>,
}

/// Serves for ever; comes back only when a socket cannot be had.
pub(crate) fn run(params: Params) -> io::Result<()> {
    let mut server = Server::new(params)?;
    boot::say(&format!(
        "{} serves after {} ms",
        server.params.name,
        sys::now() / 1_000_000
    ));
    let mut ready = Vec::with_capacity(64);
    loop {
        let now = sys::now();
        server.timers(now)?;
        let due = server.next_due();
        server.alarm.set(due);
        server.epoll.wait(&mut ready);
        for token in ready.drain(..) {
            server.event(token)?;
        }
    }
}

impl Server {
    fn new(params: Params) -> io::Result<Server> {
        let now = sys::now();
        let own: Vec<IpAddr> = params.addrs.iter().map(|c| c.addr).collect();
        // A socket per address answers from the address that was asked; the wildcard would not.
        let udp_at = if own.is_empty() {
            vec![Ipv4Addr::UNSPECIFIED.into()]
        } else {
            own
        };
        let udp_echo = udp_at
            .iter()
            .map(|ip| sys::udp(SocketAddr::new(*ip, ECHO_PORT)))
            .collect::<io::Result<Vec<_>>>()?;
        let mut streams = Vec::new();
        if params.stream_ms > 0 {
            for peer in &params.udp_peers {
                let any: IpAddr = if peer.is_ipv4() {
                    Ipv4Addr::UNSPECIFIED.into()
                } else {
                    Ipv6Addr::UNSPECIFIED.into()
                };
                let stream = UdpStream::new(
                    SocketAddr::new(*peer, ECHO_PORT),
                    u64::from(params.stream_ms) * 1_000_000,
                );
                streams.push((sys::udp(SocketAddr::new(any, 0))?, stream));
            }
        }
        // Everything but randomness in the seed may be the same in two guests that boot together.
        let name = params
            .name
            .bytes()
            .fold(0u64, |h, b| h.wrapping_mul(257) ^ u64::from(b));
        let seed = (now ^ sys::unix_ms().rotate_left(32)).wrapping_add(name);
        let mut server = Server {
            epoch: 1,
            epoch_since: now,
            sessions: params
                .peers
                .iter()
                .map(|ip| {
                    let interval = u64::from(params.tcp_ms.max(1)) * 1_000_000;
                    TcpSession::new(SocketAddr::new(*ip, ECHO_PORT), interval)
                })
                .collect(),
            streams,
            flows: Flows::default(),
            echo: EchoCounters::default(),
            dirtier: Dirtier::new(seed),
            disk: params
                .disk
                .map(|load| Disk::start(load, "/data".into(), libc::O_DIRECT, seed, boot::disk)),
            epoll: sys::Epoll::new()?,
            alarm: sys::Alarm::new()?,
            udp_echo,
            echo_listener: listen(ECHO_PORT)?,
            http_listener: listen(HTTP_PORT)?,
            echoes: Vec::new(),
            https: Vec::new(),
            asked: 0,
            mail: Mailbox::new()?,
            buffer: vec![0; 65536].into(),
            params,
        };
        server
            .epoll
            .add(&server.alarm, sys::READ, Kind::Alarm.token(0))?;
        server
            .epoll
            .add(&*server.mail.bell, sys::READ, Kind::Mail.token(0))?;
        for (i, s) in server.udp_echo.iter().enumerate() {
            server.epoll.add(s, sys::READ, Kind::UdpEcho.token(i))?;
        }
        for (i, s) in server.echo_listener.iter().enumerate() {
            server
                .epoll
                .add(s, sys::READ, Kind::EchoListener.token(i))?;
        }
        for (i, s) in server.http_listener.iter().enumerate() {
            server
                .epoll
                .add(s, sys::READ, Kind::HttpListener.token(i))?;
        }
        for (i, (s, _)) in server.streams.iter().enumerate() {
            server.epoll.add(s, sys::READ, Kind::Stream.token(i))?;
        }
        if let Err(refusal) = server.dirtier.set(server.params.dirty, now, sys::free_mb()) {
            boot::say(&format!("no dirtier: {refusal}"));
        }
        Ok(server)
    }

    pub(crate) fn open_echoes(&self) -> usize {
        self.echoes.iter().flatten().count()
    }

    fn next_due(&self) -> Option<u64> {
        let streams = self.streams.iter().map(|(_, s)| s.next_due());
        let sessions = self.sessions.iter().filter_map(TcpSession::next_due);
        streams.chain(sessions).chain(self.dirtier.next_due()).min()
    }

    fn timers(&mut self, now: u64) -> io::Result<()> {
        for (socket, stream) in &mut self.streams {
            if let Some(datagram) = stream.poll(now) {
                // A peer without a port 7 yet shows as an error of the next send: its loss is counted.
                let _ = socket.send_to(&datagram, stream.peer);
            }
        }
        for (i, session) in self.sessions.iter_mut().enumerate() {
            if session.next_due().is_some_and(|at| now >= at)
                && let Some(stream) = session.tick(now)
            {
                self.epoll.add(stream, sys::WRITE, Kind::Session.token(i))?;
            }
        }
        if self.dirtier.next_due().is_some_and(|at| now >= at) {
            self.dirtier.step(now);
        }
        Ok(())
    }

    fn event(&mut self, token: u64) -> io::Result<()> {
        let index = (token & 0xffff_ffff) as usize;
        match Kind::ALL[(token >> 32) as usize] {
            Kind::UdpEcho => {
                let (read, refused) = echo::udp(
                    &self.udp_echo[index],
                    index,
                    &mut self.flows,
                    &mut self.buffer,
                );
                self.echo.udp_datagrams += read;
                self.echo.udp_refused += refused;
            }
            Kind::EchoListener => {
                while let Some(stream) = accept(&self.echo_listener[index]) {
                    stream.set_nodelay(true).ok();
                    let slot = slot(&mut self.echoes);
                    if slot < CONNECTIONS {
                        self.epoll
                            .add(&stream, sys::READ, Kind::TcpEcho.token(slot))?;
                        self.echoes[slot] = Some(TcpEcho::new(stream));
                        self.echo.tcp_accepted += 1;
                    }
                }
            }
            Kind::HttpListener => {
                while let Some(stream) = accept(&self.http_listener[index]) {
                    let slot = slot(&mut self.https);
                    if slot < CONNECTIONS {
                        self.epoll.add(&stream, sys::READ, Kind::Http.token(slot))?;
                        self.asked += 1;
                        self.https[slot] = Some(HttpConnection::new(stream, self.asked));
                    }
                }
            }
            // Setting it anew, for the next moment, makes it unreadable.
            Kind::Alarm => {}
            Kind::Mail => {
                for ((slot, serial), answer) in self.mail.take() {
                    if let Some(Some(connection)) = self.https.get_mut(slot)
                        && connection.serial == serial
                    {
                        connection.answer(answer);
                    }
                }
            }
            Kind::TcpEcho => self.tcp_echo(index, token)?,
            Kind::Http => self.http(index),
            Kind::Stream => {
                let (socket, stream) = &mut self.streams[index];
                while let Ok((n, from)) = socket.recv_from(&mut self.buffer) {
                    if from == stream.peer {
                        stream.reply(&self.buffer[..n], sys::now());
                    }
                }
            }
            Kind::Session => {
                if let Some(stream) = self.sessions[index].ready(sys::now()) {
                    self.epoll.change(stream, sys::READ, token)?;
                }
            }
        }
        Ok(())
    }

    fn tcp_echo(&mut self, index: usize, token: u64) -> io::Result<()> {
        let Some(session) = self.echoes[index].as_mut() else {
            return Ok(());
        };
        let was_writing = session.is_writing();
        match session.ready(&mut self.buffer[..16384], &mut self.echo.tcp_bytes) {
            Next::Read if !was_writing => {}
            Next::Write if was_writing => {}
            Next::Read => self.epoll.change(&session.stream, sys::READ, token)?,
            Next::Write => self.epoll.change(&session.stream, sys::WRITE, token)?,
            end => {
                self.echoes[index] = None;
                *(if end == Next::Closed {
                    &mut self.echo.tcp_closed
                } else {
                    &mut self.echo.tcp_reset
                }) += 1;
            }
        }
        Ok(())
    }

    fn http(&mut self, index: usize) {
        let Some(connection) = self.https[index].as_mut() else {
            return;
        };
        match connection.ready(&mut self.buffer) {
            Err(()) => self.https[index] = None,
            Ok(None) => {}
            Ok(Some(line)) => {
                let waiting = (index, connection.serial);
                let answer = match http::parse(&line, self.dirtier.settings()) {
                    Ok(request) => self.answer(request, waiting),
                    Err(answer) => Some(answer),
                };
                if let (Some(answer), Some(connection)) = (answer, self.https[index].as_mut()) {
                    connection.answer(answer);
                }
            }
        }
    }

    /// None where the answer comes by mail.
    fn answer(&mut self, request: Request, waiting: Waiting) -> Option<http::Answer> {
        let now = sys::now();
        match request {
            Request::Hello => {}
            Request::Stats => return Some(("200 OK", stats::json(self))),
            Request::Dirty(settings) => {
                if let Err(refusal) = self.dirtier.set(settings, now, sys::free_mb()) {
                    return Some(("409 Conflict", refusal + "\n"));
                }
            }
            Request::Disk(_) | Request::DiskCheck => {
                let Some(disk) = &self.disk else {
                    let none = "this guest has no disk: boot it with one, and th.disk=RATE\n";
                    return Some(("409 Conflict", none.into()));
                };
                let reply = self.mail.reply(waiting);
                match request {
                    Request::Disk(rate) => disk.set_rate(rate, reply),
                    _ => disk.check(reply),
                }
                return None;
            }
            Request::Reset => {
                self.epoch += 1;
                self.epoch_since = now;
                self.echo = EchoCounters::default();
                self.dirtier.written = 0;
                self.disk.iter().for_each(Disk::reset);
                self.streams.iter_mut().for_each(|(_, s)| s.reset(now));
                self.sessions.iter_mut().for_each(|s| s.reset(now));
            }
        }
        Some(("200 OK", stats::hello(self)))
    }
}

/// Listens on both families; on IPv4 alone where the kernel has no IPv6.
fn listen(port: u16) -> io::Result<Vec<TcpListener>> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))?;
    listener.set_nonblocking(true)?;
    Ok(vec![listener])
}

fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// The first free slot, made if there is none.
fn slot<T>(slots: &mut Vec<Option<T>>) -> usize {
    let free = slots.iter().position(Option::is_none);
    free.unwrap_or_else(|| {
        if slots.len() < CONNECTIONS {
            slots.push(None);
            slots.len() - 1
        } else {
            CONNECTIONS
        }
    })
}
