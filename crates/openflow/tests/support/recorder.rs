//! A wire tap: a socket in front of a switch that keeps every message of both directions.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

type Streams = Arc<Mutex<Vec<Vec<u8>>>>;

/// Stands between clients and a switch.
pub(crate) struct Recorder {
    path: PathBuf,
    streams: Streams,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Recorder {
    pub(crate) fn start(dir: &Path, upstream: &Path) -> Self {
        let path = dir.join("tap.sock");
        let listener = UnixListener::bind(&path).expect("a socket in the test's folder");
        let streams = Streams::default();
        let (kept, upstream) = (Arc::clone(&streams), upstream.to_owned());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let acceptor = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(switch) = UnixStream::connect(&upstream) else {
                    return;
                };
                relay(&switch, &client, &kept);
                relay(&client, &switch, &kept);
            }
        });
        Self {
            path,
            stop,
            streams,
            acceptor: Some(acceptor),
        }
    }

    /// What `ovs-ofctl` takes in place of a bridge.
    pub(crate) fn target(&self) -> String {
        format!("unix:{}", self.path.display())
    }

    /// Every whole message so far, both directions mixed.
    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        let streams = self.streams.lock().expect("no panic in the tap");
        let mut frames = Vec::new();
        for stream in streams.iter() {
            let mut rest = stream.as_slice();
            while let Ok(Some(length)) = openflow::message::frame_len(rest) {
                let Some((frame, tail)) = rest.split_at_checked(length) else {
                    break;
                };
                frames.push(frame.to_vec());
                rest = tail;
            }
        }
        frames
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // One last connection wakes the acceptor.
        let _ = UnixStream::connect(&self.path);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Copies one direction until it ends, and then ends the other side too.
fn relay(from: &UnixStream, to: &UnixStream, streams: &Streams) {
    let index = {
        let mut streams = streams.lock().expect("no panic in the tap");
        streams.push(Vec::new());
        streams.len() - 1
    };
    let (mut from, mut to) = (
        from.try_clone().expect("a handle"),
        to.try_clone().expect("a handle"),
    );
    let streams = Arc::clone(streams);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(n) = from.read(&mut buffer) {
            // Kept first: once the client has its answer it may look.
            streams.lock().expect("no panic in the tap")[index].extend_from_slice(&buffer[..n]);
            if n == 0 || to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
