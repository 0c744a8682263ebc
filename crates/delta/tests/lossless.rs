//! What goes in comes out, whatever it is and however it is cut, and nothing else ever does.

use delta::page::PAGE;
use delta::{Catalogue, Decoder, DeltaError, Encoder, Outcome, Sender, Shelf};
use proptest::prelude::*;

const SHELF: usize = 40;
const FORMER: usize = 8;

/// Some bytes of a stream: pages at few addresses, of few contents, so that each way of telling a
/// page is taken; and bytes that only look like parts of it.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let page = (0u64..12, 0u64..6, 0usize..PAGE, any::<bool>()).prop_map(
        |(address, content, changed, named)| {
            let mut bytes = Vec::new();
            match named {
                true => {
                    bytes.extend((address << 12 | 0x08).to_be_bytes());
                    bytes.extend(b"\x06pc.ram");
                }
                false => bytes.extend((address << 12 | 0x28).to_be_bytes()),
            }
            let begin = bytes.len();
            bytes.extend(contents(content));
            bytes[begin + changed] ^= 1 << (changed % 3);
            bytes
        },
    );
    prop_oneof![
        8 => page,
        1 => (0u64..9).prop_map(|address| [&(address << 12 | 0x22).to_be_bytes()[..], &[0]].concat()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(prop_oneof![Just(0u8), Just(0x28), Just(8)], 0..60),
    ]
}

/// The even ones pack well, the odd ones not at all.
fn contents(which: u64) -> Vec<u8> {
    let mut state = which << 32 | 0x9e37_79b9;
    (0..PAGE / 8)
        .flat_map(|word| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match which % 2 {
                0 => (word as u64 / 7 * which).to_le_bytes(),
                _ => state.to_le_bytes(),
            }
        })
        .collect()
}

struct Ends {
    sender: Sender,
    encoder: Encoder,
    decoder: Decoder,
    sent: Vec<u8>,
    /// Blocks on their way.
    wire: std::collections::VecDeque<Vec<u8>>,
    got: Vec<u8>,
    read: u64,
    waits: bool,
}

impl Ends {
    fn new(catalogue: &mut Catalogue) -> Self {
        let sender = catalogue.join();
        Self {
            sender,
            encoder: Encoder::new(sender, FORMER).unwrap(),
            decoder: Decoder::new(FORMER).unwrap(),
            sent: Vec::new(),
            wire: Default::default(),
            got: Vec::new(),
            read: 0,
            waits: false,
        }
    }

    fn stands_alone(&self) -> bool {
        self.encoder
            .stands_alone_after()
            .is_some_and(|blocks| self.read >= blocks)
    }

    fn send(&mut self, catalogue: &mut Catalogue, bytes: &[u8], all: bool) {
        self.sent.extend(bytes);
        self.encoder.feed(bytes);
        while let Some(block) = self.encoder.block(catalogue, all).unwrap() {
            self.wire.push_back(block);
        }
    }

    /// Reads one block, or goes on with one; true when something came of it.
    fn receive(&mut self, catalogue: &mut Catalogue, shelf: &mut Shelf) -> bool {
        let outcome = if self.waits {
            self.decoder.go_on(shelf).unwrap()
        } else {
            let Some(block) = self.wire.pop_front() else {
                return false;
            };
            self.decoder.read(shelf, &block).unwrap()
        };
        match outcome {
            Outcome::Done { bytes, asked } => {
                self.waits = false;
                self.got.extend(bytes);
                self.read += 1;
                if asked {
                    catalogue.has_read(self.sender, self.read);
                }
                true
            }
            Outcome::Missing(_) => !std::mem::replace(&mut self.waits, true),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_cut_anywhere_come_back(
        bytes in prop::collection::vec(any::<u8>(), 0..20_000),
        cuts in prop::collection::vec(1usize..9000, 1..10),
    ) {
        let (mut catalogue, mut shelf) = (Catalogue::new(SHELF), Shelf::new(SHELF));
        let mut ends = Ends::new(&mut catalogue);
        let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            ends.send(&mut catalogue, now, later.is_empty());
            rest = later;
        }
        while ends.receive(&mut catalogue, &mut shelf) {}
        prop_assert!(ends.got == bytes);
    }

    /// Several VMs, each on a connection of its own, in any order between them.
    #[test]
    fn a_gang_without_order_between_its_connections_comes_back(
        steps in prop::collection::vec((0usize..3, piece(), 0u8..8, 0usize..5000), 1..120),
        settle_at in 0usize..120,
    ) {
        let (mut catalogue, mut shelf) = (Catalogue::new(SHELF), Shelf::new(SHELF));
        let mut gang: Vec<_> = (0..3).map(|_| Ends::new(&mut catalogue)).collect();
        for (number, (vm, piece, what, cut)) in steps.iter().enumerate() {
            if number == settle_at {
                gang[*vm].encoder.settle();
            }
            let (front, back) = piece.split_at((*cut).min(piece.len()));
            gang[*vm].send(&mut catalogue, front, what % 4 == 0);
            gang[*vm].send(&mut catalogue, back, what % 5 == 0);
            if *what < 4 {
                gang[*what as usize % 3].receive(&mut catalogue, &mut shelf);
            }
        }
        for ends in &mut gang {
            ends.send(&mut catalogue, &[], true);
        }
        // Whoever waits, waits for another one, and never all of them.
        while gang.iter_mut().map(|ends| ends.receive(&mut catalogue, &mut shelf)).fold(false, |a, b| a | b) {}
        for ends in &gang {
            prop_assert!(ends.got == ends.sent);
        }
        prop_assert!(shelf.len() <= SHELF);
    }

    /// After it has settled and the target has read what leaned on others, a VM needs none of them.
    #[test]
    fn a_vm_that_stands_alone_never_waits(
        before in prop::collection::vec((0usize..2, piece()), 1..40),
        after in prop::collection::vec((0usize..2, piece()), 1..40),
    ) {
        let (mut catalogue, mut shelf) = (Catalogue::new(SHELF), Shelf::new(SHELF));
        let mut gang: Vec<_> = (0..2).map(|_| Ends::new(&mut catalogue)).collect();
        for (vm, piece) in &before {
            gang[*vm].send(&mut catalogue, piece, true);
        }
        while gang.iter_mut().map(|ends| ends.receive(&mut catalogue, &mut shelf)).fold(false, |a, b| a | b) {}
        gang[1].encoder.settle();
        prop_assert!(gang[1].stands_alone());
        for (vm, piece) in &after {
            gang[*vm].send(&mut catalogue, piece, true);
            // The other one's bytes stay on the wire.
            gang[1].receive(&mut catalogue, &mut shelf);
        }
        while gang[1].receive(&mut catalogue, &mut shelf) {}
        prop_assert!(!gang[1].waits);
        prop_assert!(gang[1].got == gang[1].sent);
    }

    #[test]
    fn what_was_not_encoded_is_an_error_or_what_was_sent(
        pieces in prop::collection::vec(piece(), 1..20),
        at: prop::sample::Index,
        flip in 1u8..=255,
    ) {
        let (mut catalogue, mut shelf) = (Catalogue::new(SHELF), Shelf::new(SHELF));
        let mut ends = Ends::new(&mut catalogue);
        for piece in &pieces {
            ends.send(&mut catalogue, piece, true);
        }
        let mut good = 0;
        for (number, mut block) in std::mem::take(&mut ends.wire).into_iter().enumerate() {
            if number == at.index(pieces.len()) {
                let place = at.index(block.len());
                block[place] ^= flip;
            }
            match ends.decoder.read(&mut shelf, &block) {
                Ok(Outcome::Done { bytes, .. }) => {
                    prop_assert!(ends.sent[good..].starts_with(&bytes));
                    good += bytes.len();
                }
                Ok(Outcome::Missing(_)) | Err(_) => break,
            }
        }
    }

    #[test]
    fn any_bytes_are_a_block_or_an_error(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..5)) {
        let (mut shelf, mut decoder) = (Shelf::new(2), Decoder::new(2).unwrap());
        for block in blocks {
            if decoder.read(&mut shelf, &block).is_err() {
                break;
            }
        }
    }
}

#[test]
fn a_decoder_that_remembers_something_else_does_not_make_another_page_of_it() {
    let page = |fill: u8| [&(0x28u64).to_be_bytes()[..], &[fill; PAGE]].concat();
    let mut catalogue = Catalogue::new(0);
    let (mut one, mut other) = (Ends::new(&mut catalogue), Ends::new(&mut catalogue));
    let mut shelf = Shelf::new(0);
    one.send(&mut catalogue, &page(1), true);
    other.send(&mut catalogue, &page(2), true);
    let first = one.wire.pop_front().unwrap();
    one.decoder.read(&mut shelf, &first).unwrap();
    other.receive(&mut catalogue, &mut shelf);
    let mut changed = page(2);
    changed[20] = 9;
    other.send(&mut catalogue, &changed, true);
    let difference = other.wire.pop_front().unwrap();
    assert!(difference.len() < 200, "{}", difference.len());
    assert!(matches!(
        one.decoder.read(&mut shelf, &difference),
        Err(DeltaError::Differs | DeltaError::Packing(_) | DeltaError::Broken(_))
    ));
}

#[test]
fn a_second_vm_of_the_same_image_costs_almost_nothing() {
    let (mut catalogue, mut shelf) = (Catalogue::new(400), Shelf::new(400));
    let mut gang: Vec<_> = (0..2).map(|_| Ends::new(&mut catalogue)).collect();
    let mut on_wire = [0, 0];
    for number in 0..150u64 {
        for (vm, ends) in gang.iter_mut().enumerate() {
            let page = [
                &(number << 12 | 0x28).to_be_bytes()[..],
                &contents(number * 2 + 1),
            ]
            .concat();
            ends.send(&mut catalogue, &page, false);
            on_wire[vm] += ends.wire.iter().map(Vec::len).sum::<usize>();
            while ends.receive(&mut catalogue, &mut shelf) {}
        }
    }
    assert!(
        on_wire[0] > 128 * PAGE && on_wire[1] * 40 < on_wire[0],
        "{on_wire:?}"
    );
}

#[test]
fn a_page_on_its_way_elsewhere_is_waited_for() {
    let page = [&(0x28u64).to_be_bytes()[..], &contents(1)].concat();
    let (mut catalogue, mut shelf) = (Catalogue::new(4), Shelf::new(4));
    let mut gang: Vec<_> = (0..2).map(|_| Ends::new(&mut catalogue)).collect();
    for ends in &mut gang {
        ends.send(&mut catalogue, &page, true);
    }
    assert!(gang[1].wire[0].len() < 100);
    gang[1].receive(&mut catalogue, &mut shelf);
    assert!(gang[1].waits && gang[1].got.is_empty());
    assert!(!gang[1].stands_alone());
    gang[0].receive(&mut catalogue, &mut shelf);
    gang[1].receive(&mut catalogue, &mut shelf);
    gang[1].encoder.settle();
    assert!(gang[1].got == page && gang[1].stands_alone());
}
