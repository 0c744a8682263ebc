//! Rules asked for part by part, packets followed from host to host.

use super::agent::{Agent, Host, Reaction};
use super::bed::{Bed, cluster, host_name, member, shop, vm, vm_name};
use api::Service;
use api::problem::Kind;
use model::flows::{FlowMark, FlowRow, FlowsAsked, FlowsPart, NextPart};
use model::links::Links;
use model::news::Answer;
use model::order::Order;
use model::trace::{End, Enters, Probe, Proto, Question, Traced, What};
use model::vm::VmState;

fn row(number: u32) -> FlowRow {
    FlowRow {
        table: 30,
        priority: 100,
        matching: format!("reg0={number:#x}"),
        actions: "drop".into(),
        cookie: "0x0".into(),
        purpose: "foreign".into(),
        cluster: None,
        member: None,
        mark: FlowMark::Foreign,
        wanted: None,
        counted: None,
        rate: None,
    }
}

#[tokio::test]
async fn a_hosts_rules_are_asked_for_part_by_part_until_there_are_no_more() {
    let (bed, _hosts, [north, _south, _office]) = Bed::with_three_hosts().await;
    north.react_with(|order| {
        let Order::ReadFlows { asked } = order else {
            return None;
        };
        assert_eq!(asked.table, Some(30));
        let from = asked.next.map_or(0, |next| next.from);
        let next = (from < 8).then_some(NextPart {
            reading: 5,
            from: from + 2,
        });
        let part = FlowsPart {
            rows: vec![row(from), row(from + 1)],
            next,
            unsettled: from == 4,
        };
        let part = Box::new(part);
        Some(Reaction::Say(Answer::Flows { part }))
    });
    let asked = FlowsAsked {
        table: Some(30),
        ..FlowsAsked::default()
    };
    let flows = bed.service.flows(&host_name("north"), asked.clone()).await;
    let flows = flows.unwrap();
    let expected: Vec<FlowRow> = (0..10).map(row).collect();
    assert_eq!(flows.rules, expected);
    assert!(flows.unsettled);

    north.react_with(|_| Some(Reaction::Refuse("somebody else has read; ask again")));
    let refused = bed.service.flows(&host_name("north"), asked.clone()).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Refused);
    let nobody = bed
        .service
        .flows(&host_name("nowhere"), asked.clone())
        .await;
    assert_eq!(nobody.unwrap_err().kind(), Kind::NotFound);
    drop(north);
    super::bed::until(|| !bed.service.hosts.is_connected(&host_name("north"))).await;
    let away = bed
        .service
        .flows(&host_name("north"), asked)
        .await
        .unwrap_err();
    assert_eq!(away.kind(), Kind::Unavailable);
    assert!(!away.way_out.is_empty(), "{away}");
}

/// `a` on north, `b` and `c` on south.
async fn bed() -> (Bed, [Host; 3], [Agent; 3]) {
    let (bed, hosts, agents) = Bed::with_three_hosts().await;
    let members = vec![
        vm("a", "north", 11),
        vm("b", "south", 12),
        member("c", "south", 13),
    ];
    bed.shop(members).await.unwrap();
    (bed, hosts, agents)
}

fn says(agent: &Agent, ends: impl Fn(&Probe) -> End + Send + 'static) {
    agent.react_with(move |order| {
        let Order::Trace { probe } = order else {
            return None;
        };
        let traced = Traced {
            steps: Vec::new(),
            ends: vec![ends(probe)],
        };
        let traced = Box::new(traced);
        Some(Reaction::Say(Answer::Traced { traced }))
    });
}

fn tunnel(number: u8, redirected: bool) -> End {
    End::Tunnel {
        to: [192, 0, 2, number].into(),
        redirected,
        gpe: false,
    }
}

fn port(name: &str, state: VmState) -> End {
    End::Member {
        cluster: shop(),
        vm: vm_name(name),
        state: Some(state),
    }
}

fn question(from: &str, to: &str) -> Question {
    Question {
        from: from.into(),
        to: to.into(),
        proto: Proto::Icmp,
        port: None,
        established: false,
        both: false,
    }
}

#[tokio::test]
async fn a_packet_is_followed_from_host_to_host_and_so_is_its_answer() {
    let (bed, _hosts, [north, south, _office]) = bed().await;
    says(&north, |probe| match &probe.enters {
        Enters::Member { vm } if vm.as_str() == "a" => tunnel(2, false),
        Enters::Tunnel { from } if from.to_string() == "192.0.2.2" => port("a", VmState::Running),
        other => panic!("{other:?}"),
    });
    says(&south, |probe| match &probe.enters {
        Enters::Tunnel { from } if from.to_string() == "192.0.2.1" => {
            let expected = What::Tcp {
                from_port: 40_000,
                to_port: 80,
            };
            assert_eq!(probe.packet.what, expected);
            port("b", VmState::Running)
        }
        Enters::Member { .. } => {
            assert!(
                probe.packet.established,
                "the answer is of a known connection"
            );
            tunnel(1, false)
        }
        other => panic!("{other:?}"),
    });
    let asked = Question {
        proto: Proto::Tcp,
        port: Some(80),
        both: true,
        ..question("shop/a", "10.77.0.12")
    };
    let trace = bed.service.trace(asked).await.unwrap();
    let (there, back) = (trace.there, trace.back.unwrap());
    assert!(there.reaches && back.reaches);
    assert_eq!(there.verdict, "Delivered to shop/b on south.");
    assert_eq!(back.verdict, "Delivered to shop/a on north.");
    let hosts: Vec<&str> = there.hops.iter().map(|hop| hop.host.as_str()).collect();
    assert_eq!(hosts, ["north", "south"]);
    let underlay = there.hops[1].underlay.as_deref();
    assert_eq!(underlay, Some("vxlan from 192.0.2.1 to 192.0.2.2"));
}

#[tokio::test]
async fn a_way_through_a_redirect_ends_in_the_queue_of_the_vm_that_is_on_its_way() {
    let (bed, _hosts, [north, south, office]) = bed().await;
    says(&north, |_| tunnel(2, false));
    says(&south, |_| tunnel(3, true));
    says(&office, |_| port("b", VmState::Incoming));
    let way = bed.service.trace(question("shop/a", "shop/b")).await;
    let way = way.unwrap().there;
    assert!(way.reaches);
    assert_eq!(
        way.hops[2].enters,
        "out of the tunnel from south, sent on by a redirect"
    );
    assert!(
        way.verdict
            .contains("waits in its port's queue until it runs"),
        "{}",
        way.verdict
    );

    says(&office, |_| tunnel(2, true));
    let way = bed.service.trace(question("shop/a", "shop/b")).await;
    let way = way.unwrap().there;
    assert!(
        !way.reaches && way.verdict.contains("after 16 hosts"),
        "{}",
        way.verdict
    );
    assert_eq!(way.hops.len(), 16, "it does not go round for ever");
}

#[tokio::test]
async fn what_cannot_be_followed_is_said_and_so_is_what_is_dropped() {
    let (bed, _hosts, [north, south, _office]) = bed().await;
    says(&north, |_| End::Dropped {
        because: "no rule of table 5 matches".into(),
    });
    let way = bed.service.trace(question("shop/a", "shop/b")).await;
    let way = way.unwrap().there;
    assert_eq!(way.verdict, "Dropped on north: no rule of table 5 matches.");
    says(&north, |_| tunnel(77, false));
    let way = bed.service.trace(question("shop/a", "shop/b")).await;
    let way = way.unwrap().there;
    assert!(
        !way.reaches && way.verdict.contains("no host is known"),
        "{}",
        way.verdict
    );
    says(&north, |_| tunnel(2, false));
    drop(south);
    super::bed::until(|| !bed.service.hosts.is_connected(&host_name("south"))).await;
    let way = bed.service.trace(question("shop/a", "shop/b")).await;
    let way = way.unwrap().there;
    assert!(
        !way.reaches && way.verdict.starts_with("It goes on to south"),
        "{}",
        way.verdict
    );
    let first = bed.service.trace(question("shop/b", "shop/a")).await;
    assert_eq!(first.unwrap_err().kind(), Kind::Unavailable);
}

#[tokio::test]
async fn a_question_that_means_nobody_is_refused_with_the_way_out() {
    let (bed, _hosts, _agents) = bed().await;
    let other = cluster("office", vec![member("x", "office", 11)]);
    bed.service.apply_cluster(other).await.unwrap();
    let refused = async |asked: Question| {
        let problem = bed.service.trace(asked).await.unwrap_err();
        assert!(!problem.way_out.is_empty(), "{problem}");
        problem.kind()
    };
    assert_eq!(
        refused(question("shop/a", "shop/nobody")).await,
        Kind::NotFound
    );
    assert_eq!(
        refused(question("shop/a", "10.9.9.9")).await,
        Kind::NotFound
    );
    assert_eq!(refused(question("web1", "shop/a")).await, Kind::Invalid);
    assert_eq!(refused(question("shop/b", "office/x")).await, Kind::Refused);
    let udp = Question {
        proto: Proto::Udp,
        ..question("shop/a", "shop/b")
    };
    assert_eq!(refused(udp).await, Kind::Invalid);
    let both = question("10.77.0.11", "10.77.0.11");
    assert_eq!(
        refused(both).await,
        Kind::Invalid,
        "two clusters have this address"
    );
}

#[tokio::test]
async fn tunnels_of_a_host_that_does_not_answer_are_shown_as_down() {
    let (bed, _hosts, [north, south, _office]) = bed().await;
    let links = |to: u8| {
        let seen = model::links::TunnelSeen {
            to: [192, 0, 2, to].into(),
            cluster: shop(),
            carried: "vxlan".into(),
            neighbour: true,
            sent: model::flows::Counted::default(),
            sends: None,
        };
        Links {
            ports: Vec::new(),
            tunnels: vec![seen],
        }
    };
    north.react_with(move |order| {
        let links = Box::new(links(2));
        matches!(order, Order::ReadLinks { .. }).then(|| Reaction::Say(Answer::Links { links }))
    });
    south.react_with(|order| {
        matches!(order, Order::ReadLinks { .. }).then_some(Reaction::Refuse("no switch"))
    });
    let tunnels = bed.service.topology(0).await.unwrap().tunnels;
    let said: Vec<(&str, bool)> = tunnels
        .iter()
        .map(|tunnel| (tunnel.from.as_str(), tunnel.up))
        .collect();
    assert_eq!(said, [("north", true), ("south", false)]);
    assert_eq!(tunnels[0].to, Some(host_name("south")));
    assert!(
        tunnels[1]
            .why
            .as_deref()
            .unwrap()
            .contains("does not answer")
    );
}
