//! Datagrams that wait to be sent together: several a system call, and several equal ones a datagram
//! of the kernel's (`UDP_SEGMENT`), each with hops and traffic class.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{SockaddrLike, SockaddrStorage};

use super::udp::{CONTROL, Control, SOL_UDP, Socket};

const UDP_SEGMENT: libc::c_int = 103;

/// Which buffer a part of a datagram is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// Packets that were read from a TUN.
    Read,
    /// Headers and packets that we made.
    Made,
    /// Packets that were received from a locator.
    Received,
}

/// A part of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// In which buffer.
    pub buffer: Buffer,
    /// Where.
    pub place: Range<usize>,
}

/// What is the same of datagrams that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// To whom.
    pub to: SocketAddr,
    /// Which of the sender's sockets, and so which source port.
    pub socket: usize,
    /// Hops.
    pub ttl: u8,
    /// Traffic class.
    pub class: u8,
}

/// Equal datagrams that go together; the last one may be shorter.
#[derive(Debug)]
pub struct Run {
    way: Way,
    size: usize,
    count: usize,
    bytes: usize,
    closed: bool,
    parts: Vec<Part>,
}

/// Bytes and datagrams of a run: what one call takes.
const MOST_BYTES: usize = 65_000;
const MOST_COUNT: usize = 64;

/// Bytes of what is said of every datagram: two numbers, hops and traffic class, each behind its header.
// SAFETY: the macro only computes.
const SAID_OF_ONE: usize = 2 * unsafe { libc::CMSG_SPACE(4) } as usize;

/// Datagrams that wait to be sent together.
#[derive(Debug, Default)]
pub struct Outbox {
    runs: Vec<Run>,
    used: usize,
}

impl Outbox {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Adds a datagram. It joins the latest ones of its way if it is as long as they are, or ends
    /// them if it is shorter; so those of one way stay in order.
    pub fn add(&mut self, way: Way, parts: [Part; 2]) {
        let length: usize = parts.iter().map(|part| part.place.len()).sum();
        let runs = self.runs.get_mut(..self.used).unwrap_or_default();
        if let Some(run) = runs.iter_mut().rev().find(|run| run.way == way)
            && !run.closed
            && length <= run.size
            && run.count < MOST_COUNT
            && run.bytes + length <= MOST_BYTES
        {
            run.take(parts, length);
            return;
        }
        if self.used == self.runs.len() {
            self.runs.push(Run {
                way,
                size: 0,
                count: 0,
                bytes: 0,
                closed: false,
                parts: Vec::new(),
            });
        }
        if let Some(run) = self.runs.get_mut(self.used) {
            self.used += 1;
            run.way = way;
            run.size = length;
            (run.count, run.bytes, run.closed) = (0, 0, false);
            run.parts.clear();
            run.take(parts, length);
        }
    }

    /// Sends everything; `buffers` are those of [`Buffer`] in its order. Returns how many datagrams
    /// the kernel refused, and why the last of them.
    pub fn flush(&mut self, sockets: &[Socket], buffers: [&[u8]; 3]) -> (usize, Option<io::Error>) {
        let mut refused = (0, None);
        let runs = self.runs.get(..self.used).unwrap_or_default();
        for (number, socket) in sockets.iter().enumerate() {
            if runs.iter().any(|run| run.way.socket == number) {
                let mine = runs.iter().filter(|run| run.way.socket == number);
                send(socket, mine, buffers, &mut refused);
            }
        }
        self.used = 0;
        refused
    }
}

impl Run {
    fn take(&mut self, parts: [Part; 2], length: usize) {
        for part in parts {
            match self.parts.last_mut() {
                Some(last) if last.buffer == part.buffer && last.place.end == part.place.start => {
                    last.place.end = part.place.end;
                }
                _ if part.place.is_empty() => {}
                _ => self.parts.push(part),
            }
        }
        self.count += 1;
        self.bytes += length;
        self.closed = length < self.size;
    }
}

fn send<'a>(
    socket: &Socket,
    runs: impl Iterator<Item = &'a Run> + Clone,
    buffers: [&[u8]; 3],
    refused: &mut (usize, Option<io::Error>),
) {
    let count = runs.clone().count();
    let parts: usize = runs.clone().map(|run| run.parts.len()).sum();
    let mut slices: Vec<libc::iovec> = Vec::with_capacity(parts);
    for part in runs.clone().flat_map(|run| &run.parts) {
        let [read, made, received] = buffers;
        let buffer = match part.buffer {
            Buffer::Read => read,
            Buffer::Made => made,
            Buffer::Received => received,
        };
        let bytes = buffer.get(part.place.clone()).unwrap_or_default();
        slices.push(libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        });
    }
    let mut names: Vec<SockaddrStorage> = runs.clone().map(|run| run.way.to.into()).collect();
    let mut controls = vec![Control([0; CONTROL]); count];
    let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(count);
    let mut first = 0;
    for ((run, control), name) in runs.clone().zip(&mut controls).zip(&mut names) {
        // SAFETY: a header of zeroes is valid.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let mine = slices.get_mut(first..).unwrap_or_default();
        first += run.parts.len();
        header.msg_hdr.msg_iov = mine.as_mut_ptr();
        header.msg_hdr.msg_iovlen = run.parts.len() as _;
        header.msg_hdr.msg_namelen = name.len();
        header.msg_hdr.msg_name = (name as *mut SockaddrStorage).cast();
        header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = CONTROL as _;
        let (level, hops, class) = match run.way.to {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TTL, libc::IP_TOS),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, libc::IPV6_TCLASS),
        };
        let int = |value: libc::c_int| value.to_ne_bytes();
        let size = (run.size as u16).to_ne_bytes();
        let said: [(libc::c_int, libc::c_int, &[u8]); 3] = [
            (level, hops, &int(run.way.ttl.max(1).into())),
            (level, class, &int(run.way.class.into())),
            (SOL_UDP, UDP_SEGMENT, &size),
        ];
        let said = said
            .get(..if run.count > 1 { 3 } else { 2 })
            .unwrap_or_default();
        let mut used = 0;
        // SAFETY: the control buffer has room for three headers with an int each (CONTROL), is aligned
        // for them, and the macros give places inside of it one after another.
        unsafe {
            let mut place = libc::CMSG_FIRSTHDR(&raw const header.msg_hdr);
            for (level, kind, data) in said {
                if place.is_null() {
                    break;
                }
                (*place).cmsg_level = *level;
                (*place).cmsg_type = *kind;
                (*place).cmsg_len = libc::CMSG_LEN(data.len() as libc::c_uint) as _;
                std::ptr::copy_nonoverlapping(data.as_ptr(), libc::CMSG_DATA(place), data.len());
                used += libc::CMSG_SPACE(data.len() as libc::c_uint) as usize;
                place = libc::CMSG_NXTHDR(&raw const header.msg_hdr, place);
            }
        }
        header.msg_hdr.msg_controllen = used as _;
        headers.push(header);
    }
    let mut done = 0;
    while let Some(left) = headers.get_mut(done..).filter(|left| !left.is_empty()) {
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: every header points to slices of the buffers, an address and a control buffer that
        // live until the end of this function; nothing of it is written by the kernel.
        let sent = unsafe { libc::sendmmsg(fd, left.as_mut_ptr(), left.len() as libc::c_uint, 0) };
        if sent > 0 {
            done += sent as usize;
            continue;
        }
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::Interrupted {
            continue;
        }
        let run = runs.clone().nth(done);
        if let (Some(run), Some(header)) = (run.filter(|run| run.count > 1), left.first()) {
            // A device or a path that does not take many as one may take them one by one.
            let (count, error) = send_singly(socket, run, &header.msg_hdr);
            refused.0 += count;
            refused.1 = error.or(refused.1.take());
        } else {
            refused.0 += run.map_or(0, |run| run.count);
            refused.1 = Some(error);
        }
        done += 1;
    }
}

/// Sends the datagrams of a run without the kernel's help. Returns how many it refused, and why the last of them.
fn send_singly(socket: &Socket, run: &Run, header: &libc::msghdr) -> (usize, Option<io::Error>) {
    let mut refused = (0, None);
    let mut whole = Vec::with_capacity(run.bytes);
    for place in 0..header.msg_iovlen {
        // SAFETY: the caller's header points to as many slices as it says, of bytes that live.
        let bytes = unsafe {
            let slice = *header.msg_iov.add(place);
            std::slice::from_raw_parts(slice.iov_base.cast::<u8>(), slice.iov_len)
        };
        whole.extend_from_slice(bytes);
    }
    for datagram in whole.chunks(run.size.max(1)) {
        let mut slice = libc::iovec {
            iov_base: datagram.as_ptr().cast_mut().cast(),
            iov_len: datagram.len(),
        };
        let mut one = *header;
        one.msg_iov = &raw mut slice;
        one.msg_iovlen = 1;
        // The size of the pieces was said last; what is before it holds for each.
        one.msg_controllen = SAID_OF_ONE as _;
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: the header is the caller's, with one slice that lives until the call is over and the first part
        // of its control buffer.
        if unsafe { libc::sendmsg(fd, &raw const one, 0) } < 0 {
            refused = (refused.0 + 1, Some(io::Error::last_os_error()));
        }
    }
    refused
}
