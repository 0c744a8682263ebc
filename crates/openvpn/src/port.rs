//! The port in the site's bridge: a tap device that outlives openvpn's process.

use crate::config::{Bridge, Config};
use crate::error::Result;
use daemon::Host;

/// Makes the device and puts it into the bridge.
pub(crate) async fn make(host: &Host, config: &Config) -> Result<()> {
    let port = config.port.as_str();
    // One that a process left which was killed.
    remove(host, config).await;
    host.run("ip", &["tuntap", "add", port, "mode", "tap"])
        .await?;
    let mtu = config.mtu.to_string();
    let quiet = format!("net/ipv6/conf/{port}/disable_ipv6=1");
    // A port has no address of its own; a kernel without IPv6 has nothing to be told.
    let _ = host.run("sysctl", &["-qw", &quiet]).await;
    host.run(
        "ip",
        &[
            "link",
            "set",
            port,
            "mtu",
            &mtu,
            "txqueuelen",
            "10000",
            "up",
        ],
    )
    .await?;
    match &config.bridge {
        Bridge::Linux(bridge) => {
            host.run("ip", &["link", "set", port, "master", bridge])
                .await?;
        }
        Bridge::OpenVswitch { name, database } => {
            let database = format!("--db=unix:{}", database.display());
            host.run(
                "ovs-vsctl",
                &[&database, "-t", "5", "--may-exist", "add-port", name, port],
            )
            .await?;
        }
    }
    Ok(())
}

/// Takes it away. What is not there is no error.
pub(crate) async fn remove(host: &Host, config: &Config) {
    let port = config.port.as_str();
    if let Bridge::OpenVswitch { name, database } = &config.bridge {
        let database = format!("--db=unix:{}", database.display());
        let words = [&database, "-t", "5", "--if-exists", "del-port", name, port];
        let _ = host.run("ovs-vsctl", &words).await;
    }
    let _ = host.run("ip", &["link", "delete", port]).await;
}
