//! Reading `text/event-stream` (WHATWG HTML, section 9.2.6). Only `data` matters here: the event's
//! number and kind are in it too.

use super::Error;
use futures::Stream;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use model::event::Event;
use std::collections::VecDeque;
use std::time::Duration;

/// Longest data of one event, bytes; ours have some hundred.
const LONGEST: usize = 1 << 20;

/// The server gives a sign of life every ten seconds; after this much silence it is gone.
const SILENCE: Duration = Duration::from_secs(35);

/// Takes a stream apart as its bytes come, however they are cut.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    data: Vec<u8>,
    after_cr: bool,
    ready: VecDeque<Vec<u8>>,
}

/// The other side sends without end and without sense.
#[derive(Debug, PartialEq, Eq)]
struct TooLong;

impl Parser {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        for &byte in bytes {
            match byte {
                b'\n' if self.after_cr => {}
                b'\n' | b'\r' => self.end_of_line(),
                _ => self.line.push(byte),
            }
            self.after_cr = byte == b'\r';
            if self.line.len() + self.data.len() > LONGEST {
                return Err(TooLong);
            }
        }
        Ok(())
    }

    fn end_of_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            if !self.data.is_empty() {
                self.ready.push_back(std::mem::take(&mut self.data));
            }
        } else if let Some(value) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data
                .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
    }
}

struct Reading {
    body: Incoming,
    parser: Parser,
    at: String,
    follow: bool,
    over: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Event, Error>> {
        while !self.over {
            if let Some(data) = self.parser.ready.pop_front() {
                return Some(serde_json::from_slice(&data).map_err(|error| self.broken(error)));
            }
            let Ok(frame) = tokio::time::timeout(SILENCE, self.body.frame()).await else {
                return Some(Err(self.broken("nothing came, not even a sign of life")));
            };
            match frame {
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else {
                        continue;
                    };
                    if self.parser.feed(&bytes).is_err() {
                        return Some(Err(self.broken("an event without end")));
                    }
                }
                Some(Err(error)) => return Some(Err(self.broken(error))),
                None if self.follow => return Some(Err(self.broken("the stream of events ended"))),
                None => self.over = true,
            }
        }
        None
    }

    fn broken(&mut self, reason: impl std::fmt::Display) -> Error {
        self.over = true;
        Error::Broken {
            at: self.at.clone(),
            reason: reason.to_string(),
        }
    }
}

/// The events in the body of an answer; nothing follows an error.
pub(super) fn events(
    body: Incoming,
    at: String,
    follow: bool,
) -> impl Stream<Item = Result<Event, Error>> {
    let reading = Reading {
        body,
        parser: Parser::default(),
        at,
        follow,
        over: false,
    };
    futures::stream::unfold(reading, |mut reading| async move {
        reading.next().await.map(|event| (event, reading))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut parser = Parser::default();
        for part in parts {
            parser.feed(part).unwrap();
        }
        parser.ready.into()
    }

    #[test]
    fn comments_ids_and_names_are_passed_over_and_data_is_joined() {
        let stream = b": hello\r\n\r\nid: 7\nevent: phase\ndata: {\ndata:}\n\n:\n\ndata: x\r\r";
        assert_eq!(all(&[stream]), [b"{\n}".to_vec(), b"x".to_vec()]);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = Parser::default();
        parser.feed(&vec![b'x'; LONGEST]).unwrap();
        assert_eq!(parser.feed(b"x"), Err(TooLong));
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_does_not_matter(
            stream in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'd'), any::<u8>()], 0..200),
            text in "(data: ?[a-z{}]{0,9}(\r\n|\n|\r)|(\r\n|\n|\r)|id: 1\n|:c\n){0,20}",
            cut in any::<prop::sample::Index>(),
        ) {
            for stream in [stream, text.into_bytes()] {
                let cut = cut.index(stream.len() + 1);
                prop_assert_eq!(all(&[&stream[..cut], &stream[cut..]]), all(&[&stream]));
            }
        }
    }
}
