//! dyndns2 against a provider that misbehaves on demand.

use crate::Zone;
use crate::provider::Provider;
use dns::publish::{Answer, State, Told};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK";

fn config(provider: &Provider, scheme: &str) -> String {
    format!(
        "zone = 'ddns.example'\n[dyndns2]\nurl = '{scheme}://{}/nic/update'\nuser = 'me'\npassword_file = '{}'\npatience_ms = 2000",
        provider.address,
        provider.folder.path().join("password").display()
    )
}

async fn zone() -> (Provider, Zone) {
    let provider = Provider::start(false).await;
    let zone = Zone::open(&config(&provider, "http"));
    (provider, zone)
}

#[tokio::test]
async fn a_name_is_set_with_user_and_password_and_not_again_while_it_stays() {
    let (provider, mut zone) = zone().await;
    zone.want("gate.ddns.example", "203.0.113.5", 1);
    let told = zone.run(Duration::ZERO).await;
    assert!(matches!(&told[..], [Told::Published { .. }]), "{told:?}");
    let heads = provider.heads();
    assert!(
        heads[0].starts_with(
            "GET /nic/update?hostname=gate.ddns.example&myip=203.0.113.5 HTTP/1.1\r\n"
        ),
        "{heads:?}"
    );
    let head = heads[0].to_lowercase();
    assert!(
        head.contains("authorization: basic bwu6b2ygdghligfjy291bnq="),
        "{heads:?}"
    );
    assert!(head.contains("user-agent: transhume/"), "{heads:?}");
    // The same addresses at a newer epoch: providers take needless updates for abuse.
    zone.want("gate.ddns.example", "203.0.113.5", 2);
    zone.run(Duration::ZERO).await;
    assert_eq!(provider.heads().len(), 1);
}

#[tokio::test]
async fn nochg_is_as_good_as_good() {
    let (provider, mut zone) = zone().await;
    provider.says(OK, "nochg 203.0.113.5\n");
    zone.want("gate.ddns.example", "203.0.113.5", 1);
    zone.run(Duration::ZERO).await;
    assert_eq!(zone.answers, [Answer::Done]);
}

#[tokio::test]
async fn badauth_and_abuse_stop_everything_until_a_person_acts() {
    for body in ["badauth", "abuse"] {
        let (provider, mut zone) = zone().await;
        provider.says(OK, body);
        zone.want("gate.ddns.example", "203.0.113.5", 1);
        let told = zone.run(Duration::from_millis(700)).await;
        assert!(matches!(&told[..], [Told::Stopped { .. }]), "{told:?}");
        zone.want("gate.ddns.example", "203.0.113.6", 2);
        zone.run(Duration::from_millis(700)).await;
        assert_eq!(provider.heads().len(), 1, "{body}");
        assert_eq!(zone.publisher.views().next().unwrap().state, State::Stopped);
        provider.says(OK, "good");
        zone.publisher.again(None, zone.begun.elapsed());
        zone.run(Duration::ZERO).await;
        assert_eq!(provider.heads().len(), 2);
        assert_eq!(
            zone.publisher.views().next().unwrap().state,
            State::Published
        );
    }
}

#[tokio::test]
async fn a_fault_of_the_provider_is_waited_out_for_half_an_hour() {
    for body in ["911", "dnserr"] {
        let (provider, mut zone) = zone().await;
        provider.says(OK, body);
        zone.want("gate.ddns.example", "203.0.113.5", 1);
        zone.run(Duration::from_millis(500)).await;
        assert_eq!(provider.heads().len(), 1);
        let left = zone.publisher.wake().unwrap() - zone.begun.elapsed();
        assert!(
            left > Duration::from_secs(29 * 60) && left <= Duration::from_secs(30 * 60),
            "{left:?}"
        );
    }
}

#[tokio::test]
async fn a_provider_that_hangs_up_or_fails_is_tried_again() {
    let (provider, mut zone) = zone().await;
    provider.says_nothing();
    zone.want("gate.ddns.example", "203.0.113.5", 1);
    zone.run(Duration::ZERO).await;
    provider.says("HTTP/1.1 503 Busy", "good");
    zone.run(Duration::from_millis(400)).await;
    provider.says(OK, "good");
    zone.run(Duration::from_secs(3)).await;
    assert!(zone.answers.len() >= 3, "{:?}", zone.answers);
    assert_eq!(zone.answers.last(), Some(&Answer::Done));
    assert!(
        zone.answers[..2]
            .iter()
            .all(|answer| matches!(answer, Answer::Failed { .. }))
    );
}

#[tokio::test]
async fn over_tls_the_password_goes_only_to_whom_the_authorities_vouch_for() {
    let provider = Provider::start(true).await;
    let mut stranger = Zone::open(&config(&provider, "https"));
    stranger.want("gate.ddns.example", "203.0.113.5", 1);
    stranger.run(Duration::ZERO).await;
    assert!(stranger.why().contains("certificate"), "{}", stranger.why());
    assert!(provider.heads().is_empty());

    let known = format!(
        "{}\nca_file = '{}'",
        config(&provider, "https"),
        provider.ca().display()
    );
    let mut zone = Zone::open(&known);
    zone.want("gate.ddns.example", "203.0.113.5", 1);
    zone.run(Duration::ZERO).await;
    assert_eq!(zone.answers, [Answer::Done]);
    assert_eq!(provider.heads().len(), 1);
}
