//! How the local socket is made, taken over and left.

mod support;

use api::server::{ServeError, UnixServer};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use support::Served;

#[tokio::test]
async fn only_its_owner_can_open_the_socket() {
    let served = Served::start().await;
    let mode = std::fs::metadata(&served.socket)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_socket_that_a_killed_process_left_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    UnixServer::bind(&path).await.unwrap();
}

#[tokio::test]
async fn a_socket_that_somebody_answers_on_is_left_alone() {
    let served = Served::start().await;
    let error = UnixServer::bind(&served.socket).await.unwrap_err();
    assert!(matches!(error, ServeError::AlreadyServed { .. }), "{error}");
    assert!(served.client.about().await.is_ok());
}

#[tokio::test]
async fn a_file_in_the_way_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    std::fs::write(&path, "precious").unwrap();
    let error = UnixServer::bind(&path).await.unwrap_err();
    assert!(matches!(error, ServeError::NotASocket { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_path_that_no_socket_can_have_is_refused_with_the_reason() {
    let path = std::path::PathBuf::from(format!("/tmp/{}", "x".repeat(110)));
    let error = UnixServer::bind(&path).await.unwrap_err();
    assert!(matches!(error, ServeError::PathTooLong { .. }), "{error}");
}

#[tokio::test]
async fn the_socket_goes_with_the_server_but_not_that_of_a_successor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let first = UnixServer::bind(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = UnixServer::bind(&path).await.unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}
