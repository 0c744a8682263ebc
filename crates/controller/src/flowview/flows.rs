//! One host's rules, asked for part by part.

use crate::hosts::OrderError;
use crate::{Hosts, problems};
use api::Problem;
use api::view::Flows;
use model::HostName;
use model::flows::{FlowsAsked, FlowsPart};
use model::news::Answer;
use model::order::Order;

/// Attempts when somebody else reads the same host's rules at the same time.
const ATTEMPTS: usize = 3;

/// Reads the rules of a host's switch.
pub(crate) async fn flows(
    hosts: &Hosts,
    host: &HostName,
    asked: FlowsAsked,
) -> Result<Flows, Problem> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match whole(hosts, host, &asked).await {
            Err(OrderError::Refused { .. }) if attempt < ATTEMPTS => {}
            Err(error) => return Err(problems::order(&error)),
            Ok(flows) => return Ok(flows),
        }
    }
}

async fn whole(hosts: &Hosts, host: &HostName, asked: &FlowsAsked) -> Result<Flows, OrderError> {
    let mut flows = Flows {
        host: host.clone(),
        unsettled: false,
        rules: Vec::new(),
    };
    let mut asked = asked.clone();
    loop {
        let order = Order::ReadFlows {
            asked: Box::new(asked.clone()),
        };
        let Answer::Flows { part } = hosts.order(host, order).await? else {
            return Ok(flows);
        };
        let FlowsPart {
            rows,
            next,
            unsettled,
        } = *part;
        flows.unsettled |= unsettled;
        // A part without rows does not go on, whatever it says.
        let over = rows.is_empty() || next.is_none();
        flows.rules.extend(rows);
        if over {
            return Ok(flows);
        }
        asked.next = next;
    }
}
