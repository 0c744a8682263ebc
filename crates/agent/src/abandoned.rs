//! A stream that nobody reads any more.
//!
//! QEMU itself keeps the reading end of the socket that it writes a migration to, so that the death of
//! an agent is no end of file to it (see [`crate::outgoing`]). It writes its last bytes with its lock
//! held: when more is left than the socket takes, it hangs, and nobody can tell it to stop. The next
//! agent therefore takes the reading end out of it and reads what comes; it goes nowhere.

use tokio::io::AsyncReadExt;

/// Reads a process's socket with this inode until its end, aside. Does nothing where it is not found or
/// not allowed.
pub(crate) fn drain(pid: i32, inode: u64) {
    let wanted = format!("socket:[{inode}]");
    let is_it = |number| {
        let target = std::fs::read_link(format!("/proc/{pid}/fd/{number}"));
        target.is_ok_and(|target| target.as_os_str() == wanted.as_str())
    };
    let stream = match ovs::descriptor::of_process(pid, is_it) {
        Ok(Some(socket)) => std::os::unix::net::UnixStream::from(socket),
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(%error, pid, "the stream of an earlier agent cannot be read");
            return;
        }
    };
    let Ok(mut stream) = stream
        .set_nonblocking(true)
        .and_then(|()| tokio::net::UnixStream::from_std(stream))
    else {
        return;
    };
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    /// A process that keeps the reading end of a full socket and never reads it.
    fn keeper() -> (Child, UnixStream, u64) {
        let (mut writing, reading) = UnixStream::pair().unwrap();
        fcntl(&reading, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let child = Command::new("sleep")
            .arg("60")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let inode = nix::sys::stat::fstat(&reading).unwrap().st_ino;
        writing.set_nonblocking(true).unwrap();
        while writing.write(&[0; 4096]).is_ok() {}
        assert!(reading.as_raw_fd() >= 0);
        (child, writing, inode)
    }

    async fn takes_more(mut socket: &UnixStream, within: Duration) -> bool {
        let since = Instant::now();
        while since.elapsed() < within {
            if socket.write(&[0; 4096]).is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    #[tokio::test]
    async fn what_another_process_keeps_and_does_not_read_is_read() {
        let (mut child, writing, inode) = keeper();
        assert!(!takes_more(&writing, Duration::from_millis(50)).await);
        drain(child.id() as i32, inode);
        assert!(takes_more(&writing, Duration::from_secs(5)).await);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_left_alone() {
        drain(std::process::id() as i32, u64::MAX);
        drain(i32::MAX, 1);
    }
}
