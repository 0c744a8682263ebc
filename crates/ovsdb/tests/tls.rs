//! TLS to a real ovsdb-server, with certificates made here.

mod support;

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use ovsdb::{Client, Error, Options, Remote, Select, vswitch::DB};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use support::{Server, free_port, options};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "odb test authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// Trusts this authority, and shows a certificate that `signer` issued.
    fn client_config(&self, signer: &Self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(self.0.der().to_vec()))
            .unwrap();
        let (certificate, key) = signer.issue("client");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

fn server(authority: &Authority, port: u16) -> Server {
    Server::start_with(|dir: &Path| {
        let file = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (certificate, key) = authority.issue("127.0.0.1");
        vec![
            format!("--remote=pssl:{port}:127.0.0.1"),
            format!("--private-key={}", file("key.pem", key.serialize_pem())),
            format!("--certificate={}", file("cert.pem", certificate.pem())),
            format!("--ca-cert={}", file("ca.pem", authority.0.pem())),
        ]
    })
}

fn remote(port: u16, config: Arc<ClientConfig>) -> Remote {
    Remote::tls(
        "127.0.0.1",
        port,
        ServerName::from(IpAddr::from([127, 0, 0, 1])),
        config,
    )
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let (authority, port) = (Authority::new(), free_port());
    let server = server(&authority, port);
    server.vsctl("init").await;
    let remote = remote(port, authority.client_config(&authority));
    let client = Client::connect_with(remote, options()).await.unwrap();
    assert_eq!(client.select(DB, Select::from(DB)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    let (authority, other, port) = (Authority::new(), Authority::new(), free_port());
    let server = server(&authority, port);
    server.client().await;
    let options = Options {
        connect_timeout: Duration::from_millis(300),
        ..options()
    };
    let error = Client::connect_with(remote(port, other.client_config(&other)), options)
        .await
        .err()
        .unwrap();
    assert!(
        matches!(&error, Error::Unreachable { cause, .. } if cause.contains("certificate")),
        "{error}"
    );
}

#[tokio::test]
async fn a_client_of_another_authority_gets_no_answer() {
    let (authority, other, port) = (Authority::new(), Authority::new(), free_port());
    let server = server(&authority, port);
    server.client().await;
    let options = Options {
        connect_timeout: Duration::from_secs(1),
        ..options()
    };
    // With TLS 1.3 the client learns of the refusal only after its handshake.
    let refused =
        match Client::connect_with(remote(port, authority.client_config(&other)), options).await {
            Ok(client) => client.list_dbs().await.err(),
            Err(error) => Some(error),
        };
    assert!(
        matches!(
            refused,
            Some(Error::Disconnected { .. } | Error::Unreachable { .. })
        ),
        "{refused:?}"
    );
}
