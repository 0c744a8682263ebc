//! What stood at an address before: the last pages that were sent, at both ends the same.
//!
//! Both ends make the same calls in the same order, so both drop the same pages: the one whose place
//! came first, when there is no room.

use crate::page::Page;
use crate::stream::Place;
use std::collections::HashMap;

/// A bounded number of pages by their place.
#[derive(Debug, Default)]
pub struct Former {
    limit: usize,
    places: HashMap<Place, usize>,
    slots: Vec<(Place, Box<Page>)>,
    /// The slot that is given up next.
    oldest: usize,
}

impl Former {
    /// Keeps so many pages.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// What stood there.
    pub fn get(&self, place: Place) -> Option<&Page> {
        let slot = *self.places.get(&place)?;
        self.slots.get(slot).map(|(_, page)| &**page)
    }

    /// What stands there now.
    pub fn put(&mut self, place: Place, page: &Page) {
        if let Some(slot) = self.places.get(&place).copied() {
            self.slots[slot].1.copy_from_slice(page);
        } else if self.slots.len() < self.limit {
            self.places.insert(place, self.slots.len());
            self.slots.push((place, Box::new(*page)));
        } else if let Some((given_up, old)) = self.slots.get_mut(self.oldest) {
            self.places.remove(given_up);
            *given_up = place;
            old.copy_from_slice(page);
            self.places.insert(place, self.oldest);
            self.oldest = (self.oldest + 1) % self.limit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_that_came_first_makes_room() {
        let at = |n: u64| Place::default().after(&(n << 12 | 0x28).to_be_bytes());
        let mut former = Former::new(2);
        for n in 1..=2 {
            former.put(at(n), &[n as u8; 4096]);
        }
        former.put(at(1), &[11; 4096]);
        former.put(at(3), &[3; 4096]);
        assert_eq!(former.get(at(1)), None);
        assert_eq!(former.get(at(2)), Some(&[2; 4096]));
        former.put(at(4), &[4; 4096]);
        assert_eq!(former.get(at(2)), None);
        assert_eq!(former.get(at(3)), Some(&[3; 4096]));
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let mut former = Former::new(0);
        former.put(Place::default(), &[1; 4096]);
        assert_eq!(former.get(Place::default()), None);
    }
}
