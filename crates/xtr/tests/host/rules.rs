//! Hops, congestion marks and sizes (RFC 9300, sections 5.3 and 7; RFC 6040), with packets made by hand.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use etherparse::PacketBuilder;
use nix::sys::socket::{setsockopt, sockopt};

use crate::stage::{INSTANCE, Stage, config, count, eid4, eid6, fixed, noise, rloc4, until};

fn option(socket: &UdpSocket, level: i32, name: i32, value: i32) {
    // SAFETY: the option is an int that outlives the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            4,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

fn asked(socket: &UdpSocket, level: i32, name: i32) -> i32 {
    let mut value = 0;
    let mut length = 4;
    // SAFETY: value and length outlive the call.
    unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        );
    }
    value
}

/// A data packet as a stranger makes it: inner UDP to port 9000 with this TTL and traffic class.
fn data_packet(to: u8, ttl: u8, class: u8, instance: u32) -> Vec<u8> {
    let mut ip = etherparse::Ipv4Header::new(
        0,
        ttl,
        etherparse::IpNumber::UDP,
        [10, 2, 0, 9],
        [10, 2, 0, to],
    )
    .expect("a header");
    ip.dscp = etherparse::IpDscp::try_new(class >> 2).expect("six bits");
    ip.ecn = etherparse::IpEcn::try_new(class & 3).expect("two bits");
    let header = lisp::DataHeader::new().with_instance(instance);
    let mut packet = header.to_bytes().to_vec();
    let payload = [ttl, class];
    let builder =
        PacketBuilder::ip(etherparse::IpHeaders::Ipv4(ip, Default::default())).udp(1, 9000);
    builder.write(&mut packet, &payload).expect("a packet");
    packet
}

#[test]
fn hops_and_congestion_outside_come_into_the_inner_header() {
    let stage = Stage::new(2);
    let router = stage.start(1, config(1, rloc4(1)));
    let receiver = stage
        .inside(1, || UdpSocket::bind("10.2.0.1:9000"))
        .expect("socket");
    receiver
        .set_read_timeout(Some(Duration::from_secs(2)))
        .expect("timeout");
    setsockopt(&receiver, sockopt::IpRecvTos, &true).expect("option");
    option(&receiver, libc::IPPROTO_IP, libc::IP_RECVTTL, 1);
    let sender = stage
        .inside(2, || UdpSocket::bind("10.0.0.2:0"))
        .expect("socket");
    let to = SocketAddr::new(rloc4(1), 4341);
    // Outer TTL and class, inner TTL and class, and what must arrive.
    for (outer, inner, arrives) in [
        ((64, 0), (40, 0xb8), (40, 0xb8)),
        ((9, 0), (40, 0xba), (9, 0xba)),
        ((64, 3), (40, 0xba), (40, 0xbb)),
        ((64, 1), (40, 2), (40, 1)),
        ((64, 0xb8), (40, 0), (40, 0)),
        ((1, 0), (200, 1), (1, 1)),
    ] {
        option(&sender, libc::IPPROTO_IP, libc::IP_TTL, outer.0);
        option(&sender, libc::IPPROTO_IP, libc::IP_TOS, outer.1);
        sender
            .send_to(&data_packet(1, inner.0, inner.1, INSTANCE), to)
            .expect("send");
        let (payload, ttl, class) = receive(&receiver);
        assert_eq!(payload, [inner.0, inner.1]);
        assert_eq!((ttl, class), arrives, "outer {outer:?}, inner {inner:?}");
    }
    option(&sender, libc::IPPROTO_IP, libc::IP_TOS, 3);
    sender
        .send_to(&data_packet(1, 40, 0xb8, INSTANCE), to)
        .expect("send");
    until("dropped for congestion", || count(&router, "drop_ecn") == 1);
    option(&sender, libc::IPPROTO_IP, libc::IP_TOS, 0);
    sender
        .send_to(&data_packet(1, 0, 0, INSTANCE), to)
        .expect("send");
    until("dropped without hops", || count(&router, "drop_ttl") == 1);
    sender.send_to(&data_packet(1, 9, 0, 8), to).expect("send");
    until("dropped of a strange instance", || {
        count(&router, "drop_unknown_instance") == 1
    });
    sender
        .send_to(&data_packet(77, 9, 0, INSTANCE), to)
        .expect("send");
    until("dropped for a stranger", || {
        count(&router, "drop_not_our_eid") == 1
    });
    sender.send_to(&[8, 0, 0], to).expect("send");
    sender
        .send_to(&data_packet(1, 9, 0, INSTANCE)[..20], to)
        .expect("send");
    until("dropped as malformed", || {
        count(&router, "drop_malformed") == 2
    });
    let mut encrypted = data_packet(1, 9, 0, INSTANCE);
    encrypted[0] |= 1;
    sender.send_to(&encrypted, to).expect("send");
    until("dropped as encrypted", || {
        count(&router, "drop_data_header") == 1
    });
    assert_eq!(count(&router, "decapsulated_packets"), 6);
}

#[test]
fn the_outer_header_has_the_inner_ones_hops_and_class() {
    let stage = Stage::new(2);
    let mut config = config(1, rloc4(1));
    config.mappings = vec![fixed(eid4(2), rloc4(2))];
    let _router = stage.start(1, config);
    let peer = stage
        .inside(2, || UdpSocket::bind("10.0.0.2:4341"))
        .expect("socket");
    peer.set_read_timeout(Some(Duration::from_secs(2)))
        .expect("timeout");
    setsockopt(&peer, sockopt::IpRecvTos, &true).expect("option");
    option(&peer, libc::IPPROTO_IP, libc::IP_RECVTTL, 1);
    let sender = stage
        .inside(1, || UdpSocket::bind("10.2.0.1:5000"))
        .expect("socket");
    for (ttl, class) in [(64, 0), (33, 0xb9), (2, 0x2e)] {
        option(&sender, libc::IPPROTO_IP, libc::IP_TTL, ttl);
        option(&sender, libc::IPPROTO_IP, libc::IP_TOS, class);
        sender.send_to(b"hello", "10.2.0.2:9000").expect("send");
        let (packet, outer_ttl, outer_class) = receive(&peer);
        assert_eq!((outer_ttl, outer_class), (ttl, class));
        let (header, inner) = lisp::DataHeader::decode(&packet).expect("a header");
        assert_eq!(header.instance(), Some(INSTANCE));
        assert_eq!(header.nonce(), None);
        let inner = etherparse::SlicedPacket::from_ip(inner).expect("a packet");
        assert!(inner.transport.is_some());
    }
}

#[test]
fn a_packet_that_is_too_large_is_fragmented_or_its_sender_told_what_fits() {
    let stage = Stage::new(2);
    let routers = stage.pair(rloc4, |config| {
        for instance in &mut config.instances {
            instance.mtu = Some(9000);
        }
    });
    let receiver = stage
        .inside(2, || UdpSocket::bind("10.2.0.2:9000"))
        .expect("socket");
    receiver
        .set_read_timeout(Some(Duration::from_secs(2)))
        .expect("timeout");
    let sender = stage
        .inside(1, || UdpSocket::bind("10.2.0.1:5000"))
        .expect("socket");
    option(
        &sender,
        libc::IPPROTO_IP,
        libc::IP_MTU_DISCOVER,
        libc::IP_PMTUDISC_DONT,
    );
    for size in [1400, 1436, 1437, 4000, 8000] {
        let payload = noise(size);
        sender.send_to(&payload, "10.2.0.2:9000").expect("send");
        let mut buffer = vec![0; 10_000];
        let length = receiver.recv(&mut buffer).expect("a datagram");
        assert!(buffer[..length] == payload, "{size}");
    }
    assert_eq!(count(&routers[0], "fragmented_packets"), 3);
    // Not to be fragmented: the sender's kernel learns what fits, 1500 less 20, 8 and 8 bytes.
    option(
        &sender,
        libc::IPPROTO_IP,
        libc::IP_MTU_DISCOVER,
        libc::IP_PMTUDISC_DO,
    );
    sender.connect("10.2.0.2:9000").expect("connect");
    drop(sender.send(&noise(4000)));
    until("the MTU is known", || {
        asked(&sender, libc::IPPROTO_IP, libc::IP_MTU) == 1464
    });
    drop(sender.take_error());
    assert_eq!(sender.send(&noise(1436)).expect("fits"), 1436);
    let sender = stage
        .inside(1, || UdpSocket::bind("[fd02::1]:5000"))
        .expect("socket");
    option(
        &sender,
        libc::IPPROTO_IPV6,
        libc::IPV6_MTU_DISCOVER,
        libc::IPV6_PMTUDISC_DO,
    );
    sender.connect("[fd02::2]:9000").expect("connect");
    drop(sender.send(&noise(4000)));
    until("the MTU is known", || {
        asked(&sender, libc::IPPROTO_IPV6, libc::IPV6_MTU) == 1464
    });
    assert_eq!(count(&routers[0], "drop_too_big"), 2);
    assert_eq!(count(&routers[0], "icmp_too_big_sent"), 2);
    // TCP finds its way by the same messages.
    let bytes = noise(2_000_000);
    assert!(stage.tcp(2, 1, eid4(1), &bytes) == bytes);
    assert!(stage.tcp(2, 1, eid6(1), &bytes) == bytes);
}

/// Payload, hops and class of one datagram.
fn receive(socket: &UdpSocket) -> (Vec<u8>, i32, i32) {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
    let mut buffer = [0; 2000];
    let mut parts = [std::io::IoSliceMut::new(&mut buffer)];
    let mut control = vec![0; 128];
    let got = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::empty(),
    )
    .expect("a datagram");
    let (mut ttl, mut class) = (-1, -1);
    for said in got.cmsgs().expect("control messages") {
        match said {
            ControlMessageOwned::Ipv4Ttl(value) => ttl = value,
            ControlMessageOwned::Ipv4Tos(value) => class = value.into(),
            _ => {}
        }
    }
    let length = got.bytes;
    (buffer[..length].to_vec(), ttl, class)
}

#[test]
fn what_is_for_a_group_or_one_link_asks_nobody() {
    let stage = Stage::new(1);
    let router = stage.start(1, config(1, rloc4(1)));
    let sender = stage
        .inside(1, || UdpSocket::bind("10.2.0.1:0"))
        .expect("socket");
    stage.sh(
        1,
        "ip route add 224.1.2.3/32 dev lisp7; ip route add 169.254.7.7/32 dev lisp7",
    );
    let before = count(&router, "drop_not_unicast");
    for to in ["224.1.2.3:9000", "169.254.7.7:9000"] {
        sender.send_to(b"all", to).expect("send");
    }
    until("dropped", || {
        count(&router, "drop_not_unicast") >= before + 2
    });
    let waited = count(&router, "drop_queue_full") + count(&router, "queued_packets");
    assert_eq!(waited, 0);
}
