//! At the source: which pages are, or will be, on the target's shelf, and who brings them.

use crate::page::PageId;
use std::collections::HashMap;

/// A connection among those that share a catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sender(usize);

#[derive(Debug, Clone, Copy)]
struct Offer {
    by: Sender,
    block: u64,
}

/// One for all connections of a migration between two agents.
#[derive(Debug)]
pub struct Catalogue {
    room: usize,
    /// Of that room, for pages that do not pack: they are seldom met twice, and there are many of them.
    plain_room: usize,
    offers: HashMap<PageId, Offer>,
    /// Blocks of each sender that the target has read; `None` when it ended.
    read: Vec<Option<u64>>,
}

impl Catalogue {
    /// For a shelf of so many pages.
    pub fn new(shelf_pages: usize) -> Self {
        Self {
            room: shelf_pages,
            plain_room: shelf_pages / 2,
            offers: HashMap::new(),
            read: Vec::new(),
        }
    }

    /// One more connection.
    pub fn join(&mut self) -> Sender {
        self.read.push(Some(0));
        Sender(self.read.len() - 1)
    }

    /// The target has read so many blocks of this sender.
    pub fn has_read(&mut self, sender: Sender, blocks: u64) {
        if let Some(Some(read)) = self.read.get_mut(sender.0) {
            *read = blocks.max(*read);
        }
    }

    /// The connection is gone: nothing that the target has not read will come any more.
    pub fn leave(&mut self, sender: Sender) {
        if let Some(read) = self.read.get_mut(sender.0) {
            let had = read.take().unwrap_or(0);
            self.offers
                .retain(|_, offer| offer.by != sender || offer.block < had);
        }
    }

    /// Whether the page may be named, and whether the target may have to wait for it. Between
    /// connections there is no order, so what another one has sent counts as there when the target said so.
    pub(crate) fn find(&self, id: PageId, sender: Sender) -> Option<Found> {
        let offer = self.offers.get(&id)?;
        Some(match self.read.get(offer.by.0)? {
            // What it had not read was taken out when it left.
            None => Found::There,
            Some(read) if offer.block < *read || offer.by == sender => Found::There,
            Some(_) => Found::UnderWay,
        })
    }

    /// Whether the page, sent in this block, shall be kept on the shelf.
    pub(crate) fn offer(&mut self, id: PageId, sender: Sender, block: u64, plain: bool) -> bool {
        if self.room == 0 || plain && self.plain_room == 0 || self.offers.contains_key(&id) {
            return false;
        }
        self.room -= 1;
        self.plain_room -= usize::from(plain);
        self.offers.insert(id, Offer { by: sender, block });
        true
    }
}

/// Where a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// At the target before anything that this connection sends now.
    There,
    /// On another connection, not yet read.
    UnderWay,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: PageId = PageId([1; 16]);

    #[test]
    fn another_connections_page_is_there_when_the_target_has_read_it() {
        let mut catalogue = Catalogue::new(10);
        let (a, b) = (catalogue.join(), catalogue.join());
        assert!(catalogue.offer(PAGE, a, 3, false));
        assert_eq!(catalogue.find(PAGE, a), Some(Found::There));
        assert_eq!(catalogue.find(PAGE, b), Some(Found::UnderWay));
        catalogue.has_read(a, 3);
        assert_eq!(catalogue.find(PAGE, b), Some(Found::UnderWay));
        catalogue.has_read(a, 4);
        assert_eq!(catalogue.find(PAGE, b), Some(Found::There));
    }

    #[test]
    fn what_a_lost_connection_did_not_bring_is_not_named() {
        let mut catalogue = Catalogue::new(10);
        let (a, b) = (catalogue.join(), catalogue.join());
        let late = PageId([2; 16]);
        catalogue.offer(PAGE, a, 0, false);
        catalogue.offer(late, a, 1, false);
        catalogue.has_read(a, 1);
        catalogue.leave(a);
        assert_eq!(catalogue.find(PAGE, b), Some(Found::There));
        assert_eq!(catalogue.find(late, b), None);
        assert!(catalogue.offer(late, b, 0, false));
    }

    #[test]
    fn a_full_shelf_takes_no_more_and_plain_pages_take_half() {
        let mut catalogue = Catalogue::new(4);
        let a = catalogue.join();
        let taken =
            |catalogue: &mut Catalogue, n: u8, plain| catalogue.offer(PageId([n; 16]), a, 0, plain);
        let plain: Vec<_> = (0..3).map(|n| taken(&mut catalogue, n, true)).collect();
        assert_eq!(plain, [true, true, false]);
        let packed: Vec<_> = (5..8).map(|n| taken(&mut catalogue, n, false)).collect();
        assert_eq!(packed, [true, true, false]);
    }
}
