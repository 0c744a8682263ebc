//! The smallest HTTP/1.1 server that curl, wget and our own client are content with: one request a
//! connection, head only (what a POST has to say stands in its query).

use crate::params::{Dirty, flag};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

/// What a client may ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Hello,
    Stats,
    /// New settings, made from the present ones.
    Dirty(Dirty),
    Reset,
    /// Records a second on the disk.
    Disk(u32),
    DiskCheck,
}

/// An answer: status line and body.
pub(crate) type Answer = (&'static str, String);

/// Reads a request line; `present` is what `/dirty` changes.
pub(crate) fn parse(line: &str, present: Dirty) -> Result<Request, Answer> {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match (method, path) {
        ("GET", "/") => Ok(Request::Hello),
        ("GET", "/stats") => Ok(Request::Stats),
        ("POST", "/reset") => Ok(Request::Reset),
        ("POST", "/dirty") => dirty(query, present)
            .map(Request::Dirty)
            .map_err(|e| ("400 Bad Request", e)),
        ("POST", "/disk-check") => Ok(Request::DiskCheck),
        ("POST", "/disk") => query
            .strip_prefix("rate=")
            .and_then(|rate| rate.parse().ok())
            .map(Request::Disk)
            .ok_or_else(|| {
                let text = format!("cannot read `{query}`: rate=NUMBER\n");
                ("400 Bad Request", text)
            }),
        (_, "/" | "/stats" | "/reset" | "/dirty" | "/disk" | "/disk-check") => Err((
            "405 Method Not Allowed",
            "GET / and /stats, POST /dirty, /disk, /disk-check and /reset\n".into(),
        )),
        _ => Err((
            "404 Not Found",
            "there are /, /stats, /dirty, /disk, /disk-check and /reset\n".into(),
        )),
    }
}

fn dirty(query: &str, mut out: Dirty) -> Result<Dirty, String> {
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let read = match key {
            "mb" => value.parse().ok().map(|v| out.mb = v),
            "pages" => value.parse().ok().map(|v| out.pages_per_s = v),
            "random" => flag(value).map(|v| out.random = v),
            _ => None,
        };
        if read.is_none() {
            return Err(format!(
                "cannot read `{pair}`: mb=NUMBER, pages=NUMBER, random=0 or 1\n"
            ));
        }
    }
    Ok(out)
}

/// One connection.
pub(crate) struct HttpConnection {
    pub(crate) stream: TcpStream,
    /// Tells it from others that had its slot before.
    pub(crate) serial: u64,
    head: Vec<u8>,
    asked: bool,
}

impl HttpConnection {
    pub(crate) fn new(stream: TcpStream, serial: u64) -> HttpConnection {
        HttpConnection {
            stream,
            serial,
            head: Vec::new(),
            asked: false,
        }
    }

    /// The socket has news. `Err` when the connection is over, `Ok(Some)` once, with the request line.
    pub(crate) fn ready(&mut self, buffer: &mut [u8]) -> Result<Option<String>, ()> {
        match self.stream.read(buffer) {
            Ok(0) => Err(()),
            Ok(_) if self.asked => Ok(None),
            Ok(n) if self.head.len() + n > 8192 => Err(()),
            Ok(n) => {
                self.head.extend_from_slice(&buffer[..n]);
                if !self.head.windows(4).any(|w| w == b"\r\n\r\n") {
                    return Ok(None);
                }
                self.asked = true;
                let head = std::mem::take(&mut self.head);
                let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
                Ok(Some(String::from_utf8_lossy(line).into_owned()))
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(_) => Err(()),
        }
    }

    /// Answers and says goodbye; the connection stays until the client closes, so that no reset
    /// overtakes the answer. Answers are far smaller than a send buffer.
    pub(crate) fn answer(&mut self, (status, body): Answer) {
        let kind = if body.starts_with('{') {
            "application/json"
        } else {
            "text/plain; charset=utf-8"
        };
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = self.stream.write_all(text.as_bytes());
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Dirty = Dirty {
        mb: 48,
        pages_per_s: 500,
        random: true,
    };

    #[test]
    fn a_dirty_request_changes_only_what_it_names() {
        let ask = |line| parse(line, NOW).unwrap();
        assert_eq!(
            ask("POST /dirty?pages=2000 HTTP/1.1"),
            Request::Dirty(Dirty {
                pages_per_s: 2000,
                ..NOW
            })
        );
        assert_eq!(
            ask("POST /dirty?mb=8&pages=0&random=0 HTTP/1.1"),
            Request::Dirty(Dirty {
                mb: 8,
                pages_per_s: 0,
                random: false
            })
        );
    }

    #[test]
    fn a_disk_request_names_a_rate() {
        let ask = |line| parse(line, NOW);
        assert_eq!(ask("POST /disk?rate=0 HTTP/1.1"), Ok(Request::Disk(0)));
        assert_eq!(ask("POST /disk-check HTTP/1.1"), Ok(Request::DiskCheck));
        for bad in [
            "POST /disk ",
            "POST /disk?rate=",
            "POST /disk?rate=-1",
            "POST /disk?mb=1",
        ] {
            assert_eq!(ask(bad).unwrap_err().0, "400 Bad Request", "{bad}");
        }
    }

    #[test]
    fn wrong_requests_are_told_what_there_is() {
        let status = |line| parse(line, NOW).unwrap_err().0;
        assert_eq!(status("POST /dirty?mb=-1 HTTP/1.1"), "400 Bad Request");
        assert_eq!(status("POST /dirty?size=1 HTTP/1.1"), "400 Bad Request");
        assert_eq!(status("GET /reset HTTP/1.1"), "405 Method Not Allowed");
        assert_eq!(status("GET /nothing HTTP/1.1"), "404 Not Found");
        assert_eq!(status(""), "404 Not Found");
    }
}
