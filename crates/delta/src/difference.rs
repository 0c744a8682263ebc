//! A page as its difference from a former one: which words changed, and to what.
//!
//! Pairs of "words that stay" and "words that change" (8 bits each, 255 goes on in the next pair),
//! each followed by the new words, until the page's 512 words are told.

use crate::page::{PAGE, Page};

const WORD: usize = 8;
const WORDS: usize = PAGE / WORD;
/// A run goes on over so many words that stay, since two more bytes for a new run cost the packer more.
const BRIDGE: usize = 1;

/// Appends the difference; false, with nothing appended, when it is longer than `limit` bytes.
pub fn write(old: &Page, new: &Page, limit: usize, out: &mut Vec<u8>) -> bool {
    let begin = out.len();
    let same = |word: usize| {
        let range = word * WORD..(word + 1) * WORD;
        old[range.clone()] == new[range]
    };
    let mut word = 0;
    while word < WORDS {
        let stays = (word..WORDS).take(255).take_while(|w| same(*w)).count();
        word += stays;
        let from = word;
        while word < WORDS && word - from < 255 {
            let ahead = (word..WORDS.min(word + 1 + BRIDGE)).find(|w| !same(*w));
            match ahead {
                Some(changed) => word = (changed + 1).min(from + 255),
                None => break,
            }
        }
        out.extend([stays as u8, (word - from) as u8]);
        out.extend_from_slice(&new[from * WORD..word * WORD]);
        if out.len() - begin > limit {
            out.truncate(begin);
            return false;
        }
    }
    true
}

/// Reads a difference from the front of `bytes` and makes the new page from the old one; gives the
/// bytes that follow. `None` when it is not one.
pub fn read<'a>(page: &mut Page, mut bytes: &'a [u8]) -> Option<&'a [u8]> {
    let mut word = 0;
    while word < WORDS {
        let ([stays, changes], rest) = bytes.split_first_chunk::<2>()?;
        if *stays == 0 && *changes == 0 {
            return None;
        }
        word += *stays as usize;
        let (new, rest) = rest.split_at_checked(*changes as usize * WORD)?;
        page.get_mut(word * WORD..word * WORD + new.len())?
            .copy_from_slice(new);
        word += *changes as usize;
        bytes = rest;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_page_comes_back_from_its_difference(
            fill: u8,
            changes in prop::collection::vec((0..PAGE, any::<u8>()), 0..600),
        ) {
            let old = [fill; PAGE];
            let mut new = old;
            for (at, byte) in changes {
                new[at] = byte;
            }
            let mut bytes = Vec::new();
            prop_assert!(write(&old, &new, 2 * PAGE, &mut bytes));
            bytes.extend(b"rest");
            let mut page = old;
            prop_assert_eq!(read(&mut page, &bytes), Some(&b"rest"[..]));
            prop_assert!(page == new);
        }

        #[test]
        fn any_bytes_are_a_difference_or_none(bytes in prop::collection::vec(any::<u8>(), 0..6000)) {
            let _ = read(&mut [0; PAGE], &bytes);
        }
    }

    #[test]
    fn a_word_that_changed_costs_less_than_twenty_bytes() {
        let (old, mut new) = ([7; PAGE], [7; PAGE]);
        new[3000] = 8;
        let mut bytes = Vec::new();
        assert!(write(&old, &new, 100, &mut bytes));
        assert!(bytes.len() < 20, "{}", bytes.len());
    }

    #[test]
    fn a_page_that_changed_all_over_is_not_worth_it() {
        let mut bytes = vec![1];
        assert!(!write(&[0; PAGE], &[1; PAGE], 1024, &mut bytes));
        assert_eq!(bytes, [1]);
    }
}
