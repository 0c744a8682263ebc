use super::bed::{Bed, host_name, member, shop, vm_name};
use api::Service;

/// Prints what an update and a pairing cost without switches: `cargo test -p controller --release
/// -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures; nothing is asserted"]
async fn what_an_update_and_a_link_cost() {
    let (bed, _hosts, _agents) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11), member("b", "office", 12)])
        .await
        .unwrap();
    let mut updates = Vec::new();
    for round in 0..500 {
        let to = host_name(if round % 2 == 0 { "south" } else { "north" });
        updates.push(
            bed.service
                .update(&shop(), &vm_name("a"), &to)
                .await
                .unwrap()
                .took_ms,
        );
    }
    show("update", &mut updates[2..]);
    let mut links = Vec::new();
    for round in 0..50 {
        let one = member(&format!("l{round}"), "south", 100 + round);
        links.push(bed.service.link(&shop(), one).await.unwrap().took_ms);
    }
    show("link", &mut links);
}

fn show(what: &str, ms: &mut [f64]) {
    ms.sort_by(f64::total_cmp);
    let at = |share: f64| ms[((ms.len() - 1) as f64 * share) as usize];
    println!(
        "{what}: median {:.3} ms, 90 % {:.3} ms, worst {:.3} ms",
        at(0.5),
        at(0.9),
        at(1.0)
    );
}
