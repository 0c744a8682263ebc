//! What becomes of an answer.

use super::held::{Known, Trouble};
use super::{Ability, Change, Expect, Flight, NAME, Published, Publisher, SERVER, Work};
use crate::{DnsName, Marker};
use std::collections::BTreeMap;
use std::time::Duration;

/// How a job went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// All changes are made.
    Done,
    /// The texts of the markers that were asked for; nothing where a name has none.
    Markers(BTreeMap<DnsName, Option<String>>),
    /// What a change expects does not hold; nothing was changed.
    Unmet,
    /// It was not done, and may be later.
    Failed {
        /// One sentence.
        why: String,
        /// It may have been done all the same, or be done still: the answer did not come.
        unsure: bool,
    },
    /// The server will never do it for this name as it is.
    NameRefused {
        /// One sentence.
        why: String,
    },
    /// The server asks for patience.
    Wait {
        /// One sentence.
        why: String,
        /// How long.
        wait: Duration,
    },
    /// The server wants nothing more until a person has acted.
    Stop {
        /// One sentence.
        why: String,
    },
}

/// What has come of it, to be kept and told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The server has acknowledged it.
    Published {
        /// The name.
        name: DnsName,
        /// What it says now.
        published: Published,
    },
    /// The name says nothing of ours any more.
    Withdrawn {
        /// The name.
        name: DnsName,
    },
    /// A name is not published.
    NameTrouble {
        /// The name.
        name: DnsName,
        /// One sentence.
        why: String,
    },
    /// Nothing is published for the moment; it is tried again.
    ZoneTrouble {
        /// One sentence.
        why: String,
    },
    /// Nothing is published until a person acts.
    Stopped {
        /// One sentence.
        why: String,
    },
}

impl Publisher {
    /// How a job went; `unix_ms` is the wall clock's time of it. Answers to other jobs than the one under way change
    /// nothing.
    pub fn answered(
        &mut self,
        ticket: u64,
        answer: Answer,
        now: Duration,
        unix_ms: u64,
    ) -> Vec<Told> {
        let Some(flight) = self.flight.take_if(|flight| flight.ticket == ticket) else {
            return Vec::new();
        };
        let mut told = Vec::new();
        let reached = !matches!(
            answer,
            Answer::Failed { .. } | Answer::Wait { .. } | Answer::Stop { .. }
        );
        if reached {
            self.failures = 0;
            self.trouble = None;
        }
        match answer {
            Answer::Done => self.done(&flight, now, unix_ms, &mut told),
            Answer::Markers(markers) => self.markers(&flight, &markers, now, &mut told),
            Answer::Unmet => self.unmet(&flight, now, &mut told),
            Answer::NameRefused { why } => self.name_refused(&flight, &why, &mut told),
            Answer::Failed { why, unsure } => {
                self.failures = self.failures.saturating_add(1);
                self.server = self.server.wrapping_add(1);
                // The first round over all servers is at once.
                let rounds = self.failures.saturating_sub(self.servers - 1);
                self.again_at = now + SERVER.after(rounds);
                if unsure {
                    self.doubt(&flight);
                }
                self.zone_trouble(why, &mut told);
            }
            Answer::Wait { why, wait } => {
                self.again_at = now + wait;
                self.zone_trouble(why, &mut told);
            }
            Answer::Stop { why } => {
                self.stopped = Some(why.clone());
                told.push(Told::Stopped { why });
            }
        }
        for name in flight.wishes.keys() {
            self.forget_if_done(name);
        }
        told
    }

    fn zone_trouble(&mut self, why: String, told: &mut Vec<Told>) {
        if self.trouble.as_ref() != Some(&why) {
            told.push(Told::ZoneTrouble { why: why.clone() });
        }
        self.trouble = Some(why);
    }

    fn done(&mut self, flight: &Flight, now: Duration, unix_ms: u64, told: &mut Vec<Told>) {
        for change in flight.changes() {
            let Some(held) = self.names.get_mut(&change.name) else {
                continue;
            };
            let newest = flight.wishes.get(&change.name) == Some(&held.wishes);
            held.force &= !newest;
            (held.alone, held.unmet, held.trouble) = (false, 0, None);
            held.known = match &change.marker {
                Some(marker) => Known::Marked(marker.clone()),
                None => Known::Absent,
            };
            let name = change.name.clone();
            held.published = change.content.clone().map(|content| Published {
                content,
                epoch: change
                    .marker
                    .as_ref()
                    .map_or(held.epoch, |marker| marker.epoch),
                serial: change.marker.as_ref().map_or(0, |marker| marker.serial),
                unix_ms,
                delay_ms: u64::try_from(now.saturating_sub(held.since).as_millis())
                    .unwrap_or(u64::MAX),
            });
            told.push(match held.published.clone() {
                Some(published) => Told::Published { name, published },
                None => Told::Withdrawn { name },
            });
        }
    }

    fn markers(
        &mut self,
        flight: &Flight,
        markers: &BTreeMap<DnsName, Option<String>>,
        now: Duration,
        told: &mut Vec<Told>,
    ) {
        let Ability::Compares { owner } = &self.ability else {
            return;
        };
        for name in flight.work.names() {
            let (Some(held), Some(text)) = (self.names.get_mut(name), markers.get(name)) else {
                continue;
            };
            let marker = text.as_deref().map(Marker::read);
            let trouble = match marker {
                None => {
                    held.known = Known::Absent;
                    None
                }
                Some(Some(marker)) if marker.owner == *owner => {
                    let newer = (marker.epoch > held.epoch).then_some(Trouble::Newer(marker.epoch));
                    held.serial = held.serial.max(marker.serial);
                    held.known = Known::Marked(marker);
                    newer
                }
                Some(_) => {
                    held.known = Known::Unknown;
                    let text = text.as_deref().unwrap_or_default();
                    Some(Trouble::Taken(format!(
                        "the name belongs to another publisher (\"{text}\"): give it free there, or choose another name"
                    )))
                }
            };
            let nothing_left =
                held.wanted.is_none() && (held.known == Known::Absent || trouble.is_some());
            if nothing_left {
                // Gone already, or another's by now: either way nothing of ours.
                (held.published, held.known, held.force) = (None, Known::Absent, false);
                told.push(Told::Withdrawn { name: name.clone() });
            } else if let Some(trouble) = trouble {
                held.known = Known::Unknown;
                held.troubled(name, trouble, now, told);
            }
        }
    }

    fn unmet(&mut self, flight: &Flight, now: Duration, told: &mut Vec<Told>) {
        let single = flight.wishes.len() == 1;
        for change in flight.changes() {
            let Some(held) = self.names.get_mut(&change.name) else {
                continue;
            };
            held.alone = true;
            if !single {
                continue;
            }
            held.known = Known::Unknown;
            held.unmet += 1;
            // The first time the server may only have had another marker of ours.
            if held.unmet > 1 && change.expect == Expect::Unused {
                let why = "the name is in use and has no marker of this controller: remove its records, or choose \
                           another name";
                held.troubled(&change.name, Trouble::Taken(why.to_owned()), now, told);
            } else if held.unmet > 1 {
                held.again_at = now + SERVER.after(held.unmet);
            }
        }
    }

    fn name_refused(&mut self, flight: &Flight, why: &str, told: &mut Vec<Told>) {
        for change in flight.changes() {
            if let Some(held) = self.names.get_mut(&change.name) {
                held.trouble = Some(Trouble::Refused(why.to_owned()));
                told.push(Told::NameTrouble {
                    name: change.name.clone(),
                    why: why.to_owned(),
                });
            }
        }
    }

    /// What was sent may be there, or come still: only a newer marker is safe from it.
    fn doubt(&mut self, flight: &Flight) {
        let compares = self.ability != Ability::Sets;
        for change in flight.changes() {
            if let Some(held) = self.names.get_mut(&change.name) {
                held.force = true;
                if compares {
                    held.known = Known::Unknown;
                }
            }
        }
    }
}

impl super::held::Held {
    fn troubled(&mut self, name: &DnsName, trouble: Trouble, now: Duration, told: &mut Vec<Told>) {
        self.again_at = now + NAME.after(self.unmet.max(1));
        self.unmet = self.unmet.saturating_add(1);
        if self.trouble.as_ref() != Some(&trouble) {
            told.push(Told::NameTrouble {
                name: name.clone(),
                why: trouble.sentence(),
            });
        }
        self.trouble = Some(trouble);
    }
}

impl Flight {
    fn changes(&self) -> impl Iterator<Item = &Change> {
        match &self.work {
            Work::Update(changes) => changes.iter(),
            Work::Ask(_) => [].iter(),
        }
    }
}
