//! Puts all of it together and runs it.

use crate::agents::AgentsPort;
use crate::agents::admission::Admission;
use crate::dns::Names;
use crate::engine::Engine;
use crate::lisp::{Lisp, Opened};
use crate::service::Controlling;
use crate::underlay::Underlay;
use crate::{ControllerConfig, ControllerError, Events, Hosts, Registry};
use api::server::{TlsServer, UnixServer};
use identity::{Authority, Credentials, Seal, tls};
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use store::{Sqlite, Store};
use tokio::signal::unix::{SignalKind, signal};

/// Runs the controller until it is told to end (SIGTERM, SIGINT). Data planes and VMs go on.
///
/// # Errors
/// It cannot start: a folder, the store, a socket.
pub async fn run(config: ControllerConfig) -> Result<(), ControllerError> {
    let controller = Controller::open(config).await?;
    let mut terminated = signal(SignalKind::terminate()).map_err(ControllerError::Signals)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(ControllerError::Signals)?;
    tokio::select! {
        () = controller.serve() => {}
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    tracing::info!("the controller ends; data planes and VMs go on");
    Ok(())
}

/// A controller that has taken its sockets.
pub struct Controller {
    agents: AgentsPort,
    unix: UnixServer,
    tls: Option<TlsServer>,
    lisp: Option<Opened>,
    names: Option<crate::dns::Opened>,
    service: Arc<Controlling>,
}

impl Controller {
    /// Opens the state folder and takes the sockets.
    ///
    /// # Errors
    /// See [`ControllerError`].
    pub async fn open(config: ControllerConfig) -> Result<Self, ControllerError> {
        config.limits.check()?;
        make_private(&config.state)?;
        let authority = Arc::new(Authority::open(&config.state.join("authority"))?);
        let credentials = authority.controller()?;
        let tls = tls::server(&credentials, true)?;
        let api_tls = api_over_tls(&config, &authority).await?;
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(config.store_file())?);
        let (hosts, events) = (Hosts::default(), Events::default());
        hosts.seal_with(Seal::open(&config.state.join("authority"))?);
        let underlay = Underlay::open(&config.underlay, store.clone(), hosts.clone()).await?;
        let registry = Registry::load(
            store.clone(),
            hosts.clone(),
            events.clone(),
            underlay.clone(),
        )
        .await?;
        let engine = Engine::new(
            hosts.clone(),
            registry.clone(),
            events.clone(),
            store.clone(),
            config.limits.clone(),
        );
        let lisp = match &config.lisp {
            Some(lisp) => {
                let opened = Lisp::open(lisp, store.clone(), registry.turns()).await?;
                Some(opened.telling(registry.clone()).await)
            }
            None => None,
        };
        let names = match &config.dns {
            Some(dns) => {
                Some(Names::open(dns, store.clone(), registry.clone(), events.clone()).await?)
            }
            None => None,
        };
        let admission = Admission::new(store, authority);

        let agents = AgentsPort::bind(
            config.listen,
            tls,
            admission.clone(),
            registry.clone(),
            hosts.clone(),
        )
        .await?;
        let listening = agents
            .local_addr()
            .map_err(|cause| ControllerError::Listen {
                address: config.listen,
                cause,
            })?;
        if let Some(folder) = config.socket.parent() {
            fs::create_dir_all(folder).map_err(|cause| ControllerError::File {
                path: folder.to_owned(),
                cause,
            })?;
        }
        let unix = UnixServer::bind(&config.socket).await?;
        let dial = config.advertise.unwrap_or_else(|| listening.to_string());
        tracing::info!(agents = %listening, socket = %config.socket.display(), "the controller listens");
        let service = Arc::new(Controlling {
            hosts,
            registry,
            events,
            engine,
            admission,
            underlay,
            dial,
            lisp: lisp.as_ref().map(|opened| opened.lisp.clone()),
            names: names.as_ref().map(|opened| opened.names.clone()),
        });
        Ok(Self {
            agents,
            unix,
            tls: api_tls,
            lisp,
            names,
            service,
        })
    }

    /// Where clients can reach the API over TLS.
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.tls.as_ref()?.local_addr().ok()
    }

    /// Where agents can dial.
    pub fn agents_address(&self) -> std::io::Result<SocketAddr> {
        self.agents.local_addr()
    }

    /// What answers the API.
    pub fn service(&self) -> Arc<Controlling> {
        self.service.clone()
    }

    /// Answers agents and clients until dropped.
    pub async fn serve(self) {
        let tls = async {
            match self.tls {
                Some(tls) => tls.serve(self.service.clone()).await,
                None => std::future::pending().await,
            }
        };
        // Each a task of its own: they shall not wait for each other's turn.
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(self.agents.serve());
        tasks.spawn(self.unix.serve(self.service.clone()));
        if let Some(lisp) = self.lisp {
            lisp.serve(&mut tasks);
        }
        if let Some(names) = self.names {
            names.serve(&mut tasks);
        }
        tokio::select! {
            _ = tasks.join_next() => {}
            () = tls => {}
        }
    }
}

/// Takes the API's TCP address, if it has one. Its certificate carries the name that clients know,
/// which agents never accept as the controller's.
async fn api_over_tls(
    config: &ControllerConfig,
    authority: &Authority,
) -> Result<Option<TlsServer>, ControllerError> {
    let Some(address) = config.api_listen else {
        return Ok(None);
    };
    let file = config
        .api_token_file
        .as_ref()
        .ok_or(ControllerError::NoToken)?;
    let token = fs::read_to_string(file).map_err(|cause| ControllerError::File {
        path: file.clone(),
        cause,
    })?;
    let name = match &config.api_name {
        Some(name) => name.clone(),
        None if address.ip().is_unspecified() => return Err(ControllerError::NoName(address)),
        None => address.ip().to_string(),
    };
    let (key, request) = Credentials::request(&name)?;
    let own = Credentials {
        certificate: authority.sign(&name, &request)?,
        key: key.serialize_pem(),
        authority: authority.certificate().to_owned(),
    };
    let tls = tls::server(&own, true)?;
    Ok(Some(TlsServer::bind(address, tls, token.trim()).await?))
}

/// Makes the state folder, open to this user only: the authority's key lies below.
fn make_private(folder: &Path) -> Result<(), ControllerError> {
    let made = fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o700)));
    made.map_err(|cause| ControllerError::File {
        path: folder.to_owned(),
        cause,
    })
}

impl From<crate::directory::LoadError> for ControllerError {
    fn from(error: crate::directory::LoadError) -> Self {
        match error {
            crate::directory::LoadError::Store(error) => Self::Store(error),
            crate::directory::LoadError::Contradiction(error) => Self::Directory(error),
        }
    }
}
