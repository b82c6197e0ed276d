//! A second opinion for the tests: what an event should have paid, from nothing but the events before it.
//!
//! It keeps no state at all. Every question walks the whole history again, so that no running total of the model can
//! be wrong in the same way. It knows no freezes.

use alloy_primitives::I256;
use residual_primitives::{Address, AssetId, BPS_ONE, RevenueKind, U256};
use residual_royalty::{Edge, Entry, LedgerEvent};

fn int(number: u128) -> I256 {
    I256::from_raw(U256::from(number))
}

/// What the rules say the last event of `history` pays, amount by amount, and what it says itself; `None` for an event
/// that pays nothing or one that follows a freeze.
pub(crate) fn payments(history: &[Entry]) -> Option<(Vec<I256>, Vec<I256>)> {
    let (last, past) = history.split_last()?;
    // A token's own events decide nothing, wherever they stand.
    let tokens = |event: &&LedgerEvent| matches!(event, LedgerEvent::TokenMoved { .. });
    let past: Vec<_> = past.iter().map(|entry| &entry.event).filter(|event| !tokens(event)).collect();
    if past.iter().any(|event| matches!(event, LedgerEvent::Frozen { .. })) {
        return None;
    }
    match &last.event {
        LedgerEvent::Flowed { child, token, kinds, amounts } => {
            let mut expected = Vec::new();
            for &kind in kinds {
                for (place, edge) in edges(&past, *child).iter().enumerate() {
                    let owed = edge_owed(&past, *child, *token, kind, edge);
                    expected.push(owed - carried(&past, *child, *token, kind, place));
                }
            }
            Some((expected, amounts.iter().map(|amount| int(amount.0)).collect()))
        }
        LedgerEvent::Claimed { asset, token, holder, amount, .. } => {
            let paid = sum(&past, |event| match event {
                LedgerEvent::Claimed { asset: of, token: with, holder: who, amount, .. }
                    if (of, with, who) == (asset, token, holder) =>
                {
                    Some(amount.0)
                }
                _ => None,
            });
            Some((vec![earned(&past, *asset, *token, *holder) - paid], vec![int(amount.0)]))
        }
        LedgerEvent::OperatorClaimed { asset, token, operator, kind, operator_bps, amount, .. } => {
            let till = (*asset, *token, *kind, *operator, *operator_bps);
            let paid = sum(&past, |event| match event {
                LedgerEvent::OperatorClaimed {
                    asset, token, operator, kind, operator_bps, amount, ..
                } if (*asset, *token, *kind, *operator, *operator_bps) == till => Some(amount.0),
                _ => None,
            });
            let net = swept(&past).filter(|(of, _)| *of == till).fold(I256::ZERO, |sum, (_, net)| sum + net);
            let owed = net * int((*operator_bps).into()) / int(BPS_ONE.into());
            Some((vec![owed - paid], vec![int(amount.0)]))
        }
        LedgerEvent::FeesCollected { token, amount, .. } => {
            let fees = sum(&past, |event| match event {
                LedgerEvent::Credited { token: with, fee, .. } if with == token => Some(fee.0),
                _ => None,
            });
            let paid = sum(&past, |event| match event {
                LedgerEvent::FeesCollected { token: with, amount, .. } if with == token => Some(amount.0),
                _ => None,
            });
            Some((vec![fees - paid], vec![int(amount.0)]))
        }
        _ => None,
    }
}

/// Whether the last event of `history` is a credit for which its source brought another amount or nothing: walks back
/// over the moves of its transaction to the last credit or payout, and asks at each whether it would do.
pub(crate) fn is_unfunded(history: &[Entry], royalties: Address) -> bool {
    let Some((last, past)) = history.split_last() else { return false };
    let LedgerEvent::Credited { token: of, source, gross, .. } = last.event else { return false };
    let (mut came, mut from_source) = (I256::ZERO, false);
    for entry in past.iter().rev() {
        if entry.place.transaction != last.place.transaction {
            return true;
        }
        match entry.event {
            LedgerEvent::Credited { .. } => return true,
            LedgerEvent::TokenMoved { token, from, amount, .. }
                if token == of && from == royalties && amount.0 > 0 =>
            {
                return true;
            }
            LedgerEvent::TokenMoved { token, from, to, amount } if token == of && to == royalties => {
                came += int(amount.0);
                from_source |= from == source;
                if from_source && came == int(gross.0) {
                    return false;
                }
            }
            _ => {}
        }
    }
    true
}

fn sum(past: &[&LedgerEvent], part: impl Fn(&LedgerEvent) -> Option<u128>) -> I256 {
    past.iter().filter_map(|event| part(event)).fold(I256::ZERO, |sum, part| sum + int(part))
}

fn edges(past: &[&LedgerEvent], asset: AssetId) -> Vec<Edge> {
    let registered = past.iter().find_map(|event| match event {
        LedgerEvent::Registered { asset: id, edges, .. } if *id == asset => Some(edges.clone()),
        _ => None,
    });
    registered.unwrap_or_default()
}

fn own(past: &[&LedgerEvent], asset: AssetId, token: Address, kind: RevenueKind) -> I256 {
    let credited = |event: &LedgerEvent| match event {
        LedgerEvent::Credited { asset: to, token: with, kind: of, gross, fee, .. }
            if (*to, *with, *of) == (asset, token, kind) =>
        {
            Some((gross.0, fee.0))
        }
        _ => None,
    };
    past.iter()
        .filter_map(|event| credited(event))
        .fold(I256::ZERO, |sum, (gross, fee)| sum + int(gross) - int(fee))
}

/// What earlier flows carried over one edge of `child`.
fn carried(past: &[&LedgerEvent], child: AssetId, token: Address, kind: RevenueKind, place: usize) -> I256 {
    sum(past, |event| match event {
        LedgerEvent::Flowed { child: of, token: with, kinds, amounts } if (*of, *with) == (child, token) => {
            let row = kinds.iter().position(|carried| *carried == kind)?;
            amounts.get(row * (amounts.len() / kinds.len()) + place).map(|amount| amount.0)
        }
        _ => None,
    })
}

fn inherited(past: &[&LedgerEvent], parent: AssetId, token: Address, kind: RevenueKind) -> I256 {
    let children = past.iter().filter_map(|event| match event {
        LedgerEvent::Registered { asset, edges, .. } => {
            edges.iter().position(|edge| edge.parent == parent).map(|place| (*asset, place))
        }
        _ => None,
    });
    let flowed =
        children.fold(I256::ZERO, |sum, (child, place)| sum + carried(past, child, token, kind, place));
    let diverted = sum(past, |event| match event {
        LedgerEvent::Diverted { parent: to, token: with, kind: of, amount, .. }
            if (*to, *with, *of) == (parent, token, kind) =>
        {
            Some(amount.0)
        }
        _ => None,
    });
    flowed - diverted
}

fn edge_owed(past: &[&LedgerEvent], child: AssetId, token: Address, kind: RevenueKind, edge: &Edge) -> I256 {
    let (own, inherited) = (own(past, child, token, kind), inherited(past, child, token, kind));
    let rate = |rate: residual_primitives::Bps| int(rate.get().into());
    own * rate(edge.all.of(kind)) / int(BPS_ONE.into())
        + (own + inherited) * rate(edge.child.of(kind)) / int(BPS_ONE.into())
}

type TillAndToken = (AssetId, Address, RevenueKind, Address, u16);

/// What went through granted tills, sweep by sweep.
fn swept<'a>(past: &'a [&LedgerEvent]) -> impl Iterator<Item = (TillAndToken, I256)> + 'a {
    past.windows(2).filter_map(|pair| match pair {
        [
            LedgerEvent::Credited { gross, fee, .. },
            LedgerEvent::Swept { asset, token, kind, operator, operator_bps, granted: true, .. },
        ] => Some(((*asset, *token, *kind, *operator, *operator_bps), int(gross.0) - int(fee.0))),
        _ => None,
    })
}

fn shares_owed(past: &[&LedgerEvent], asset: AssetId, token: Address) -> I256 {
    let edges = edges(past, asset);
    RevenueKind::ALL.into_iter().fold(I256::ZERO, |sum, kind| {
        let (all, child) = edges.iter().fold((0, 0), |(all, child), edge| {
            (all + u128::from(edge.all.of(kind).get()), child + u128::from(edge.child.of(kind).get()))
        });
        let to_operators = swept(past)
            .filter(|((of, with, through, ..), _)| (*of, *with, *through) == (asset, token, kind))
            .fold(I256::ZERO, |sum, ((.., rate), net)| sum + net * int(rate.into()));
        let one = int(BPS_ONE.into());
        let kept = own(past, asset, token, kind) * (one - int(all + child)) - to_operators;
        sum + kept / one + inherited(past, asset, token, kind) * (one - int(child)) / one
    })
}

/// Whole units that a holder earned: over each stretch of the history, the units held times what the shares grew by.
fn earned(past: &[&LedgerEvent], asset: AssetId, token: Address, holder: Address) -> I256 {
    let (mut units, mut owed, mut earned) = (I256::ZERO, I256::ZERO, I256::ZERO);
    for until in 1..=past.len() {
        // Shares' parts are only asked for where units change hands, and at the end.
        let moved = |event: &LedgerEvent| match event {
            LedgerEvent::SharesMoved { from, to, units } if *from == holder || *to == holder => {
                let moved = units.iter().filter(|(id, _)| *id == asset);
                let moved = moved.fold(I256::ZERO, |sum, (_, units)| sum + int((*units).into()));
                let sign = |side: &Address| if *side == holder { I256::ONE } else { I256::ZERO };
                Some(moved * (sign(to) - sign(from)))
            }
            _ => None,
        };
        let moved = moved(past[until - 1]);
        if moved.is_some() || until == past.len() {
            let now = shares_owed(&past[..until], asset, token);
            earned += units * (now - owed);
            owed = now;
        }
        units += moved.unwrap_or_default();
    }
    earned / int(1_000_000)
}
