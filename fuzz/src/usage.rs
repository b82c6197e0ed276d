//! Usage records and the files they are published in.

use residual_usage::{UsageFile, UsageRecord, write};

use crate::memory::within;

/// What decodes is encoded to the same bytes.
pub fn usage_record(bytes: &[u8]) -> bool {
    let Ok(record) = within(bytes, 4, || UsageRecord::decode(bytes)) else { return false };
    assert_eq!(record.encode(), bytes);
    true
}

/// A file that is read to its end is the one that the writer makes of its records, but for the root: that is the reader's
/// to compare.
pub fn usage_file(bytes: &[u8]) -> bool {
    let read = within(bytes, 64, || {
        let file = UsageFile::open(bytes).ok()?;
        let records: Result<Vec<_>, _> = file.records().collect();
        Some((*file.head(), records.ok()?))
    });
    let Some((head, records)) = read else { return false };
    assert_eq!(records.len() as u64, head.records);
    let (again, written) =
        write(head.chain_id, head.gateway, head.epoch, records).expect("they are the records of an epoch");
    assert_eq!(residual_usage::Head { root: head.root, ..written }, head);
    if written.root == head.root {
        assert_eq!(again, bytes);
    }
    true
}
