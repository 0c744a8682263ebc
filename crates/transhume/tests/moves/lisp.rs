//! Clusters whose client stands at another LISP site, behind a router of its own.

use crate::fixture::{Lab, OUT_OF_ORDER, Silent};
use lab::cli::UpOptions;
use lab::demo::Tour;
use lab::parts::Plane;
use lab::shop::Load;
use model::migration::{Options, State};
use std::time::Duration;

async fn there_and_back(name: &str, plane: Plane, vms: u8) {
    let options = UpOptions {
        vms,
        load: Load::IDLE,
        plane,
        ..UpOptions::default()
    };
    let lab = Lab::with(name, options).await;
    let mut tour = Tour::begin(&lab.standing, Duration::from_secs(1))
        .await
        .unwrap();
    for to in ["south", "north"] {
        let moved = tour
            .travel(to, Options::default(), &mut Silent)
            .await
            .unwrap();
        assert_eq!(moved.state, State::Arrived, "{}", moved.message);
    }
    let seen = tour.end().await.unwrap();
    for vm in seen.migrations.iter().flat_map(|migration| &migration.vms) {
        assert_eq!(vm.tcp_lost, 0, "{}", vm.name);
        assert!(vm.udp_sent > 0, "{}", vm.name);
        let lost = vm.switch_udp_lost.unwrap_or(u64::MAX);
        assert!(lost < OUT_OF_ORDER, "{}: {lost} lost", vm.name);
    }
    let mappings = lab.client().lisp_mappings(None).await.unwrap();
    let registered = mappings
        .iter()
        .filter(|it| it.source == api::view::LispSource::Registered);
    assert_eq!(
        registered.count(),
        2,
        "the client's two addresses: {mappings:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_over_vxlan_gpe_keeps_its_sessions() {
    there_and_back("lisp-gpe", Plane::LispGpe, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_over_lisp_keeps_its_sessions() {
    there_and_back("lisp", Plane::Lisp, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_only_solicited_keeps_its_sessions() {
    there_and_back("lisp-smr", Plane::LispSolicited, 1).await;
}
