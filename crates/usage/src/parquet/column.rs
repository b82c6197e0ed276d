//! The columns: what each is in the schema, how its values are put into a chunk and found in one.

use std::{collections::HashMap, str::FromStr};

use alloy_primitives::hex;
use residual_primitives::{Amount, AssetId, LicenceId};

use super::thrift::{self, Cursor, Struct};
use crate::record::{Lane, RecordError, UsageFields, UsageRecord};

/// With more different values than this in a group, a column is written out.
const DICTIONARY_MAX: usize = 1 << 14;

// Parquet's numbers, by the names of its `parquet.thrift`.
const REQUIRED: u32 = 0;
const OPTIONAL: u32 = 1;
const UNCOMPRESSED: u32 = 0;
const PLAIN: u32 = 0;
const RLE: u32 = 3;
const RLE_DICTIONARY: u32 = 8;
const DATA_PAGE: u32 = 0;
const DICTIONARY_PAGE: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    U32,
    U64,
    Milliseconds,
    Decimal,
    Text,
}

impl Type {
    /// The physical type's number.
    fn physical(self) -> u32 {
        match self {
            Self::U32 => 1,
            Self::U64 | Self::Milliseconds => 2,
            Self::Text => 6,
            Self::Decimal => 7,
        }
    }

    /// Bytes of a value; none if they stand before it.
    fn width(self) -> Option<usize> {
        match self {
            Self::U32 => Some(4),
            Self::U64 | Self::Milliseconds => Some(8),
            Self::Decimal => Some(16),
            Self::Text => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Column {
    name: &'static str,
    kind: Type,
    optional: bool,
    /// Whether values repeat, so that a dictionary is tried.
    repeats: bool,
    value: fn(&UsageRecord) -> Plain,
}

const fn column(name: &'static str, kind: Type, repeats: bool, value: fn(&UsageRecord) -> Plain) -> Column {
    Column { name, kind, optional: false, repeats, value }
}

pub(crate) const COLUMNS: [Column; 15] = [
    column("gateway", Type::Text, true, |record| Plain::hex(record.gateway.as_slice())),
    column("epoch", Type::U64, true, |record| Plain::new(&record.epoch.to_le_bytes())),
    column("record", Type::U64, false, |record| Plain::new(&record.index.to_le_bytes())),
    column("logged_at", Type::Milliseconds, false, |record| Plain::new(&(record.at_s * 1000).to_le_bytes())),
    column("asset", Type::Text, true, |record| Plain::hex(&record.asset.to_be_bytes())),
    column("lane", Type::Text, true, |record| Plain::text(record.lane.name().as_bytes())),
    column("payer", Type::Text, true, |record| Plain::hex(record.payer.as_slice())),
    column("source", Type::Text, true, |record| Plain::hex(record.source.as_slice())),
    column("token", Type::Text, true, |record| Plain::hex(record.token.as_slice())),
    column("units", Type::U32, true, |record| Plain::new(&record.units.to_le_bytes())),
    column("unit_price", Type::Decimal, true, |record| Plain::new(&record.unit_price.0.to_be_bytes())),
    column("amount", Type::Decimal, false, |record| Plain::new(&record.amount.0.to_be_bytes())),
    column("charged_total", Type::Decimal, false, |record| Plain::new(&record.charged_total.0.to_be_bytes())),
    column("request_id", Type::Text, false, |record| Plain::hex(record.request_id.as_slice())),
    Column {
        name: "licence",
        kind: Type::Text,
        optional: true,
        repeats: true,
        value: |record| {
            record.licence.map_or(Plain::NULL, |licence| Plain::hex(&licence.to_u256().to_be_bytes::<32>()))
        },
    },
];

/// A value as the encoding `PLAIN` has it; a text with its length before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Plain {
    bytes: [u8; 70],
    len: u8,
}

impl Plain {
    const NULL: Self = Self { bytes: [0; 70], len: 0 };

    fn new(value: &[u8]) -> Self {
        let mut plain = Self::NULL;
        plain.bytes[..value.len()].copy_from_slice(value);
        plain.len = value.len() as u8;
        plain
    }

    fn text(value: &[u8]) -> Self {
        let mut plain = Self::new(&[&[0; 4], value].concat());
        plain.bytes[0] = value.len() as u8;
        plain
    }

    fn hex(value: &[u8]) -> Self {
        let mut plain = Self::NULL;
        let len = 4 + 2 + 2 * value.len();
        plain.len = len as u8;
        plain.bytes[0] = (len - 4) as u8;
        plain.bytes[4..6].copy_from_slice(b"0x");
        hex::encode_to_slice(value, &mut plain.bytes[6..len])
            .expect("two digits a byte, and 32 bytes at most");
        plain
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Where a group's values of one column lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) start: usize,
    /// Where the page of values begins; after `start` if a dictionary comes first.
    data: usize,
    pub(crate) end: usize,
}

impl Chunk {
    fn has_dictionary(&self) -> bool {
        self.data != self.start
    }

    /// Passes a chunk's pages.
    pub(crate) fn find(cursor: &mut Cursor<'_>) -> Option<Self> {
        let start = cursor.at();
        let mut page = PageHeader::read(cursor)?;
        cursor.take(page.size)?;
        let mut data = start;
        if page.kind == DICTIONARY_PAGE {
            data = cursor.at();
            page = PageHeader::read(cursor)?;
            cursor.take(page.size)?;
        }
        (page.kind == DATA_PAGE).then_some(Self { start, data, end: cursor.at() })
    }
}

#[derive(Debug, Clone, Copy)]
struct PageHeader {
    kind: u32,
    size: usize,
    values: usize,
    encoding: u32,
}

impl PageHeader {
    fn put(&self, bytes: &mut Vec<u8>) {
        let size = u32::try_from(self.size).expect("65,536 values of at most 70 bytes");
        let mut header = Struct::element(bytes);
        header.i32(1, self.kind);
        header.i32(2, size);
        header.i32(3, size);
        let mut inner = header.inner(if self.kind == DATA_PAGE { 5 } else { 7 });
        inner.i32(1, self.values as u32);
        inner.i32(2, self.encoding);
        if self.kind == DATA_PAGE {
            inner.i32(3, RLE);
            inner.i32(4, RLE);
        }
        inner.stop();
        header.stop();
    }

    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        fn number(cursor: &mut Cursor<'_>) -> Option<u32> {
            cursor.expect(&[thrift::field(1, thrift::I32)])?;
            u32::try_from(cursor.zigzag()?).ok()
        }
        let kind = number(cursor)?;
        let size = number(cursor)?;
        if number(cursor)? != size {
            return None;
        }
        cursor.expect(&[thrift::field(if kind == DATA_PAGE { 2 } else { 4 }, thrift::STRUCT)])?;
        let values = number(cursor)?;
        let encoding = number(cursor)?;
        match kind {
            DATA_PAGE if number(cursor)? == RLE && number(cursor)? == RLE => {}
            DICTIONARY_PAGE => {}
            _ => return None,
        }
        cursor.expect(&[thrift::STOP, thrift::STOP])?;
        Some(Self { kind, size: size as usize, values: values as usize, encoding })
    }
}

/// The values of one column of a group, still in their encoding; none for null.
#[derive(Debug)]
pub(crate) struct Values<'a>(Vec<Option<&'a [u8]>>);

impl Column {
    pub(crate) fn put_schema(&self, bytes: &mut Vec<u8>) {
        let mut element = Struct::element(bytes);
        element.i32(1, self.kind.physical());
        if self.kind == Type::Decimal {
            element.i32(2, 16);
        }
        element.i32(3, if self.optional { OPTIONAL } else { REQUIRED });
        element.binary(4, self.name.as_bytes());
        // The older and the newer way to say what a column means.
        let converted = match self.kind {
            Type::Text => 0,
            Type::Decimal => 5,
            Type::Milliseconds => 9,
            Type::U32 => 13,
            Type::U64 => 14,
        };
        element.i32(6, converted);
        if self.kind == Type::Decimal {
            element.i32(7, 0);
            element.i32(8, 38);
        }
        let mut logical = element.inner(10);
        match self.kind {
            Type::Text => logical.inner(1).stop(),
            Type::Decimal => {
                let mut decimal = logical.inner(5);
                decimal.i32(1, 0);
                decimal.i32(2, 38);
                decimal.stop();
            }
            Type::Milliseconds => {
                let mut timestamp = logical.inner(8);
                timestamp.bool(1, true);
                let mut unit = timestamp.inner(2);
                unit.inner(1).stop();
                unit.stop();
                timestamp.stop();
            }
            Type::U32 | Type::U64 => {
                let mut integer = logical.inner(10);
                integer.byte(1, if self.kind == Type::U32 { 32 } else { 64 });
                integer.bool(2, false);
                integer.stop();
            }
        }
        logical.stop();
        element.stop();
    }

    pub(crate) fn put_metadata(&self, bytes: &mut Vec<u8>, chunk: &Chunk, rows: usize) {
        let mut outer = Struct::element(bytes);
        outer.i64(2, 0);
        let mut metadata = outer.inner(3);
        metadata.i32(1, self.kind.physical());
        let encodings: &[u32] =
            if chunk.has_dictionary() { &[PLAIN, RLE, RLE_DICTIONARY] } else { &[PLAIN, RLE] };
        metadata.list(2, thrift::I32, encodings.len());
        encodings.iter().for_each(|encoding| metadata.element_i32(*encoding));
        metadata.list(3, thrift::BINARY, 1);
        metadata.element_binary(self.name.as_bytes());
        metadata.i32(4, UNCOMPRESSED);
        metadata.i64(5, rows as u64);
        metadata.i64(6, (chunk.end - chunk.start) as u64);
        metadata.i64(7, (chunk.end - chunk.start) as u64);
        metadata.i64(9, chunk.data as u64);
        if chunk.has_dictionary() {
            metadata.i64(11, chunk.start as u64);
        }
        metadata.stop();
        outer.stop();
    }

    pub(crate) fn put_chunk(&self, bytes: &mut Vec<u8>, records: &[UsageRecord]) -> Chunk {
        let start = bytes.len();
        let mut page = Vec::new();
        let mut values: Vec<Plain> = records.iter().map(self.value).collect();
        if self.optional {
            let present: Vec<u32> = values.iter().map(|value| u32::from(*value != Plain::NULL)).collect();
            let mut levels = Vec::new();
            put_hybrid(&mut levels, &present, 1);
            page.extend_from_slice(&(levels.len() as u32).to_le_bytes());
            page.extend_from_slice(&levels);
            values.retain(|value| *value != Plain::NULL);
        }
        let dictionary = if self.repeats { Dictionary::of(&values) } else { None };
        let encoding = match &dictionary {
            Some(Dictionary { entries, indices }) => {
                let size = entries.iter().map(|entry| entry.as_slice().len()).sum();
                PageHeader { kind: DICTIONARY_PAGE, size, values: entries.len(), encoding: PLAIN }.put(bytes);
                entries.iter().for_each(|entry| bytes.extend_from_slice(entry.as_slice()));
                let width = index_width(entries.len());
                page.push(width);
                put_hybrid(&mut page, indices, width);
                RLE_DICTIONARY
            }
            None => {
                values.iter().for_each(|value| page.extend_from_slice(value.as_slice()));
                PLAIN
            }
        };
        let data = bytes.len();
        PageHeader { kind: DATA_PAGE, size: page.len(), values: records.len(), encoding }.put(bytes);
        bytes.extend_from_slice(&page);
        Chunk { start, data, end: bytes.len() }
    }

    /// Finds the values of so many rows in a chunk's bytes. Whether the writer would have put them so is not asked here.
    pub(crate) fn values<'a>(&self, chunk: &'a [u8], rows: usize) -> Option<Values<'a>> {
        let mut cursor = Cursor::new(chunk);
        let mut header = PageHeader::read(&mut cursor)?;
        let mut page = Cursor::new(cursor.take(header.size)?);
        let mut dictionary = None;
        if header.kind == DICTIONARY_PAGE {
            if header.values > DICTIONARY_MAX {
                return None;
            }
            let entries: Option<Vec<_>> = (0..header.values).map(|_| self.value(&mut page)).collect();
            dictionary = Some(entries?);
            header = PageHeader::read(&mut cursor)?;
            page = Cursor::new(cursor.take(header.size)?);
        }
        if header.values != rows {
            return None;
        }
        let mut present = vec![true; rows];
        if self.optional {
            let len = u32::from_le_bytes(page.take(4)?.try_into().ok()?);
            let mut levels = Cursor::new(page.take(len as usize)?);
            let levels = hybrid(&mut levels, 1, rows)?;
            present.iter_mut().zip(levels).for_each(|(present, level)| *present = level == 1);
        }
        let count = present.iter().filter(|present| **present).count();
        let indices = match &dictionary {
            Some(_) => {
                let width = page.byte()?;
                hybrid(&mut page, width, count)?
            }
            None => Vec::new(),
        };
        let mut indices = indices.into_iter();
        let values = present.into_iter().map(|present| match (&dictionary, present) {
            (_, false) => Some(None),
            (Some(entries), true) => entries.get(indices.next()? as usize).copied().map(Some),
            (None, true) => self.value(&mut page).map(Some),
        });
        values.collect::<Option<_>>().map(Values)
    }

    /// One value, without the length before it.
    fn value<'a>(&self, page: &mut Cursor<'a>) -> Option<&'a [u8]> {
        let width = match self.kind.width() {
            Some(width) => width,
            None => u32::from_le_bytes(page.take(4)?.try_into().ok()?) as usize,
        };
        page.take(width)
    }
}

/// A column's different values in the order of their first appearance, and for each row which it is.
struct Dictionary {
    entries: Vec<Plain>,
    indices: Vec<u32>,
}

impl Dictionary {
    /// None without values, or with too many different ones.
    fn of(values: &[Plain]) -> Option<Self> {
        let (mut entries, mut known) = (Vec::new(), HashMap::new());
        let mut indices = Vec::with_capacity(values.len());
        for value in values {
            let next = entries.len() as u32;
            let index = *known.entry(*value).or_insert(next);
            if index == next {
                entries.push(*value);
            }
            if entries.len() > DICTIONARY_MAX {
                return None;
            }
            indices.push(index);
        }
        (!entries.is_empty()).then_some(Self { entries, indices })
    }
}

/// Bits of an index into so many entries, at least one.
fn index_width(entries: usize) -> u8 {
    (usize::BITS - (entries - 1).leading_zeros()).max(1) as u8
}

/// Parquet's hybrid of runs and packed bits, in one run: of equal numbers, or else of packed ones, filled up with zeros
/// to a multiple of eight. There is at least one number.
fn put_hybrid(bytes: &mut Vec<u8>, numbers: &[u32], width: u8) {
    if numbers.iter().all(|number| *number == numbers[0]) {
        thrift::put_varint(bytes, (numbers.len() as u64) << 1);
        let value = numbers[0].to_le_bytes();
        bytes.extend_from_slice(&value[..usize::from(width).div_ceil(8)]);
        return;
    }
    let groups = numbers.len().div_ceil(8);
    thrift::put_varint(bytes, (groups as u64) << 1 | 1);
    let (mut bits, mut filled) = (0_u64, 0);
    let padding = std::iter::repeat_n(&0, groups * 8 - numbers.len());
    for number in numbers.iter().chain(padding) {
        bits |= u64::from(*number) << filled;
        filled += u32::from(width);
        while filled >= 8 {
            bytes.push(bits as u8);
            bits >>= 8;
            filled -= 8;
        }
    }
}

/// Reads what [`put_hybrid`] writes.
fn hybrid(cursor: &mut Cursor<'_>, width: u8, count: usize) -> Option<Vec<u32>> {
    if !(1..=16).contains(&width) {
        return None;
    }
    let header = cursor.varint()?;
    if header & 1 == 0 {
        let mut value = [0; 4];
        let taken = cursor.take(usize::from(width).div_ceil(8))?;
        value[..taken.len()].copy_from_slice(taken);
        return (header >> 1 == count as u64).then(|| vec![u32::from_le_bytes(value); count]);
    }
    let groups = count.div_ceil(8);
    if header >> 1 != groups as u64 {
        return None;
    }
    let (mut bits, mut filled) = (0_u64, 0);
    let mut numbers = Vec::with_capacity(groups * 8);
    for byte in cursor.take(groups * usize::from(width))? {
        bits |= u64::from(*byte) << filled;
        filled += 8;
        while filled >= u32::from(width) {
            numbers.push(bits as u32 & ((1 << width) - 1));
            bits >>= width;
            filled -= u32::from(width);
        }
    }
    numbers.truncate(count);
    Some(numbers)
}

/// Puts one row together. What its values are is looked at here, what they must agree on is [`UsageRecord::new`]'s.
pub(crate) fn record(columns: &[Values<'_>], row: usize) -> Result<UsageFields, RecordError> {
    let mut columns = columns.iter().map(|values| values.0[row]);
    // In the order of `COLUMNS`.
    let mut next = || columns.next().flatten();
    Ok(UsageFields {
        gateway: text("gateway", next())?,
        epoch: u64::from_le_bytes(fixed("epoch", next())?),
        index: u64::from_le_bytes(fixed("record", next())?),
        at_s: u64::from_le_bytes(fixed("time", next())?) / 1000,
        asset: text::<AssetId>("asset", next())?,
        lane: {
            let name = next();
            let known = Lane::ALL.into_iter().find(|lane| Some(lane.name().as_bytes()) == name);
            known.ok_or_else(|| wrong("lane", name))?
        },
        payer: text("payer", next())?,
        source: text("source", next())?,
        token: text("token", next())?,
        units: u32::from_le_bytes(fixed("units", next())?),
        unit_price: Amount(u128::from_be_bytes(fixed("unit price", next())?)),
        amount: Amount(u128::from_be_bytes(fixed("amount", next())?)),
        charged_total: Amount(u128::from_be_bytes(fixed("charged total", next())?)),
        request_id: text("request id", next())?,
        licence: match next() {
            None => None,
            Some(value) => Some(text::<LicenceId>("licence", Some(value))?),
        },
    })
}

fn fixed<const N: usize>(field: &'static str, value: Option<&[u8]>) -> Result<[u8; N], RecordError> {
    value.and_then(|value| value.try_into().ok()).ok_or_else(|| wrong(field, value))
}

fn text<T: FromStr>(field: &'static str, value: Option<&[u8]>) -> Result<T, RecordError> {
    let text = value.and_then(|value| std::str::from_utf8(value).ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| wrong(field, value))
}

fn wrong(field: &'static str, value: Option<&[u8]>) -> RecordError {
    let found = value.map_or_else(
        || "nothing".to_owned(),
        |value| format!("{:?}", String::from_utf8_lossy(&value[..value.len().min(80)])),
    );
    RecordError::Field { field, expected: "a value as the writer writes it", found }
}
