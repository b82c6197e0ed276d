//! What a stock reader of Parquet makes of a usage file (see `tests/peers/setup`).

use std::{fs, io, path::Path, process::Command};

use residual_usage::{Lane, UsageRecord, write};
use serde_json::{Value, json};

use crate::made::{GATEWAY, altered, long_epoch};

fn read(bytes: &[u8]) -> Value {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.parquet");
    fs::write(&path, bytes).unwrap();
    let run =
        Command::new(peers.join(".venv/bin/python")).args([&peers.join("read_usage.py"), &path]).output();
    let run = match run {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            panic!("DuckDB is not installed: run crates/usage/tests/peers/setup once")
        }
        run => run.unwrap(),
    };
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).unwrap()
}

fn row(record: &UsageRecord) -> Value {
    json!([
        format!("{:#x}", record.gateway),
        record.epoch.to_string(),
        record.index.to_string(),
        record.at_s.to_string(),
        record.asset.to_string(),
        record.lane.name(),
        format!("{:#x}", record.payer),
        format!("{:#x}", record.source),
        format!("{:#x}", record.token),
        record.units.to_string(),
        record.unit_price.to_string(),
        record.amount.to_string(),
        record.charged_total.to_string(),
        format!("{:#x}", record.request_id),
        record.licence.map(|licence| licence.to_string()),
    ])
}

#[test]
fn stock_duckdb_reads_the_same_rows() {
    let mut records = long_epoch((1 << 16) + 100);
    // Also the largest numbers, an epoch without licences, and payments that no dictionary holds.
    records[1] = altered(&records[1], |fields| {
        fields.units = u32::MAX;
        fields.unit_price = residual_usage::AMOUNT_MAX;
        fields.charged_total = residual_usage::AMOUNT_MAX;
        fields.amount = residual_usage::AMOUNT_MAX;
        fields.at_s = residual_usage::AT_MAX_S;
    })
    .unwrap();
    let plain: Vec<_> = long_epoch(20_000)
        .iter()
        .map(|record| {
            let change = |fields: &mut residual_usage::UsageFields| {
                fields.lane = Lane::Exact;
                fields.source = fields.request_id;
                fields.charged_total = fields.amount;
                fields.licence = None;
            };
            altered(record, change).unwrap_or(*record)
        })
        .collect();
    for records in [records, plain, Vec::new()] {
        let (bytes, head) = write(10, GATEWAY, 0, records.clone()).unwrap();
        let found = read(&bytes);
        let (text, amount) = ("VARCHAR", "DECIMAL(38,0)");
        let columns = json!([
            ["gateway", text],
            ["epoch", "UBIGINT"],
            ["record", "UBIGINT"],
            ["logged_at", "TIMESTAMP WITH TIME ZONE"],
            ["asset", text],
            ["lane", text],
            ["payer", text],
            ["source", text],
            ["token", text],
            ["units", "UINTEGER"],
            ["unit_price", amount],
            ["amount", amount],
            ["charged_total", amount],
            ["request_id", text],
            ["licence", text],
        ]);
        assert_eq!(found["columns"], columns);
        let metadata = json!({
            "residual.chain_id": "10",
            "residual.gateway": format!("{GATEWAY:#x}"),
            "residual.epoch": "0",
            "residual.root": format!("{:#x}", head.root),
        });
        assert_eq!(found["metadata"], metadata);
        let rows = found["rows"].as_array().unwrap();
        assert_eq!(rows.len(), records.len());
        for (found, record) in rows.iter().zip(&records) {
            assert_eq!(*found, row(record), "record {}", record.index);
        }
    }
}
