//! The Merkle tree over an epoch's records, as the contract `Usage` verifies it.
//!
//! The leaf of a record is `keccak256(keccak256(abi.encode(domain, gateway, epoch, index, keccak256(record))))`, the
//! form of OpenZeppelin's standard trees: hashed twice and longer than two nodes, so that neither passes for the other.
//! A node is the keccak-256 of its two children, the smaller first; the last of an odd level goes up as it is. Position
//! is bound by the leaf, which names gateway, epoch and index.

use alloy_primitives::{B256, b256, keccak256};
use alloy_sol_types::SolValue;

use crate::record::UsageRecord;

/// The root of an epoch without records: the keccak-256 of nothing. Nothing can be proved under it.
pub const EMPTY_ROOT: B256 = b256!("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");

/// The longest proof: [`crate::MAX_RECORDS`] are fewer than 2^24.
const PROOF_MAX: usize = 24;

/// The keccak-256 of `Residual usage record`.
const LEAF_DOMAIN: B256 = b256!("5e5f6d781c3c66e49426fc147dc06b59bc04ad136f0bd615bc00f95495b479d7");

impl UsageRecord {
    /// Its leaf in its epoch's tree.
    #[must_use]
    pub fn leaf(&self) -> B256 {
        let bound = (LEAF_DOMAIN, self.gateway, self.epoch, self.index, self.hash());
        keccak256(keccak256(bound.abi_encode()))
    }
}

fn node(a: B256, b: B256) -> B256 {
    let (first, second) = if a < b { (a, b) } else { (b, a) };
    keccak256([first, second].concat())
}

/// Whether `record` is in the epoch whose root this is.
#[must_use]
pub fn verify(root: B256, record: &UsageRecord, proof: &[B256]) -> bool {
    proof.len() <= PROOF_MAX
        && proof.iter().fold(record.leaf(), |below, sibling| node(below, *sibling)) == root
}

/// The whole tree of an epoch: 64 bytes a record.
#[derive(Debug, Clone)]
pub struct Tree {
    /// From the leaves up to the root alone.
    levels: Vec<Vec<B256>>,
}

impl Tree {
    /// Of the records' leaves, in their order.
    #[must_use]
    pub fn new(leaves: Vec<B256>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last()
            && below.len() > 1
        {
            let level = below.chunks(2).map(|pair| match *pair {
                [a, b] => node(a, b),
                _ => pair[0],
            });
            let level = level.collect();
            levels.push(level);
        }
        Self { levels }
    }

    /// The root; [`EMPTY_ROOT`] without records.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or(EMPTY_ROOT)
    }

    /// The siblings on the way from a record's leaf to the root; none if there is no such record.
    #[must_use]
    pub fn proof(&self, index: u64) -> Option<Vec<B256>> {
        let index = usize::try_from(index).ok()?;
        self.levels[0].get(index)?;
        let siblings = self.levels.iter().enumerate();
        Some(siblings.filter_map(|(height, level)| level.get((index >> height) ^ 1)).copied().collect())
    }
}

/// The root alone, of leaves that come one by one: 32 bytes a level.
#[derive(Debug, Clone, Default)]
pub struct RootBuilder {
    /// Whole subtrees that wait for their right siblings, the widest first: one for each bit of `count`.
    waiting: Vec<B256>,
    count: u64,
}

impl RootBuilder {
    /// Adds the next leaf.
    pub fn push(&mut self, leaf: B256) {
        let mut whole = leaf;
        for _ in 0..self.count.trailing_ones() {
            whole = node(self.waiting.pop().expect("one for each bit of the count"), whole);
        }
        self.waiting.push(whole);
        self.count += 1;
    }

    /// The root of what was added.
    #[must_use]
    pub fn root(&self) -> B256 {
        let narrowest_first = self.waiting.iter().rev().copied();
        narrowest_first.reduce(|right, left| node(left, right)).unwrap_or(EMPTY_ROOT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_are_the_hashes_they_stand_for() {
        assert_eq!(LEAF_DOMAIN, keccak256("Residual usage record"));
        assert_eq!(EMPTY_ROOT, keccak256([]));
    }
}
