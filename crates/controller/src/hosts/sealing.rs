//! Rows bear the controller's mark when they leave, and are believed on the way back only if they do: an agent, or
//! whoever has its key, cannot make rows of its own.

use identity::Seal;
use model::order::Order;
use model::{Entry, Slice};

/// Puts the mark on all rows of an order.
pub(super) fn sealed(seal: &Seal, mut order: Order) -> Order {
    let rows: &mut [Entry] = match &mut order {
        Order::Replace {
            slice: Slice { entries, .. },
        }
        | Order::Apply { entries, .. } => entries,
        _ => &mut [],
    };
    for row in rows {
        row.seal = None;
        row.seal = said(row).map(|said| seal.mark(&said));
    }
    order
}

/// Takes the mark from a row; whether it was good.
pub(super) fn unseal(seal: &Seal, row: &mut Entry) -> bool {
    let mark = row.seal.take();
    mark.is_some_and(|mark| said(row).is_some_and(|said| seal.is_mine(&said, &mark)))
}

/// What the mark is put on.
fn said(row: &Entry) -> Option<Vec<u8>> {
    serde_json::to_vec(row).ok()
}
