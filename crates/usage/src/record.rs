//! One metered use: its fields, what they must agree on, and its 250 bytes.

use std::ops::Deref;

use alloy_primitives::{Address, B256, U256, keccak256};
use residual_primitives::{Amount, AssetId, LicenceId};

/// Bytes of a record's encoding: fixed-width fields, big-endian, after one byte of version.
pub const RECORD_BYTES: usize = 250;

/// The most records of one epoch. A gateway that meters more begins another epoch.
pub const MAX_RECORDS: u64 = 10_000_000;

/// The largest amount, 10^38 - 1: what a decimal column of 38 digits holds.
pub const AMOUNT_MAX: Amount = Amount(10u128.pow(38) - 1);

/// The latest time, the end of the year 9999 in UNIX seconds: past it, readers of files show no dates.
pub const AT_MAX_S: u64 = 253_402_300_799;

const VERSION: u8 = 1;

/// How a use was paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// A voucher on a prepaid channel.
    Voucher,
    /// Preimages of a hash chain on a prepaid channel.
    Tick,
    /// A transfer of its own, x402 `exact`.
    Exact,
    /// Not at all, and no use: the gateway gives up what was charged on a channel and is not worth the gas of its claim.
    WrittenOff,
}

impl Lane {
    /// All of them, by their numbers in a record's encoding.
    pub const ALL: [Self; 4] = [Self::Voucher, Self::Tick, Self::Exact, Self::WrittenOff];

    /// Its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Voucher => "voucher",
            Self::Tick => "tick",
            Self::Exact => "exact",
            Self::WrittenOff => "written-off",
        }
    }
}

/// Why fields or bytes are no usage record.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RecordError {
    /// Not as many bytes as a record has.
    #[error("expected a usage record of {RECORD_BYTES} bytes, found {found}")]
    Length {
        /// Bytes given.
        found: usize,
    },
    /// Written by another release.
    #[error(
        "expected a usage record of version {VERSION}, found version {found}; read it with the release that wrote it"
    )]
    Version {
        /// Its first byte.
        found: u8,
    },
    /// A field cannot hold that.
    #[error("expected {expected} as the {field} of a usage record, found {found}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
}

fn field(field: &'static str, expected: &'static str, found: impl ToString) -> RecordError {
    RecordError::Field { field, expected, found: found.to_string() }
}

/// What a usage record says. Amounts are in the token's smallest unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UsageFields {
    /// Who metered the use and commits to the record; not zero.
    pub gateway: Address,
    /// The gateway's epoch, counted from 0.
    pub epoch: u64,
    /// Which record of the epoch, counted from 0; below [`MAX_RECORDS`].
    pub index: u64,
    /// When the charge was logged, in UNIX seconds; at most [`AT_MAX_S`]. The gateway's clock may step back.
    pub at_s: u64,
    /// What was used.
    pub asset: AssetId,
    /// How it was paid.
    pub lane: Lane,
    /// Who paid; not zero.
    pub payer: Address,
    /// The channel's id; on the lane `exact` the payment's. Not zero.
    pub source: B256,
    /// The currency; not zero.
    pub token: Address,
    /// How many units of use were counted, at least one; on the lane `written-off` none.
    pub units: u32,
    /// The advertised price of one, at most [`AMOUNT_MAX`]; on the lane `written-off` zero.
    pub unit_price: Amount,
    /// What was charged, at most [`AMOUNT_MAX`]. Ticks cost `units * unit_price`. Elsewhere the two may differ: a metered
    /// call is charged what it came to, and an exact payment what was asked before. On the lane `written-off` it is what is
    /// given up, above zero.
    pub amount: Amount,
    /// Charged on the channel with this use, cumulative, at least `amount` and at most [`AMOUNT_MAX`]; on the lane
    /// `exact` the amount itself, and on `written-off` up to where all is claimed or given up.
    pub charged_total: Amount,
    /// By which the payer's side knows the use.
    pub request_id: B256,
    /// The licence under which it was made, if the offer wants one; of this asset.
    pub licence: Option<LicenceId>,
}

/// A usage record: fields that agree. Its bytes are canonical, so that equal records have equal leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UsageRecord(UsageFields);

impl UsageRecord {
    /// Makes sure of every limit that [`UsageFields`] names.
    ///
    /// # Errors
    /// [`RecordError::Field`], for the first field that is wrong.
    pub fn new(fields: UsageFields) -> Result<Self, RecordError> {
        let UsageFields { gateway, payer, token, source, .. } = fields;
        for (name, address) in [("gateway", gateway), ("payer", payer), ("token", token)] {
            if address == Address::ZERO {
                return Err(field(name, "an address that is not zero", address));
            }
        }
        if source == B256::ZERO {
            return Err(field("source", "the id of a channel or payment", source));
        }
        if fields.index >= MAX_RECORDS {
            return Err(field("index", "a number below 10,000,000", fields.index));
        }
        if fields.at_s > AT_MAX_S {
            return Err(field("time", "UNIX seconds before the year 10000", fields.at_s));
        }
        let is_use = fields.lane != Lane::WrittenOff;
        if is_use && fields.units == 0 {
            return Err(field("units", "at least one unit", fields.units));
        }
        if !is_use {
            if fields.units != 0 {
                return Err(field("units", "none, as of no use", fields.units));
            }
            if fields.unit_price != Amount::ZERO {
                return Err(field("unit price", "zero, as of no use", fields.unit_price));
            }
            if fields.amount == Amount::ZERO {
                return Err(field("amount", "more than zero to be written off", fields.amount));
            }
            if let Some(licence) = fields.licence {
                return Err(field("licence", "none, as of no use", licence));
            }
        }
        let amounts = [
            ("unit price", fields.unit_price),
            ("amount", fields.amount),
            ("charged total", fields.charged_total),
        ];
        for (name, amount) in amounts {
            if amount > AMOUNT_MAX {
                return Err(field(name, "at most 38 digits", amount));
            }
        }
        let ticks = fields.unit_price.0.checked_mul(u128::from(fields.units));
        if fields.lane == Lane::Tick && ticks != Some(fields.amount.0) {
            return Err(field("amount", "units times unit price, as ticks cost", fields.amount));
        }
        if fields.lane == Lane::Exact && fields.charged_total != fields.amount {
            return Err(field(
                "charged total",
                "the amount, as of a payment on its own",
                fields.charged_total,
            ));
        }
        if fields.charged_total < fields.amount {
            return Err(field("charged total", "at least the amount", fields.charged_total));
        }
        if let Some(licence) = fields.licence
            && licence.asset() != fields.asset
        {
            return Err(field("licence", "one of the asset that was used", licence));
        }
        Ok(Self(fields))
    }

    /// The record's canonical bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut writer = Writer { bytes: [0; RECORD_BYTES], at: 0 };
        writer.put(&[VERSION]);
        writer.put(self.gateway.as_slice());
        writer.put(&self.epoch.to_be_bytes());
        writer.put(&self.index.to_be_bytes());
        writer.put(&self.at_s.to_be_bytes());
        writer.put(&self.asset.to_be_bytes());
        writer.put(&[self.lane as u8]);
        writer.put(self.payer.as_slice());
        writer.put(self.source.as_slice());
        writer.put(self.token.as_slice());
        writer.put(&self.units.to_be_bytes());
        writer.put(&self.unit_price.0.to_be_bytes());
        writer.put(&self.amount.0.to_be_bytes());
        writer.put(&self.charged_total.0.to_be_bytes());
        writer.put(self.request_id.as_slice());
        // A licence's id is never 0: its upper half is an asset's.
        let licence = self.licence.map_or(U256::ZERO, LicenceId::to_u256);
        writer.put(&licence.to_be_bytes::<32>());
        writer.bytes
    }

    /// Reads the bytes that [`Self::encode`] writes, and no others.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let found = bytes.len();
        let bytes: &[u8; RECORD_BYTES] = bytes.try_into().map_err(|_| RecordError::Length { found })?;
        let mut reader = Reader { bytes, at: 0 };
        let [version] = reader.take();
        if version != VERSION {
            return Err(RecordError::Version { found: version });
        }
        Self::new(UsageFields {
            gateway: reader.take().into(),
            epoch: u64::from_be_bytes(reader.take()),
            index: u64::from_be_bytes(reader.take()),
            at_s: u64::from_be_bytes(reader.take()),
            asset: asset(U256::from(u128::from_be_bytes(reader.take())))?,
            lane: {
                let [lane] = reader.take();
                let known = Lane::ALL.get(usize::from(lane)).copied();
                known.ok_or_else(|| field("lane", "0, 1, 2 or 3", lane))?
            },
            payer: reader.take().into(),
            source: reader.take().into(),
            token: reader.take().into(),
            units: u32::from_be_bytes(reader.take()),
            unit_price: Amount(u128::from_be_bytes(reader.take())),
            amount: Amount(u128::from_be_bytes(reader.take())),
            charged_total: Amount(u128::from_be_bytes(reader.take())),
            request_id: reader.take().into(),
            licence: match U256::from_be_bytes(reader.take::<32>()) {
                U256::ZERO => None,
                id => Some(licence(id)?),
            },
        })
    }

    /// The keccak-256 of its bytes: what the contract `Usage` takes for the record.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(self.encode())
    }
}

/// Fields are read freely and changed by making another record.
impl Deref for UsageRecord {
    type Target = UsageFields;

    fn deref(&self) -> &UsageFields {
        &self.0
    }
}

pub(crate) fn asset(id: U256) -> Result<AssetId, RecordError> {
    id.try_into().map_err(|_| field("asset", "an asset's id", id))
}

pub(crate) fn licence(id: U256) -> Result<LicenceId, RecordError> {
    id.try_into().map_err(|_| field("licence", "a licence's id", id))
}

struct Writer {
    bytes: [u8; RECORD_BYTES],
    at: usize,
}

impl Writer {
    fn put(&mut self, field: &[u8]) {
        self.bytes[self.at..self.at + field.len()].copy_from_slice(field);
        self.at += field.len();
    }
}

struct Reader<'a> {
    bytes: &'a [u8; RECORD_BYTES],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let field = self.bytes[self.at..self.at + N].try_into().expect("as long as it was cut");
        self.at += N;
        field
    }
}
