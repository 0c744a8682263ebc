//! The cluster moved by `virsh migrate --live --p2p`, one call a VM, nothing set that a person would
//! not set: no TLS, no bound on the bandwidth, libvirt's own 300 ms of downtime.

use super::heard::{Place, event, learnt};
use super::layer2::TUNNEL;
use super::{Today, daemon, domain, events, learns};
use crate::boxed::{BoxError, Output};
use crate::demo::{Audience, TourError};
use crate::net::SitePlan;
use crate::parts::{PartError, apart};
use crate::shop::{self, host};
use model::migration::{Figures, Kind, Migration, Options, Phase, Progress, State, VmMove};
use model::{Member, MemberKind, MigrationId, SiteName};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

/// After the last `virsh` has returned, until what the bridges still learn is read.
const AFTERMATH: Duration = Duration::from_millis(500);

/// Which VMs move at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::compare) enum How {
    /// All of them.
    Together,
    /// One after another.
    InTurn,
}

impl How {
    fn at_once(self) -> usize {
        match self {
            Self::Together => usize::MAX,
            Self::InTurn => 1,
        }
    }
}

/// How one `virsh migrate` ended.
struct Ended {
    member: Member,
    begun: Instant,
    took: Duration,
    output: Result<Output, PartError>,
}

/// Moves every VM and says how that went. One that did not arrive is no error: the state says so.
///
/// # Errors
/// The box does not answer any more.
pub(in crate::compare) async fn go(
    today: &Today,
    id: &str,
    ends: [&str; 2],
    how: How,
    audience: &mut dyn Audience,
) -> Result<Migration, TourError> {
    let (Some(from), Some(to)) = (today.site(ends[0]), today.site(ends[1])) else {
        return Err(PartError::Interrupted.into());
    };
    let started = unix_ns();
    let begun = Instant::now();
    let is_vm = |member: &&Member| matches!(member.kind, MemberKind::Vm { .. });
    let mut waiting = today.cluster.members.iter().filter(is_vm);
    let (mut going, mut ended) = (JoinSet::new(), Vec::new());
    loop {
        while going.len() < how.at_once()
            && let Some(member) = waiting.next()
        {
            going.spawn(one(today, from, to, member));
        }
        let Some(one) = going.join_next().await else {
            break;
        };
        let one = one.map_err(|_| PartError::Interrupted)?;
        audience.say(&sentence(&one));
        ended.push(one);
    }
    let total_ms = ms(begun.elapsed());
    tokio::time::sleep(AFTERMATH).await;
    ended.sort_by(|a, b| a.member.name.cmp(&b.member.name));
    let mut vms = Vec::new();
    for one in &ended {
        vms.push(VmMove {
            vm: one.member.name.clone(),
            from: host(&from.name)?,
            to: host(&to.name)?,
            progress: Progress::default(),
            needs: Default::default(),
            predicted: None,
            figures: figures(today, &one.member, [from, to], started).await?,
        });
    }
    let failed: Vec<String> = ended.iter().filter(|e| !arrived(e)).map(sentence).collect();
    Ok(Migration {
        id: MigrationId::new(id)?,
        cluster: today.cluster.name.clone(),
        from: SiteName::new(&*from.name)?,
        to: SiteName::new(&*to.name)?,
        kind: Kind::Live,
        options: Options::default(),
        state: match failed.is_empty() {
            true => State::Arrived,
            false => State::Failed,
        },
        message: match failed.is_empty() {
            true => format!("{} runs at {}", shop::NAME, to.name),
            false => failed.join("; "),
        },
        predicted: None,
        paused: false,
        given_mbit: 0.0,
        phases: ended.iter().map(|one| phase(one, begun)).collect(),
        vms,
        started_unix_ms: u64::try_from(started / 1_000_000).unwrap_or(0),
        total_ms,
    })
}

fn one(
    today: &Today,
    from: &SitePlan,
    to: &SitePlan,
    member: &Member,
) -> impl Future<Output = Ended> + use<> {
    let (handle, member) = (today.testbed.boxed().clone(), member.clone());
    let (there, stream) = (daemon::uri(to), format!("tcp://{}", to.mgmt.v4));
    let words = ["migrate", "--live", "--p2p", member.name.as_str()];
    let program = daemon::virsh(&from.name, words.into_iter().chain([&*there, &*stream]));
    async move {
        let begun = Instant::now();
        let output = apart(&handle, move |handle| handle.exec(&program)).await;
        Ended {
            member,
            begun,
            took: begun.elapsed(),
            output,
        }
    }
}

fn arrived(ended: &Ended) -> bool {
    matches!(&ended.output, Ok(output) if output.end.success())
}

fn sentence(ended: &Ended) -> String {
    let (name, seconds) = (&ended.member.name, ended.took.as_secs_f64());
    match &ended.output {
        Ok(output) if output.end.success() => format!("{name} arrived after {seconds:.1} s"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("{name} did not arrive: {}", said.trim())
        }
        Err(error) => format!("{name} did not arrive: {error}"),
    }
}

fn phase(ended: &Ended, begun: Instant) -> Phase {
    Phase {
        name: "virsh migrate".to_owned(),
        vm: Some(ended.member.name.clone()),
        start_ms: ms(ended.begun.saturating_duration_since(begun)),
        ms: ms(ended.took),
    }
}

/// From the events of both QEMUs, from what the bridges learnt, and from libvirt's own account.
async fn figures(
    today: &Today,
    member: &Member,
    [from, to]: [&SitePlan; 2],
    after_ns: i64,
) -> Result<Figures, TourError> {
    let name = member.name.as_str();
    let at = |site: &SitePlan, what| event(&today.heard(&events(&site.name)), what, name, after_ns);
    let stopped = at(from, "STOP");
    let resumed = at(to, "RESUME");
    let sites = today.testbed.plan().sites.iter();
    let (tap, there) = (domain::tap(member.mac), to.data.v4.to_string());
    let learnt = sites.map(|site| {
        let place = match &site.name {
            name if *name == to.name => Place::Port(&tap),
            // Its tunnel may know the address from the last time that the VM was there.
            name if *name == from.name => Place::Port(TUNNEL),
            _ => Place::Peer(TUNNEL, &there),
        };
        let said = today.heard(&learns(&site.name));
        learnt(&said, member.mac, place, after_ns)
    });
    // One bridge that has not learnt leaves no figure.
    let learnt = learnt.collect::<Option<Vec<i64>>>();
    let last = learnt.and_then(|all| all.into_iter().max());
    let between = |from: Option<i64>, to: Option<i64>| Some((to? - from?).max(0) as f64 / 1e6);
    let ask = daemon::virsh(&to.name, ["domjobinfo", name, "--completed", "--rawstats"]);
    let account = apart(today.testbed.boxed(), move |handle| {
        Ok::<_, BoxError>(handle.exec(&ask)?.text())
    })
    .await?;
    let bytes = of_account(&account, "data_processed").unwrap_or_default();
    Ok(Figures {
        vcpu_downtime_ms: between(stopped, resumed),
        rule_switch_ms: between(resumed, last),
        sent_bytes: bytes,
        wire_bytes: bytes,
        stopped_unix_ns: stopped,
        resumed_unix_ns: resumed,
        ..Figures::default()
    })
}

/// A number of `virsh domjobinfo --rawstats`: lines of a name, a colon and a value.
fn of_account(said: &str, wanted: &str) -> Option<u64> {
    let mut numbers = said.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == wanted).then(|| value.trim().parse().ok())?
    });
    numbers.next()
}

fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
