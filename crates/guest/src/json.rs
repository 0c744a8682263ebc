//! Just enough JSON to write the statistics: objects, arrays, numbers, booleans, strings.

/// Writes one JSON document; commas are its own concern.
#[derive(Default)]
pub(crate) struct Json {
    out: String,
    comma: bool,
}

impl Json {
    fn key(&mut self, key: &str) {
        if self.comma {
            self.out.push(',');
        }
        if !key.is_empty() {
            self.string(key);
            self.out.push(':');
        }
        self.comma = true;
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                c if c.is_control() => self.out.push_str(&format!("\\u{:04x}", c as u32)),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    /// A number or a boolean: whatever prints as JSON by itself.
    pub(crate) fn value(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        self.out.push_str(&value.to_string());
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.string(value);
    }

    /// Nanoseconds as milliseconds with three digits.
    pub(crate) fn ms(&mut self, key: &str, ns: u64) {
        self.value(
            key,
            format_args!("{}.{:03}", ns / 1_000_000, ns / 1_000 % 1_000),
        );
    }

    /// An object; without a key inside an array or as the document.
    pub(crate) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Json)) {
        self.nest(key, '{', '}', fill);
    }

    pub(crate) fn array(&mut self, key: &str, fill: impl FnOnce(&mut Json)) {
        self.nest(key, '[', ']', fill);
    }

    fn nest(&mut self, key: &str, open: char, close: char, fill: impl FnOnce(&mut Json)) {
        self.key(key);
        self.out.push(open);
        self.comma = false;
        fill(self);
        self.out.push(close);
        self.comma = true;
    }

    pub(crate) fn finish(mut self) -> String {
        self.out.push('\n');
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_get_their_commas_and_strings_their_escapes() {
        let mut j = Json::default();
        j.object("", |j| {
            j.text("name", "a\"b\\\n");
            j.array("list", |j| {
                j.object("", |j| j.ms("gap_ms", 12_034_567));
                j.object("", |_| ());
            });
            j.value("up", true);
        });
        assert_eq!(
            j.finish(),
            "{\"name\":\"a\\\"b\\\\\\u000a\",\"list\":[{\"gap_ms\":12.034},{}],\"up\":true}\n"
        );
    }
}
