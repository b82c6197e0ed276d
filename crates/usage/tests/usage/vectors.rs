//! The golden vectors of records and tree, shared with the contracts.

use alloy_primitives::{Address, B256, Bytes, hex};
use residual_usage::{Tree, UsageRecord, verify};
use serde_json::Value;

fn word(value: &Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

/// AUD-1: records, leaves, roots and proofs are those of the vectors, and the contract's.
#[test]
fn the_tree_meets_the_shared_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/test/vectors/usage.json");
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let gateway: Address = vectors["gateway"].as_str().unwrap().parse().unwrap();
    let epochs = vectors["epochs"].as_array().unwrap();
    assert!(epochs.len() > 2);
    for (epoch, vector) in (0_u64..).zip(epochs) {
        let rows = vector["proofs"].as_array().unwrap();
        assert_eq!(rows.len() as u64, vector["records"].as_u64().unwrap());
        let records = rows.iter().map(|row| {
            let bytes: Bytes = row["record"].as_str().unwrap().parse().unwrap();
            UsageRecord::decode(&bytes).unwrap()
        });
        let records: Vec<_> = records.collect();
        let tree = Tree::new(records.iter().map(UsageRecord::leaf).collect());
        assert_eq!(tree.root(), word(&vector["root"]), "epoch {epoch}");
        for (row, record) in rows.iter().zip(&records) {
            assert_eq!((record.gateway, record.epoch), (gateway, epoch));
            assert_eq!(hex::encode_prefixed(record.encode()), row["record"].as_str().unwrap());
            assert_eq!(record.leaf(), word(&row["leaf"]));
            let proof: Vec<_> = row["proof"].as_array().unwrap().iter().map(word).collect();
            assert_eq!(tree.proof(record.index).as_ref(), Some(&proof));
            assert!(verify(tree.root(), record, &proof));
        }
    }
}
