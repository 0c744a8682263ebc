//! A Map-Server on loopback, and tunnel routers that talk to it from addresses of their own.

use api::view::{LispKey, LispSiteSpec};
use controller::lisp::{Lisp, LispConfig, Turns};
use lisp::auth::{Algorithm, Authentication, Secret};
use lisp::message::{EidFlags, Encapsulated, InnerIp, MapNotify};
use lisp::{
    Eid, Locator, MapRegister, MapRegisterFlags, MapReply, MapRequest, Message, Record, XtrId,
};
use model::{ClusterName, Encap, Entry, Epoch, HostName, Mac, Net, SiteName, VmName};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use store::{Sqlite, Store, StoreExt};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(crate) const SECRET: &str = "of the branch";
pub(crate) const SITE: u64 = 9;
/// The network of the directory's cluster.
pub(crate) const VNI: u32 = 7;

pub(crate) struct Bed {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) lisp: Lisp,
    pub(crate) turns: Turns,
    pub(crate) at: SocketAddr,
    tasks: JoinSet<()>,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(Sqlite::in_memory().unwrap());
        let net = Net {
            cluster: cluster(),
            vni: VNI,
            encap: Encap::Vxlan,
            mtu: 1450,
        };
        store.put_json("directory/net/shop", &net).await.unwrap();
        let bed = Self::on(store).await;
        bed.lisp.put_site(&site_name(), site()).await.unwrap();
        bed
    }

    async fn on(store: Arc<dyn Store>) -> Self {
        let config: LispConfig =
            toml::from_str("listen = ['127.0.0.1:0']\nretry_ms = 100").unwrap();
        let turns = Turns::default();
        let opened = Lisp::open(&config, store.clone(), turns.clone())
            .await
            .unwrap();
        let lisp = opened.lisp.clone();
        let mut tasks = JoinSet::new();
        opened.serve(&mut tasks);
        Self {
            store,
            at: lisp.addresses()[0],
            lisp,
            turns,
            tasks,
        }
    }

    /// Ends the server and starts another one on the same store.
    pub(crate) async fn restart(mut self) -> Self {
        self.tasks.shutdown().await;
        Self::on(self.store).await
    }

    pub(crate) async fn put(&self, row: &Entry) {
        let key = format!("directory/entry/{}/{}", row.cluster, row.vm);
        self.store.put_json(&key, row).await.unwrap();
    }

    pub(crate) async fn until(&self, condition: impl Fn(&Lisp) -> bool) {
        for _ in 0..400 {
            if condition(&self.lisp) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("what was waited for did not come");
    }

    pub(crate) fn rejected(&self, reason: &str) -> u64 {
        let counts = self.lisp.rejected();
        counts.iter().find(|(name, _)| *name == reason).unwrap().1
    }
}

pub(crate) fn cluster() -> ClusterName {
    ClusterName::new("shop").unwrap()
}

pub(crate) fn site_name() -> SiteName {
    SiteName::new("branch").unwrap()
}

pub(crate) fn site() -> LispSiteSpec {
    LispSiteSpec {
        id: SITE,
        keys: vec![LispKey {
            id: 0,
            secret: SECRET.into(),
        }],
        prefixes: vec!["[7]10.0.0.0/8".into()],
        accept_more_specifics: true,
        accept_constant_nonce: false,
        gpe: false,
    }
}

/// An endpoint of the directory: 10.77.0.`number`, at 192.0.2.`host`.
pub(crate) fn row(number: u8, host: u8, epoch: u64) -> Entry {
    Entry {
        cluster: cluster(),
        vm: VmName::new(format!("shop-{number}")).unwrap(),
        mac: Mac([0x52, 0x54, 0, 0x77, 0, number]),
        ips: vec![[10, 77, 0, number].into(), "fe80::1".parse().unwrap()],
        security: Vec::new(),
        locator: model::Locator {
            host: HostName::new(format!("host-{host}")).unwrap(),
            address: [192, 0, 2, host].into(),
        },
        epoch: Epoch(epoch),
        seal: None,
    }
}

pub(crate) fn vm(number: u8) -> Eid {
    Eid::host(VNI, Ipv4Addr::new(10, 77, 0, number))
}

pub(crate) fn locator(host: u8) -> Locator {
    Locator::new(Ipv4Addr::new(192, 0, 2, host), 1, 100)
}

/// A tunnel router at an address of 127.0.0.0/8, on the control port.
pub(crate) struct Xtr {
    pub(crate) address: Ipv4Addr,
    socket: UdpSocket,
    server: SocketAddr,
    pub(crate) id: XtrId,
}

impl Xtr {
    pub(crate) async fn new(bed: &Bed, number: [u8; 2]) -> Self {
        let address = Ipv4Addr::new(127, 94, number[0], number[1]);
        Self {
            address,
            socket: UdpSocket::bind((address, 4342)).await.unwrap(),
            server: bed.at,
            id: XtrId {
                xtr_id: u16::from_be_bytes(number).into(),
                site_id: SITE,
            },
        }
    }

    /// The same one with another server.
    pub(crate) fn moved_to(self, bed: &Bed) -> Self {
        Self {
            server: bed.at,
            ..self
        }
    }

    pub(crate) async fn send(&self, message: impl Into<Message>) {
        let bytes = message.into().to_bytes().unwrap();
        self.raw(&bytes).await;
    }

    pub(crate) async fn signed(&self, message: impl Into<Message>) -> Vec<u8> {
        let secret = Secret::new(SECRET.as_bytes());
        let bytes = message.into().to_signed_bytes(&secret).unwrap();
        self.raw(&bytes).await;
        bytes
    }

    pub(crate) async fn raw(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.server).await.unwrap();
    }

    /// The next message; none within a second.
    pub(crate) async fn next(&self) -> Option<Message> {
        let mut buffer = [0; 2000];
        let received = self.socket.recv_from(&mut buffer);
        let (length, _) = timeout(Duration::from_secs(1), received)
            .await
            .ok()?
            .unwrap();
        Some(Message::decode(&buffer[..length]).unwrap())
    }

    pub(crate) async fn notify(&self) -> MapNotify {
        match self.next().await {
            Some(Message::MapNotify(notify)) => notify,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn acknowledge(&self, notify: MapNotify) {
        self.signed(Message::MapNotifyAck(notify)).await;
    }

    pub(crate) async fn ask(&self, eid: Eid) -> Record {
        let asked = MapRequest::new(77, eid, self.address);
        let ip = InnerIp::v4(self.address, Ipv4Addr::new(10, 0, 0, 1));
        self.send(Encapsulated::new(ip, 4342, asked)).await;
        match self.next().await {
            Some(Message::MapReply(MapReply { records, .. })) => records[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn subscribe(&self, eid: Eid, nonce: u64) {
        let mut asked = MapRequest::new(nonce, eid, self.address);
        asked.records[0].flags = EidFlags::NOTIFY;
        asked.xtr = Some(self.id);
        self.send(asked).await;
    }

    pub(crate) fn registration(&self, eid: Eid, nonce: u64) -> MapRegister {
        MapRegister {
            flags: MapRegisterFlags::PROXY_REPLY | MapRegisterFlags::WANT_NOTIFY,
            nonce,
            authentication: Authentication::with(0, Algorithm::HmacSha256),
            records: vec![Record::new(eid, 10).locator(Locator::new(self.address, 1, 100))],
            xtr: Some(self.id),
            ..MapRegister::default()
        }
    }
}
