//! A provider's word, and what the protocol wants a client to do about it.

use super::about;
use crate::DnsName;
use crate::publish::Answer;
use std::time::Duration;

/// After a fault of the provider's own, and where it says nothing else.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// How long to stay away after too many requests (HTTP status 429).
const TOO_MANY: Duration = Duration::from_secs(10 * 60);
/// Of an answer that is not understood, this much is shown.
const SHOWN: usize = 40;

/// What an answer with this HTTP status and body means for the update of a name.
pub fn answer(name: &DnsName, status: u16, body: &str) -> Answer {
    let line = body.trim_start().lines().next().unwrap_or_default();
    let word = line.split_whitespace().next().unwrap_or_default();
    let stop = |why: &str| Answer::Stop {
        why: why.to_owned(),
    };
    let refused = |why: &str| Answer::NameRefused {
        why: format!("{}: {why}", about(name)),
    };
    match word {
        "good" | "nochg" if (200..300).contains(&status) => Answer::Done,
        "badauth" => stop(
            "the provider does not take the user and password: correct them, then `transhume dns publish`",
        ),
        "!donator" => stop(
            "the provider wants this account paid for what is asked: see to it there, then `transhume dns publish`",
        ),
        "badagent" => {
            stop("the provider blocks this client: ask it why, then `transhume dns publish`")
        }
        "abuse" => stop(
            "the provider has blocked updates because of abuse: unblock them there, then `transhume dns publish`",
        ),
        "nohost" => {
            refused("it is not in the account; create it there, then `transhume dns publish`")
        }
        "!yours" => refused("it belongs to another account; choose another name"),
        "notfqdn" => refused("it takes it for no full name; correct `zone` or `names`"),
        "numhost" => refused("it was named too often at once; ask the provider"),
        "911" | "dnserr" => Answer::Wait {
            why: format!(
                "the provider has a fault of its own (\"{word}\"): it is asked again in 30 minutes"
            ),
            wait: PATIENCE,
        },
        _ => by_status(status, line),
    }
}

fn by_status(status: u16, line: &str) -> Answer {
    match status {
        401 | 403 => Answer::Stop {
            why: format!(
                "the provider does not let us in (HTTP status {status}): correct user and password, then `transhume dns \
                 publish`"
            ),
        },
        429 => Answer::Wait {
            why: "the provider has had too many requests: it is asked again in 10 minutes"
                .to_owned(),
            wait: TOO_MANY,
        },
        500.. => Answer::Failed {
            why: format!("the provider fails (HTTP status {status})"),
            unsure: true,
        },
        _ => {
            let shown: String = line
                .chars()
                .filter(|letter| !letter.is_control())
                .take(SHOWN)
                .collect();
            Answer::Wait {
                why: format!(
                    "the provider's answer is not understood (HTTP status {status}, \"{shown}\"): check that `url` is its \
                     dyndns2 address; it is asked again in 30 minutes"
                ),
                wait: PATIENCE,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> Answer {
        answer(&DnsName::new("a.example").unwrap(), status, body)
    }

    #[test]
    fn good_and_nochg_are_done() {
        assert_eq!(said(200, "good 203.0.113.5\r\n"), Answer::Done);
        assert_eq!(said(200, "nochg"), Answer::Done);
    }

    #[test]
    fn who_is_blocked_or_not_let_in_stops() {
        for body in ["badauth", "abuse", "badagent", "!donator"] {
            assert!(matches!(said(200, body), Answer::Stop { .. }), "{body}");
        }
        assert!(matches!(said(401, "<html>"), Answer::Stop { .. }));
        assert!(matches!(said(401, "badauth"), Answer::Stop { .. }));
    }

    #[test]
    fn a_name_that_is_not_ours_does_not_stop_the_others() {
        for body in ["nohost", "!yours", "notfqdn", "numhost"] {
            assert!(
                matches!(said(200, body), Answer::NameRefused { .. }),
                "{body}"
            );
        }
    }

    #[test]
    fn a_fault_of_the_provider_is_given_half_an_hour() {
        for body in ["911", "dnserr", "911 back soon"] {
            let Answer::Wait { wait, .. } = said(200, body) else {
                panic!("{body}");
            };
            assert_eq!(wait, Duration::from_secs(1800));
        }
    }

    #[test]
    fn good_with_an_error_status_is_not_believed() {
        assert!(matches!(said(503, "good"), Answer::Failed { .. }));
        assert!(matches!(said(200, "<html>hello"), Answer::Wait { .. }));
    }
}
