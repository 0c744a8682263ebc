//! What is sent arrives.

use wireguard::Event;

use crate::stage::{Stage, inner, inner6, noise, until};

#[test]
fn tcp_arrives_as_it_was_sent_over_both_families() {
    let stage = Stage::new(2);
    let devices = stage.pair();
    let mut events = devices[1].0.events();
    let bytes = noise(20_000_000);
    for address in [inner(2), inner6(2)] {
        assert!(stage.tcp(1, 2, address, &bytes) == bytes, "{address}");
    }
    for (device, _) in &devices {
        let status = device.status();
        assert!(status.peers[0].received.packets > 100, "{status:?}");
        assert!(status.peers[0].handshake.is_some(), "{status:?}");
    }
    let peer = devices[0].1.public();
    until("the handshake is told", || {
        events.try_recv() == Ok(Event::Handshake { peer })
    });
}
