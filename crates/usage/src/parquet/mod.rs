//! An epoch as one Parquet file that any tool reads, and that this reader takes from anybody.
//!
//! The file's layout is a function of the records: groups of 65,536 rows, one page for each column of a group,
//! uncompressed, plain or by a dictionary in order of first appearance, page headers of version 1, no statistics and no
//! indexes. So the same records give the same bytes, on every machine and with every release of this layout, and the
//! SHA-256 that a gateway commits to can be found again from its log.
//!
//! | column | type | |
//! |---|---|---|
//! | `gateway`, `payer`, `token`, `asset`, `source`, `request_id` | string | `0x` and lower-case hexadecimal |
//! | `licence` | string or null | likewise |
//! | `lane` | string | `voucher`, `tick` or `exact` |
//! | `epoch`, `record` | unsigned 64-bit integer | `record` is the record's index |
//! | `logged_at` | timestamp in UTC, milliseconds | whole seconds |
//! | `units` | unsigned 32-bit integer | |
//! | `unit_price`, `amount`, `charged_total` | decimal(38, 0) | |
//!
//! The file's key-value metadata has `residual.chain_id`, `residual.gateway`, `residual.epoch` and `residual.root`.
//!
//! **What the reader refuses.** Every byte that the writer would not have written, before or when the record that it
//! belongs to is returned: there is no other schema, codec, encoding, order or padding to handle. Nothing that the file
//! says is believed before it is measured: rows are at most [`MAX_RECORDS`] and at most a 118th of the file's bytes, a
//! page lies within the file and a dictionary's entries within their page, and one group's columns are held at a time.
//! Nothing recurses. ADR 14 says why no general reader of Parquet is behind this.

mod column;
mod thrift;

use std::ops::Range;

use alloy_primitives::{Address, B256};

use crate::{
    record::{MAX_RECORDS, RecordError, UsageRecord},
    tree::RootBuilder,
};
use column::{COLUMNS, Chunk, Values};
use thrift::{Cursor, Struct};

/// The largest file that is read, in bytes: more than [`MAX_RECORDS`] without any repetition take.
pub const MAX_FILE_BYTES: u64 = 5 << 30;

/// Rows of every group but the last.
const GROUP_ROWS: usize = 1 << 16;
/// Each row has at least its index, time, two amounts and the request's id, which are always written out.
const ROW_BYTES_MIN: usize = 8 + 8 + 16 + 16 + 70;
const MAGIC: &[u8; 4] = b"PAR1";
const CREATED_BY: &[u8] = b"residual-usage version 1";

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The chain on which the gateway commits.
    pub chain_id: u64,
    /// Who metered.
    pub gateway: Address,
    /// Which epoch of the gateway's.
    pub epoch: u64,
    /// How many records there are.
    pub records: u64,
    /// Their Merkle root, as the writer computed it. A reader compares [`crate::Checker`]'s.
    pub root: B256,
}

/// Why records are no epoch.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WriteError {
    /// A record of another gateway or epoch, or out of its place.
    #[error(
        "expected record {index} of epoch {epoch} of gateway {gateway}, found record {found_index} of epoch \
         {found_epoch} of gateway {found_gateway}"
    )]
    OtherPlace {
        /// The file's gateway.
        gateway: Address,
        /// The file's epoch.
        epoch: u64,
        /// The place that is next.
        index: u64,
        /// The record's gateway.
        found_gateway: Address,
        /// The record's epoch.
        found_epoch: u64,
        /// The record's index.
        found_index: u64,
    },
}

/// Why bytes are no usage file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FileError {
    /// More than is read.
    #[error(
        "expected a usage file of at most {MAX_FILE_BYTES} bytes, found {found}; ask the gateway for shorter epochs"
    )]
    TooLarge {
        /// Bytes given.
        found: u64,
    },
    /// More rows than an epoch has or than the file can hold.
    #[error(
        "expected at most {limit} records in a usage file of this size, found {found}; the file is damaged or forged"
    )]
    TooManyRecords {
        /// As many could be there.
        limit: u64,
        /// As many are said to be.
        found: u64,
    },
    /// Bytes that no writer of usage files writes.
    #[error(
        "expected {expected} at byte {at} of a usage file, found other bytes; take the file from the gateway again, it \
         must have the digest that was committed"
    )]
    Layout {
        /// What belongs there.
        expected: &'static str,
        /// Where, counted from the file's beginning.
        at: u64,
    },
    /// A row that is no usage record.
    #[error("record {index} of a usage file: {source}")]
    Record {
        /// Which row.
        index: u64,
        /// What is wrong.
        source: RecordError,
    },
    /// Rows that say the right things in other bytes, or belong to another epoch or place.
    #[error(
        "expected records {first} to {last} of the epoch as the writer writes them, found them otherwise; take the file \
         from the gateway again"
    )]
    OtherForm {
        /// The group's first record.
        first: u64,
        /// The group's last.
        last: u64,
    },
}

/// Writes an epoch: its file and what to commit to.
///
/// # Errors
/// [`WriteError`]: the records are those of one epoch in order, from index 0 on.
pub fn write(
    chain_id: u64,
    gateway: Address,
    epoch: u64,
    records: impl IntoIterator<Item = UsageRecord>,
) -> Result<(Vec<u8>, Head), WriteError> {
    let (mut bytes, mut groups) = (MAGIC.to_vec(), Vec::new());
    let (mut group, mut root, mut index) = (Vec::new(), RootBuilder::default(), 0);
    for record in records {
        if (record.gateway, record.epoch, record.index) != (gateway, epoch, index) {
            let (found_gateway, found_epoch, found_index) = (record.gateway, record.epoch, record.index);
            return Err(WriteError::OtherPlace {
                gateway,
                epoch,
                index,
                found_gateway,
                found_epoch,
                found_index,
            });
        }
        root.push(record.leaf());
        group.push(record);
        index += 1;
        if group.len() == GROUP_ROWS {
            groups.push(put_group(&mut bytes, &group));
            group.clear();
        }
    }
    if !group.is_empty() {
        groups.push(put_group(&mut bytes, &group));
    }
    let head = Head { chain_id, gateway, epoch, records: index, root: root.root() };
    let footer = [footer_front(&groups), footer_back(&head)].concat();
    let length = u32::try_from(footer.len()).expect("153 groups take less than a megabyte");
    bytes.extend_from_slice(&footer);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(MAGIC);
    Ok((bytes, head))
}

/// Where a group's chunks lie.
#[derive(Debug)]
struct Group {
    rows: usize,
    chunks: Vec<Chunk>,
}

impl Group {
    fn range(&self) -> Range<usize> {
        let (first, last) = (&self.chunks[0], &self.chunks[COLUMNS.len() - 1]);
        first.start..last.end
    }
}

fn put_group(bytes: &mut Vec<u8>, records: &[UsageRecord]) -> Group {
    let chunks = COLUMNS.iter().map(|column| column.put_chunk(bytes, records)).collect();
    Group { rows: records.len(), chunks }
}

/// Of the footer all that does not depend on what the file says of itself.
fn footer_front(groups: &[Group]) -> Vec<u8> {
    let rows: usize = groups.iter().map(|group| group.rows).sum();
    let mut bytes = schema();
    let mut footer = Struct::after(&mut bytes, 2);
    footer.i64(3, rows as u64);
    footer.list(4, thrift::STRUCT, groups.len());
    for group in groups {
        let mut row_group = Struct::element(footer.bytes());
        row_group.list(1, thrift::STRUCT, COLUMNS.len());
        for (column, chunk) in COLUMNS.iter().zip(&group.chunks) {
            column.put_metadata(row_group.bytes(), chunk, group.rows);
        }
        row_group.i64(2, group.range().len() as u64);
        row_group.i64(3, group.rows as u64);
        row_group.stop();
    }
    bytes
}

/// The footer's beginning: version and schema.
fn schema() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut footer = Struct::element(&mut bytes);
    footer.i32(1, 2);
    footer.list(2, thrift::STRUCT, 1 + COLUMNS.len());
    let mut root = Struct::element(footer.bytes());
    root.binary(4, b"usage");
    root.i32(5, COLUMNS.len() as u32);
    root.stop();
    for column in &COLUMNS {
        column.put_schema(footer.bytes());
    }
    bytes
}

const KEYS: [&[u8]; 4] = [b"residual.chain_id", b"residual.gateway", b"residual.epoch", b"residual.root"];

/// The rest of the footer.
fn footer_back(head: &Head) -> Vec<u8> {
    let values = [
        head.chain_id.to_string(),
        format!("{:#x}", head.gateway),
        head.epoch.to_string(),
        format!("{:#x}", head.root),
    ];
    let mut bytes = Vec::new();
    let mut footer = Struct::after(&mut bytes, 4);
    footer.list(5, thrift::STRUCT, KEYS.len());
    for (key, value) in KEYS.iter().zip(values) {
        let mut pair = Struct::element(footer.bytes());
        pair.binary(1, key);
        pair.binary(2, value.as_bytes());
        pair.stop();
    }
    footer.binary(6, CREATED_BY);
    footer.stop();
    bytes
}

/// A usage file whose layout is right. Its rows are looked at when they are read.
#[derive(Debug)]
pub struct UsageFile<'a> {
    bytes: &'a [u8],
    head: Head,
    groups: Vec<Group>,
}

impl<'a> UsageFile<'a> {
    /// Finds every page of the file, and makes sure of all that lies between them.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn open(bytes: &'a [u8]) -> Result<Self, FileError> {
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(FileError::TooLarge { found: bytes.len() as u64 });
        }
        let layout = |expected, at: usize| FileError::Layout { expected, at: at as u64 };
        let frame = || {
            let rest = bytes.strip_prefix(MAGIC)?.strip_suffix(MAGIC)?;
            let (rest, length) = rest.split_last_chunk()?;
            let footer = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            Some(MAGIC.len() + rest.len().checked_sub(footer)?)
        };
        let start = frame().ok_or_else(|| layout("the frame of a Parquet file", 0))?;
        let (body, footer) = (&bytes[..start], &bytes[start..bytes.len() - 8]);

        let mut cursor = Cursor::new(footer);
        let rows = cursor
            .expect(&schema())
            .and_then(|()| cursor.expect(&[thrift::field(1, thrift::I64)]))
            .and_then(|()| cursor.zigzag())
            .ok_or_else(|| layout("the schema of usage records", start))?;
        let limit = MAX_RECORDS.min((body.len() / ROW_BYTES_MIN) as u64);
        if rows > limit {
            return Err(FileError::TooManyRecords { limit, found: rows });
        }
        let groups = find_groups(body, rows as usize)?;
        let front = footer_front(&groups);
        if !footer.starts_with(&front) {
            return Err(layout("the places of the file's pages", start));
        }
        let back = &footer[front.len()..];
        let head = read_back(back, rows).filter(|head| footer_back(head) == back);
        let head = head.ok_or_else(|| layout("chain, gateway, epoch and root", start + front.len()))?;
        Ok(Self { bytes, head, groups })
    }

    /// What the file says of itself.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The records in their order. The first error is the last item.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records { file: self, next_group: 0, next_index: 0, read: Vec::new().into_iter() }
    }

    /// The records of a group, the first of which has this index, known to be written as the writer writes them.
    fn group(&self, group: &Group, first: u64) -> Result<Vec<UsageRecord>, FileError> {
        let columns = COLUMNS.iter().zip(&group.chunks);
        let values = columns.map(|(column, chunk)| {
            let layout = FileError::Layout { expected: "a page of values", at: chunk.start as u64 };
            column.values(&self.bytes[chunk.start..chunk.end], group.rows).ok_or(layout)
        });
        let values: Vec<Values<'_>> = values.collect::<Result<_, _>>()?;
        let mut records = Vec::with_capacity(group.rows);
        for row in 0..group.rows {
            let index = first + row as u64;
            let record = column::record(&values, row).and_then(UsageRecord::new);
            records.push(record.map_err(|source| FileError::Record { index, source })?);
        }
        let mut again = Vec::with_capacity(group.range().len());
        put_group(&mut again, &records);
        let in_place = records.iter().zip(first..).all(|(record, index)| {
            (record.gateway, record.epoch, record.index) == (self.head.gateway, self.head.epoch, index)
        });
        if !in_place || again != self.bytes[group.range()] {
            return Err(FileError::OtherForm { first, last: first + group.rows as u64 - 1 });
        }
        Ok(records)
    }
}

/// Walks the chunks of so many rows, which must fill the file up to its footer.
fn find_groups(body: &[u8], rows: usize) -> Result<Vec<Group>, FileError> {
    let layout = |at: usize| FileError::Layout { expected: "a page of usage records", at: at as u64 };
    let mut cursor = Cursor::new(body);
    cursor.expect(MAGIC).ok_or_else(|| layout(0))?;
    let mut groups = Vec::new();
    let mut left = rows;
    while left > 0 {
        let rows = left.min(GROUP_ROWS);
        let mut chunks = Vec::with_capacity(COLUMNS.len());
        for _ in &COLUMNS {
            let at = cursor.at();
            chunks.push(Chunk::find(&mut cursor).ok_or_else(|| layout(at))?);
        }
        groups.push(Group { rows, chunks });
        left -= rows;
    }
    if cursor.at() != body.len() {
        return Err(layout(cursor.at()));
    }
    Ok(groups)
}

/// Reads what [`footer_back`] writes; whether it is that to the byte is the caller's to compare.
fn read_back(bytes: &[u8], records: u64) -> Option<Head> {
    let mut cursor = Cursor::new(bytes);
    cursor.expect(&[thrift::field(1, thrift::LIST), thrift::list_header(thrift::STRUCT, KEYS.len())])?;
    let mut values = [""; KEYS.len()];
    for (key, value) in KEYS.iter().zip(&mut values) {
        cursor.expect(&[thrift::field(1, thrift::BINARY)])?;
        if cursor.binary()? != *key {
            return None;
        }
        cursor.expect(&[thrift::field(1, thrift::BINARY)])?;
        *value = std::str::from_utf8(cursor.binary()?).ok()?;
        cursor.expect(&[thrift::STOP])?;
    }
    let [chain_id, gateway, epoch, root] = values;
    Some(Head {
        chain_id: chain_id.parse().ok()?,
        gateway: gateway.parse().ok()?,
        epoch: epoch.parse().ok()?,
        records,
        root: root.parse().ok()?,
    })
}

/// See [`UsageFile::records`].
#[derive(Debug)]
pub struct Records<'a> {
    file: &'a UsageFile<'a>,
    next_group: usize,
    next_index: u64,
    read: std::vec::IntoIter<UsageRecord>,
}

impl Iterator for Records<'_> {
    type Item = Result<UsageRecord, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(record) = self.read.next() {
            return Some(Ok(record));
        }
        let group = self.file.groups.get(self.next_group)?;
        match self.file.group(group, self.next_index) {
            Ok(records) => {
                self.next_group += 1;
                self.next_index += records.len() as u64;
                self.read = records.into_iter();
                self.read.next().map(Ok)
            }
            Err(error) => {
                self.next_group = self.file.groups.len();
                Some(Err(error))
            }
        }
    }
}
