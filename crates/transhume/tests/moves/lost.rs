//! Whoever is lost on the way, every VM runs in exactly one place.

use crate::fixture::{Lab, not_fast, slowly};
use lab::shop::Load;
use model::migration::{Options, State};

#[tokio::test(flavor = "multi_thread")]
async fn when_the_target_agent_dies_the_vm_stays_and_moves_later() {
    let lab = Lab::up("target", 1, Load::USUAL).await;
    let id = lab.begin("south", slowly()).await;
    lab.until_pre_copy(&id).await;
    lab.kill("agent-south");
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Aborted, "{}", end.message);
    assert!(lab.answers().await);
    lab.restart("agent-south").await;
    arrives_in_the_end(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_source_agent_dies_the_vm_runs_on_and_is_sent_again() {
    let lab = Lab::up("source", 1, Load::USUAL).await;
    let id = lab.begin("south", not_fast()).await;
    lab.until_pre_copy(&id).await;
    lab.kill("agent-north");
    assert!(
        lab.answers().await,
        "the guest does not notice that its agent is gone"
    );
    lab.restart("agent-north").await;
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
    assert_eq!(lab.places("shop-1").await, ["south"]);
    assert!(lab.answers().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_controller_dies_the_vm_stays_and_moves_later() {
    let lab = Lab::up("control", 1, Load::USUAL).await;
    let id = lab.begin("south", slowly()).await;
    lab.until_pre_copy(&id).await;
    lab.kill("controller");
    assert!(
        lab.answers().await,
        "the data plane does not need the controller"
    );
    lab.restart("controller").await;
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Aborted, "{}", end.message);
    assert_eq!(lab.places("shop-1").await, ["north"]);
    assert!(lab.answers().await);
    arrives_in_the_end(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_target_qemu_dies_the_gang_stays() {
    let lab = Lab::up("qemu", 2, Load::USUAL).await;
    let id = lab.begin("south", slowly()).await;
    lab.until_pre_copy(&id).await;
    lab.kill_qemu("south", "shop-2");
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Aborted, "{}", end.message);
    for vm in ["shop-1", "shop-2"] {
        assert_eq!(lab.places(vm).await, ["north"]);
    }
    assert!(lab.answers().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_switch_dies_it_comes_back_with_its_rules() {
    let lab = Lab::up("switch", 1, Load::IDLE).await;
    let boxed = lab.standing.testbed.boxed();
    let pid = boxed.folder().join("sites/north/ovs/vswitchd.pid");
    let inside: i32 = std::fs::read_to_string(pid)
        .expect("the switch's pid")
        .trim()
        .parse()
        .unwrap();
    let outside = boxed.outside_id(inside).expect("it lives");
    outside
        .signal(nix::sys::signal::Signal::SIGKILL)
        .expect("killed");
    assert!(
        lab.answers().await,
        "the switch was started again and has its rules"
    );
}

async fn arrives_in_the_end(lab: &Lab) {
    let begun = std::time::Instant::now();
    let south = model::SiteName::new("south").unwrap();
    let id = loop {
        match lab
            .client()
            .migrate(&crate::fixture::shop(), &south, Options::default())
            .await
        {
            Ok(begun) => break begun.id,
            Err(error) => assert!(begun.elapsed().as_secs() < 60, "still refused: {error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
    assert_eq!(lab.places("shop-1").await, ["south"]);
    assert!(lab.answers().await);
}
