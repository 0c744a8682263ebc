//! Links: members reach each other, and nobody else; nothing is left of them after.

use crate::support::{World, ping};
use model::Encap;
use ovs::Error;
use ovs::bench::stage::{self, Plan, Wiring};

#[tokio::test(flavor = "multi_thread")]
async fn linked_members_reach_each_other_over_every_encapsulation() {
    for encap in [Encap::Vxlan, Encap::Gre, Encap::Geneve] {
        let world = World::linked(Plan::default(), encap).await;
        world.assert_all_reach_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_reach_each_other_over_an_ipv6_underlay() {
    for encap in [Encap::Vxlan, Encap::Gre, Encap::Geneve] {
        let plan = Plan {
            v6: true,
            ..Plan::default()
        };
        let world = World::linked(plan, encap).await;
        world.assert_all_reach_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_behind_gateways_carry_the_first_packet() {
    let plan = Plan {
        wiring: Wiring::Routed,
        hosts: 3,
        ..Plan::default()
    };
    let world = World::linked(plan, Encap::Vxlan).await;
    world.assert_all_reach_all().await;
    let told = world.host(0).neighbours().told();
    assert_eq!(told.len(), 1, "only the gateway is a neighbour: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_of_the_largest_size_passes_and_the_members_mtu_is_enforced() {
    let mut world = World::empty(
        Plan {
            mtu: 1600,
            ..Plan::default()
        },
        Encap::Vxlan,
    )
    .await;
    assert_eq!(world.host(0).mtu(Encap::Vxlan), 1500);
    world.net.mtu = 1500;
    for at in 0..2 {
        let member =
            stage::member(&world.net, at as u8 + 1, &world.stage.hosts[at].config.host).unwrap();
        let linked = world.host(at).link_host(&world.net, &member).await.unwrap();
        let link = world.stage.hosts[at]
            .netlink
            .need_link(&linked.ifname)
            .await
            .unwrap();
        assert_eq!(link.mtu, 1500);
        world.add_row(&member, at);
        world.members.push(member);
    }
    world.tell_all().await;
    let to = world.members[1].addresses[0].address.to_string();
    let output = world
        .netns(0)
        .run(move || {
            std::process::Command::new("ping")
                .args([
                    "-c", "2", "-i", "0.05", "-W", "1", "-M", "do", "-s", "1472", &to,
                ])
                .output()
        })
        .await
        .unwrap()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_wider_than_the_uplinks_is_refused_with_the_figures_and_leaves_nothing() {
    let world = World::empty(
        Plan {
            mtu: 1500,
            ..Plan::default()
        },
        Encap::Vxlan,
    )
    .await;
    assert_eq!(world.host(0).mtu(Encap::Vxlan), 1450);
    assert_eq!(world.host(0).mtu(Encap::Gre), 1458);
    let net = model::Net {
        mtu: 1500,
        ..world.net.clone()
    };
    let member = stage::member(&net, 1, &world.stage.hosts[0].config.host).unwrap();
    let error = world.host(0).link_host(&net, &member).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Mtu {
                needed: 1550,
                found: 1500,
                most: 1450,
                ..
            }
        ),
        "{error}"
    );
    assert!(world.host(0).ports().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_with_the_same_addresses_do_not_see_each_other() {
    let world = World::linked(
        Plan {
            hosts: 2,
            ..Plan::default()
        },
        Encap::Vxlan,
    )
    .await;
    // The same member in another network, on the second host only.
    let mut other = stage::net(2, Encap::Vxlan, 1400).unwrap();
    other.vni = world.net.vni + 256;
    let mut twin = world.members[1].clone();
    twin.host = world.stage.hosts[0].config.host.clone();
    twin.addresses = vec!["10.77.233.200/24".parse().unwrap()];
    world.host(0).link_host(&other, &twin).await.unwrap();
    let row = stage::entry(&other, &twin, &world.stage.hosts[0].config, false, 1).unwrap();
    world
        .host(0)
        .apply(vec![other.clone()], vec![row], Vec::new())
        .await
        .unwrap();
    world.assert_all_reach_all().await;
    assert!(!ping(world.netns(1), "10.77.233.200".parse().unwrap()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn linking_twice_gives_the_same_port_and_linking_otherwise_is_refused() {
    let world = World::linked(Plan::default(), Encap::Vxlan).await;
    let again = world
        .host(0)
        .link_host(&world.net, &world.members[0])
        .await
        .unwrap();
    let port = world.host(0).ports().await[&world.key(&world.members[0])].clone();
    assert_eq!((again.ofport, again.ifname), (port.ofport, port.ifname));
    let mut other = world.members[0].clone();
    other.mac.0[5] ^= 0x40;
    let error = world
        .host(0)
        .link_host(&world.net, &other)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::LinkedOtherwise { .. }), "{error}");
    let error = world
        .host(0)
        .link_vm(&world.net, &world.members[0])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::LinkedOtherwise { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlinked_member_leaves_no_port_no_link_and_no_rule() {
    let mut world = World::empty(Plan::default(), Encap::Gre).await;
    let before = trace(&world).await;
    for number in [1, 2] {
        let member = stage::member(&world.net, number, &world.stage.hosts[0].config.host).unwrap();
        world.host(0).link_host(&world.net, &member).await.unwrap();
        world.add_row(&member, 0);
        world.members.push(member);
    }
    let (vm, guest) = world.vm(9, 0).await;
    world.add_row(&vm, 0);
    world.members.push(vm);
    world.host(0).replace(world.slice()).await.unwrap();
    assert_ne!(trace(&world).await, before);
    drop(guest);
    for member in &world.members {
        world
            .host(0)
            .unlink(&world.net.cluster, &member.name)
            .await
            .unwrap();
        world
            .host(0)
            .unlink(&world.net.cluster, &member.name)
            .await
            .unwrap();
    }
    world
        .host(0)
        .replace(model::Slice::default())
        .await
        .unwrap();
    assert_eq!(trace(&world).await, before);
}

/// Links, switch ports and rules of the first host.
async fn trace(world: &World) -> (Vec<String>, String, usize) {
    let mut links: Vec<String> = world.stage.hosts[0]
        .netlink
        .links()
        .await
        .unwrap()
        .into_iter()
        .map(|link| link.name)
        .collect();
    links.sort();
    let ports = world.appctl(0).run("dpif/show", &[]).await.unwrap();
    let ports = ports
        .lines()
        .filter(|line| line.starts_with("    "))
        .collect::<Vec<_>>()
        .join("\n");
    let rules = world
        .appctl(0)
        .run("bridge/dump-flows", &["icint0"])
        .await
        .unwrap();
    (links, ports, rules.lines().count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_fails_leaves_nothing_and_succeeds_when_its_obstacle_is_gone() {
    let world = World::empty(Plan::default(), Encap::Geneve).await;
    let host = &world.stage.hosts[0];
    let before = trace(&world).await;
    // Somebody has taken the name of the internal port.
    host.netlink
        .add_veth("vint0", "obstacle", &world.stage.wan)
        .await
        .unwrap();
    let member = stage::member(&world.net, 1, &host.config.host).unwrap();
    let error = world
        .host(0)
        .link_host(&world.net, &member)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Port { .. }), "{error}");
    assert!(world.host(0).ports().await.is_empty());
    host.netlink.delete_link("vint0").await.unwrap();
    assert_eq!(trace(&world).await, before);
    world.host(0).link_host(&world.net, &member).await.unwrap();
}
