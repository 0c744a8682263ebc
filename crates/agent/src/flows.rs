//! The flow view: rules, traces and counters of this host's switch.
//!
//! Rules go to the controller part by part; the reading they are of is kept until another one is asked for.

use crate::desk::Desk;
use model::flows::{FlowRow, FlowsAsked, FlowsPart, LONGEST_MS, NextPart, PART};
use model::links::Links;
use model::news::Answer;
use model::trace::{End, Probe};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The last reading.
#[derive(Debug, Default)]
pub(crate) struct Readings(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    number: u64,
    rows: Arc<Vec<FlowRow>>,
    unsettled: bool,
}

impl Readings {
    fn keep(&self, rows: Vec<FlowRow>, unsettled: bool) -> FlowsPart {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Last {
            number: last.number + 1,
            rows: Arc::new(rows),
            unsettled,
        };
        last.part(0)
    }

    fn next(&self, next: NextPart) -> Result<FlowsPart, String> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.number != next.reading {
            return Err(
                "somebody else has read this host's rules meanwhile; ask again from the beginning"
                    .to_owned(),
            );
        }
        let part = last.part(next.from as usize);
        if part.next.is_none() {
            last.rows = Arc::default();
        }
        Ok(part)
    }
}

impl Last {
    fn part(&self, from: usize) -> FlowsPart {
        let mut size = 0;
        let rest = self.rows.get(from..).unwrap_or_default();
        let fits = |row: &&FlowRow| {
            let first = size == 0;
            size += bytes(row);
            first || size <= PART
        };
        let rows: Vec<FlowRow> = rest.iter().take_while(fits).cloned().collect();
        let to = from + rows.len();
        FlowsPart {
            next: (to < self.rows.len()).then(|| NextPart {
                reading: self.number,
                from: u32::try_from(to).unwrap_or(u32::MAX),
            }),
            rows,
            unsettled: self.unsettled,
        }
    }
}

/// About what a row takes in a frame: its texts, and the names of its fields.
fn bytes(row: &FlowRow) -> usize {
    let wanted = row.wanted.as_ref().map_or(0, String::len);
    400 + row.matching.len() + row.actions.len() + row.purpose.len() + wanted
}

impl Desk {
    pub(crate) async fn read_flows(&self, asked: FlowsAsked) -> Result<Answer, String> {
        let part = match asked.next {
            Some(next) => self.readings.next(next)?,
            None => {
                let reading =
                    self.host
                        .read_flows(asked.cluster.as_ref(), asked.table, apart(asked.over_ms));
                let reading = reading.await.map_err(plain)?;
                self.readings.keep(reading.rows, reading.unsettled)
            }
        };
        Ok(Answer::Flows {
            part: Box::new(part),
        })
    }

    pub(crate) async fn trace(&self, probe: Probe) -> Result<Answer, String> {
        let mut traced = self.host.trace(&probe).await.map_err(plain)?;
        for end in &mut traced.ends {
            if let End::Member { cluster, vm, state } = end
                && let Some(it) = self.vms.get(&(cluster.clone(), vm.clone()))
            {
                *state = Some(it.state().await);
            }
        }
        Ok(Answer::Traced {
            traced: Box::new(traced),
        })
    }

    pub(crate) async fn read_links(&self, over_ms: u32) -> Result<Answer, String> {
        let links: Links = self.host.links(apart(over_ms)).await.map_err(plain)?;
        Ok(Answer::Links {
            links: Box::new(links),
        })
    }
}

fn apart(over_ms: u32) -> Duration {
    Duration::from_millis(u64::from(over_ms.min(LONGEST_MS)))
}

/// With its causes: what the switch says is behind the first sentence.
fn plain(error: ovs::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(why) = cause {
        text = format!("{text} ({why})");
        cause = why.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::flows::FlowMark;

    fn rows(count: usize) -> Vec<FlowRow> {
        let row = |number: usize| FlowRow {
            table: 30,
            priority: 100,
            matching: format!("reg0={number:#x}"),
            actions: "drop".into(),
            cookie: "0x0".into(),
            purpose: "p".repeat(100),
            cluster: None,
            member: None,
            mark: FlowMark::AsAsked,
            wanted: None,
            counted: None,
            rate: None,
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn many_rows_come_in_parts_that_are_whole_together_and_small_each() {
        let readings = Readings::default();
        let mut part = readings.keep(rows(20_000), false);
        let mut all = Vec::new();
        let mut parts = 0;
        loop {
            assert!(serde_json::to_vec(&part).unwrap().len() <= PART);
            parts += 1;
            all.append(&mut part.rows);
            match part.next {
                Some(next) => part = readings.next(next).unwrap(),
                None => break,
            }
        }
        assert_eq!(all, rows(20_000));
        assert!(parts > 10);
    }

    #[test]
    fn a_reading_that_another_one_has_replaced_is_refused() {
        let readings = Readings::default();
        let first = readings.keep(rows(2_000), false).next.unwrap();
        readings.keep(rows(2_000), false);
        assert!(readings.next(first).unwrap_err().contains("ask again"));
    }

    #[test]
    fn a_row_larger_than_a_part_is_a_part() {
        let readings = Readings::default();
        let mut large = rows(2);
        large[0].actions = "x".repeat(2 * PART);
        let part = readings.keep(large, false);
        assert_eq!(part.rows.len(), 1);
        assert_eq!(readings.next(part.next.unwrap()).unwrap().rows.len(), 1);
    }
}
