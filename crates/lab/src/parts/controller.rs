//! The controller, at the site that the plan names.

use super::PartError;
use super::waiting::{apart, until};
use crate::boxed::{BoxHandle, Program, SELF_EXE};
use crate::folder::Folder;
use crate::net::Plan;
use api::Client;
use model::underlay::Method;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Its name among the box's processes.
pub const CONTROLLER: &str = "controller";

/// Its API's socket in the lab folder.
pub const API_SOCKET: &str = "api.sock";

/// Where agents dial.
const PORT: u16 = 7443;

const LIMIT: Duration = Duration::from_secs(20);

/// What the lab sets of the controller's configuration.
#[derive(Serialize)]
struct Config {
    state: PathBuf,
    socket: PathBuf,
    listen: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    lisp: Option<MapServer>,
    underlay: Underlay,
}

/// What hosts' tunnels run in.
#[derive(Serialize)]
struct Underlay {
    default: Method,
}

/// Its LISP Map-Server.
#[derive(Serialize)]
struct MapServer {
    listen: Vec<SocketAddr>,
}

/// Where the Map-Server is asked: LISP's own port is the router's, which may stand at the same site.
const LISP_PORT: u16 = 4343;

/// Where agents dial the controller of a plan.
pub(super) fn address(plan: &Plan) -> SocketAddr {
    let site = plan.site(&plan.controller_site);
    let address = site.map_or(IpAddr::from([0, 0, 0, 0]), |site| IpAddr::V4(site.mgmt.v4));
    SocketAddr::new(address, PORT)
}

/// Where the Map-Server of a plan is asked.
pub(super) fn map_server(plan: &Plan) -> SocketAddr {
    SocketAddr::new(address(plan).ip(), LISP_PORT)
}

/// A client of a lab's controller.
pub fn client(folder: &Folder) -> Client {
    Client::unix(folder.join(API_SOCKET))
}

/// Starts the controller, with a LISP Map-Server where that is wanted, and waits until its API answers.
///
/// # Errors
/// It ended, or took too long; with the end of its log.
pub async fn start(
    handle: &BoxHandle,
    plan: &Plan,
    lisp: bool,
    underlay: Method,
) -> Result<Client, PartError> {
    let folder = handle.folder();
    let config = Config {
        state: folder.join("controller"),
        socket: folder.join(API_SOCKET),
        listen: address(plan),
        lisp: lisp.then(|| MapServer {
            listen: vec![map_server(plan)],
        }),
        underlay: Underlay { default: underlay },
    };
    let path = folder.join("controller.toml");
    let text = toml::to_string(&config).map_err(|e| PartError::Config(CONTROLLER, e))?;
    std::fs::write(&path, text).map_err(|source| PartError::File {
        path: path.clone(),
        source,
    })?;
    let config_path = path.to_string_lossy().into_owned();
    let argv = [SELF_EXE, "serve", "--config", &config_path];
    // As the agents: no guest takes its CPU where it really runs.
    let program = Program::new(&plan.controller_site, argv)
        .urgent()
        .env("NO_COLOR", "1");
    apart(handle, move |handle| handle.spawn(CONTROLLER, &program)).await?;
    let client = client(folder);
    until(
        handle,
        CONTROLLER,
        "the controller does not answer",
        LIMIT,
        || async { client.about().await.ok() },
    )
    .await?;
    Ok(client)
}
