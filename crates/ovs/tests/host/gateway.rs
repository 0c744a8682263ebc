//! Endpoints on no host of ours, behind a network's gateway.

use crate::support::{World, text_of, udp, v4};
use model::{Encap, Locator};
use ovs::LispGateway;
use ovs::bench::stage::{self, Plan};
use std::time::Duration;

/// Two hosts with a VM each, and a member outside, which is not there yet as a row.
async fn world() -> World {
    World::empty(Plan::default(), Encap::Vxlan).await
}

async fn texts(gateway: &LispGateway) -> Vec<String> {
    let mut texts = Vec::new();
    let mut buffer = vec![0; 2000];
    let mut next = async || {
        let within = Duration::from_millis(150);
        let length = tokio::time::timeout(within, gateway.receive(&mut buffer)).await;
        Some(text_of(&buffer[..length.ok()?.unwrap()]))
    };
    while let Some(text) = next().await {
        texts.extend(text);
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_talks_to_an_endpoint_outside_through_the_gateway_and_only_while_it_is_open() {
    let mut world = world().await;
    let (vm, at_vm) = world.vm(1, 0).await;
    let (other, at_other) = world.vm(2, 1).await;
    let far = stage::member(&world.net, 3, &world.stage.hosts[0].config.host).unwrap();
    world.add_row(&vm, 0);
    world.add_row(&other, 1);
    let mut row = world.row(&far, 0, 1);
    row.locator = Locator::outside("203.0.113.7".parse().unwrap());
    world.rows.push(row);
    world.tell_all().await;
    at_vm.says(&far, "nobody leads there");
    let cluster = world.net.cluster.clone();
    let gateway = world.host(0).open_gateway(&cluster).await.unwrap();
    world.effective().await;
    at_vm.says(&far, "out");
    assert_eq!(texts(&gateway).await, ["out"]);
    let say = |to: &model::Member, text: &str| {
        let frame = udp(far.mac.0, to.mac.0, v4(&far), v4(to), text);
        gateway.send(&frame).unwrap();
    };
    say(&vm, "in");
    say(&other, "in, and on through a tunnel");
    assert_eq!(at_vm.texts().await, ["in"]);
    assert_eq!(at_other.texts().await, ["in, and on through a tunnel"]);
    let forged = udp(vm.mac.0, other.mac.0, v4(&vm), v4(&other), "as another");
    gateway.send(&forged).unwrap();
    assert!(at_other.texts().await.is_empty());

    world.host(0).close_gateway(&cluster).await.unwrap();
    drop(gateway);
    world.effective().await;
    at_vm.says(&far, "nobody leads there any more");
    let gateway = world.host(0).open_gateway(&cluster).await.unwrap();
    world.effective().await;
    at_vm.says(&far, "out again");
    assert_eq!(texts(&gateway).await, ["out again"]);
}
