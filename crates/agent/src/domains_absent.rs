//! VMs that libvirt keeps, in an agent that was built without libvirt: there are none.

use crate::AgentError;
use model::Mac;
use model::libvirt::{Description, Found, Plugged};
use qmp::Qmp;
use std::collections::BTreeMap;
use std::convert::Infallible;

/// No libvirt.
#[derive(Debug)]
pub struct Domains;

/// No domain: there is no value of this type.
#[derive(Debug, Clone)]
pub struct Domain(Infallible);

fn absent() -> AgentError {
    AgentError::plain(
        "this host's agent was built without libvirt; use one built with `--features libvirt`",
    )
}

impl Domains {
    /// A URI that is configured all the same is told.
    pub fn new(uri: Option<String>) -> Self {
        if uri.is_some() {
            tracing::warn!("`libvirt` is configured, but this agent was built without it");
        }
        Self
    }

    /// # Errors
    /// Always.
    pub async fn list(&self) -> Result<Vec<Found>, AgentError> {
        Err(absent())
    }

    /// # Errors
    /// Always.
    pub async fn domain(&self, _: &str, _: Mac) -> Result<Domain, AgentError> {
        Err(absent())
    }
}

/// What a domain could do, if there were one.
#[allow(missing_docs, clippy::missing_errors_doc)]
impl Domain {
    pub async fn find(&self) -> Result<Found, AgentError> {
        match self.0 {}
    }
    pub async fn plug_into(&self, _: &str) -> Result<Plugged, AgentError> {
        match self.0 {}
    }
    pub async fn plug(&self, _: Plugged) -> Result<Plugged, AgentError> {
        match self.0 {}
    }
    pub async fn create_incoming(&self, _: String, _: String) -> Result<(), AgentError> {
        match self.0 {}
    }
    pub async fn start(&self) -> Result<(), AgentError> {
        match self.0 {}
    }
    pub async fn resume(&self) -> Result<(), AgentError> {
        match self.0 {}
    }
    pub async fn destroy(&self) {
        match self.0 {}
    }
    pub async fn undefine(&self) -> Result<(), AgentError> {
        match self.0 {}
    }
    pub async fn define(&self, _: Description) -> Result<(), AgentError> {
        match self.0 {}
    }
    pub async fn describe(&self) -> Result<Description, AgentError> {
        match self.0 {}
    }
    pub async fn process(&self) -> Result<i32, AgentError> {
        match self.0 {}
    }
    pub async fn monitor(&self, _: i32) -> Result<Qmp, AgentError> {
        match self.0 {}
    }
    pub async fn tap(&self) -> Result<String, AgentError> {
        match self.0 {}
    }
    pub async fn nodes(&self, _: &Qmp) -> Result<BTreeMap<String, String>, AgentError> {
        match self.0 {}
    }
}
