//! What was heard of a move: `virsh qemu-monitor-event` tells when a VM stopped and ran,
//! `ip -ts monitor neigh` when a bridge learnt where it is. Text only.

use model::Mac;

/// The last of these events of a domain after a moment, Unix ns.
///
/// A line is `event STOP at 1795350471.070175 for domain 'shop-1': <null>`.
pub(super) fn event(said: &str, event: &str, domain: &str, after_ns: i64) -> Option<i64> {
    let named = format!("'{domain}'");
    let mut at = said.lines().rev().filter_map(|line| {
        let mut words = line.split_whitespace();
        let of_it = words.next()? == "event" && words.next()? == event && words.next()? == "at";
        let at = of_it.then(|| words.next()).flatten()?;
        let whose = words.nth(2)?;
        (whose.trim_end_matches(':') == named).then(|| decimal_ns(at))?
    });
    at.find(|at| *at >= after_ns)
}

/// Where a switch sees a VM once it knows the new place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// Behind this port of its bridge: the VM's own tap, or the tunnel where the VM has left.
    Port(&'a str),
    /// Behind this tunnel, at another site's address.
    Peer(&'a str, &'a str),
}

/// When a switch first saw a MAC in a place after a moment, Unix ns.
///
/// A line is `[2026-11-22T12:28:07.027089] 10.10.2.2 dev vxlan0 lladdr 52:54:00:77:00:0c …`, without
/// the address for what is on the bridge itself. The time is UTC where `TZ` says so.
pub(super) fn learnt(said: &str, mac: Mac, place: Place<'_>, after_ns: i64) -> Option<i64> {
    let mac = mac.to_string();
    let begin = match place {
        Place::Port(port) => format!("dev {port} lladdr {mac} "),
        Place::Peer(tunnel, address) => format!("{address} dev {tunnel} lladdr {mac} "),
    };
    let at = said.lines().filter_map(|line| {
        let (at, rest) = line.strip_prefix('[')?.split_once("] ")?;
        format!("{rest} ").starts_with(&begin).then(|| iso_ns(at))?
    });
    at.filter(|at| *at >= after_ns).min()
}

/// Seconds with decimals, as ns.
fn decimal_ns(text: &str) -> Option<i64> {
    let (seconds, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = rest.get(..rest.len().min(9))?;
    let scale = 10_i64.checked_pow(9 - u32::try_from(digits.len()).ok()?)?;
    let seconds: i64 = seconds.parse().ok()?;
    seconds
        .checked_mul(1_000_000_000)?
        .checked_add(digits.parse::<i64>().ok()? * scale)
}

/// `2026-11-22T12:28:07.027089` as Unix ns.
fn iso_ns(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|word| word.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (hour, rest) = time.split_once(':')?;
    let (minute, second) = rest.split_once(':')?;
    let minutes = hour.parse::<i64>().ok()? * 60 + minute.parse::<i64>().ok()?;
    let days = days_since_1970(year, month, day)?;
    let whole = (days * 1440 + minutes).checked_mul(60_000_000_000)?;
    whole.checked_add(decimal_ns(second)?)
}

/// Days of the Gregorian calendar; years from 1970 to 9999.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let known = (1970..=9999).contains(&year) && (1..=12).contains(&month);
    let known = known && (1..=31).contains(&day);
    // A year that begins in March ends with the day that leap years have more.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    known.then_some(year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 0x0c]);

    #[test]
    fn the_calendar_agrees_with_date() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00.0", 0),
            ("2000-02-29T23:59:59.0", 951_868_799),
            ("2026-11-22T12:28:07.000000", 1_795_350_487),
            ("2100-03-01T00:00:00.0", 4_107_542_400),
        ] {
            assert_eq!(iso_ns(text), Some(seconds * 1_000_000_000), "{text}");
        }
        for bad in ["", "2026-11-22", "2026-13-01T00:00:00.0", "yesterTday:x:y"] {
            assert_eq!(iso_ns(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_stop_of_a_domain_is_its_own_and_not_an_earlier_one() {
        let said = "event STOP at 100.5 for domain 'shop-1': <null>\n\
            event STOP at 200.070175 for domain 'shop-1': <null>\n\
            event STOP at 300.0 for domain 'shop-10': <null>\n\
            event RESUME at 201.0 for domain 'shop-1': <null>\nevents received: 4\n";
        assert_eq!(
            event(said, "STOP", "shop-1", 150_000_000_000),
            Some(200_070_175_000)
        );
        assert_eq!(event(said, "STOP", "shop-2", 0), None);
        assert_eq!(event(said, "STOP", "shop-1", 250_000_000_000), None);
    }

    #[test]
    fn a_switch_has_learnt_when_it_sees_the_mac_in_the_new_place() {
        let said = "[1970-01-01T00:00:01.5] 10.10.1.2 dev vxlan0 lladdr 52:54:00:77:00:0c REACHABLE\n\
            [1970-01-01T00:00:02.5] 10.10.2.2 dev vxlan0 lladdr 52:54:00:77:00:0c REACHABLE\n\
            [1970-01-01T00:00:03.5] dev vm12 lladdr 52:54:00:77:00:0c REACHABLE\n\
            Deleted 10.10.2.2 dev vxlan0 lladdr 52:54:00:77:00:0c\n";
        let there = Place::Peer("vxlan0", "10.10.2.2");
        assert_eq!(learnt(said, MAC, there, 0), Some(2_500_000_000));
        assert_eq!(learnt(said, MAC, there, 3_000_000_000), None);
        assert_eq!(learnt(said, MAC, Place::Port("vxlan0"), 0), None);
        assert_eq!(
            learnt(said, MAC, Place::Port("vm12"), 0),
            Some(3_500_000_000)
        );
    }
}
