//! What the flow view says of a real switch: every rule explained, what differs marked, traces that end
//! where packets go, and counters that count them.

use crate::support::{Guest, World};
use model::flows::{FlowMark, FlowRow};
use model::links::PortRole;
use model::trace::{End, Enters, Packet, Probe, Traced, What};
use model::{Encap, Locator, Member};
use ovs::Arrivals;
use ovs::bench::stage::Plan;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

async fn rows(world: &World, at: usize) -> Vec<FlowRow> {
    let reading = world.host(at).read_flows(None, None, Duration::ZERO).await;
    reading.unwrap().rows
}

fn ofctl(world: &World, at: usize, arguments: &[&str]) {
    let socket = world.stage.hosts[at].config.rundir.join("icint0.mgmt");
    let (rule, command) = arguments.split_last().unwrap();
    let done = Command::new("ovs-ofctl")
        .args(["-O", "OpenFlow13"])
        .args(command)
        .args([&format!("unix:{}", socket.display()), *rule])
        .status();
    assert!(done.unwrap().success(), "{arguments:?}");
}

fn probe(world: &World, enters: Enters, from: &Member, to: &Member, what: What, v6: bool) -> Probe {
    let address = |member: &Member| member.addresses[usize::from(v6)].address;
    Probe {
        cluster: world.net.cluster.clone(),
        enters,
        packet: Packet {
            from_mac: from.mac,
            to_mac: match what {
                What::Arp => model::Mac([0xff; 6]),
                _ => to.mac,
            },
            from: address(from),
            to: address(to),
            what,
            established: false,
        },
    }
}

/// Two hosts, a VM on each; the second one has a security rule.
async fn world(encap: Encap) -> (World, Guest, Guest) {
    let mut world = World::empty(Plan::default(), encap).await;
    let (from, at_from) = world.vm(1, 0).await;
    let (mut to, at_to) = world.vm(2, 1).await;
    to.security = vec!["ingress udp 4001-4010 from any".parse().unwrap()];
    world.add_row(&from, 0);
    world.add_row(&to, 1);
    world.tell_all().await;
    (world, at_from, at_to)
}

const DATAGRAM: What = What::Udp {
    from_port: 4000,
    to_port: 4001,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_of_a_host_is_as_asked_and_says_what_it_is_for() {
    for encap in [Encap::Vxlan, Encap::Gre, Encap::Geneve] {
        let (mut world, from, to) = world(encap).await;
        let mut far = ovs::bench::stage::member(&world.net, 3, &from.member.host).unwrap();
        far.security.clear();
        let mut row = world.row(&far, 0, 1);
        row.locator = Locator::outside("203.0.113.7".parse().unwrap());
        world.rows.push(row);
        world.tell_all().await;
        world
            .host(0)
            .open_gateway(&world.net.cluster)
            .await
            .unwrap();
        let redirect = Arrivals::Redirect {
            to: world.rows[1].locator.address,
        };
        let leaving = world.key(&from.member);
        world
            .host(0)
            .set_arrivals(&leaving, Some(redirect))
            .await
            .unwrap();
        world
            .host(1)
            .open_gate(&world.key(&to.member))
            .await
            .unwrap();
        for at in 0..2 {
            let rows = rows(&world, at).await;
            assert!(rows.len() > 30);
            for row in &rows {
                assert_eq!(row.mark, FlowMark::AsAsked, "host {at}: {row:#?}");
                assert!(!row.purpose.contains("nobody of"), "{row:#?}");
            }
            let said: Vec<&str> = rows.iter().map(|row| row.purpose.as_str()).collect();
            let has = |phrase: &str| said.iter().any(|purpose| purpose.contains(phrase));
            let phrases: &[&str] = match at {
                0 => &[
                    "redirect: what still comes",
                    "to the LISP gateway for",
                    "tunnel to ",
                ],
                _ => &["gate: what is for", "security: UDP 4001", "guard: "],
            };
            for phrase in phrases {
                assert!(has(phrase), "no '{phrase}' in {said:#?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_somebody_added_changed_or_took_away_are_marked() {
    let (world, from, to) = world(Encap::Vxlan).await;
    let tunnel = format!("table=30,reg0={},dl_dst={}", world.net.vni, to.member.mac);
    ofctl(
        &world,
        0,
        &[
            "add-flow",
            "table=30,priority=7,dl_dst=02:00:00:00:00:99,actions=drop",
        ],
    );
    ofctl(&world, 0, &["mod-flows", &format!("{tunnel},actions=drop")]);
    ofctl(&world, 0, &["--strict", "del-flows", "table=40,priority=0"]);
    let rows = rows(&world, 0).await;
    let of =
        |mark: FlowMark| -> Vec<&FlowRow> { rows.iter().filter(|row| row.mark == mark).collect() };
    let foreign = of(FlowMark::Foreign);
    assert_eq!(foreign.len(), 1, "{foreign:#?}");
    assert_eq!(foreign[0].matching, "dl_dst=02:00:00:00:00:99");
    let changed = of(FlowMark::Changed);
    assert_eq!(changed.len(), 1, "{changed:#?}");
    assert_eq!(changed[0].actions, "drop");
    assert!(changed[0].wanted.as_deref().unwrap().contains("->tun_dst"));
    let missing = of(FlowMark::Missing);
    assert_eq!(missing.len(), 1, "{missing:#?}");
    assert_eq!((missing[0].table, missing[0].counted), (40, None));
    assert!(of(FlowMark::LeftOver).is_empty());
    // What the agent believes to know does not count: the switch is asked.
    let enters = Enters::Member {
        vm: from.member.name.clone(),
    };
    let traced = world
        .host(0)
        .trace(&probe(
            &world,
            enters,
            &from.member,
            &to.member,
            What::Icmp,
            false,
        ))
        .await
        .unwrap();
    assert!(
        matches!(&traced.ends[..], [End::Dropped { .. }]),
        "{traced:#?}"
    );
    assert_eq!(traced.steps.last().unwrap().mark, Some(FlowMark::Changed));
}

/// Packets of each rule that was met, by table, match and cookie.
fn counted(rows: &[FlowRow], traced: &Traced) -> BTreeMap<(u8, String), u64> {
    let met = traced.steps.iter().map(|step| {
        let mut rows = rows.iter().filter(|row| {
            row.table == step.table
                && row.cookie == step.cookie
                && Some(row.priority) == step.priority
        });
        let row = rows
            .next()
            .unwrap_or_else(|| panic!("{step:#?} is not installed"));
        (
            (row.table, row.cookie.clone()),
            row.counted.unwrap().packets,
        )
    });
    met.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_goes_where_its_trace_says_and_every_rule_of_the_trace_counts_it() {
    let (world, at_from, at_to) = world(Encap::Geneve).await;
    let (from, to) = (at_from.member.clone(), at_to.member.clone());
    let enters = Enters::Member {
        vm: from.name.clone(),
    };
    let out = world
        .host(0)
        .trace(&probe(&world, enters, &from, &to, DATAGRAM, false))
        .await
        .unwrap();
    let target = world.rows[1].locator.address;
    assert!(
        matches!(&out.ends[..], [End::Tunnel { to, redirected: false, .. }] if *to == target),
        "{out:#?}"
    );
    let enters = Enters::Tunnel {
        from: world.rows[0].locator.address,
    };
    let traced = world
        .host(1)
        .trace(&probe(&world, enters, &from, &to, DATAGRAM, false))
        .await
        .unwrap();
    assert!(
        matches!(&traced.ends[..], [End::Member { vm, .. }] if *vm == to.name),
        "{traced:#?}"
    );
    let tables: Vec<u8> = traced.steps.iter().map(|step| step.table).collect();
    assert_eq!(tables, [0, 40, 45, 46]);

    let before = [
        counted(&rows(&world, 0).await, &out),
        counted(&rows(&world, 1).await, &traced),
    ];
    at_from.says(&to, "once");
    assert_eq!(at_to.texts().await, ["once"]);
    world.effective().await;
    let after = [
        counted(&rows(&world, 0).await, &out),
        counted(&rows(&world, 1).await, &traced),
    ];
    for (before, after) in before.iter().zip(&after) {
        for (rule, packets) in before {
            assert!(
                after[rule] > *packets,
                "{rule:?} has not counted the packet"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_says_who_answers_who_drops_and_who_sends_on() {
    let (world, at_from, at_to) = world(Encap::Vxlan).await;
    let (from, to) = (at_from.member.clone(), at_to.member.clone());
    let member = |member: &Member| Enters::Member {
        vm: member.name.clone(),
    };
    let trace = async |at: usize, probe: Probe| world.host(at).trace(&probe).await.unwrap();
    for v6 in [false, true] {
        let asked = trace(0, probe(&world, member(&from), &from, &to, What::Arp, v6)).await;
        assert_eq!(asked.ends, [End::Answered], "{asked:#?}");
        let closed = What::Tcp {
            from_port: 4000,
            to_port: 80,
        };
        let enters = Enters::Tunnel {
            from: world.rows[0].locator.address,
        };
        let dropped = trace(1, probe(&world, enters, &from, &to, closed, v6)).await;
        assert!(
            matches!(&dropped.ends[..], [End::Dropped { because }] if because.contains("security")),
            "{dropped:#?}"
        );
    }
    let mut forged = probe(&world, member(&from), &from, &to, What::Icmp, false);
    forged.packet.from = "10.77.233.77".parse().unwrap();
    let dropped = trace(0, forged).await;
    assert!(
        matches!(&dropped.ends[..], [End::Dropped { because }] if because.contains("end of table 10")),
        "{dropped:#?}"
    );

    // While it moves away: what still comes is sent on, and an echo of that is not.
    let (here, there) = (world.rows[0].locator.address, world.rows[1].locator.address);
    let elsewhere = "192.0.2.77".parse().unwrap();
    let redirect = Arrivals::Redirect { to: here };
    world
        .host(1)
        .set_arrivals(&world.key(&to), Some(redirect))
        .await
        .unwrap();
    let from_peer = |from_host| Enters::Tunnel { from: from_host };
    let sent_on = trace(
        1,
        probe(&world, from_peer(elsewhere), &from, &to, DATAGRAM, false),
    )
    .await;
    assert_eq!(
        sent_on.ends,
        [End::Tunnel {
            to: here,
            redirected: true,
            gpe: false
        }],
        "{sent_on:#?}"
    );
    let echo = trace(
        1,
        probe(&world, from_peer(here), &from, &to, DATAGRAM, false),
    )
    .await;
    assert!(matches!(&echo.ends[..], [End::Dropped { .. }]), "{echo:#?}");
    world.host(1).open_gate(&world.key(&to)).await.unwrap();
    let held = trace(
        1,
        probe(&world, from_peer(here), &from, &to, DATAGRAM, false),
    )
    .await;
    assert_eq!(
        held.ends,
        [End::Held {
            vm: to.name.clone()
        }],
        "{held:#?}"
    );
    assert_ne!(here, there);
    let nowhere = probe(&world, member(&to), &to, &from, What::Icmp, false);
    assert!(
        world.host(0).trace(&nowhere).await.is_err(),
        "it has no port there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_and_tunnels_count_what_passes_and_two_readings_make_a_rate() {
    let (world, at_from, at_to) = world(Encap::Vxlan).await;
    let (host, to) = (world.host(0).clone(), at_to.member.clone());
    let reading = tokio::spawn({
        let host = host.clone();
        async move { host.links(Duration::from_millis(1500)).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    for number in 0..50 {
        at_from.says(&to, &format!("{number}"));
    }
    let links = reading.await.unwrap().unwrap();
    assert_eq!(at_to.texts().await.len(), 50);
    let tunnel = links
        .tunnels
        .iter()
        .find(|tunnel| tunnel.to == world.rows[1].locator.address);
    let tunnel = tunnel.unwrap();
    assert!(tunnel.neighbour && tunnel.carried == "vxlan", "{tunnel:#?}");
    assert!(tunnel.sent.packets >= 50, "{tunnel:#?}");
    assert!(tunnel.sends.unwrap().packets_s > 10.0, "{tunnel:#?}");
    let port = |wanted: fn(&PortRole) -> bool| {
        let found = links.ports.iter().find(|port| wanted(&port.role));
        found.unwrap_or_else(|| panic!("{:#?}", links.ports))
    };
    let uplink = port(|role| *role == PortRole::Uplink);
    assert!(uplink.up && uplink.sent.packets >= 50, "{uplink:#?}");
    assert!(
        uplink.sends.unwrap().bits_s > uplink.sends.unwrap().packets_s,
        "{uplink:#?}"
    );
    let member = port(|role| matches!(role, PortRole::Member { .. }));
    assert!(member.received.packets >= 50, "{member:#?}");
    assert!(
        port(|role| matches!(role, PortRole::Tunnels { .. }))
            .sent
            .packets
            >= 50
    );

    let read = host
        .read_flows(None, Some(30), Duration::from_millis(200))
        .await
        .unwrap();
    assert!(!read.unsettled && read.rows.iter().all(|row| row.table == 30));
    assert!(read.rows.iter().all(|row| row.rate.is_some()));
    let others = model::ClusterName::new("nobodys").unwrap();
    let none = host
        .read_flows(Some(&others), None, Duration::ZERO)
        .await
        .unwrap();
    assert!(none.rows.is_empty());
}
