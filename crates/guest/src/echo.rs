//! Echo on port 7, as RFC 862 has it, with one addition for UDP: the flow's echo counter in bytes
//! 16..24 (see the crate's documentation for why).

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

/// Datagrams echoed before other sockets get their turn.
const BATCH: usize = 64;
/// Flows whose counter is kept; the one unused for longest makes room.
const FLOWS: usize = 1024;

/// Counters of all UDP flows. They never restart while a flow lives, whatever `/reset` says:
/// clients use differences.
#[derive(Default)]
pub(crate) struct Flows {
    /// (asked at, asked by) → (datagrams echoed, total at its last use)
    flows: HashMap<(usize, SocketAddr), (u64, u64)>,
    total: u64,
}

impl Flows {
    fn count(&mut self, flow: (usize, SocketAddr)) -> u64 {
        self.total += 1;
        if self.flows.len() >= FLOWS && !self.flows.contains_key(&flow) {
            let oldest = self
                .flows
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(flow, _)| *flow);
            oldest.map(|flow| self.flows.remove(&flow));
        }
        let entry = self.flows.entry(flow).or_default();
        *entry = (entry.0 + 1, self.total);
        entry.0
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }
}

/// Echoes what waits at `socket` (the `index`th of ours), a batch at most. Gives the datagrams
/// read and those of them that the kernel did not take back.
pub(crate) fn udp(
    socket: &UdpSocket,
    index: usize,
    flows: &mut Flows,
    buffer: &mut [u8],
) -> (u64, u64) {
    let (mut read, mut refused) = (0, 0);
    while read < BATCH as u64 {
        let Ok((n, from)) = socket.recv_from(buffer) else {
            break;
        };
        read += 1;
        let counter = flows.count((index, from));
        if let Some(field) = buffer[..n].get_mut(16..24) {
            field.copy_from_slice(&counter.to_be_bytes());
        }
        if socket.send_to(&buffer[..n], from).is_err() {
            refused += 1;
        }
    }
    (read, refused)
}

/// One TCP session. While the peer does not read, nothing more is read from it.
pub(crate) struct TcpEcho {
    pub(crate) stream: TcpStream,
    pending: Vec<u8>,
}

/// How a session goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Read,
    Write,
    Closed,
    Reset,
}

impl TcpEcho {
    pub(crate) fn new(stream: TcpStream) -> TcpEcho {
        TcpEcho {
            stream,
            pending: Vec::new(),
        }
    }

    /// Whether bytes wait for the peer to read.
    pub(crate) fn is_writing(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The socket has news; `bytes` grows by what was echoed.
    pub(crate) fn ready(&mut self, buffer: &mut [u8], bytes: &mut u64) -> Next {
        if !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Next::Reset,
            }
            if !self.pending.is_empty() {
                return Next::Write;
            }
        }
        match self.stream.read(buffer) {
            Ok(0) => Next::Closed,
            Ok(n) => {
                *bytes += n as u64;
                let written = match self.stream.write(&buffer[..n]) {
                    Ok(written) => written,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
                    Err(_) => return Next::Reset,
                };
                self.pending.extend_from_slice(&buffer[written..n]);
                if self.pending.is_empty() {
                    Next::Read
                } else {
                    Next::Write
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Next::Read
            }
            Err(_) => Next::Reset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_has_its_own_counter_and_short_datagrams_come_back_unchanged() {
        let server = crate::sys::udp("127.0.0.1:0".parse().unwrap()).unwrap();
        let to = server.local_addr().unwrap();
        let clients = [
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        ];
        let (mut flows, mut buffer) = (Flows::default(), [0; 2048]);
        let mut ask = |client: &UdpSocket, bytes: &[u8]| {
            client.send_to(bytes, to).unwrap();
            while udp(&server, 0, &mut flows, &mut buffer).0 == 0 {}
            let mut back = [0; 2048];
            let n = client.recv(&mut back).unwrap();
            back[..n].to_vec()
        };
        for expected in 1..=3u64 {
            for client in &clients {
                let back = ask(client, &[9; 64]);
                assert_eq!(back[16..24], expected.to_be_bytes());
                assert_eq!((&back[..16], &back[24..]), (&[9; 16][..], &[9; 40][..]));
            }
        }
        assert_eq!(ask(&clients[0], &[1, 2, 3]), [1, 2, 3]);
    }

    #[test]
    fn the_table_of_flows_is_bounded_and_keeps_those_in_use() {
        let mut flows = Flows::default();
        let busy = (0, "10.0.0.1:1".parse().unwrap());
        for port in 1..=(2 * FLOWS as u16) {
            flows.count(busy);
            flows.count((0, SocketAddr::from(([10, 0, 0, 2], port))));
        }
        assert_eq!(flows.len(), FLOWS);
        assert_eq!(flows.count(busy), 2 * FLOWS as u64 + 1);
    }

    #[test]
    fn a_reader_that_pauses_gets_every_byte_in_the_end() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut reader = client.try_clone().unwrap();
        let sent: Vec<u8> = (0..8_000_000u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let writer = std::thread::spawn(move || {
            client.write_all(&sent).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let server = std::thread::spawn(move || {
            let (mut echo, mut buffer, mut bytes) = (TcpEcho::new(stream), [0; 16384], 0);
            while !matches!(
                echo.ready(&mut buffer, &mut bytes),
                Next::Closed | Next::Reset
            ) {}
            bytes
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).unwrap();
        writer.join().unwrap();
        assert_eq!(server.join().unwrap(), expected.len() as u64);
        assert!(back == expected);
    }
}
