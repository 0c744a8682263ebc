//! A cluster with security rules moves: what they allowed goes on, what they forbid stays forbidden.

use crate::fixture::{Lab, OUT_OF_ORDER, Silent, shop};
use lab::boxed::Program;
use lab::demo::Tour;
use lab::shop::{CLIENT_SITE, Load};
use model::SecurityRule;
use model::migration::{Options, State};
use std::time::Duration;

/// All that the lab's own load and probe need, and nothing else.
const RULES: [&str; 5] = [
    "ingress tcp 7 from any",
    "ingress tcp 80 from member client",
    "ingress udp 7 from any",
    "egress tcp 7 to member shop-2",
    "egress udp 7 to members",
];

/// A port that nobody listens on: a guest that is reached refuses it at once.
const NOBODY: u16 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn sessions_through_rules_survive_the_move_and_what_is_forbidden_stays_so() {
    let lab = Lab::up("security", 2, Load::USUAL).await;
    let name = "shop-1".parse().unwrap();
    assert_eq!(asked(&lab, NOBODY), Answer::Refused, "no rules yet");
    // From its first packet on: sessions from before there were rules are nobody's.
    let mut spec = lab.client().cluster(&shop()).await.unwrap().spec;
    lab.client().delete_cluster(&shop()).await.unwrap();
    let rules: Vec<SecurityRule> = RULES.iter().map(|text| text.parse().unwrap()).collect();
    let first = spec
        .members
        .iter_mut()
        .find(|one| one.name.as_str() == "shop-1");
    first.unwrap().security = rules.clone();
    lab.client().apply_cluster(&spec).await.unwrap();
    assert!(lab.answers().await);

    let mut tour = Tour::begin(&lab.standing, Duration::from_secs(2))
        .await
        .unwrap();
    for to in ["south", "north"] {
        assert_eq!(asked(&lab, NOBODY), Answer::Silence, "before {to}");
        let moved = tour
            .travel(to, Options::default(), &mut Silent)
            .await
            .unwrap();
        assert_eq!(moved.state, State::Arrived, "{}", moved.message);
        assert_eq!(asked(&lab, NOBODY), Answer::Silence, "at {to}");
        assert_eq!(asked(&lab, 80), Answer::Taken, "at {to}");
        let there = lab.client().security(&shop(), &name).await;
        assert_eq!(there.unwrap(), rules);
    }
    let seen = tour.end().await.unwrap();
    for vm in seen.migrations.iter().flat_map(|migration| &migration.vms) {
        assert_eq!(vm.tcp_lost, 0, "{}", vm.name);
        assert!(vm.udp_sent > 0, "{}", vm.name);
        let lost = vm.switch_udp_lost.unwrap_or(u64::MAX);
        assert!(lost < OUT_OF_ORDER, "{}: {lost} lost", vm.name);
    }
    // Rules are replaced while it runs, and at once.
    lab.client().secure(&shop(), &name, &[]).await.unwrap();
    assert_eq!(asked(&lab, NOBODY), Answer::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_goes_back_leaves_sessions_and_rules_as_they_were() {
    let lab = Lab::up("secback", 1, Load::IDLE).await;
    let name = "shop-1".parse().unwrap();
    let rules: Vec<SecurityRule> = RULES[..3]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    lab.client().secure(&shop(), &name, &rules).await.unwrap();
    let mut tour = Tour::begin(&lab.standing, Duration::from_secs(1))
        .await
        .unwrap();
    let options = Options {
        rehearse: true,
        ..Options::default()
    };
    let moved = tour.travel("south", options, &mut Silent).await.unwrap();
    assert_eq!(moved.state, State::Aborted, "{}", moved.message);
    assert_eq!(asked(&lab, NOBODY), Answer::Silence);
    let seen = tour.end().await.unwrap();
    let vm = &seen.migrations[0].vms[0];
    assert_eq!(vm.tcp_lost, 0);
    assert!(vm.udp_lost < OUT_OF_ORDER, "{} lost", vm.udp_lost);
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Taken,
    Refused,
    Silence,
}

/// What becomes of a connection from the office to a port of the first VM.
fn asked(lab: &Lab, port: u16) -> Answer {
    let dial = format!("exec 3<>/dev/tcp/10.77.0.11/{port}");
    let words = ["timeout", "2", "bash", "-c", &dial];
    let program = Program::new(CLIENT_SITE, words);
    let output = lab.standing.testbed.boxed().exec(&program).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match (output.end.success(), said.contains("refused")) {
        (true, _) => Answer::Taken,
        (false, true) => Answer::Refused,
        (false, false) => {
            assert!(said.is_empty(), "{said}");
            Answer::Silence
        }
    }
}
