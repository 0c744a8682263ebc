//! What a user waits for: link and update, from the request to the API until every switch has
//! acknowledged. A whole lab without WAN delay; the same on switches alone is [`super::switches`].

use super::switches::{self, PAUSE, UPDATES};
use super::{Measured, at_most, figure, within};
use crate::cli::{self, Standing, UpOptions};
use crate::demo::DemoError;
use crate::parts::PartError;
use crate::shop::host;
use crate::wan::Shaping;
use api::Client;
use model::{Cluster, ClusterName, Encap, Mac, Member, MemberKind, VmName};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

const PAIRINGS: u8 = 10;
/// Where paired members are, and between which places a member is moved.
const PLACES: [&str; 2] = ["north", "south"];
/// Where the stream comes from.
const SENDER: &str = "office";
const PORT: u16 = 7777;

pub(super) async fn link(up: &UpOptions) -> Result<Measured, DemoError> {
    let standing = stand(up).await?;
    let client = standing.client.clone();
    let link_ms = within(standing, async move {
        let mut times = Vec::new();
        for number in 1..=PAIRINGS {
            let pair = cluster(&format!("pair-{number}"), number, &PLACES)?;
            let begun = Instant::now();
            client.apply_cluster(&pair).await.map_err(PartError::from)?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok(times)
    })
    .await?;
    Ok(Measured {
        link_ms,
        figures: vec![figure(
            "link, the switches' part",
            "ms",
            switches::link(up).await?,
            None,
        )],
        ..Measured::default()
    })
}

pub(super) async fn update(up: &UpOptions) -> Result<Measured, DemoError> {
    let standing = stand(up).await?;
    let (client, testbed) = (standing.client.clone(), standing.testbed.clone());
    let (update_ms, lost) = within(standing, async move {
        let roam = cluster("roam", 1, &[SENDER, PLACES[0]])?;
        client.apply_cluster(&roam).await.map_err(PartError::from)?;
        let [sender, mover] = roam.members.as_slice() else {
            return Ok((Vec::new(), 0));
        };
        // Once to each place, so that it has its port and its addresses there.
        for place in [PLACES[1], PLACES[0]] {
            move_to(&client, &roam.name, &mover.name, place).await?;
        }
        let ends = [sender, mover].map(|m| SocketAddr::new(m.addresses[0].address, PORT));
        let lasts = PAUSE * (UPDATES + 20);
        let stream = switches::stream(testbed, SENDER, &PLACES, ends, lasts);
        let moves = async {
            // The receivers listen by then.
            tokio::time::sleep(PAUSE * 6).await;
            let mut times = Vec::new();
            for number in 0..UPDATES as usize {
                tokio::time::sleep(PAUSE).await;
                let begun = Instant::now();
                move_to(&client, &roam.name, &mover.name, PLACES[(number + 1) % 2]).await?;
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, DemoError>(times)
        };
        let (lost, times) = tokio::join!(stream, moves);
        Ok((times?, lost?))
    })
    .await?;
    let [alone, lost_alone] = switches::update(up).await?;
    let what = format!("packets lost in {UPDATES} updates under a 1 ms stream");
    Ok(Measured {
        update_ms,
        figures: vec![
            figure(
                &what,
                "packets",
                vec![lost as f64],
                at_most(None, Some(0.0)),
            ),
            figure("update, the switch's part", "ms", alone, None),
            figure(
                "packets lost, the switch's part",
                "packets",
                lost_alone,
                at_most(None, Some(0.0)),
            ),
        ],
        ..Measured::default()
    })
}

/// A lab without VMs and without WAN delay.
async fn stand(up: &UpOptions) -> Result<Standing, DemoError> {
    let up = UpOptions {
        vms: 0,
        shaping: Shaping {
            delay_ms: 0.0,
            ..Shaping::default()
        },
        ..up.clone()
    };
    Ok(cli::up(&up, &mut |_| ()).await?)
}

async fn move_to(
    client: &Client,
    cluster: &ClusterName,
    member: &VmName,
    place: &str,
) -> Result<(), DemoError> {
    let there = host(place).map_err(PartError::from)?;
    client
        .update(cluster, member, &there)
        .await
        .map_err(PartError::from)?;
    Ok(())
}

/// A cluster with a member that is a host at each place.
fn cluster(name: &str, number: u8, places: &[&str]) -> Result<Cluster, PartError> {
    let member = |(at, place): (usize, &&str)| -> Result<Member, PartError> {
        let last = at as u8 + 1;
        let address = IpAddr::V4(Ipv4Addr::new(10, 200, number, last));
        Ok(Member {
            name: VmName::new(format!("at-{last}"))?,
            host: host(place)?,
            mac: Mac([0x52, 0x54, 0, 0x99, number, last]),
            addresses: vec![model::cluster::Cidr {
                address,
                prefix: 24,
            }],
            after: Vec::new(),
            security: Vec::new(),
            kind: MemberKind::Host,
        })
    };
    Ok(Cluster {
        name: ClusterName::new(name)?,
        vni: 0,
        encap: Encap::default(),
        members: places
            .iter()
            .enumerate()
            .map(member)
            .collect::<Result<_, _>>()?,
    })
}
