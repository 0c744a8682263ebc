//! The LISP Map-Server's part of the client.

use super::{Client, Error};
use crate::view::{LispMapping, LispMappingSpec, LispSite, LispSiteSpec};
use hyper::Method;
use model::SiteName;
use std::fmt::Write;

impl Client {
    /// See [`crate::Service::lisp_sites`].
    pub async fn lisp_sites(&self) -> Result<Vec<LispSite>, Error> {
        self.get("/v1/lisp/sites").await
    }

    /// See [`crate::Service::put_lisp_site`].
    pub async fn put_lisp_site(
        &self,
        name: &SiteName,
        spec: &LispSiteSpec,
    ) -> Result<LispSite, Error> {
        self.send(Method::PUT, &format!("/v1/lisp/sites/{name}"), spec)
            .await
    }

    /// See [`crate::Service::delete_lisp_site`].
    pub async fn delete_lisp_site(&self, name: &SiteName) -> Result<(), Error> {
        let path = format!("/v1/lisp/sites/{name}");
        let asked = self.transport.ask(Method::DELETE, &path, None);
        asked.await.map(drop)
    }

    /// See [`crate::Service::lisp_mappings`].
    pub async fn lisp_mappings(&self, after: Option<&str>) -> Result<Vec<LispMapping>, Error> {
        let after = after.map(|after| format!("?after={}", escaped(after)));
        let path = format!("/v1/lisp/mappings{}", after.unwrap_or_default());
        self.get(&path).await
    }

    /// See [`crate::Service::lisp_mapping`].
    pub async fn lisp_mapping(&self, eid: &str) -> Result<LispMapping, Error> {
        self.get(&format!("/v1/lisp/mappings/{}", escaped(eid)))
            .await
    }

    /// See [`crate::Service::put_lisp_mapping`].
    pub async fn put_lisp_mapping(
        &self,
        eid: &str,
        spec: &LispMappingSpec,
    ) -> Result<LispMapping, Error> {
        let path = format!("/v1/lisp/mappings/{}", escaped(eid));
        self.send(Method::PUT, &path, spec).await
    }

    /// See [`crate::Service::delete_lisp_mapping`].
    pub async fn delete_lisp_mapping(&self, eid: &str) -> Result<(), Error> {
        let path = format!("/v1/lisp/mappings/{}", escaped(eid));
        let asked = self.transport.ask(Method::DELETE, &path, None);
        asked.await.map(drop)
    }
}

/// Text as one part of an address (RFC 3986, section 2.1).
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(byte.into());
            }
            // Writing into a string cannot fail.
            _ => drop(write!(escaped, "%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_identifier_is_one_part_of_an_address() {
        assert_eq!(super::escaped("[7]fd00::/8"), "%5B7%5Dfd00%3A%3A%2F8");
    }
}
