//! Makes the tunnel good at another place.

use super::command;
use crate::WatchdogConfig;
use crate::config::WireGuard;
use crate::machine::Seen;
use model::cluster::Cidr;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub(super) async fn restore(config: &WatchdogConfig, place: &Seen) -> Result<(), String> {
    let Some(tunnel) = &config.tunnel else {
        return Ok(());
    };
    let patience = Duration::from_millis(tunnel.patience_ms.max(100));
    let words = match (&tunnel.restart, &tunnel.command, &tunnel.wireguard) {
        (Some(unit), ..) => ["systemctl", "restart", "--", unit]
            .map(str::to_owned)
            .to_vec(),
        (_, Some(words), _) => words.clone(),
        (.., Some(wireguard)) => {
            let endpoint = endpoint(wireguard, place).ok_or_else(|| {
                "no place of the tunnel has this machine's address: add one, or `endpoint` for all others".to_owned()
            })?;
            let endpoint = endpoint.to_string();
            let words = [
                "wg",
                "set",
                &wireguard.interface,
                "peer",
                &wireguard.peer,
                "endpoint",
                &endpoint,
            ];
            words.map(str::to_owned).to_vec()
        }
        (None, None, None) => return Ok(()),
    };
    command::run(&words, Some((&config.interface, place)), patience).await
}

fn endpoint(wireguard: &WireGuard, place: &Seen) -> Option<SocketAddr> {
    let here = |within: &Cidr| {
        place
            .addresses
            .iter()
            .any(|address| contains(within, *address))
    };
    let place = wireguard.places.iter().find(|place| here(&place.within));
    place.map(|place| place.endpoint).or(wireguard.endpoint)
}

fn contains(network: &Cidr, address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let ((own, width), (other, same)) = (bits(network.address), bits(address));
    let different = 128_u32.saturating_sub(u32::from(network.prefix));
    width == same
        && own.checked_shr(different).unwrap_or(0) == other.checked_shr(different).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_that_of_the_place_else_the_one_for_all_others() {
        let config: WatchdogConfig = toml::from_str(
            "interface = 'eth0'\n[tunnel.wireguard]\ninterface = 'wg0'\npeer = 'k'\nendpoint = '192.0.2.9:51820'\n\
             [[tunnel.wireguard.places]]\nwithin = '10.2.0.0/16'\nendpoint = '192.0.2.2:51820'",
        )
        .unwrap();
        let wireguard = config.tunnel.unwrap().wireguard.unwrap();
        let at = |address: &str| {
            let addresses = [address.parse().unwrap()].into();
            endpoint(
                &wireguard,
                &Seen {
                    addresses,
                    ..Seen::default()
                },
            )
            .unwrap()
            .to_string()
        };
        assert_eq!(at("10.2.3.4"), "192.0.2.2:51820");
        assert_eq!(at("10.3.0.1"), "192.0.2.9:51820");
        assert_eq!(at("fd00::1"), "192.0.2.9:51820");
    }
}
