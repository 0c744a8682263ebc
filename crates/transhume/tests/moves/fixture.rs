//! The fixture: one lab, gone again when it is dropped.

use api::Client;
use lab::boxed::{BoxHandle, Program};
use lab::cli::{self, Standing, UpOptions};
use lab::shop::{DiskLoad, Load};
use measure::probe::Target;
use model::migration::{Migration, Options, State};
use model::{ClusterName, MigrationId, SiteName, VmName};
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Nothing in these tests takes this long; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A switchover that is wrong loses this many packets or more of a VM: 30 to 40 without the replay, more than
/// a hundred in the wrong order of flipping. One that is right loses none on a machine with time to spare,
/// and a few where it has none; `make bench` holds it to none.
pub(crate) const OUT_OF_ORDER: u64 = 15;

/// A lab with cluster `shop` at `north`.
pub(crate) struct Lab {
    pub(crate) standing: Standing,
    folder: PathBuf,
}

impl Lab {
    /// Brings one up with this many VMs.
    pub(crate) async fn up(name: &str, vms: u8, load: Load) -> Self {
        Self::with_disks(name, vms, load, None).await
    }

    /// Brings one up whose VMs have disks.
    pub(crate) async fn with_disks(
        name: &str,
        vms: u8,
        load: Load,
        disk: Option<DiskLoad>,
    ) -> Self {
        let options = UpOptions {
            vms,
            load,
            disk,
            ..UpOptions::default()
        };
        Self::with(name, options).await
    }

    /// Brings one up as these say; its folder, guest and program are the tests' own.
    pub(crate) async fn with(name: &str, options: UpOptions) -> Self {
        let folder = PathBuf::from(format!("/tmp/th-mv-{name}-{}", std::process::id()));
        let options = UpOptions {
            folder: Some(folder.clone()),
            guest: Some(PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../target/guest"
            ))),
            exe: Some(PathBuf::from(env!("CARGO_BIN_EXE_transhume"))),
            ..options
        };
        match cli::up(&options, &mut |_| {}).await {
            Ok(standing) => Self { standing, folder },
            Err(error) => panic!("the lab does not come up: {error}"),
        }
    }

    /// Something below the lab's folder.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.join(relative)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.standing.client
    }

    /// The controller's address, for the command.
    pub(crate) fn api(&self) -> String {
        format!("unix:{}", self.folder.join("api.sock").display())
    }

    /// Folder of a site's agent.
    pub(crate) fn state(&self, site: &str) -> PathBuf {
        self.folder.join("sites").join(site)
    }

    /// The box that all of it is in.
    pub(crate) fn boxed(&self) -> &BoxHandle {
        self.standing.testbed.boxed()
    }

    /// Runs a command at a site, to its end.
    pub(crate) fn run(&self, site: &str, command: &[&str]) {
        let done = self.done(site, command);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{command:?}: {said}");
    }

    /// Runs a command at a site, to its end; whether it went well.
    pub(crate) fn try_run(&self, site: &str, command: &[&str]) -> bool {
        self.done(site, command).status.success()
    }

    fn done(&self, site: &str, command: &[&str]) -> std::process::Output {
        std::process::Command::new(env!("CARGO_BIN_EXE_transhume"))
            .args(["lab", "--folder"])
            .arg(&self.folder)
            .args(["exec", site, "--"])
            .args(command)
            .output()
            .expect("the command runs")
    }

    /// Begins to move the cluster.
    pub(crate) async fn begin(&self, to: &str, options: Options) -> MigrationId {
        let begun = self
            .client()
            .migrate(&shop(), &SiteName::new(to).unwrap(), options)
            .await;
        begun.expect("the migration begins").id
    }

    /// Waits until a migration stands where it should, or has ended.
    pub(crate) async fn until(
        &self,
        id: &MigrationId,
        wanted: impl Fn(&Migration) -> bool,
    ) -> Migration {
        let begun = Instant::now();
        loop {
            // The controller may be away for a moment in some tests.
            if let Ok(seen) = self.client().migration(id).await
                && (wanted(&seen) || seen.state.is_final())
            {
                return seen;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{id} neither gets there nor ends"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until_pre_copy(&self, id: &MigrationId) -> Migration {
        let sends = |seen: &Migration| {
            seen.state == State::PreCopy && seen.vms.iter().all(|vm| vm.progress.sent_bytes > 0)
        };
        let seen = self.until(id, sends).await;
        assert_eq!(seen.state, State::PreCopy, "{}", seen.message);
        seen
    }

    pub(crate) async fn until_end(&self, id: &MigrationId) -> Migration {
        self.until(id, |_| false).await
    }

    /// The sites at which a VM has a process that runs.
    pub(crate) async fn places(&self, vm: &str) -> Vec<String> {
        let name = VmName::new(vm).unwrap();
        let vms = self.client().vms().await.expect("the VMs");
        let runs = |it: &&api::view::Vm| it.name == name && it.state == model::vm::VmState::Running;
        vms.iter()
            .filter(runs)
            .map(|it| it.site.to_string())
            .collect()
    }

    /// Every VM answers at the office.
    pub(crate) async fn answers(&self) -> bool {
        let probe = lab::parts::start_probe(self.standing.testbed.boxed())
            .await
            .expect("a probe");
        let targets: Vec<Target> = self.standing.targets.clone();
        let answers = probe
            .first_answers(&targets, Duration::from_secs(20))
            .await
            .expect("answers");
        let boxed = self.standing.testbed.boxed();
        let ended = lab::parts::end_probe(boxed, probe).await;
        ended.expect("the probe ends");
        answers.iter().all(|answer| answer.unix_ns.is_some())
    }

    /// Kills one of the lab's programs.
    pub(crate) fn kill(&self, name: &str) {
        self.standing
            .testbed
            .boxed()
            .kill(name, Signal::SIGKILL)
            .expect("a program of the lab");
    }

    /// Starts a program of the lab again, as it was.
    pub(crate) async fn restart(&self, name: &str) {
        let boxed = self.standing.testbed.boxed();
        let begun = Instant::now();
        loop {
            let status = boxed.status().expect("the box answers");
            let it = status
                .processes
                .iter()
                .find(|it| it.name == name)
                .expect("a program of the lab");
            if it.is_alive() {
                assert!(begun.elapsed() < PATIENCE, "{name} does not end");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            let netns = it.netns.clone().expect("a namespace");
            boxed
                .spawn(name, &Program::new(&netns, it.argv.clone()))
                .expect("it starts again");
            return;
        }
    }

    /// Kills the QEMU processes of a VM at a site.
    pub(crate) fn kill_qemu(&self, site: &str, vm: &str) {
        let state = format!("{}/sites/{site}/", self.folder.display());
        let name = format!("shop.{vm}");
        let mut killed = 0;
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let Ok(line) = std::fs::read_to_string(entry.path().join("cmdline")) else {
                continue;
            };
            let (Some(pid), true) = (
                entry
                    .file_name()
                    .to_str()
                    .and_then(|text| text.parse::<i32>().ok()),
                line.contains(&state) && line.split('\0').any(|word| word == name),
            ) else {
                continue;
            };
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
            killed += 1;
        }
        assert_eq!(killed, 1, "one QEMU of {vm} at {site}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["controller", "agent-north", "agent-south"] {
                let log = std::fs::read_to_string(self.folder.join(format!("log/{name}.log")));
                let log = log.unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(30).collect();
                eprintln!("--- {name}");
                tail.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
        if let Err(error) = lab::testbed::down(Some(&self.folder)) {
            eprintln!("the lab does not go: {error}");
        }
        assert!(
            !self.folder.exists() || std::thread::panicking(),
            "the lab left {}",
            self.folder.display()
        );
    }
}

pub(crate) fn shop() -> ClusterName {
    ClusterName::new(lab::shop::NAME).unwrap()
}

/// Watches without a word.
pub(crate) struct Silent;

#[async_trait::async_trait]
impl lab::demo::Audience for Silent {
    fn step(&mut self, _: lab::cli::Step) {}

    fn say(&mut self, _: &str) {}

    async fn follow(
        &mut self,
        client: &Client,
        id: &MigrationId,
    ) -> Result<Migration, api::client::Error> {
        loop {
            let seen = client.migration(id).await?;
            if seen.state.is_final() {
                return Ok(seen);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Slow enough to do something to it on the way, and fast enough for a guest under load to arrive.
pub(crate) fn not_fast() -> Options {
    Options {
        bandwidth_mbit: 60.0,
        ..Options::default()
    }
}

/// Slow enough to do something to it on the way; a guest that dirties faster is slowed, or the plan would
/// refuse it.
pub(crate) fn slowly() -> Options {
    Options {
        bandwidth_mbit: 25.0,
        allow_slowdown: true,
        ..Options::default()
    }
}
