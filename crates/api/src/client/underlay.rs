//! The secure underlay.

use super::{Client, Error};
use crate::view::{Underlay, UnderlayHost};
use hyper::Method;
use model::HostName;

impl Client {
    /// See [`crate::Service::underlay`].
    pub async fn underlay(&self) -> Result<Underlay, Error> {
        self.get("/v1/underlay").await
    }

    /// See [`crate::Service::rotate_key`].
    pub async fn rotate_key(&self, host: &HostName) -> Result<UnderlayHost, Error> {
        let path = format!("/v1/hosts/{host}/key");
        let told = self.transport.ask(Method::POST, &path, None).await?;
        self.understand(&told)
    }

    /// See [`crate::Service::remove_host`].
    pub async fn remove_host(&self, host: &HostName, with_members: bool) -> Result<(), Error> {
        let path = format!("/v1/hosts/{host}?with_members={with_members}");
        let asked = self.transport.ask(Method::DELETE, &path, None);
        asked.await.map(drop)
    }
}
