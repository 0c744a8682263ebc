//! Together or one by one: when each VM of a gang stops after the first, and what either way costs.
//!
//! Groups of an order ([`crate::groups`]) go one after another in either case, each when the one before it
//! has had time to answer what waited for it.

use crate::gap::{Gap, Known};
use crate::plan::{BURST, Candidate, DRAIN_MS, link_rate};
use model::VmName;
use model::migration::{Options, Switch, SwitchForecast};

/// Who stops when.
#[derive(Debug, Clone, PartialEq)]
pub struct Rhythm {
    /// The groups, first to last.
    pub groups: Vec<Vec<VmName>>,
    /// From the stop of one VM to that of the next of its group, ms.
    pub within_ms: f64,
    /// From the last stop of a group to the first of the next, ms.
    pub between_ms: f64,
    /// The gap of a VM, with the others that stop with it, of the largest group.
    pub gap: Gap,
}

/// The way that the options mean for a gang of this many groups.
pub fn chosen(options: &Options, groups: usize) -> Switch {
    match (options.stagger_ms, options.switch) {
        (Some(stagger), _) if stagger <= 0.0 => Switch::Together,
        (Some(_), _) => Switch::OneByOne,
        (None, Some(switch)) => switch,
        (None, None) if groups > 1 => Switch::Together,
        (None, None) => Switch::OneByOne,
    }
}

impl Rhythm {
    /// The rhythm of groups that switch over in this way. `known` is of the whole gang, its bytes those of
    /// all VMs; `stagger_ms` is the user's own time between two stops.
    pub fn of(
        groups: Vec<Vec<VmName>>,
        switch: Switch,
        stagger_ms: Option<f64>,
        known: Known,
    ) -> Self {
        let vms = groups.iter().map(Vec::len).sum::<usize>().max(1);
        let predict = |together: usize, crowd: usize| {
            Gap::predict(Known {
                burst_bytes: known.burst_bytes * together as u64 / vms as u64,
                vms: crowd,
                ..known
            })
        };
        let largest = groups.iter().map(Vec::len).max().unwrap_or(1);
        let alone = predict(1, 1);
        let within_ms = match switch {
            Switch::Together => 0.0,
            Switch::OneByOne => stagger_ms.unwrap_or(alone.stagger_ms()),
        };
        let overlap = within_ms < alone.total_ms();
        let gap = predict(if overlap { largest } else { 1 }, vms);
        let between_ms = match overlap {
            true => predict(largest, largest).stagger_ms(),
            false => within_ms,
        };
        Self {
            groups,
            within_ms,
            between_ms,
            gap,
        }
    }

    /// Each VM with the time from the stop before its own, ms, in the order of their stops.
    pub fn steps(&self) -> Vec<(VmName, f64)> {
        let mut steps = Vec::new();
        for group in &self.groups {
            for (at, vm) in group.iter().enumerate() {
                let wait = match at {
                    _ if steps.is_empty() => 0.0,
                    0 => self.between_ms,
                    _ => self.within_ms,
                };
                steps.push((vm.clone(), wait));
            }
        }
        steps
    }

    /// From the first stop until the last resume, ms.
    pub fn window_ms(&self) -> f64 {
        let last: f64 = self.steps().iter().map(|(_, wait)| wait).sum();
        // From the stop on; what follows the resume is the guest's own time.
        last + self.gap.one_way_ms + self.gap.burst_ms + RESUME_MS
    }
}

/// Load of the device state and resume, ms.
const RESUME_MS: f64 = 4.0;

/// What is known of a gang before any of it was sent.
pub fn before(candidates: &[Candidate<'_>], options: &Options) -> Known {
    let first = candidates.first().map(|c| &c.target.abilities);
    let most = |of: fn(&Candidate<'_>) -> f64| candidates.iter().map(of).fold(0.0, f64::max);
    Known {
        drain_ms: DRAIN_MS,
        one_way_ms: most(|c| c.one_way_ms.unwrap_or_default()),
        burst_bytes: candidates.len() as u64 * BURST,
        link: link_rate(candidates, options),
        vms: candidates.len(),
        cpus: first.map_or(1, |it| it.cpus as usize),
        translated: first.is_some_and(|it| it.accel == "tcg"),
        stall_ms: most(|c| c.stall_ms),
    }
}

/// What both ways cost. `known` is of the whole gang, its bytes those of all VMs.
pub fn forecast(groups: &[Vec<VmName>], options: &Options, known: Known) -> Vec<SwitchForecast> {
    let chosen = chosen(options, groups.len());
    let ways = [Switch::Together, Switch::OneByOne].into_iter();
    ways.map(|switch| {
        let own = options.stagger_ms.filter(|_| switch == chosen);
        let rhythm = Rhythm::of(groups.to_vec(), switch, own, known);
        SwitchForecast {
            switch,
            gap_ms: rhythm.gap.total_ms(),
            window_ms: rhythm.window_ms(),
            chosen: switch == chosen,
            groups: match switch {
                Switch::Together => rhythm.groups,
                Switch::OneByOne => {
                    let each = rhythm.groups.into_iter().flatten();
                    each.map(|vm| vec![vm]).collect()
                }
            },
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known {
            drain_ms: 6.0,
            one_way_ms: 15.5,
            burst_bytes: 400_000,
            link: 25e6,
            vms: 4,
            cpus: 4,
            translated: false,
            stall_ms: 0.0,
        }
    }

    fn vms(names: &[&str]) -> Vec<VmName> {
        names
            .iter()
            .map(|name| VmName::new(*name).unwrap())
            .collect()
    }

    #[test]
    fn at_once_is_short_for_the_gang_and_one_by_one_for_each_vm() {
        let groups = [vms(&["a", "b", "c", "d"])];
        let both = forecast(&groups, &Options::default(), known());
        let (together, each) = (&both[0], &both[1]);
        assert!(together.window_ms < 100.0 && together.window_ms < each.window_ms);
        assert!(each.gap_ms < together.gap_ms);
        assert!(each.chosen && !together.chosen);
        assert_eq!((together.groups.len(), each.groups.len()), (1, 4));
    }

    #[test]
    fn a_group_stops_at_one_moment_and_the_next_when_it_has_answered() {
        let groups = vec![vms(&["db"]), vms(&["app", "web"])];
        assert_eq!(chosen(&Options::default(), 2), Switch::Together);
        let rhythm = Rhythm::of(groups, Switch::Together, None, known());
        let steps = rhythm.steps();
        let waits: Vec<_> = steps
            .iter()
            .map(|(vm, wait)| (vm.as_str(), *wait))
            .collect();
        assert_eq!(waits[0], ("db", 0.0));
        assert_eq!((waits[1].0, waits[2]), ("app", ("web", 0.0)));
        assert!(waits[1].1 > rhythm.gap.total_ms());
    }

    #[test]
    fn the_time_between_two_stops_is_the_users_where_it_is_given() {
        let options = Options {
            stagger_ms: Some(500.0),
            ..Options::default()
        };
        assert_eq!(chosen(&options, 2), Switch::OneByOne);
        let rhythm = Rhythm::of(
            vec![vms(&["a", "b"])],
            Switch::OneByOne,
            Some(500.0),
            known(),
        );
        assert_eq!(rhythm.steps()[1].1, 500.0);
        let none = Options {
            stagger_ms: Some(0.0),
            switch: Some(Switch::OneByOne),
            ..Options::default()
        };
        assert_eq!(chosen(&none, 1), Switch::Together);
    }
}
