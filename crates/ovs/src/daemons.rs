//! The two programs of Open vSwitch, `ovsdb-server` and `ovs-vswitchd`, of one host.
//!
//! They detach: their life does not end with the agent's, because a restart of the agent must not
//! disturb traffic. An agent that starts finds them by their control sockets and goes on with
//! them. Every path is below one folder, so that many hosts fit on one machine.
//!
//! What the switches do is not decided here; see [`crate::host`].

use crate::error::{Error, Result};
use crate::netns::Netns;
use crate::unixctl::Unixctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SERVER: &str = "ovsdb-server";
const SWITCH: &str = "ovs-vswitchd";
const TOOL: &str = "ovsdb-tool";

/// Where Debian keeps the schema.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// A program that did not end this long after SIGTERM is killed.
const GRACE: Duration = Duration::from_secs(3);

/// How often the daemons are looked for.
const LOOK: Duration = Duration::from_millis(200);

/// The daemons of one folder. Dropping the value leaves them running; see [`Daemons::stop`].
#[derive(Debug, Clone)]
pub struct Daemons {
    rundir: PathBuf,
    netns: Netns,
}

impl Daemons {
    /// Starts what does not run yet, in the namespace, and goes on with what does.
    pub async fn start(netns: &Netns, rundir: &Path) -> Result<Self> {
        let daemons = Self {
            rundir: rundir.to_owned(),
            netns: netns.clone(),
        };
        if daemons.socket("icint0.mgmt").as_os_str().len() > 107 {
            return Err(Error::Config(format!(
                "rundir {} is too long for unix sockets; use one of at most 90 bytes",
                rundir.display()
            )));
        }
        if !daemons.answers("ovsdb.ctl").await {
            daemons.start_server().await?;
        }
        if !daemons.answers("vswitchd.ctl").await {
            daemons.start_switch().await?;
        }
        Ok(daemons)
    }

    /// The database's socket.
    pub fn database(&self) -> PathBuf {
        self.socket("db.sock")
    }

    /// The control socket of ovs-vswitchd.
    pub fn control(&self) -> PathBuf {
        self.socket("vswitchd.ctl")
    }

    /// The process of ovs-vswitchd, when it runs.
    pub fn vswitchd_pid(&self) -> Option<i32> {
        self.pid(SWITCH)
    }

    /// The process of ovsdb-server, when it runs.
    pub fn ovsdb_pid(&self) -> Option<i32> {
        self.pid(SERVER)
    }

    /// Ends ovs-vswitchd and starts it again. What it forwards is cut for as long; its bridges come
    /// back from the database, their rules from [`crate::host::Host`]. Its links stay meanwhile,
    /// with their addresses (they are persistent taps).
    pub async fn restart_vswitchd(&self) -> Result<()> {
        if let Some(pid) = self.vswitchd_pid() {
            end(pid).await;
        }
        self.start_switch().await
    }

    /// Starts whichever of the two has ended. True when there was something to do.
    pub async fn revive(&self) -> Result<bool> {
        let mut done = false;
        if self.ovsdb_pid().is_none() {
            self.start_server().await?;
            done = true;
        }
        if self.vswitchd_pid().is_none() {
            self.start_switch().await?;
            done = true;
        }
        Ok(done)
    }

    /// Starts whichever of the two has ended, whenever it has. Does not return; spawn it, and abort
    /// it before [`Daemons::stop`].
    pub async fn keep(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.revive().await {
                Ok(false) => {}
                Ok(true) => tracing::warn!("Open vSwitch had ended and was started again"),
                Err(error) => tracing::error!(%error, "Open vSwitch has ended"),
            }
        }
    }

    /// Ends both, the switch first, with the links that ovs-vswitchd made: `icbr0` and the
    /// members' internal ports.
    pub async fn stop(&self) {
        if let Some(pid) = self.vswitchd_pid() {
            // Without the clean-up they would stay, as they do over a restart.
            let _ = Unixctl::new(self.control())
                .run("exit", &["--cleanup"])
                .await;
            ended(pid, GRACE).await;
            end(pid).await;
        }
        if let Some(pid) = self.ovsdb_pid() {
            end(pid).await;
        }
    }

    /// Kills both at once, for clean-up paths that cannot wait.
    pub fn kill(&self) {
        for program in [SWITCH, SERVER] {
            if let Some(pid) = self.pid(program) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.rundir.join(name)
    }

    async fn answers(&self, name: &str) -> bool {
        let path = self.socket(name);
        path.exists() && Unixctl::new(path).run("version", &[]).await.is_ok()
    }

    fn pid(&self, program: &str) -> Option<i32> {
        let short = program.strip_prefix("ovs-").unwrap_or("ovsdb");
        let text = std::fs::read_to_string(self.socket(&format!("{short}.pid"))).ok()?;
        let pid: i32 = text.trim().parse().ok()?;
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name.trim() == program && alive(pid)).then_some(pid)
    }

    async fn start_server(&self) -> Result<()> {
        std::fs::create_dir_all(&self.rundir).map_err(|source| Error::Daemon {
            program: SERVER,
            log: self.rundir.clone(),
            source,
        })?;
        let database = self.socket("conf.db");
        if !database.exists() {
            let create = [s("create"), path(&database), s(SCHEMA)];
            self.run_program(TOOL, create.into(), "ovsdb.log").await?;
        }
        let mut arguments = vec![
            path(&database),
            format!("--remote=punix:{}", path(&self.database())),
        ];
        arguments.extend(self.usual("ovsdb"));
        self.run_program(SERVER, arguments, "ovsdb.log").await
    }

    async fn start_switch(&self) -> Result<()> {
        let mut arguments = vec![format!("unix:{}", path(&self.database()))];
        arguments.extend(self.usual("vswitchd"));
        self.run_program(SWITCH, arguments, "vswitchd.log").await
    }

    fn usual(&self, short: &str) -> Vec<String> {
        let at = |suffix: &str| path(&self.socket(&format!("{short}.{suffix}")));
        vec![
            format!("--unixctl={}", at("ctl")),
            format!("--pidfile={}", at("pid")),
            format!("--log-file={}", at("log")),
            s("--detach"),
            s("--no-chdir"),
            s("-vconsole:off"),
            s("-vsyslog:off"),
        ]
    }

    /// Runs a program in the namespace until it has ended, which for a daemon is when it is ready.
    async fn run_program(
        &self,
        program: &'static str,
        arguments: Vec<String>,
        log: &str,
    ) -> Result<()> {
        let log = self.socket(log);
        let rundir = self.rundir.clone();
        let output = self
            .netns
            .run(move || {
                // Debian keeps the daemons where an ordinary user's PATH does not look.
                let paths = std::env::var("PATH").unwrap_or_default();
                Command::new(program)
                    .args(arguments)
                    .env("PATH", format!("{paths}:/usr/sbin:/usr/bin:/sbin:/bin"))
                    .env("OVS_RUNDIR", &rundir)
                    .env("OVS_LOGDIR", &rundir)
                    .env("OVS_DBDIR", &rundir)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .output()
            })
            .await?
            .map_err(|source| Error::Daemon {
                program,
                log: log.clone(),
                source,
            })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said
            .lines()
            .last()
            .map_or_else(|| output.status.to_string(), str::to_owned);
        Err(Error::DaemonSilent { program, why, log })
    }
}

fn s(text: &str) -> String {
    text.to_owned()
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Whether a process runs; one that waits for its parent to take notice does not. A process whose
/// first thread has ended lives until the others have too.
fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ended = stat
        .rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']));
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    !ended || threads() > 1
}

/// Waits for the end of a process, but no longer than this. True when it has ended.
async fn ended(pid: i32, patience: Duration) -> bool {
    let begun = Instant::now();
    while alive(pid) && begun.elapsed() < patience {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    !alive(pid)
}

async fn end(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    while !ended(pid, GRACE).await {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}
