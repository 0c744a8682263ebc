use super::bed::{Bed, host_name, member, shop, until, vm_name};
use api::Service;
use model::Epoch;

#[tokio::test]
async fn a_host_that_was_away_gets_the_whole_truth_when_it_dials_in() {
    let (bed, [host, ..], [north, _south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11), member("b", "south", 12)])
        .await
        .unwrap();
    drop(north);
    until(|| !bed.service.hosts.is_connected(&host.name)).await;
    bed.service.unlink(&shop(), &vm_name("b")).await.unwrap();
    bed.service
        .link(&shop(), member("c", "office", 13))
        .await
        .unwrap();
    let north = host.connect().await;
    let names: Vec<String> = north
        .held(|held| held.places())
        .into_iter()
        .map(|(vm, ..)| vm)
        .collect();
    assert_eq!(names, ["a", "c"]);
}

#[tokio::test]
async fn a_host_that_knows_a_newer_place_is_believed_and_the_others_are_told() {
    let (bed, [host, ..], [north, south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11), member("b", "south", 12)])
        .await
        .unwrap();
    drop(north);
    until(|| !bed.service.hosts.is_connected(&host.name)).await;
    let key = (shop(), vm_name("a"));
    {
        let mut held = host.held.lock().unwrap();
        let row = held.rows.get_mut(&key).unwrap();
        row.epoch = Epoch(77);
        row.locator.host = host_name("office");
        bed.seal(row);
    }
    let _north = host.connect().await;
    south
        .until(|held| held.rows[&(shop(), vm_name("a"))].epoch == Epoch(77))
        .await;
    let entry = bed.service.registry.entry(&key).await.unwrap();
    assert_eq!(
        (entry.epoch, entry.locator.host.as_str()),
        (Epoch(77), "office")
    );
}

#[tokio::test]
async fn a_place_that_the_controller_never_gave_is_not_believed() {
    let (bed, [host, ..], [north, south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11), member("b", "south", 12)])
        .await
        .unwrap();
    drop(north);
    until(|| !bed.service.hosts.is_connected(&host.name)).await;
    let key = (shop(), vm_name("b"));
    let before = bed.service.registry.entry(&key).await.unwrap();
    let claim = |change: &dyn Fn(&mut model::Entry)| {
        let mut held = host.held.lock().unwrap();
        let row = held.rows.get_mut(&key).unwrap();
        row.epoch = Epoch(77);
        row.locator = model::Locator {
            host: host.name.clone(),
            address: host.hello.underlay,
        };
        change(row);
    };
    for change in [
        // With the mark of the row as it was given, with none, and with one that somebody made up.
        &(|_: &mut model::Entry| {}) as &dyn Fn(&mut model::Entry),
        &|row| row.seal = None,
        &|row| row.seal = Some("00".repeat(32)),
    ] {
        claim(change);
        let north = host.connect().await;
        assert_eq!(bed.service.registry.entry(&key).await.unwrap(), before);
        assert_eq!(south.held(|held| held.rows[&key].epoch), before.epoch);
        assert_eq!(north.held(|held| held.rows[&key].epoch), before.epoch);
        drop(north);
        until(|| !bed.service.hosts.is_connected(&host.name)).await;
    }
}

#[tokio::test]
async fn rows_of_members_that_nobody_linked_are_not_believed() {
    let (bed, [host, ..], [north, _south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11)]).await.unwrap();
    drop(north);
    until(|| !bed.service.hosts.is_connected(&host.name)).await;
    {
        let mut held = host.held.lock().unwrap();
        let mut row = held.rows[&(shop(), vm_name("a"))].clone();
        row.vm = vm_name("x");
        row.epoch = Epoch(99);
        bed.seal(&mut row);
        held.rows.insert(row.key(), row);
    }
    let north = host.connect().await;
    assert_eq!(bed.service.endpoints().await.unwrap().len(), 1);
    assert_eq!(north.held(|held| held.rows.len()), 1);
}

#[tokio::test]
async fn a_host_with_another_underlay_address_takes_its_members_along() {
    let (bed, [mut host, ..], [north, south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11), member("b", "south", 12)])
        .await
        .unwrap();
    drop(north);
    until(|| !bed.service.hosts.is_connected(&host.name)).await;
    host.hello.underlay = "192.0.2.99".parse().unwrap();
    let _north = host.connect().await;
    south
        .until(|held| {
            held.rows[&(shop(), vm_name("a"))]
                .locator
                .address
                .to_string()
                == "192.0.2.99"
        })
        .await;
}

#[tokio::test]
async fn a_host_that_lost_its_ports_gets_them_again() {
    let (bed, [host, ..], [north, _south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11)]).await.unwrap();
    drop(north);
    until(|| !bed.service.hosts.is_connected(&host.name)).await;
    host.held.lock().unwrap().ports.clear();
    let north = host.connect().await;
    north.until(|held| held.ports.len() == 1).await;
}
