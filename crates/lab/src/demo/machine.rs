//! What a run took place on, for its report. What cannot be found out stays empty.

use api::Client;
use measure::report::Machine;

/// Looks at this machine, and asks the controller what its hosts found out.
pub async fn look(client: &Client) -> Machine {
    let abilities = client.hosts().await.unwrap_or_default();
    let abilities = abilities.into_iter().next().map(|host| host.abilities);
    let mut machine = bare();
    if let Some(abilities) = abilities {
        machine.accelerator = abilities.accel;
        machine.qemu = abilities.qemu;
    }
    machine
}

/// Looks at this machine alone.
pub fn bare() -> Machine {
    let text = |path| std::fs::read_to_string(path).unwrap_or_default();
    let memory = text("/proc/meminfo");
    let kib = memory.lines().find_map(|line| {
        let rest = line.strip_prefix("MemTotal:")?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    });
    let load = text("/proc/loadavg");
    Machine {
        cpus: std::thread::available_parallelism().map_or(0, |n| n.get() as u64),
        memory_mb: kib.unwrap_or_default() / 1024,
        kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        ovs: ovs_version().unwrap_or_default(),
        load: load
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or_default(),
        ..Machine::default()
    }
}

/// The last word of `ovs-vswitchd (Open vSwitch) 3.1.0`.
fn ovs_version() -> Option<String> {
    let output = std::process::Command::new("ovs-vswitchd")
        .arg("--version")
        .env("PATH", crate::boxed::search_path())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().next()?.split_whitespace().last()?.to_owned())
}
