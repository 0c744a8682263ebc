//! What a fault leaves when all has come to rest.

use super::Bed;
use model::vm::VmState;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// All has come to rest by then.
const PATIENCE: Duration = Duration::from_secs(90);

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Rest {
    /// Each VM, the sites at which it runs, and the site that the directory tells.
    pub places: BTreeMap<String, (Vec<String>, Option<String>)>,
    /// VMs that were in two places at any time it was looked.
    pub doubled: Vec<String>,
    /// VMs that do not answer at the office.
    pub mute: Vec<String>,
    /// Acknowledged writes that are not there, a sentence each.
    pub lost_writes: Vec<String>,
    /// VMs whose writes were read back.
    pub read_back: usize,
}

impl Rest {
    /// Waits until places and directory agree, then asks every guest. `gone` may be missing.
    pub(super) async fn look(
        bed: &Bed,
        before: &BTreeMap<String, u64>,
        gone: Option<&str>,
    ) -> Self {
        let mut rest = Self::default();
        let since = Instant::now();
        loop {
            if rest.see(bed).await && rest.is_settled(gone) || since.elapsed() > PATIENCE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let alive = |name: &str| {
            rest.places
                .get(name)
                .is_some_and(|(sites, _)| !sites.is_empty())
        };
        let targets: Vec<_> = bed
            .standing
            .targets
            .iter()
            .filter(|it| alive(&it.name))
            .cloned()
            .collect();
        let answers = bed
            .probe
            .first_answers(&targets, Duration::from_secs(30))
            .await;
        for answer in answers.unwrap_or_default() {
            if answer.unix_ns.is_none() {
                rest.mute.push(answer.name);
            }
        }
        if bed.standing.shop.disk.is_some() {
            rest.read(bed, &targets, before).await;
        }
        rest
    }

    /// One look at all places; false when nobody could be asked.
    async fn see(&mut self, bed: &Bed) -> bool {
        let (Ok(vms), Ok(rows)) = (bed.client().vms().await, bed.client().endpoints().await) else {
            return false;
        };
        for target in &bed.standing.targets {
            let name = &target.name;
            let runs = vms
                .iter()
                .filter(|vm| vm.name.as_str() == name && vm.state == VmState::Running);
            let sites: Vec<String> = runs.map(|vm| vm.site.to_string()).collect();
            if sites.len() > 1 {
                self.doubled.push(name.clone());
            }
            let row = rows.iter().find(|row| row.entry.vm.as_str() == name);
            let told = row.map(|row| row.site.to_string());
            self.places.insert(name.clone(), (sites, told));
        }
        true
    }

    fn is_settled(&self, gone: Option<&str>) -> bool {
        self.places
            .iter()
            .all(|(name, (sites, told))| match sites.as_slice() {
                [site] => told.as_ref() == Some(site),
                [] => gone == Some(name),
                _ => false,
            })
    }

    async fn read(
        &mut self,
        bed: &Bed,
        targets: &[measure::probe::Target],
        before: &BTreeMap<String, u64>,
    ) {
        let found = match bed.probe.check_disks(targets).await {
            Ok(found) => found,
            Err(error) => {
                return self
                    .lost_writes
                    .push(format!("no guest could be asked: {error}"));
            }
        };
        for it in found {
            let seen = before.get(&it.name).copied().unwrap_or_default();
            match (it.check, it.error) {
                (Some(check), _) if check.is_whole(seen) => self.read_back += 1,
                (Some(check), _) => {
                    let name = it.name;
                    self.lost_writes.push(format!(
                        "{name} had acknowledged {seen} and finds {check:?}"
                    ));
                }
                (None, why) => {
                    let (name, why) = (it.name, why.unwrap_or_default());
                    self.lost_writes
                        .push(format!("{name} cannot read its disk: {why}"));
                }
            }
        }
    }

    /// Whether every VM runs, all at one site.
    pub fn is_gathered(&self) -> bool {
        let mut sites = self.places.values().map(|(sites, _)| sites.as_slice());
        let first = sites.next();
        first.is_some_and(|first| first.len() == 1 && sites.all(|other| other == first))
    }

    /// How many VMs are in two places or, but for one that was taken, in none.
    pub fn misplaced(&self, gone: Option<&str>) -> usize {
        let misplaced = |name: &String, sites: &[String]| match sites {
            [_] => self.doubled.contains(name),
            [] => gone != Some(name),
            _ => true,
        };
        self.places
            .iter()
            .filter(|(name, (sites, _))| misplaced(name, sites))
            .count()
    }

    /// What must not be, a sentence each.
    pub(super) fn wrong(&self, gone: Option<&str>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, (sites, told)) in &self.places {
            match sites.as_slice() {
                [site] if told.as_ref() == Some(site) => {}
                [] if gone == Some(name) => {}
                [] => wrong.push(format!(
                    "{name} runs nowhere; the directory has it at {told:?}"
                )),
                sites => wrong.push(format!(
                    "{name} runs at {sites:?}; the directory has it at {told:?}"
                )),
            }
        }
        wrong.extend(
            self.doubled
                .iter()
                .map(|name| format!("{name} was seen in two places")),
        );
        wrong.extend(
            self.mute
                .iter()
                .map(|name| format!("{name} does not answer")),
        );
        wrong.extend(self.lost_writes.iter().cloned());
        wrong
    }
}

impl std::fmt::Display for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut at: BTreeMap<&str, usize> = BTreeMap::new();
        for (sites, _) in self.places.values() {
            let place = sites.first().map_or("gone", String::as_str);
            *at.entry(place).or_default() += 1;
        }
        let places: Vec<String> = at
            .iter()
            .map(|(place, count)| format!("{count} {place}"))
            .collect();
        write!(f, "{}", places.join(", "))?;
        if self.read_back > 0 {
            write!(f, "; writes of {} there", self.read_back)?;
        }
        Ok(())
    }
}
