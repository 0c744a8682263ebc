//! Events, a line each.

use crate::units;
use model::event::{Event, What};

pub(crate) fn event(event: &Event) -> String {
    let what = match &event.what {
        What::HostUp { host } => format!("host {host} is up"),
        What::HostDown { host } => format!("host {host} is down; its data plane goes on"),
        What::ClusterChanged { cluster } => format!("cluster {cluster} has changed"),
        What::Phase {
            migration,
            vm,
            phase,
            message,
        } => {
            let vm = vm.as_ref().map(|vm| format!(" {vm}")).unwrap_or_default();
            format!("{migration}{vm} {phase}: {message}")
        }
        What::Progress {
            migration,
            vm,
            progress,
        } => format!(
            "{migration} {vm} sent {}, {}/s, pass {}",
            units::bytes(progress.wire_bytes as f64),
            units::bytes(progress.rate),
            progress.passes
        ),
        What::Dns {
            name,
            published: true,
            message,
        } => format!("name {name} {message}"),
        What::Dns { name, message, .. } => format!("name {name} is not published: {message}"),
        What::Ended {
            migration,
            arrived,
            message,
        } => {
            format!(
                "{migration} {}: {message}",
                if *arrived {
                    "arrived"
                } else {
                    "did not arrive"
                }
            )
        }
    };
    format!("{:>6}  {}  {what}", event.seq, time_of_day(event.unix_ms))
}

/// Time of day, UTC, to the millisecond.
fn time_of_day(unix_ms: u64) -> String {
    let ms = unix_ms % 86_400_000;
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    format!(
        "{hours:02}:{minutes:02}:{:02}.{:03}Z",
        ms / 1000 % 60,
        ms % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let what = What::HostUp {
            host: "north-1".parse().unwrap(),
        };
        let line = event(&Event {
            seq: 7,
            unix_ms: 1_700_000_000_123,
            what,
        });
        assert_eq!(line, "     7  22:13:20.123Z  host north-1 is up");
    }
}
