//! The Map-Server of a whole controller.

use super::bed::{Bed, member, shop, vm_name};
use api::Service;
use lisp::message::{EidFlags, Encapsulated, InnerIp};
use lisp::{Eid, Locator, MapRequest, Message, XtrId};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::time::timeout;

async fn next(socket: &UdpSocket) -> Message {
    let mut buffer = [0; 2000];
    let received = timeout(Duration::from_secs(5), socket.recv_from(&mut buffer)).await;
    let (length, _) = received.expect("a message in time").unwrap();
    Message::decode(&buffer[..length]).unwrap()
}

#[tokio::test]
async fn an_endpoint_that_is_placed_elsewhere_is_told_to_subscribers_and_answered_there() {
    let bed = Bed::with("[lisp]\nlisten = ['127.0.0.1:0']").await;
    let north = bed.joined("north", "north", 1).await;
    let south = bed.joined("south", "south", 2).await;
    let _agents = [north.connect().await, south.connect().await];
    let made = bed.shop(vec![member("gate", "north", 9)]).await.unwrap();
    let site = serde_json::from_str(
        r#"{"id": 9, "keys": [{"secret": "of the branch"}], "prefixes": ["10.2.0.0/16"]}"#,
    );
    let name = model::SiteName::new("branch").unwrap();
    bed.service
        .put_lisp_site(&name, site.unwrap())
        .await
        .unwrap();

    let server: SocketAddr = bed.service.lisp.as_ref().unwrap().addresses()[0];
    let here = Ipv4Addr::new(127, 95, 0, 1);
    let xtr = UdpSocket::bind((here, 4342)).await.unwrap();
    let eid = Eid::host(made.spec.vni, Ipv4Addr::new(10, 77, 0, 9));
    let mut wish = MapRequest::new(100, eid, here);
    wish.records[0].flags = EidFlags::NOTIFY;
    wish.xtr = Some(XtrId {
        xtr_id: 1,
        site_id: 9,
    });
    let bytes = Message::from(wish).to_bytes().unwrap();
    xtr.send_to(&bytes, server).await.unwrap();
    let at = |host: u8| Locator::new(IpAddr::from([192, 0, 2, host]), 1, 100);
    match next(&xtr).await {
        Message::MapNotify(told) => assert_eq!(told.records[0].locators, [at(1)]),
        other => panic!("{other:?}"),
    }

    let cluster = shop();
    let begun = Instant::now();
    let to = model::HostName::new("south").unwrap();
    let gate = vm_name("gate");
    let (placed, told) = tokio::join!(bed.service.update(&cluster, &gate, &to), next(&xtr));
    let took = begun.elapsed();
    let epoch = placed.unwrap().epoch;
    match told {
        Message::MapNotify(told) => {
            assert_eq!(told.records[0].locators, [at(2)]);
            assert_eq!(u64::from(told.records[0].map_version), epoch.0);
        }
        other => panic!("{other:?}"),
    }
    assert!(took < Duration::from_secs(2), "{took:?}");

    let asked = MapRequest::new(7, eid, here);
    let ecm = Encapsulated::new(InnerIp::v4(here, here), 4342, asked);
    let bytes = Message::from(ecm).to_bytes().unwrap();
    xtr.send_to(&bytes, server).await.unwrap();
    loop {
        // The notification was not acknowledged, so it may come again first.
        if let Message::MapReply(reply) = next(&xtr).await {
            assert_eq!(reply.records[0].locators, [at(2)]);
            break;
        }
    }
}

#[tokio::test]
async fn without_the_table_there_is_no_map_server_and_whoever_asks_is_told() {
    let bed = Bed::new().await;
    let problem = bed.service.lisp_sites().await.unwrap_err();
    assert!(problem.way_out.contains("[lisp]"), "{problem:?}");
}
