//! What is done with a history that was written: made comparable, and tampered with.

use residual_primitives::Amount;
use residual_royalty::LedgerEvent;

/// Leaves out moves of no units, which the ledger lets anybody make of anything and which are no news.
pub(crate) fn without_empty_moves(events: Vec<LedgerEvent>) -> Vec<LedgerEvent> {
    let news = |event| match event {
        LedgerEvent::SharesMoved { from, to, mut units } => {
            units.retain(|(_, units)| *units > 0);
            (!units.is_empty()).then_some(LedgerEvent::SharesMoved { from, to, units })
        }
        event => Some(event),
    };
    events.into_iter().filter_map(news).collect()
}

/// The amount of tokens that an event is about, to be tampered with.
pub(crate) fn amount_of(event: &mut LedgerEvent) -> Option<&mut Amount> {
    match event {
        LedgerEvent::Credited { gross: amount, .. }
        | LedgerEvent::Renewed { price: amount, .. }
        | LedgerEvent::Diverted { amount, .. }
        | LedgerEvent::DivertedReleased { amount, .. }
        | LedgerEvent::Claimed { amount, .. }
        | LedgerEvent::OperatorClaimed { amount, .. }
        | LedgerEvent::AwardClaimed { amount, .. }
        | LedgerEvent::FeesCollected { amount, .. }
        | LedgerEvent::Awarded { amount, .. } => Some(amount),
        LedgerEvent::Flowed { amounts, .. } => amounts.first_mut(),
        _ => None,
    }
}
