use alloy_primitives::{Address, B256, b256};
use proptest::{prelude::*, sample::Index};
use residual_usage::{
    EMPTY_ROOT, FileError, Head, Lane, RootBuilder, Tree, UsageFile, UsageRecord, WriteError, write,
};
use sha2::{Digest, Sha256};

use crate::made::{GATEWAY, altered, histories, long_epoch, records};

const CHAIN: u64 = 31_337;

fn read(bytes: &[u8]) -> Result<(Head, Vec<UsageRecord>), FileError> {
    let file = UsageFile::open(bytes)?;
    let records = file.records().collect::<Result<_, _>>()?;
    Ok((*file.head(), records))
}

/// Records of every kind, put into the places of one epoch.
fn epochs() -> impl Strategy<Value = Vec<UsageRecord>> {
    proptest::collection::vec(records(), 0..40).prop_map(|records| {
        let placed = (0..).zip(records).map(|(index, record)| {
            let mut fields = *record;
            (fields.gateway, fields.epoch, fields.index) = (GATEWAY, 7, index);
            UsageRecord::new(fields).unwrap()
        });
        placed.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// AUD-1: what was written is read, to the field.
    #[test]
    fn an_epoch_survives_its_file(records in epochs(), chain: u64) {
        let (bytes, head) = write(chain, GATEWAY, 7, records.clone()).unwrap();
        let tree = Tree::new(records.iter().map(|record| record.leaf()).collect());
        prop_assert_eq!(head.root, tree.root());
        prop_assert_eq!((head.chain_id, head.gateway, head.epoch), (chain, GATEWAY, 7));
        prop_assert_eq!(read(&bytes), Ok((head, records)));
    }

    /// AUD-1: no byte of a file can be another: a file that is read is the file that was written, and a changed one is
    /// refused or says another chain or root.
    #[test]
    fn no_other_bytes_are_the_same_epoch(epochs in histories(), at in any::<Index>(), by in 1..=255_u8) {
        let (bytes, head) = write(CHAIN, GATEWAY, 0, epochs[0].clone()).unwrap();
        let mut other = bytes.clone();
        other[at.index(bytes.len())] ^= by;
        if let Ok((found, records)) = read(&other) {
            prop_assert!((found, &records) != (head, &epochs[0]));
            let (mut again, honest) = write(found.chain_id, found.gateway, found.epoch, records).unwrap();
            // The root is the writer's word; all else follows from the records.
            if honest.root != found.root {
                let (from, to) = (format!("{:#x}", honest.root), format!("{:#x}", found.root));
                let place = again.windows(from.len()).position(|text| text == from.as_bytes()).unwrap();
                again[place..place + to.len()].copy_from_slice(to.as_bytes());
            }
            prop_assert_eq!(again, other);
        }
    }

    /// Hostile bytes: cut, spliced or filled at random, a file is refused or read, and never more than that.
    #[test]
    fn mangled_files_do_no_harm(
        records in epochs(),
        (from, to, place) in any::<(Index, Index, Index)>(),
        filling in proptest::collection::vec(any::<u8>(), 0..12),
        cut: bool,
    ) {
        let (bytes, _) = write(CHAIN, GATEWAY, 7, records).unwrap();
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        let piece = &bytes[from.min(to)..from.max(to)];
        let place = place.index(bytes.len());
        let mangled = if cut {
            [&bytes[..place], &filling, &bytes[(place + filling.len()).min(bytes.len())..]].concat()
        } else {
            [&bytes[..place], piece, &bytes[place..]].concat()
        };
        if mangled != bytes {
            let _ = read(&mangled);
        }
    }

    #[test]
    fn noise_is_refused(noise in proptest::collection::vec(any::<u8>(), 0..200), framed: bool, footer: u8) {
        let noise = match framed {
            false => noise,
            true => [b"PAR1", noise.as_slice(), &u32::from(footer).to_le_bytes(), b"PAR1"].concat(),
        };
        prop_assert!(read(&noise).is_err());
    }
}

#[test]
fn an_empty_epoch_has_a_file_too() {
    let (bytes, head) = write(CHAIN, GATEWAY, 3, []).unwrap();
    assert_eq!((head.records, head.root), (0, EMPTY_ROOT));
    assert_eq!(read(&bytes), Ok((head, Vec::new())));
}

/// More rows than a group has, and a column with more values than a dictionary.
#[test]
fn groups_and_dictionaries_end_where_they_should() {
    let mut records = long_epoch((1 << 16) + 11);
    let exact = records[..1 << 16].iter().filter(|record| record.lane == Lane::Exact).count();
    assert!(exact < 1 << 14, "payments of the first group fit a dictionary");
    let (bytes, head) = write(CHAIN, GATEWAY, 0, records.clone()).unwrap();
    assert_eq!(read(&bytes).unwrap(), (head, records.clone()));

    for record in &mut records {
        let source = record.request_id;
        *record = altered(record, |fields| {
            fields.lane = Lane::Exact;
            fields.charged_total = fields.amount;
            fields.source = source;
        })
        .unwrap();
    }
    let (bytes, head) = write(CHAIN, GATEWAY, 0, records.clone()).unwrap();
    assert_eq!(read(&bytes).unwrap(), (head, records));
}

/// The layout is for ever: a file that was committed to can be made again from the log by any later release.
#[test]
fn the_same_records_give_the_same_file_in_every_release() {
    let digest = |records| {
        let (bytes, _) = write(CHAIN, GATEWAY, 0, records).unwrap();
        (bytes.len(), B256::from_slice(&Sha256::digest(&bytes)))
    };
    assert_eq!(digest(Vec::new()), EMPTY_FILE);
    assert_eq!(digest(long_epoch(1_000)), LONG_FILE);
}

const EMPTY_FILE: (usize, B256) =
    (596, b256!("b0a1ef7ddd0f227bbcda06a1e9788f4c8b7b68cfa8610ba9424c003b5075efe0"));
const LONG_FILE: (usize, B256) =
    (156_454, b256!("620e5f4d306839ff5c4835068b19f9f48af7fb5908d4b3d2be62e076120b5c75"));

#[test]
fn records_of_another_place_are_not_written() {
    let records = long_epoch(3);
    let wrong =
        |gateway, epoch, records: Vec<UsageRecord>| write(CHAIN, gateway, epoch, records).unwrap_err();
    let WriteError::OtherPlace { index, .. } = wrong(Address::repeat_byte(9), 0, records.clone());
    assert_eq!(index, 0);
    let WriteError::OtherPlace { epoch, found_epoch, .. } = wrong(GATEWAY, 1, records.clone());
    assert_eq!((epoch, found_epoch), (1, 0));
    let WriteError::OtherPlace { index, found_index, .. } = wrong(GATEWAY, 0, vec![records[0], records[2]]);
    assert_eq!((index, found_index), (1, 2));
}

/// A file that says more rows than it can hold is refused before anything is made room for.
#[test]
fn rows_that_cannot_be_there_are_refused() {
    let (bytes, _) = write(CHAIN, GATEWAY, 0, []).unwrap();
    let footer = u32::from_le_bytes(*bytes[..bytes.len() - 4].last_chunk().unwrap()) as usize;
    let start = bytes.len() - 8 - footer;
    // The number of rows follows the schema: field 3, a number of 64 bits; then the list of groups.
    let rows = bytes.windows(4).position(|bytes| bytes == [0x16, 0x00, 0x19, 0x0c]).unwrap();
    let huge = [0x16, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x19, 0x0c];
    let longer = (footer + huge.len() - 4) as u32;
    let end = bytes.len() - 8;
    let forged = [&bytes[..rows], &huge, &bytes[rows + 4..end], &longer.to_le_bytes(), b"PAR1"].concat();
    assert!(start < rows);
    assert!(matches!(read(&forged), Err(FileError::TooManyRecords { limit: 0, .. })), "{:?}", read(&forged));
}

/// A file may say a root of its own; the records show which it is.
#[test]
fn the_head_is_only_what_the_file_says() {
    let records = long_epoch(20);
    let (mut bytes, head) = write(CHAIN, GATEWAY, 0, records.clone()).unwrap();
    let root = format!("{:#x}", head.root);
    let at = bytes.windows(root.len()).position(|text| text == root.as_bytes()).unwrap();
    bytes[at + 2..at + root.len()].fill(b'7');
    let (forged, read) = read(&bytes).unwrap();
    assert_eq!(forged.root, B256::repeat_byte(0x77));
    let mut found = RootBuilder::default();
    read.iter().for_each(|record| found.push(record.leaf()));
    assert_eq!(found.root(), head.root);
}
