//! A provider that speaks dyndns2 and says what it is told to, over HTTP or HTTPS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

pub(crate) struct Provider {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    /// Heads of requests as they came.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Provider {
    pub(crate) async fn start(tls: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), "of the account\n").unwrap();
        let acceptor = tls.then(|| acceptor(&folder.path().join("ca.pem")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, answer) = (
            Arc::<Mutex<Vec<String>>>::default(),
            Arc::<Mutex<String>>::default(),
        );
        let (heads, says) = (asked.clone(), answer.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let says = says.lock().unwrap().clone();
                match &acceptor {
                    None => converse(stream, &heads, &says).await,
                    // A client that does not trust it ends here.
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => converse(stream, &heads, &says).await,
                        Err(_) => continue,
                    },
                }
            }
        });
        let provider = Self {
            folder,
            address,
            asked,
            answer,
            task,
        };
        provider.says("HTTP/1.1 200 OK", "good");
        provider
    }

    /// From now on it answers this.
    pub(crate) fn says(&self, status: &str, body: &str) {
        let length = body.len();
        let answer =
            format!("{status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        *self.answer.lock().unwrap() = answer;
    }

    /// From now on it hangs up.
    pub(crate) fn says_nothing(&self) {
        self.answer.lock().unwrap().clear();
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    heads: &Mutex<Vec<String>>,
    says: &str,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    heads.lock().unwrap().push(String::from_utf8(head).unwrap());
    let _ = stream.write_all(says.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// A server of TLS for 127.0.0.1; its certificate goes into the file.
fn acceptor(file: &std::path::Path) -> tokio_rustls::TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(file, made.cert.pem()).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}
