use alloy_primitives::{B256, keccak256};
use proptest::prelude::*;
use residual_usage::{EMPTY_ROOT, RootBuilder, Tree, verify};

use crate::made::{altered, long_epoch};

#[test]
fn the_root_of_nothing_is_the_hash_of_nothing() {
    assert_eq!(EMPTY_ROOT, keccak256([]));
    assert_eq!(Tree::new(Vec::new()).root(), EMPTY_ROOT);
    assert_eq!(RootBuilder::default().root(), EMPTY_ROOT);
    assert_eq!(Tree::new(Vec::new()).proof(0), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// AUD-1: every record of an epoch is proved by its proof; no other record, and by no other proof.
    #[test]
    fn a_record_is_proved_and_no_other(count in 1..90_u64, seed: u64, bit in 0..256_usize) {
        let records = long_epoch(count);
        let tree = Tree::new(records.iter().map(|record| record.leaf()).collect());
        let mut builder = RootBuilder::default();
        records.iter().for_each(|record| builder.push(record.leaf()));
        let root = tree.root();
        prop_assert_eq!(builder.root(), root);
        prop_assert_eq!(tree.proof(count), None);

        for record in &records {
            prop_assert!(verify(root, record, &tree.proof(record.index).unwrap()));
        }
        let record = &records[(seed % count) as usize];
        let proof = tree.proof(record.index).unwrap();
        let other = altered(record, |fields| fields.at_s += 1).unwrap();
        prop_assert!(!verify(root, &other, &proof));
        let moved = altered(record, |fields| fields.index += 1).unwrap();
        prop_assert!(!verify(root, &moved, &proof));
        prop_assert!(!verify(root, record, &[proof.as_slice(), &[root]].concat()));
        if !proof.is_empty() {
            prop_assert!(!verify(root, record, &proof[1..]));
            let mut wrong = proof.clone();
            let at = seed as usize % proof.len();
            wrong[at] ^= B256::from(alloy_primitives::U256::from(1) << bit);
            prop_assert!(!verify(root, record, &wrong));
        }
    }
}
