//! At the target: pages that any connection of the migration may name.

use crate::DeltaError;
use crate::page::{Page, PageId};
use std::collections::HashMap;

/// A bounded number of pages by their names. What is on it stays.
#[derive(Debug)]
pub struct Shelf {
    limit: usize,
    pages: HashMap<PageId, Box<Page>>,
}

impl Shelf {
    /// With room for so many pages.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            pages: HashMap::new(),
        }
    }

    /// The page of this name.
    pub fn get(&self, id: PageId) -> Option<&Page> {
        self.pages.get(&id).map(|page| &**page)
    }

    /// Pages on it.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// True when nothing is on it.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Keeps a page. Its name is made here, of what it is: nobody can put a page under another's name.
    ///
    /// # Errors
    /// [`DeltaError::Full`].
    pub fn put(&mut self, page: &Page) -> Result<(), DeltaError> {
        let id = PageId::of(page);
        if self.pages.len() >= self.limit && !self.pages.contains_key(&id) {
            return Err(DeltaError::Full(self.limit));
        }
        self.pages.entry(id).or_insert_with(|| Box::new(*page));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_takes_what_was_granted_and_the_same_page_twice() {
        let mut shelf = Shelf::new(1);
        shelf.put(&[1; 4096]).unwrap();
        shelf.put(&[1; 4096]).unwrap();
        assert!(matches!(shelf.put(&[2; 4096]), Err(DeltaError::Full(1))));
        assert_eq!(shelf.get(PageId::of(&[1; 4096])), Some(&[1; 4096]));
    }
}
