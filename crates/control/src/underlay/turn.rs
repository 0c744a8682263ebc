//! How a host's key is replaced while packets flow: the new one is known everywhere before it is used, and used
//! before the old one is forgotten.

use model::underlay::KeyStep;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The host does this; then everybody is told of its keys.
    Do(KeyStep),
    /// Others have not taken the keys as they are; no step may be taken before.
    Wait,
    /// The old key is gone.
    Done,
}

/// The next step away from key `from`, with the host's keys as they are (the one that it uses first), and whether
/// every other host has taken them.
pub fn next(keys: &[String], from: &str, all_told: bool) -> Next {
    match keys {
        [only] if only == from => Next::Do(KeyStep::Make),
        [_, _] if !all_told => Next::Wait,
        [used, new] if used == from => Next::Do(KeyStep::Use { key: new.clone() }),
        [new, old] if old == from => Next::Do(KeyStep::Keep { key: new.clone() }),
        _ => Next::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host that does as it is told.
    fn obey(keys: &mut Vec<String>, step: KeyStep, fresh: &str) {
        match step {
            KeyStep::Make => keys.push(fresh.to_owned()),
            KeyStep::Use { key } => {
                keys.retain(|other| *other != key);
                keys.insert(0, key);
            }
            KeyStep::Keep { key } => *keys = vec![key],
        }
    }

    #[test]
    fn every_key_is_known_everywhere_before_it_is_used_and_used_before_the_old_one_goes() {
        let mut keys = vec!["old".to_owned()];
        let mut known = keys.clone();
        let mut steps = 0;
        loop {
            let all_told = known == keys;
            match next(&keys, "old", all_told) {
                Next::Do(step) => {
                    steps += 1;
                    obey(&mut keys, step, "new");
                    assert!(
                        known.contains(&keys[0]) || keys[0] == "old",
                        "a key is used that others do not know"
                    );
                }
                Next::Wait => known = keys.clone(),
                Next::Done => break,
            }
        }
        assert_eq!((keys, steps), (vec!["new".to_owned()], 3));
    }

    #[test]
    fn nothing_is_done_twice_and_nothing_while_others_do_not_know() {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        assert_eq!(next(&keys(&["new"]), "old", true), Next::Done);
        assert_eq!(next(&keys(&["old", "new"]), "old", false), Next::Wait);
        assert_eq!(next(&keys(&["new", "old"]), "old", false), Next::Wait);
    }
}
