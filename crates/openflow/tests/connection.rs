//! The connection without a socket: bytes in, events and bytes out, time as a number.

use std::time::{Duration, Instant};

use openflow::connection::{CloseReason, Config, Connection, Event, Failure};
use openflow::message::{
    BundleControl, BundleControlKind, BundleFlags, ErrorMessage, Experimenter, Hello,
};
use openflow::multipart::{
    FlowStats, FlowStatsRequest, MultipartFlags, MultipartReply, MultipartReplyBody,
    MultipartRequestBody,
};
use openflow::{Blob, Body, FlowMod, Message, PacketOut};

/// A connection and the clock it lives by.
struct Side {
    connection: Connection,
    start: Instant,
}

impl Side {
    fn new(config: Config) -> Self {
        let start = Instant::now();
        Self {
            connection: Connection::new(config, start),
            start,
        }
    }

    fn ready() -> Self {
        let mut side = Self::new(Config::default());
        side.sent();
        side.hears(1, Hello::offering(&[1, 4]));
        assert_eq!(
            side.connection.poll_event(),
            Some(Event::Ready { version: 4 })
        );
        side
    }

    fn sent(&mut self) -> Vec<Message> {
        let bytes = std::mem::take(self.connection.output());
        let mut rest = bytes.as_slice();
        let mut messages = Vec::new();
        while !rest.is_empty() {
            let (message, length) = Message::decode(rest).unwrap();
            messages.push(message);
            rest = &rest[length..];
        }
        messages
    }

    fn hears(&mut self, xid: u32, body: impl Into<Body>) {
        self.hears_message(Message::new(xid, body));
    }

    fn hears_message(&mut self, message: Message) {
        let bytes = message.to_bytes().unwrap();
        self.connection.receive(&bytes, self.start);
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.connection.poll_event()).collect()
    }
}

fn refused(code: u16, request: &Message) -> ErrorMessage {
    let data = Blob(request.to_bytes().unwrap());
    ErrorMessage {
        kind: 5,
        code,
        experimenter: None,
        data,
    }
}

fn rule(cookie: u64) -> FlowMod {
    FlowMod::add().cookie(cookie)
}

#[test]
fn the_highest_common_version_is_taken() {
    for (ours, header, theirs, agreed) in [
        (&[4][..], 6, Some(&[1, 2, 3, 4, 5, 6][..]), Some(4)),
        (&[4, 5], 6, Some(&[1, 4, 5]), Some(5)),
        (&[4], 6, None, Some(4)),
        (&[4], 4, Some(&[4]), Some(4)),
        (&[4], 1, None, None),
        (&[4], 6, Some(&[6]), None),
        (&[4, 5], 5, Some(&[1, 6]), None),
    ] {
        let mut side = Side::new(Config {
            versions: ours.to_vec(),
            ..Config::default()
        });
        let hello = theirs.map_or_else(Hello::default, Hello::offering);
        side.hears_message(Message {
            version: header,
            ..Message::new(9, hello)
        });
        assert_eq!(
            side.connection.version(),
            agreed,
            "{ours:?} {header} {theirs:?}"
        );
        if agreed.is_none() {
            let sent = side.sent();
            let Body::Error(error) = &sent.last().unwrap().body else {
                panic!("{sent:?}")
            };
            assert_eq!(error.name(), "hello_failed/incompatible");
            assert_eq!(
                side.events(),
                [Event::Closed(CloseReason::Incompatible { peer: header })]
            );
        }
    }
}

#[test]
fn a_refused_hello_ends_the_connection_with_the_switch_s_words() {
    let mut side = Side::new(Config::default());
    side.hears(1, ErrorMessage::incompatible("only 1.5"));
    let events = side.events();
    let [Event::Closed(reason)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert!(reason.to_string().contains("only 1.5"), "{reason}");
}

#[test]
fn an_echo_request_is_answered_with_its_bytes() {
    let mut side = Side::ready();
    side.hears(77, Body::EchoRequest([1, 2, 3].into()));
    assert_eq!(
        side.sent(),
        [Message::new(77, Body::EchoReply([1, 2, 3].into()))]
    );
}

#[test]
fn a_silent_peer_is_asked_once_and_then_given_up() {
    let mut side = Side::ready();
    let pending = side.connection.request(Body::FeaturesRequest).unwrap();
    side.sent();
    assert_eq!(side.connection.next_timeout(), Some(side.at(5)));
    side.connection.handle_timeout(side.at(4));
    assert!(side.sent().is_empty());
    side.connection.handle_timeout(side.at(5));
    let sent = side.sent();
    assert!(matches!(
        sent[..],
        [Message {
            body: Body::EchoRequest(_),
            ..
        }]
    ));
    assert_eq!(side.connection.next_timeout(), Some(side.at(15)));
    side.connection.handle_timeout(side.at(10));
    assert!(side.sent().is_empty());
    side.connection.handle_timeout(side.at(15));
    let failure = Failure::Closed(CloseReason::Silent);
    assert_eq!(
        side.events(),
        [
            Event::Failed {
                id: pending,
                failure
            },
            Event::Closed(CloseReason::Silent)
        ]
    );
    assert_eq!(side.connection.next_timeout(), None);
}

#[test]
fn any_message_shows_that_the_peer_lives() {
    let mut side = Side::ready();
    side.connection.handle_timeout(side.at(5));
    let xid = side.sent()[0].xid;
    let reply = Message::new(xid, Body::EchoReply(Blob::default()))
        .to_bytes()
        .unwrap();
    side.connection.receive(&reply, side.at(14));
    side.connection.handle_timeout(side.at(15));
    assert!(!side.connection.is_closed());
    assert_eq!(side.connection.next_timeout(), Some(side.at(19)));
    assert!(side.events().is_empty());
}

#[test]
fn a_peer_that_never_says_hello_is_given_up() {
    let mut side = Side::new(Config::default());
    side.sent();
    side.connection.handle_timeout(side.at(5));
    assert!(side.sent().is_empty());
    side.connection.handle_timeout(side.at(15));
    assert_eq!(side.events(), [Event::Closed(CloseReason::Silent)]);
}

#[test]
fn replies_find_their_requests_in_any_order() {
    let mut side = Side::ready();
    let a = side.connection.request(Body::FeaturesRequest).unwrap();
    let b = side.connection.request(Body::GetConfigRequest).unwrap();
    side.hears(b, Body::GetConfigReply(Default::default()));
    side.hears(a, Body::FeaturesReply(Default::default()));
    let ids: Vec<_> = side
        .events()
        .into_iter()
        .map(|e| match e {
            Event::Reply { id, .. } => id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, [b, a]);
}

#[test]
fn an_error_fails_the_request_that_caused_it() {
    let mut side = Side::ready();
    let a = side.connection.request(Body::FeaturesRequest).unwrap();
    let b = side.connection.request(Body::GetConfigRequest).unwrap();
    let error = ErrorMessage {
        kind: 1,
        code: 5,
        ..ErrorMessage::default()
    };
    side.hears(b, error.clone());
    assert_eq!(
        side.events(),
        [Event::Failed {
            id: b,
            failure: Failure::Refused(error)
        }]
    );
    side.hears(a, Body::FeaturesReply(Default::default()));
    assert!(matches!(side.events()[..], [Event::Reply { id, .. }] if id == a));
}

#[test]
fn parts_of_an_answer_are_put_together() {
    let mut side = Side::ready();
    let request = MultipartRequestBody::Flow(FlowStatsRequest::default());
    let id = side.connection.request(request).unwrap();
    let part = |cookie, more| MultipartReply {
        flags: MultipartFlags(u16::from(more)),
        body: MultipartReplyBody::Flow(vec![FlowStats {
            cookie,
            ..FlowStats::default()
        }]),
    };
    side.hears(id, part(1, true));
    side.hears(id, part(2, true));
    assert!(side.events().is_empty());
    side.hears(id, part(3, false));
    let events = side.events();
    let [
        Event::Reply {
            body: Body::MultipartReply(reply),
            ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    let MultipartReplyBody::Flow(rules) = &reply.body else {
        panic!("{reply:?}")
    };
    assert_eq!(
        rules.iter().map(|r| r.cookie).collect::<Vec<_>>(),
        [1, 2, 3]
    );
}

#[test]
fn an_answer_without_end_is_refused() {
    let mut side = Side::new(Config {
        max_reply_bytes: 1000,
        ..Config::default()
    });
    side.hears(1, Hello::offering(&[4]));
    side.events();
    let id = side
        .connection
        .request(MultipartRequestBody::PortDesc)
        .unwrap();
    for _ in 0..100 {
        let ports = MultipartReplyBody::PortDesc(vec![Default::default(); 3]);
        side.hears(
            id,
            MultipartReply {
                flags: MultipartFlags::MORE,
                body: ports,
            },
        );
    }
    let failure = Failure::TooLong { limit: 1000 };
    assert_eq!(side.events(), [Event::Failed { id, failure }]);
}

#[test]
fn a_barrier_tells_what_was_refused_since_the_one_before() {
    let mut side = Side::ready();
    side.connection.send(rule(1)).unwrap();
    side.connection.send(rule(2)).unwrap();
    let first = side.connection.barrier();
    side.connection.send(rule(3)).unwrap();
    let second = side.connection.barrier();
    let sent = side.sent();

    side.hears(sent[1].xid, refused(1, &sent[1]));
    side.hears(first, Body::BarrierReply);
    side.hears(sent[3].xid, refused(3, &sent[3]));
    side.hears(second, Body::BarrierReply);

    let events = side.events();
    let [
        Event::Done {
            id: a,
            refusals: one,
        },
        Event::Done {
            id: b,
            refusals: two,
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((*a, *b), (first, second));
    assert_eq!((one.len(), one[0].index, one[0].error.code), (1, 1, 1));
    assert_eq!((two.len(), two[0].index, two[0].error.code), (1, 0, 3));
}

#[test]
fn an_error_before_the_barrier_is_sent_is_reported_at_once_and_by_the_barrier() {
    let mut side = Side::ready();
    side.connection.send(rule(1)).unwrap();
    let sent = side.sent();
    side.hears(sent[0].xid, refused(1, &sent[0]));
    assert!(matches!(side.events()[..], [Event::Error { .. }]));
    let barrier = side.connection.barrier();
    side.hears(barrier, Body::BarrierReply);
    let events = side.events();
    assert!(matches!(&events[..], [Event::Done { refusals, .. }] if refusals.len() == 1));
}

#[test]
fn a_batch_hears_of_its_own_refusals_only() {
    let mut side = Side::ready();
    side.connection.send(PacketOut::new([0; 14], [])).unwrap();
    let batch = side.connection.batch([rule(1), rule(2), rule(3)]).unwrap();
    let sent = side.sent();
    assert!(matches!(sent.last().unwrap().body, Body::BarrierRequest));
    side.hears(sent[0].xid, refused(7, &sent[0]));
    assert!(matches!(&side.events()[..], [Event::Error { xid, .. }] if *xid == sent[0].xid));
    side.hears(sent[3].xid, refused(1, &sent[3]));
    side.hears(batch, Body::BarrierReply);
    let events = side.events();
    let [Event::Done { id, refusals }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(*id, batch);
    assert_eq!((refusals.len(), refusals[0].index), (1, 2));
}

#[test]
fn a_message_that_is_too_long_sends_nothing_of_its_batch() {
    let mut side = Side::ready();
    let long = PacketOut::new(vec![0; 70_000], []);
    assert!(
        side.connection
            .batch([Body::from(rule(1)), long.into()])
            .is_err()
    );
    assert!(side.sent().is_empty());
    assert!(side.connection.batch([rule(1)]).is_ok());
}

fn bundle_kinds(sent: &[Message]) -> Vec<Option<BundleControlKind>> {
    sent.iter()
        .map(|m| match &m.body {
            Body::BundleControl(c) | Body::Experimenter(Experimenter::BundleControl(c)) => {
                Some(c.kind)
            }
            _ => None,
        })
        .collect()
}

fn bundle_reply(version: u8, xid: u32, kind: BundleControlKind) -> Message {
    let control = BundleControl {
        bundle_id: 1,
        kind,
        flags: BundleFlags::default(),
    };
    let body = match version {
        4 => Body::Experimenter(Experimenter::BundleControl(control)),
        _ => Body::BundleControl(control),
    };
    Message {
        version,
        ..Message::new(xid, body)
    }
}

#[test]
fn a_bundle_is_committed_when_all_of_it_was_accepted() {
    use BundleControlKind as Kind;
    for version in [4, 5] {
        let mut side = Side::new(Config {
            versions: vec![version],
            ..Config::default()
        });
        side.sent();
        side.hears(1, Hello::offering(&[version]));
        side.events();
        let id = side.connection.bundle([rule(1), rule(2)]).unwrap();
        let sent = side.sent();
        assert_eq!(
            bundle_kinds(&sent),
            [
                Some(Kind::OpenRequest),
                None,
                None,
                Some(Kind::CloseRequest)
            ]
        );
        side.hears_message(bundle_reply(version, sent[0].xid, Kind::OpenReply));
        assert!(side.sent().is_empty());
        side.hears_message(bundle_reply(version, sent[3].xid, Kind::CloseReply));
        let commit = side.sent();
        assert_eq!(bundle_kinds(&commit), [Some(Kind::CommitRequest)]);
        assert!(side.events().is_empty());
        side.hears_message(bundle_reply(version, commit[0].xid, Kind::CommitReply));
        assert_eq!(
            side.events(),
            [Event::Done {
                id,
                refusals: Vec::new()
            }]
        );
    }
}

#[test]
fn a_bundle_with_a_refused_message_is_discarded() {
    use BundleControlKind as Kind;
    let mut side = Side::ready();
    let id = side.connection.bundle([rule(1), rule(2)]).unwrap();
    let sent = side.sent();
    side.hears(sent[2].xid, refused(1, &sent[2]));
    side.hears_message(bundle_reply(4, sent[3].xid, Kind::CloseReply));
    let discard = side.sent();
    assert_eq!(bundle_kinds(&discard), [Some(Kind::DiscardRequest)]);
    side.hears_message(bundle_reply(4, discard[0].xid, Kind::DiscardReply));
    let events = side.events();
    let [Event::Done { id: done, refusals }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((*done, refusals.len(), refusals[0].index), (id, 1, 1));
}

#[test]
fn a_bundle_that_fails_at_the_commit_names_the_message_and_the_commit() {
    use BundleControlKind as Kind;
    let mut side = Side::ready();
    let id = side.connection.bundle([rule(1), rule(2)]).unwrap();
    let sent = side.sent();
    side.hears_message(bundle_reply(4, sent[3].xid, Kind::CloseReply));
    let commit = side.sent();
    side.hears(sent[1].xid, refused(3, &sent[1]));
    side.hears(
        commit[0].xid,
        ErrorMessage {
            kind: 17,
            code: 13,
            ..ErrorMessage::default()
        },
    );
    let events = side.events();
    let [Event::Done { id: done, refusals }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(*done, id);
    assert_eq!(refusals.iter().map(|r| r.index).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(refusals[1].error.name(), "bundle_failed/msg_failed");
}

#[test]
fn a_malformed_answer_fails_its_request_and_the_connection_goes_on() {
    let mut side = Side::ready();
    let id = side.connection.request(Body::FeaturesRequest).unwrap();
    let mut bytes = Message::new(id, Body::FeaturesReply(Default::default()))
        .to_bytes()
        .unwrap();
    bytes.truncate(20);
    bytes[3] = 20;
    side.connection.receive(&bytes, side.start);
    let events = side.events();
    assert!(
        matches!(&events[..], [Event::Failed { id: x, failure: Failure::Malformed(_) }] if *x == id)
    );
    side.hears(5, Body::EchoRequest(Blob::default()));
    assert_eq!(side.sent().len(), 2);
}

#[test]
fn bytes_that_are_not_openflow_end_the_connection() {
    let mut side = Side::new(Config::default());
    side.connection
        .receive(b"SSH-2.0-OpenSSH_9.2\r\n", side.start);
    side.connection.receive(&[0; 30_000], side.start);
    let events = side.events();
    assert!(matches!(events[..], [Event::Closed(_)]), "{events:?}");
    side.connection
        .receive(&[4, 0, 0, 8, 0, 0, 0, 0], side.start);
    assert!(side.events().is_empty());
}

#[test]
fn a_cancelled_request_is_not_reported() {
    let mut side = Side::ready();
    let id = side.connection.request(Body::FeaturesRequest).unwrap();
    let batch = side.connection.batch([rule(1)]).unwrap();
    side.connection.cancel(id);
    side.connection.cancel(batch);
    side.connection.peer_closed();
    assert_eq!(side.events(), [Event::Closed(CloseReason::PeerClosed)]);
}
