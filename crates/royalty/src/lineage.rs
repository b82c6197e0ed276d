//! Edges: what a child owes its ancestors for ever, and how registration makes them out of licences.
//!
//! Owns: the copying of rates down the lineage and its limits (LIN-1, PAY-3). Refuses: whether a licence gives the
//! right to derive (that is the book's) and any money.

use std::collections::BTreeMap;

use residual_primitives::{
    AssetId, Bps, MAX_EDGE_RATES_BPS, MAX_EDGES, Rates, Reach, RevenueKind, Rights, Terms,
};
use serde::{Deserialize, Serialize};

use crate::{formula::EdgeRates, refusal::OfferError};

/// What a child owes one ancestor for ever. A child has one edge for each ancestor that it owes, ascending by parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Who is owed.
    pub parent: AssetId,
    /// The rates of the child's own revenue.
    pub all: Rates,
    /// The rates of all that the child receives, own and inherited.
    pub child: Rates,
}

impl Edge {
    /// The rates of one kind.
    #[must_use]
    pub fn of(&self, kind: RevenueKind) -> EdgeRates {
        EdgeRates { all: self.all.of(kind), child: self.child.of(kind) }
    }
}

/// Why a child cannot have the edges that its licences ask for.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum LineageError {
    /// More than [`MAX_EDGES`] ancestors are owed.
    #[error("expected at most {MAX_EDGES} ancestors to be owed, found {found}: derive from fewer parents")]
    TooManyEdges {
        /// How many there would be.
        found: usize,
    },
    /// The rates of all edges sum to more than [`MAX_EDGE_RATES_BPS`].
    #[error(
        "expected edges that sum to at most {MAX_EDGE_RATES_BPS} basis points of {kind} revenue, found {sum}: \
         derive from fewer parents or under lower rates"
    )]
    RatesAboveLimit {
        /// The revenue kind.
        kind: RevenueKind,
        /// What they would sum to.
        sum: u32,
    },
}

/// One licence under which a child derives: the parent it names and what its terms ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derivation {
    /// The licensed asset.
    pub parent: AssetId,
    /// The rates of the licence's terms.
    pub rates: Rates,
    /// How far they reach.
    pub reach: Reach,
}

/// The edges of a child that derives under these licences.
///
/// A parent named by several licences gets one edge with the highest rate of each kind and reach. What a parent
/// owes its own ancestors of reach `ALL` is copied, the maximum over all paths; an ancestor that is owed nothing
/// by that reach gets no edge, while a direct parent has one even at rates of zero. Reach `CHILD` is not copied.
///
/// # Errors
/// Above the number of edges or the sum of rates that one asset may carry.
pub fn edges_of_child<'a>(
    derivations: &[Derivation],
    edges_of: impl Fn(AssetId) -> &'a [Edge],
) -> Result<Vec<Edge>, LineageError> {
    let mut edges = BTreeMap::new();
    let mut owe = |parent, all, child| {
        let edge =
            edges.entry(parent).or_insert(Edge { parent, all: Rates::default(), child: Rates::default() });
        edge.all = edge.all.max(all);
        edge.child = edge.child.max(child);
    };
    for derivation in derivations {
        let none = Rates::default();
        match derivation.reach {
            Reach::All => owe(derivation.parent, derivation.rates, none),
            Reach::Child => owe(derivation.parent, none, derivation.rates),
        }
        for inherited in edges_of(derivation.parent).iter().filter(|edge| edge.all != none) {
            owe(inherited.parent, inherited.all, none);
        }
    }
    if edges.len() > MAX_EDGES {
        return Err(LineageError::TooManyEdges { found: edges.len() });
    }
    let edges: Vec<_> = edges.into_values().collect();
    for kind in RevenueKind::ALL {
        let sum = edges
            .iter()
            .map(|edge| u32::from(edge.all.of(kind).get()) + u32::from(edge.child.of(kind).get()))
            .sum();
        if sum > u32::from(MAX_EDGE_RATES_BPS) {
            return Err(LineageError::RatesAboveLimit { kind, sum });
        }
    }
    Ok(edges)
}

/// The sums of an asset's edges for one kind.
///
/// # Panics
/// For edges that [`edges_of_child`] refuses.
#[must_use]
pub fn rate_sums(edges: &[Edge], kind: RevenueKind) -> EdgeRates {
    let sum = |rate: fn(&EdgeRates) -> Bps| {
        let sum = edges.iter().map(|edge| rate(&edge.of(kind)).get()).sum();
        Bps::new(sum).expect("the sums of an asset's edges are checked when it is registered")
    };
    EdgeRates { all: sum(|rates| rates.all), child: sum(|rates| rates.child) }
}

/// Checks that terms which let others derive ask for at least what the asset owes by reach `CHILD`, so that no empty
/// shell in between cuts the chain (PAY-9).
///
/// # Errors
/// The first kind that asks for less.
pub fn check_offered_rates(edges: &[Edge], terms: &Terms) -> Result<(), OfferError> {
    let least = edges.iter().fold(Rates::default(), |least, edge| least.max(edge.child));
    let short = |kind: &RevenueKind| terms.rates.of(*kind) < least.of(*kind);
    match RevenueKind::ALL.into_iter().find(short) {
        Some(kind) if terms.rights.contain(Rights::DERIVE) => Err(OfferError::RateBelowParents {
            kind,
            least: least.of(kind).get(),
            found: terms.rates.of(kind).get(),
        }),
        _ => Ok(()),
    }
}
