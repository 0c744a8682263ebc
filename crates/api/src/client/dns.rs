//! Dynamic DNS's part of the client.

use super::{Client, Error};
use crate::view::{DnsPublish, DnsRecord};
use hyper::Method;

impl Client {
    /// See [`crate::Service::dns_records`].
    pub async fn dns_records(&self) -> Result<Vec<DnsRecord>, Error> {
        self.get("/v1/dns").await
    }

    /// See [`crate::Service::publish_dns`].
    pub async fn publish_dns(&self, wish: &DnsPublish) -> Result<Vec<DnsRecord>, Error> {
        self.send(Method::POST, "/v1/dns/publish", wish).await
    }
}
