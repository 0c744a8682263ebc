//! A move with many subscribers: how long until all of them are told, over UDP on loopback, and whether all
//! of them have acknowledged.
//!
//! `cargo bench -p controller --bench subscribers [-- SUBSCRIBERS]`. Subscribers run in the same process, so
//! they take their part of the machine. The last line is JSON.

use api::view::{LispKey, LispSiteSpec};
use controller::lisp::{Lisp, LispConfig, Turns};
use lisp::auth::Secret;
use lisp::message::EidFlags;
use lisp::{Eid, MapRequest, Message, XtrId};
use model::{ClusterName, Encap, Entry, Epoch, HostName, Locator, Mac, Net, SiteName, VmName};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use store::{Sqlite, Store, StoreExt};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

const SECRET: &str = "of the branch";
/// Addresses that subscribers share.
const ADDRESSES: usize = 20;

fn main() {
    let numbers = std::env::args().skip(1);
    let count = numbers.filter_map(|arg| arg.parse().ok()).next();
    let runtime = tokio::runtime::Runtime::new();
    runtime
        .expect("a runtime")
        .block_on(bench(count.unwrap_or(10_000)));
}

fn row(host: u8, epoch: u64) -> Entry {
    Entry {
        cluster: ClusterName::new("shop").expect("a name"),
        vm: VmName::new("shop-1").expect("a name"),
        mac: Mac([0x52, 0x54, 0, 0x77, 0, 1]),
        ips: vec![[10, 77, 0, 1].into()],
        security: Vec::new(),
        locator: Locator {
            host: HostName::new(format!("host-{host}")).expect("a name"),
            address: [192, 0, 2, host].into(),
        },
        epoch: Epoch(epoch),
        seal: None,
    }
}

/// Subscribers at one address: acknowledges all that comes, and counts the news.
async fn subscribers(socket: Arc<UdpSocket>, server: SocketAddr, news: Arc<AtomicUsize>) {
    let secret = Secret::new(SECRET.as_bytes());
    let mut heard = std::collections::HashSet::new();
    let mut buffer = [0; 2000];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let message = Message::decode(buffer.get(..length).unwrap_or_default());
        let Ok(Message::MapNotify(notify)) = message else {
            continue;
        };
        let moved = notify.records.iter().any(|record| record.map_version == 2);
        if moved && heard.insert(notify.xtr) {
            news.fetch_add(1, Ordering::Relaxed);
        }
        let ack = Message::MapNotifyAck(notify).to_signed_bytes(&secret);
        let _ = socket.send_to(&ack.expect("a message"), server).await;
    }
}

async fn settled(lisp: &Lisp, wanted: (usize, usize)) {
    let begun = Instant::now();
    while lisp.subscriptions() != wanted && begun.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn bench(count: usize) {
    let store: Arc<dyn Store> = Arc::new(Sqlite::in_memory().expect("a store"));
    let net = Net {
        cluster: ClusterName::new("shop").expect("a name"),
        vni: 7,
        encap: Encap::Vxlan,
        mtu: 1450,
    };
    store
        .put_json("directory/net/shop", &net)
        .await
        .expect("put");
    let place = "directory/entry/shop/shop-1";
    store.put_json(place, &row(1, 1)).await.expect("put");
    let config: LispConfig = toml::from_str("listen = ['127.0.0.1:0']").expect("a table");
    let opened = Lisp::open(&config, store.clone(), Turns::default()).await;
    let opened = opened.expect("a Map-Server");
    let lisp = opened.lisp.clone();
    let mut tasks = JoinSet::new();
    opened.serve(&mut tasks);
    let site = LispSiteSpec {
        id: 9,
        keys: vec![LispKey {
            id: 0,
            secret: SECRET.into(),
        }],
        prefixes: vec!["[7]10.0.0.0/8".into()],
        accept_more_specifics: true,
        accept_constant_nonce: false,
        gpe: false,
    };
    let name = SiteName::new("branch").expect("a name");
    lisp.put_site(&name, site).await.expect("a site");

    let [server, ..] = lisp.addresses()[..] else {
        return;
    };
    let news = Arc::new(AtomicUsize::new(0));
    let mut sockets = Vec::new();
    for number in 1..=ADDRESSES {
        let address = Ipv4Addr::new(127, 96, 0, number as u8);
        let socket = UdpSocket::bind((address, 4342)).await.expect("a free port");
        let socket = Arc::new(socket);
        let force = nix::sys::socket::sockopt::RcvBufForce;
        let _ = nix::sys::socket::setsockopt(&socket, force, &(8 << 20));
        tasks.spawn(subscribers(socket.clone(), server, news.clone()));
        sockets.push((address, socket));
    }
    let eid = Eid::host(7, Ipv4Addr::new(10, 77, 0, 1));
    for (number, (address, socket)) in (0..count).zip(sockets.iter().cycle()) {
        let mut wish = MapRequest::new(100, eid, *address);
        wish.records
            .iter_mut()
            .for_each(|asked| asked.flags = EidFlags::NOTIFY);
        wish.xtr = Some(XtrId {
            xtr_id: number as u128,
            site_id: 9,
        });
        let bytes = Message::from(wish).to_bytes().expect("a message");
        socket.send_to(&bytes, server).await.expect("sent");
        if number % 200 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    settled(&lisp, (count, 0)).await;
    assert_eq!(lisp.subscriptions(), (count, 0), "everyone has subscribed");

    let begun = Instant::now();
    store.put_json(place, &row(2, 2)).await.expect("put");
    let mut told = None;
    while begun.elapsed() < Duration::from_secs(20) {
        if news.load(Ordering::Relaxed) == count {
            told = Some(begun.elapsed());
            break;
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    settled(&lisp, (count, 0)).await;
    let acknowledged = begun.elapsed();
    let (subscriptions, open) = lisp.subscriptions();
    let told_ms = told.map_or(f64::INFINITY, |told| told.as_secs_f64() * 1e3);
    println!(
        "a move with {subscriptions} subscribers: all told after {told_ms:.0} ms (target <= 200), {} acknowledged \
         after {:.0} ms (target 100 % acknowledged or retried)",
        subscriptions - open,
        acknowledged.as_secs_f64() * 1e3
    );
    println!(
        "{}",
        serde_json::json!({
            "subscribers": subscriptions, "told_ms": told_ms, "acknowledged": subscriptions - open,
            "acknowledged_ms": acknowledged.as_secs_f64() * 1e3,
        })
    );
    tasks.shutdown().await;
    if told_ms > 200.0 || open > 0 {
        std::process::exit(1);
    }
}
