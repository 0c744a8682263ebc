//! The local socket.

use super::{CONNECTIONS, ServeError, accept_failed, converse};
use crate::{Service, routes};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A unix socket that is listened on. Removes its file when dropped.
#[derive(Debug)]
pub struct UnixServer {
    listener: UnixListener,
    file: SocketFile,
}

impl UnixServer {
    /// Makes the socket, mode 0600. From here on clients can connect; [`UnixServer::serve`]
    /// answers them.
    pub async fn bind(path: &Path) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Unix {
            path: path.to_owned(),
            source,
        };
        // sun_path has 108 bytes; ours must have room for the name it is born with.
        if path.as_os_str().len() > 100 {
            return Err(ServeError::PathTooLong {
                path: path.to_owned(),
            });
        }
        clear(path).await?;
        // Born under another name: nobody can open it before its mode is right.
        let mut born = path.as_os_str().to_owned();
        born.push(".new");
        let born = PathBuf::from(born);
        match fs::remove_file(&born) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&born).map_err(failed)?;
        fs::set_permissions(&born, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let inode = fs::metadata(&born).map_err(failed)?.ino();
        fs::rename(&born, path).map_err(failed)?;
        Ok(Self {
            listener,
            file: SocketFile {
                path: path.to_owned(),
                inode,
            },
        })
    }

    /// Answers clients until dropped; connections end with it.
    pub async fn serve(self, service: Arc<dyn Service>) {
        let router = routes::router(service);
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        tracing::info!(socket = %self.file.path.display(), "the API listens");
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let router = router.clone();
                    connections.spawn(async move {
                        converse(stream, router).await;
                        drop(permit);
                    });
                }
                Err(error) => accept_failed(error).await,
            }
        }
    }
}

/// Makes way at `path`: a socket that nobody answers on is left over from a killed process.
async fn clear(path: &Path) -> Result<(), ServeError> {
    let failed = |source| ServeError::Unix {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(there) if !there.file_type().is_socket() => Err(ServeError::NotASocket {
            path: path.to_owned(),
        }),
        Ok(_) => match UnixStream::connect(path).await {
            Ok(_) => Err(ServeError::AlreadyServed {
                path: path.to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(failed(error)),
        },
    }
}

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Only our own: another controller may have taken the place meanwhile.
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
