//! The process that encrypts. It is started by the agent and outlives it, so that tunnels go on while an agent is
//! replaced; it does what it was told last until it is told something else.

use super::wire::{Ask, Own, Say, Seen, SeenPeer, Wanted, is_ours};
use crate::AgentError;
use model::underlay::Method;
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use wireguard::{Attach, Device, DeviceConfig, Event, Peer, Transport};

/// Its socket, in the folder that it is started with.
pub(super) const SOCKET: &str = "wireguard.sock";
/// What it is started with, in the same folder.
pub(super) const OWN: &str = "wireguard.json";

/// A host behind a NAT is forgotten by it after a minute or less of silence; and who is spoken to first shall not have
/// to wait for a handshake.
const KEEPALIVE_S: u16 = 25;

/// Runs until it is ended.
///
/// # Errors
/// The device or the socket cannot be made.
pub async fn run(folder: std::path::PathBuf) -> Result<(), AgentError> {
    let text = std::fs::read(folder.join(OWN))?;
    let own: Own = serde_json::from_slice(&text).map_err(std::io::Error::from)?;
    let device = Device::open(DeviceConfig {
        listen: own.listen,
        attach: Attach::Tap {
            name: own.tap,
            mac: own.mac.0,
            inside: own.inside.0,
            stays: true,
        },
        mtu: own.mtu,
    })
    .map_err(|error| AgentError::plain(error.to_string()))?;
    let path = folder.join(SOCKET);
    let listener = listen(&path)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let device = device.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, device).await {
                tracing::debug!(%error, "a conversation has ended");
            }
        });
    }
}

/// Only the user that it runs as can open the socket: its folder is closed to others.
fn listen(path: &Path) -> Result<UnixListener, AgentError> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(folder) = path.parent() {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(UnixListener::bind(path)?)
}

async fn converse(stream: UnixStream, device: Device) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        let ask = match serde_json::from_str(&line) {
            Ok(ask) => ask,
            Err(error) => {
                say(&mut writer, &Say::Failed(error.to_string())).await?;
                continue;
            }
        };
        match ask {
            Ask::Set(wanted) => say(&mut writer, &set(&device, &wanted)).await?,
            Ask::Status => say(&mut writer, &Say::Status(look(&device))).await?,
            Ask::Follow => {
                let mut events = device.events();
                while let Some(event) = events.recv().await {
                    if let Some(told) = told(event) {
                        say(&mut writer, &told).await?;
                    }
                }
            }
        }
    }
    Ok(())
}

async fn say(writer: &mut (impl AsyncWriteExt + Unpin), what: &Say) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

fn set(device: &Device, wanted: &Wanted) -> Say {
    let told = state(wanted).and_then(|state| device.set(state).map_err(|e| e.to_string()));
    match told {
        Ok(()) => Say::Done,
        Err(why) => Say::Failed(why),
    }
}

fn state(wanted: &Wanted) -> Result<wireguard::Wanted, String> {
    let identities = wanted.secrets.iter().map(|secret| secret.parse());
    let identities = identities.collect::<Result<_, _>>();
    let identities = identities.map_err(|_| "a secret key is none".to_owned())?;
    let peers = wanted
        .peers
        .iter()
        .filter(|peer| is_ours(peer))
        .map(|peer| {
            let part = &peer.part;
            let keys = part.keys.iter().map(|key| key.parse());
            let keys = keys.collect::<Result<_, _>>();
            let alone = match part.inner.is_ipv4() {
                true => 32,
                false => 128,
            };
            let allowed = format!("{}/{alone}", part.inner).parse();
            Ok(Peer {
                keys: keys.map_err(|_| format!("a key of host '{}' is none", peer.host))?,
                allowed: vec![allowed.map_err(|_| format!("host '{}' has no address", peer.host))?],
                endpoint: Some(part.outer),
                keepalive: Some(KEEPALIVE_S),
                transport: match peer.method {
                    Method::None => Transport::Plain,
                    _ => Transport::Wireguard,
                },
                roam: part.roams,
            })
        });
    Ok(wireguard::Wanted {
        identities,
        peers: peers.collect::<Result<_, String>>()?,
    })
}

fn look(device: &Device) -> Seen {
    let status = device.status();
    let peers = status.peers.iter().map(|peer| SeenPeer {
        key: peer.key.to_string(),
        endpoint: peer.endpoint,
        identity: peer.identity.map(|key| key.to_string()),
        age_s: peer.handshake.map(|age| age.as_secs()),
        received: peer.received.bytes,
        sent: peer.sent.bytes,
    });
    let drops = status.drops.by_name().into_iter();
    Seen {
        peers: peers.collect(),
        drops: drops
            .map(|(name, count)| (name.to_owned(), count))
            .collect(),
    }
}

fn told(event: Event) -> Option<Say> {
    match event {
        Event::Handshake { .. } => None,
        Event::Roamed { peer, to, .. } => Some(Say::Roamed {
            key: peer.to_string(),
            to,
        }),
        Event::Refused { from, why } => Some(Say::Refused {
            from,
            why: why.name().to_owned(),
        }),
    }
}
