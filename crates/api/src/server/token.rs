//! Comparison of secrets in a time that does not tell where they differ.

use std::hint::black_box;

/// Whether what was given is the secret. Takes as long as what was given is, whatever it says; the
/// secret's length may be learnt, its content not.
pub(super) fn same(given: &[u8], secret: &[u8]) -> bool {
    if given.len() != secret.len() {
        return false;
    }
    let difference = given
        .iter()
        .zip(secret)
        .fold(0u8, |difference, (a, b)| black_box(difference | (a ^ b)));
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn only_the_whole_secret_is_the_secret() {
        assert!(same(b"0123456789abcdef", b"0123456789abcdef"));
        for wrong in [
            &b""[..],
            b"0123456789abcde",
            b"0123456789abcdeF",
            b"0123456789abcdef0",
        ] {
            assert!(!same(wrong, b"0123456789abcdef"));
        }
    }
}
