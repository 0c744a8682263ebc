//! ESP in the kernel, where it is: an XFRM interface, so that the tunnel is a device here as well.
//!
//! With one, policies concern only packets that are sent into that device (`if_id`), and what comes out
//! of a tunnel is seen to come from it. So all that follows is as in user space.

use crate::Config;
use crate::config::{DEVICE, Esp, TABLE};
use crate::error::{Error, Result};
use daemon::Host;

/// Joins policies and the interface.
pub(crate) const IF_ID: u32 = 220;

/// ESP in UDP over IPv4, at most: IP 20, UDP 8, ESP 8, IV 8, padding 3, trailer 2, ICV 16 bytes
/// (RFC 4303, RFC 4106), in steps of four.
pub(crate) const OVERHEAD: u16 = 68;

/// Decides who encrypts.
pub(crate) async fn choose(wanted: Esp, host: &Host) -> Result<Esp> {
    match wanted {
        Esp::UserSpace => Ok(Esp::UserSpace),
        Esp::Kernel if !able(host).await => Err(Error::NoKernelEsp),
        Esp::Detect if !able(host).await => Ok(Esp::UserSpace),
        Esp::Kernel | Esp::Detect => Ok(Esp::Kernel),
    }
}

/// Whether the kernel takes an AES-GCM association and makes an XFRM interface. Both load modules.
async fn able(host: &Host) -> bool {
    let which = "src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x7e57";
    let words: Vec<&str> = which.split(' ').collect();
    let mut add = vec!["xfrm", "state", "add"];
    add.extend(&words);
    add.extend(
        "mode tunnel aead rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f10111213 128"
            .split(' '),
    );
    if host.run("ip", &add).await.is_err() {
        return false;
    }
    let mut delete = vec!["xfrm", "state", "delete"];
    delete.extend(&words);
    let _ = host.run("ip", &delete).await;
    let probe = "icsec-probe";
    let made = link(host, &["add", probe, "type", "xfrm", "if_id", "1"])
        .await
        .is_ok();
    let _ = link(host, &["delete", probe]).await;
    made
}

/// Makes the device, and the rule that leads to strongSwan's table, unless charon has made it.
pub(crate) async fn enter(host: &Host, config: &Config) -> Result<()> {
    let id = IF_ID.to_string();
    let _ = link(host, &["delete", DEVICE]).await;
    link(host, &["add", DEVICE, "type", "xfrm", "if_id", &id]).await?;
    link(host, &["set", DEVICE, "up"]).await?;
    let table = TABLE.to_string();
    let family = if config.inner.is_ipv4() { "-4" } else { "-6" };
    let show = [family, "rule", "show", "pref", &table];
    if host.run("ip", &show).await?.trim().is_empty() {
        let rule = [family, "rule", "add", "pref", &table, "lookup", &table];
        host.run("ip", &rule).await?;
    }
    Ok(())
}

/// Takes the device away, its routes with it.
pub(crate) async fn leave(host: &Host) {
    let _ = link(host, &["delete", DEVICE]).await;
}

async fn link(host: &Host, words: &[&str]) -> daemon::Result<String> {
    let mut all = vec!["link"];
    all.extend(words);
    host.run("ip", &all).await
}
