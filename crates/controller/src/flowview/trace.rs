//! A packet's way, followed from host to host: each is asked what its own switch does with it.

use super::resolve::{End, back, ends, packet, words};
use super::verdict::verdict;
use crate::{Hosts, Registry, problems};
use api::Problem;
use model::news::Answer;
use model::order::Order;
use model::trace::{self, Enters, Hop, Packet, Probe, Question, Trace, Traced, Way};
use model::{HostName, Net};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// Most hosts on a way: from its source, through redirects, to its end.
const MOST_HOPS: usize = 16;

/// Follows a packet, and its answer where that was asked for.
pub(crate) async fn trace(
    hosts: &Hosts,
    registry: &Registry,
    question: &Question,
) -> Result<Trace, Problem> {
    let all = registry.show_endpoints().await;
    let (from, to) = ends(&all, question)?;
    let net = registry.net(&from.entry.cluster).await;
    let net = net.ok_or_else(|| crate::registry::no_such_cluster(&from.entry.cluster))?;
    let mut at: BTreeMap<IpAddr, HostName> = BTreeMap::new();
    for host in registry.show_hosts().await {
        at.insert(host.underlay, host.name);
    }
    for endpoint in all.iter().filter(|one| !one.entry.locator.is_outside()) {
        let locator = &endpoint.entry.locator;
        at.insert(locator.address, locator.host.clone());
    }
    let follow = Follow { hosts, net, at };
    let sent = packet(&from, &to, question)?;
    let answer = back(&sent, &to, &from);
    Ok(Trace {
        there: follow.way(&from, &to, sent).await?,
        back: match question.both {
            true => Some(follow.way(&to, &from, answer).await?),
            false => None,
        },
    })
}

struct Follow<'a> {
    hosts: &'a Hosts,
    net: Net,
    /// The host at each underlay address.
    at: BTreeMap<IpAddr, HostName>,
}

/// Where a packet comes to the next host.
struct Next {
    host: HostName,
    enters: Enters,
    said: String,
    underlay: Option<String>,
}

impl Follow<'_> {
    async fn way(&self, from: &End, to: &End, packet: Packet) -> Result<Way, Problem> {
        let mut next = VecDeque::from([self.first(from, to)?]);
        let mut hops: Vec<Hop> = Vec::new();
        let mut unknown = None;
        while let Some(Next {
            host,
            enters,
            said,
            underlay,
        }) = next.pop_front()
        {
            if hops.len() == MOST_HOPS {
                unknown = Some(format!("it is still on its way after {MOST_HOPS} hosts"));
                break;
            }
            let traced = match self.ask(&host, &enters, &packet).await {
                Ok(traced) => traced,
                Err(problem) if hops.is_empty() => return Err(problem),
                Err(problem) => {
                    unknown = Some(format!(
                        "it goes on to {host}, which does not tell what becomes of it there: {}",
                        problem.detail
                    ));
                    continue;
                }
            };
            for end in &traced.ends {
                match self.after(&host, end) {
                    Some(Ok(more)) => next.push_back(more),
                    Some(Err(why)) => unknown = Some(why),
                    None => {}
                }
            }
            hops.push(Hop {
                host,
                enters: said,
                underlay,
                traced,
            });
        }
        let (reaches, verdict) = verdict(&hops, to, &packet, unknown);
        Ok(Way {
            packet: words(&packet, from, to),
            hops,
            reaches,
            verdict,
        })
    }

    /// Where it begins. What comes from outside begins at the receiver's host: there its router sends it.
    fn first(&self, from: &End, to: &End) -> Result<Next, Problem> {
        let locator = &from.entry.locator;
        let vm = from.entry.vm.clone();
        if !locator.is_outside() {
            return Ok(Next {
                host: locator.host.clone(),
                said: format!("at the port of {vm}"),
                enters: Enters::Member { vm },
                underlay: None,
            });
        }
        if to.entry.locator.is_outside() {
            return Err(Problem::refused(
                format!("{} and {} are both outside.", from.name(), to.name()),
                "Their routers know the way between them; ask one of them.",
            ));
        }
        let router = locator.address;
        let (enters, said) = match locator.is_gpe() {
            true => (
                Enters::Gpe { from: router },
                format!("from router {router} outside, by VXLAN-GPE"),
            ),
            false => (
                Enters::Gateway,
                format!("from router {router} outside, through the host's LISP gateway"),
            ),
        };
        Ok(Next {
            host: to.entry.locator.host.clone(),
            enters,
            said,
            underlay: None,
        })
    }

    async fn ask(
        &self,
        host: &HostName,
        enters: &Enters,
        packet: &Packet,
    ) -> Result<Traced, Problem> {
        let probe = Probe {
            cluster: self.net.cluster.clone(),
            enters: enters.clone(),
            packet: packet.clone(),
        };
        let order = Order::Trace {
            probe: Box::new(probe),
        };
        match self.hosts.order(host, order).await {
            Ok(Answer::Traced { traced }) => Ok(*traced),
            Ok(_) => Err(Problem::internal(format!(
                "The agent of '{host}' answered something else."
            ))),
            Err(error) => Err(problems::order(&error)),
        }
    }

    /// The host that an end leads to; none where it is the end of the way.
    fn after(&self, host: &HostName, end: &trace::End) -> Option<Result<Next, String>> {
        let trace::End::Tunnel {
            to,
            redirected,
            gpe,
        } = end
        else {
            return None;
        };
        let Some(peer) = self.at.get(to) else {
            return Some(Err(format!(
                "{host} sends it into a tunnel to {to}, where no host is known"
            )));
        };
        let own = self
            .at
            .iter()
            .find(|(at, name)| *name == host && at.is_ipv4() == to.is_ipv4());
        let own = own.map_or(*to, |(at, _)| *at);
        let sent_on = if *redirected {
            ", sent on by a redirect"
        } else {
            ""
        };
        let (enters, carried) = match gpe {
            true => (Enters::Gpe { from: own }, "VXLAN-GPE"),
            false => (Enters::Tunnel { from: own }, self.net.encap.as_str()),
        };
        Some(Ok(Next {
            host: peer.clone(),
            enters,
            said: format!("out of the tunnel from {host}{sent_on}"),
            underlay: Some(format!("{carried} from {own} to {to}")),
        }))
    }
}
