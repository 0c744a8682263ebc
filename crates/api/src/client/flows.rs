//! The flow view's part of the client.

use super::lisp::escaped;
use super::{Client, Error};
use crate::view::Flows;
use model::HostName;
use model::flows::FlowsAsked;
use model::trace::{Proto, Question, Trace};

impl Client {
    /// See [`crate::Service::flows`].
    pub async fn flows(&self, host: &HostName, asked: &FlowsAsked) -> Result<Flows, Error> {
        let mut path = format!("/v1/hosts/{host}/flows?rates_ms={}", asked.over_ms);
        if let Some(cluster) = &asked.cluster {
            path.push_str(&format!("&cluster={cluster}"));
        }
        if let Some(table) = asked.table {
            path.push_str(&format!("&table={table}"));
        }
        self.get(&path).await
    }

    /// See [`crate::Service::trace`].
    pub async fn trace(&self, question: &Question) -> Result<Trace, Error> {
        let proto = match question.proto {
            Proto::Icmp => "icmp",
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
            Proto::Arp => "arp",
        };
        let mut path = format!(
            "/v1/trace?from={}&to={}&proto={proto}&established={}&both={}",
            escaped(&question.from),
            escaped(&question.to),
            question.established,
            question.both
        );
        if let Some(port) = question.port {
            path.push_str(&format!("&port={port}"));
        }
        self.get(&path).await
    }
}
