//! When does each VM answer for the first time?
//!
//! Before a probe can start, its VMs must be there. This asks each of them every few milliseconds
//! with one UDP record, and says when the first echo arrived.

use super::{ProbeError, Target, socket};
use crate::clock::{now_ns, offset_ns};
use crate::wire::{LEN, Record};
use serde::{Deserialize, Serialize};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// Time between two rounds of questions.
const PERIOD: Duration = Duration::from_millis(10);

/// A VM's first answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstAnswer {
    /// The VM.
    pub name: String,
    /// When its echo arrived, Unix ns; none when the time ran out before.
    pub unix_ns: Option<i64>,
}

/// Waits until every VM has answered or the time is up. Blocks.
///
/// # Errors
/// A socket that cannot be opened. A VM that does not answer is no error: it has no time.
pub fn first_answers(targets: &[Target], limit: Duration) -> Result<Vec<FirstAnswer>, ProbeError> {
    let end = Instant::now() + limit;
    let sockets = targets
        .iter()
        .map(socket::open_udp)
        .collect::<Result<Vec<_>, _>>()?;
    let mut answers: Vec<FirstAnswer> = targets
        .iter()
        .map(|target| FirstAnswer {
            name: target.name.clone(),
            unix_ns: None,
        })
        .collect();
    let mut seq = 0;
    loop {
        for (socket, answer) in sockets.iter().zip(&mut answers) {
            if answer.unix_ns.is_none() {
                answer.unix_ns = listen(socket);
                ask(socket, seq);
            }
        }
        if answers.iter().all(|answer| answer.unix_ns.is_some()) || Instant::now() >= end {
            return Ok(answers);
        }
        seq += 1;
        std::thread::sleep(PERIOD);
    }
}

fn ask(socket: &UdpSocket, seq: u64) {
    let record = Record {
        seq,
        sent_ns: now_ns(),
        guest: 0,
    };
    // Refusals are expected until the VM is there.
    let _ = socket.send(&record.encode());
}

/// The arrival of the first echo that waits in the socket, Unix ns.
fn listen(socket: &UdpSocket) -> Option<i64> {
    let mut buffer = [0; LEN + 1];
    loop {
        match socket::receive(socket, &mut buffer) {
            Ok(Some(message)) if Record::decode(&buffer[..message.len]).is_some() => {
                return Some(message.unix_ns.unwrap_or_else(|| now_ns() + offset_ns()));
            }
            Ok(Some(_)) => {}
            // Nothing there, or an ICMP error: the next round asks again.
            Ok(None) | Err(_) => return None,
        }
    }
}
