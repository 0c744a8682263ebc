//! Asks for an address again: by the command of the configuration, else by whatever has got the one that is there.

use super::command;
use super::kernel::Kernel;
use crate::WatchdogConfig;
use crate::machine::Seen;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between looks for a new address.
const LOOK: Duration = Duration::from_millis(50);

/// A client that was asked for an address gives up the old one within this time, if it does.
const BEGUN: Duration = Duration::from_secs(2);

/// How the address came.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// systemd-networkd has the link.
    Networkd,
    /// ISC's client runs, or is there.
    Dhclient(String),
    /// busybox's client runs with this process id.
    Udhcpc(i32),
}

pub(super) async fn renew(config: &WatchdogConfig) -> Result<(), String> {
    let patience = Duration::from_millis(config.renew.patience_ms.max(100));
    let begun = Instant::now();
    let interface = &config.interface;
    let kernel = Kernel::open(interface).map_err(|error| error.to_string())?;
    let before = look(&kernel).await?;
    match &config.renew.command {
        Some(words) => command::run(words, None, patience).await?,
        None => {
            match detect(interface) {
                Some(Way::Networkd) => {
                    // `renew` keeps a lease that the old place gave; only this asks anew.
                    let words = ["networkctl", "reconfigure", interface].map(str::to_owned);
                    command::run(&words, None, patience).await?;
                    differs(&kernel, &before).await?;
                }
                Some(Way::Dhclient(program)) => {
                    let words = [&program, "-1", interface].map(str::to_owned);
                    command::run(&words, None, patience).await?;
                }
                Some(Way::Udhcpc(pid)) => {
                    // Its renewal asks the server of the old place first, for half the lease; so it gives that up.
                    let tell =
                        |signal: &str| ["kill".to_owned(), signal.to_owned(), pid.to_string()];
                    command::run(&tell("-USR2"), None, patience).await?;
                    differs(&kernel, &before).await?;
                    command::run(&tell("-USR1"), None, patience).await?;
                }
                None => {
                    return Err("no DHCP client was found: name the command that renews the address in `renew`".to_owned());
                }
            }
        }
    }
    arrived(&kernel, patience.saturating_sub(begun.elapsed())).await
}

async fn look(kernel: &Kernel) -> Result<Seen, String> {
    kernel.look().await.map_err(|error| error.to_string())
}

/// Waits until a client that was only asked has begun: before that the old address stands there still. One that changes
/// nothing is not awaited for long.
async fn differs(kernel: &Kernel, before: &Seen) -> Result<(), String> {
    let until = Instant::now() + BEGUN;
    while look(kernel).await?.addresses == before.addresses && Instant::now() < until {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Waits for an address and a gateway; clients that were only asked are not done when they have heard it.
async fn arrived(kernel: &Kernel, patience: Duration) -> Result<(), String> {
    let until = Instant::now() + patience;
    loop {
        let seen = look(kernel).await?;
        if seen.up && !seen.addresses.is_empty() && seen.gateway.is_some() {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(
                "no address with a gateway has come: is there a DHCP server at this place?"
                    .to_owned(),
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn detect(interface: &str) -> Option<Way> {
    let index =
        fs::read_to_string(format!("/sys/class/net/{interface}/ifindex")).unwrap_or_default();
    let link = Path::new("/run/systemd/netif/links").join(index.trim());
    let managed =
        fs::read_to_string(link).is_ok_and(|text| !text.contains("ADMIN_STATE=unmanaged"));
    if managed && command::find("networkctl").is_some() {
        return Some(Way::Networkd);
    }
    if let Some(pid) = udhcpc_of(interface) {
        return Some(Way::Udhcpc(pid));
    }
    command::find("dhclient").map(Way::Dhclient)
}

/// The running client of busybox for an interface.
fn udhcpc_of(interface: &str) -> Option<i32> {
    let entries = fs::read_dir("/proc").ok()?;
    entries.flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        is_udhcpc(&words, interface).then_some(pid)
    })
}

/// Whether a command line is that of busybox's client for an interface: `eth0` where it names none.
fn is_udhcpc(words: &[u8], interface: &str) -> bool {
    let words: Vec<&str> = words
        .split(|byte| *byte == 0)
        .filter_map(|word| std::str::from_utf8(word).ok())
        .collect();
    let mut names = words
        .iter()
        .take(2)
        .filter_map(|word| word.rsplit('/').next());
    let named = words
        .iter()
        .position(|word| *word == "-i")
        .and_then(|at| words.get(at + 1));
    let joined = words
        .iter()
        .find_map(|word| word.strip_prefix("-i").filter(|rest| !rest.is_empty()));
    names.any(|name| name == "udhcpc") && named.copied().or(joined).unwrap_or("eth0") == interface
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_of_busybox_is_known_by_its_name_and_interface() {
        let is = |line: &str, interface| is_udhcpc(line.replace(' ', "\0").as_bytes(), interface);
        assert!(is("/sbin/udhcpc -i eth1 -b", "eth1"));
        assert!(is("busybox udhcpc -ieth1", "eth1"));
        assert!(is("udhcpc -b", "eth0"));
        assert!(!is("udhcpc -i eth1", "eth0"));
        assert!(!is("grep -i eth0 udhcpc", "eth0"));
    }
}
