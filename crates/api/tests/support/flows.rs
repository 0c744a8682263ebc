//! What the fake controller says of its switches.

use super::name;
use api::view::Flows;
use model::Encap;
use model::flows::{Counted, FlowCounted, FlowMark, FlowRow, FlowsAsked, Rate};
use model::links::{Links, PortRole, PortSeen, TunnelSeen};
use model::trace::{End, Hop, Proto, Question, Step, Trace, Traced, Way};
use model::vm::VmState;

pub fn asked() -> FlowsAsked {
    FlowsAsked {
        cluster: Some(name("shop")),
        table: Some(30),
        over_ms: 0,
        next: None,
    }
}

pub fn question() -> Question {
    Question {
        from: "shop/shop-1".into(),
        to: "fd77::2".into(),
        proto: Proto::Tcp,
        port: Some(80),
        established: false,
        both: true,
    }
}

fn row(mark: FlowMark) -> FlowRow {
    FlowRow {
        table: 30,
        priority: 100,
        matching: "reg0=0x7,dl_dst=52:54:00:77:00:02".into(),
        actions: "set_field:0x7->tun_id,set_field:192.0.2.20->tun_dst,output:1".into(),
        cookie: "0x7472512340000001".into(),
        purpose: "tunnel to south-1 for shop-2 of shop".into(),
        cluster: Some(name("shop")),
        member: Some(name("shop-2")),
        mark,
        wanted: (mark == FlowMark::Changed).then(|| "drop".into()),
        counted: (mark != FlowMark::Missing).then_some(FlowCounted {
            packets: 12,
            bytes: 1_200,
            age_ms: 5_000,
        }),
        rate: (mark != FlowMark::Missing).then_some(Rate {
            packets_s: 2.5,
            bits_s: 2_000.0,
        }),
    }
}

pub fn flows(host: &model::HostName) -> Flows {
    Flows {
        host: host.clone(),
        unsettled: false,
        rules: vec![row(FlowMark::Changed), row(FlowMark::Missing)],
    }
}

fn hop(host: &str, ends: Vec<End>) -> Hop {
    Hop {
        host: name(host),
        enters: "at the port of shop-1".into(),
        underlay: Some("geneve from 192.0.2.10 to 192.0.2.20".into()),
        traced: Traced {
            steps: vec![Step {
                table: 30,
                priority: Some(100),
                matching: "reg0=0x7,dl_dst=52:54:00:77:00:02".into(),
                cookie: "0x7472512340000001".into(),
                purpose: "tunnel to south-1 for shop-2 of shop".into(),
                mark: Some(FlowMark::AsAsked),
                actions: vec!["output:1".into()],
            }],
            ends,
        },
    }
}

pub fn trace(question: &Question) -> Trace {
    let tunnel = End::Tunnel {
        to: name("192.0.2.20"),
        redirected: false,
        gpe: false,
    };
    let arrived = End::Member {
        cluster: name("shop"),
        vm: name("shop-2"),
        state: Some(VmState::Running),
    };
    let dropped = End::Dropped {
        because: "no rule of table 5 matches".into(),
    };
    let way = |hops, reaches, verdict: &str| Way {
        packet: "TCP 40000 to 80 from shop/shop-1 (fd77::1) to shop/shop-2 (fd77::2)".into(),
        hops,
        reaches,
        verdict: verdict.into(),
    };
    let hops = vec![hop("north-1", vec![tunnel]), hop("south-1", vec![arrived])];
    Trace {
        there: way(hops, true, "Delivered to shop/shop-2 on south-1."),
        back: question.both.then(|| {
            let hops = vec![hop("south-1", vec![dropped, End::Answered, End::Gateway])];
            way(
                hops,
                false,
                "Dropped on south-1: no rule of table 5 matches.",
            )
        }),
    }
}

pub fn links() -> Links {
    let counted = Counted {
        packets: 1_000,
        bytes: 1_200_000,
    };
    let port = |name: &str, role| PortSeen {
        name: name.into(),
        role,
        up: true,
        received: counted,
        sent: counted,
        dropped: 0,
        receives: None,
        sends: Some(Rate {
            packets_s: 10.0,
            bits_s: 1.2e6,
        }),
    };
    Links {
        ports: vec![
            port("eth0", PortRole::Uplink),
            port(
                "enc-geneve",
                PortRole::Tunnels {
                    encap: Encap::Geneve,
                },
            ),
            port(
                "tht-1",
                PortRole::Member {
                    cluster: name("shop"),
                    vm: name("shop-1"),
                },
            ),
        ],
        tunnels: vec![TunnelSeen {
            to: name("192.0.2.20"),
            cluster: name("shop"),
            carried: "geneve".into(),
            neighbour: false,
            sent: counted,
            sends: None,
        }],
    }
}
