//! A guest whose cable goes from one site's bridge to another's, as a migration to another layer 2 does it: real DHCP
//! servers and client, a real DNS server. Needs root, dnsmasq, busybox and knot.

#[path = "../../../dns/tests/servers/knot.rs"]
mod knot;
mod world;

use std::time::{Duration, Instant};
use watchdog::machine::{Phase, Reason, Step};
use world::World;

#[test]
fn a_guest_whose_place_changes_gets_its_address_tunnel_and_name_back() {
    let mut world = World::new();
    world.renewed_at(1);
    let dog = world.watchdog();
    world.name_leads_to(1);
    dog.until("all well at first", |status| {
        status.phase == Phase::Settled && status.reached == Some(true)
    });

    // Nothing tells the guest: its link stays up, as a VM's does.
    let begun = Instant::now();
    world.plug_into(2);
    world.name_leads_to(2);
    let named = begun.elapsed();
    let status = dog.until("all well again", |status| {
        status.phase == Phase::Settled && status.reached == Some(true)
    });
    println!(
        "moved without a word: its name is right after {named:?}, all is well after {:?}",
        begun.elapsed()
    );
    println!("{:?}", status.last);
    let last = status.last.unwrap();
    assert_eq!(last.reason, Reason::Unreachable);
    let steps: Vec<Step> = last.steps.iter().map(|took| took.step).collect();
    assert_eq!(steps, [Step::Renew, Step::Tunnel, Step::Names]);
    assert!(
        last.steps.iter().all(|took| took.error.is_none()),
        "{last:?}"
    );
    assert!(world.tunnel_was_made_at(2), "{}", world.tunnel());
    assert!(named < Duration::from_secs(15), "{named:?}");

    // A link that goes and comes says so itself.
    let begun = Instant::now();
    world.unplug();
    dog.until("the loss of the link", |status| {
        status.phase == Phase::NoLink
    });
    world.plug_into(1);
    world.name_leads_to(1);
    println!(
        "moved with a loss of link: its name is right after {:?}",
        begun.elapsed()
    );
    let status = dog.until("all well again", |status| {
        status.phase == Phase::Settled && status.reached == Some(true)
    });
    assert_eq!(status.last.unwrap().reason, Reason::LinkBack);
    assert!(world.tunnel_was_made_at(1), "{}", world.tunnel());
    let runs = status.runs;

    // And nothing is done while nothing happens.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(dog.status().unwrap().runs, runs);
}

#[test]
fn a_place_without_dhcp_server_is_told_and_waited_out() {
    let mut world = World::new();
    world.renewed_at(1);
    let dog = world.watchdog();
    world.name_leads_to(1);
    world.stop_dhcp(2);
    world.plug_into(2);
    let status = dog.until("the failure of the renewal", |status| {
        status.phase == Phase::Waiting
    });
    assert!(status.message.contains("DHCP server"), "{}", status.message);
    world.start_dhcp(2);
    world.name_leads_to(2);
    dog.until("all well again", |status| status.phase == Phase::Settled);
}
