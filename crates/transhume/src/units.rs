//! Numbers as people read them.

/// Bytes with a decimal unit: `1.2 MB`.
pub(crate) fn bytes(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "kB", "MB", "GB"] {
        if value.abs() < 999.5 {
            return match unit {
                "B" => format!("{value:.0} B"),
                _ => format!("{value:.1} {unit}"),
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// Bits a second with a decimal unit: `1.2 Mbit/s`.
pub(crate) fn bits(bits_s: f64) -> String {
    let mut value = bits_s;
    for unit in ["bit/s", "kbit/s", "Mbit/s"] {
        if value.abs() < 999.5 {
            return match unit {
                "bit/s" => format!("{value:.0} bit/s"),
                _ => format!("{value:.1} {unit}"),
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} Gbit/s")
}

/// Milliseconds, as seconds or minutes where they are many: `47.3 ms`, `12.3 s`, `2 min 5 s`.
pub(crate) fn ms(ms: f64) -> String {
    match ms.abs() {
        short if short < 1000.0 => format!("{ms:.1} ms"),
        medium if medium < 120_000.0 => format!("{:.1} s", ms / 1000.0),
        _ => format!(
            "{:.0} min {:.0} s",
            (ms / 60_000.0).trunc(),
            (ms % 60_000.0 / 1000.0).trunc()
        ),
    }
}

/// Milliseconds that may not have been measured.
pub(crate) fn maybe_ms(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_unit_that_people_would() {
        let all = [0.0, 999.0, 1000.0, 1_160_000.0, 2.5e9, 3e12].map(bytes);
        assert_eq!(
            all,
            ["0 B", "999 B", "1.0 kB", "1.2 MB", "2.5 GB", "3.0 TB"]
        );
        let all = [0.0, 999.0, 1.2e6, 3e12].map(bits);
        assert_eq!(all, ["0 bit/s", "999 bit/s", "1.2 Mbit/s", "3000.0 Gbit/s"]);
        let all = [-0.42, 47.31, 12_340.0, 125_900.0].map(ms);
        assert_eq!(all, ["-0.4 ms", "47.3 ms", "12.3 s", "2 min 5 s"]);
        assert_eq!(maybe_ms(None), "-");
    }
}
