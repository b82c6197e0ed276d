//! What the log says: each use, and what must be known to follow the uses.
//!
//! Some records stand only where a segment begins, or a channel comes into it again: they repeat what an earlier segment
//! has, so that recovery need not read it, and are no uses. Each has a kind of its own.

use alloy_primitives::{Address, B256};
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, TickOpen},
};

use crate::{
    channels::SignedVoucher,
    fields::{Fields, put_config, put_voucher},
};

const OPENED: u8 = 1;
const CHARGED: u8 = 2;
const WINDOW_SIGNED: u8 = 3;
const WINDOW: u8 = 4;
const TICKED: u8 = 5;
const WINDOW_CLOSED: u8 = 6;
const EXACT: u8 = 7;
const STANDING: u8 = 8;
const REMEMBERED: u8 = 9;
const REMEMBERED_EXACT: u8 = 10;
const WRITTEN_OFF: u8 = 11;
const REMEMBERED_WRITE_OFF: u8 = 12;

const BY_VOUCHER: u8 = 1;
const BY_TICK: u8 = 2;

/// One use that was paid for by a voucher of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChargeRecord {
    pub(crate) signed: SignedVoucher,
    /// Charged on the channel with this use, cumulative.
    pub(crate) charged_total: Amount,
    pub(crate) amount: Amount,
    pub(crate) units: u32,
    pub(crate) request_id: B256,
    pub(crate) request_digest: B256,
    pub(crate) at_s: u64,
}

/// A window of ticks. Its signatures stand in the record before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WindowRecord {
    /// Its gateway is the one that the log is of.
    pub(crate) open: TickOpen,
    /// Ticks charged by then, and the last preimage, or the root when there is none.
    pub(crate) used: u32,
    pub(crate) tip: B256,
}

/// One use that was paid for by the next tick of the channel's window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TickRecord {
    pub(crate) channel_id: B256,
    pub(crate) index: u32,
    pub(crate) preimage: B256,
    pub(crate) units: u32,
    pub(crate) request_id: B256,
    pub(crate) request_digest: B256,
    pub(crate) at_s: u64,
}

/// One use that was settled on the ledger by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExactRecord {
    pub(crate) payment_id: B256,
    pub(crate) payer: Address,
    pub(crate) receiver: Address,
    pub(crate) token: Address,
    pub(crate) amount: Amount,
    pub(crate) units: u32,
    pub(crate) request_id: B256,
    pub(crate) request_digest: B256,
    pub(crate) at_s: u64,
}

/// What is given up of a channel, because to claim it costs more than it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteOff {
    pub(crate) channel_id: B256,
    /// Charged on the channel by then, cumulative: up to there all is claimed or given up.
    pub(crate) total: Amount,
    /// Of that, what neither was claimed nor had been given up before.
    pub(crate) amount: Amount,
    pub(crate) at_s: u64,
}

/// How far a channel was charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) highest: SignedVoucher,
    pub(crate) charged: Amount,
    pub(crate) last_charged_at_s: u64,
    /// Of the last window that was used; zero when there was none.
    pub(crate) last_root: B256,
}

/// By what a charge was paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A voucher up to this amount.
    Voucher(Amount),
    Tick {
        index: u32,
        preimage: B256,
    },
}

/// What is kept of a charge, to tell when it is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) request_id: B256,
    pub(crate) request_digest: B256,
    pub(crate) proof: Proof,
    pub(crate) amount: Amount,
    pub(crate) charged_total: Amount,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// The channel that later records name by its id.
    Opened(ChannelConfig),
    Charged(ChargeRecord),
    /// The signatures of the window whose record comes next on this channel.
    WindowSigned {
        voucher: SignedVoucher,
        open: [u8; 65],
    },
    Window(WindowRecord),
    Ticked(TickRecord),
    WindowClosed {
        channel_id: B256,
        root: B256,
    },
    Exact(ExactRecord),
    WrittenOff(WriteOff),
    /// No use: what earlier segments say of a channel.
    Standing(Standing),
    /// No use: a charge of an earlier segment.
    Remembered {
        channel_id: B256,
        memory: Memory,
    },
    /// No use: one of an earlier segment.
    RememberedExact(ExactRecord),
    /// No use: up to where an earlier segment gives up.
    RememberedWriteOff {
        channel_id: B256,
        total: Amount,
    },
}

impl Record {
    /// Whether it is a use that was paid for here, or a write-off, which is told with the uses; and not one that an earlier
    /// segment has.
    pub(crate) fn is_use(&self) -> bool {
        matches!(self, Self::Charged(_) | Self::Ticked(_) | Self::Exact(_) | Self::WrittenOff(_))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Opened(config) => {
                out.push(OPENED);
                put_config(out, config);
            }
            Self::Charged(charge) => {
                out.push(CHARGED);
                put_voucher(out, &charge.signed);
                put_amount(out, charge.charged_total);
                put_amount(out, charge.amount);
                put_request(out, charge.units, &charge.request_id, &charge.request_digest, charge.at_s);
            }
            Self::WindowSigned { voucher, open } => {
                out.push(WINDOW_SIGNED);
                put_voucher(out, voucher);
                out.extend_from_slice(open);
            }
            Self::Window(window) => {
                let open = &window.open;
                out.push(WINDOW);
                out.extend_from_slice(open.gateway.as_slice());
                out.extend_from_slice(open.channelId.as_slice());
                put_amount(out, Amount(open.base));
                put_amount(out, Amount(open.unitPrice));
                out.extend_from_slice(&open.maxTicks.to_be_bytes());
                out.extend_from_slice(open.root.as_slice());
                out.extend_from_slice(open.termsHash.as_slice());
                out.extend_from_slice(&window.used.to_be_bytes());
                out.extend_from_slice(window.tip.as_slice());
            }
            Self::Ticked(tick) => {
                out.push(TICKED);
                out.extend_from_slice(tick.channel_id.as_slice());
                out.extend_from_slice(&tick.index.to_be_bytes());
                out.extend_from_slice(tick.preimage.as_slice());
                put_request(out, tick.units, &tick.request_id, &tick.request_digest, tick.at_s);
            }
            Self::WindowClosed { channel_id, root } => {
                out.push(WINDOW_CLOSED);
                out.extend_from_slice(channel_id.as_slice());
                out.extend_from_slice(root.as_slice());
            }
            Self::Exact(exact) => {
                out.push(EXACT);
                put_exact(out, exact);
            }
            Self::Standing(standing) => {
                out.push(STANDING);
                put_voucher(out, &standing.highest);
                put_amount(out, standing.charged);
                out.extend_from_slice(&standing.last_charged_at_s.to_be_bytes());
                out.extend_from_slice(standing.last_root.as_slice());
            }
            Self::Remembered { channel_id, memory } => {
                out.push(REMEMBERED);
                out.extend_from_slice(channel_id.as_slice());
                out.extend_from_slice(memory.request_id.as_slice());
                out.extend_from_slice(memory.request_digest.as_slice());
                put_amount(out, memory.amount);
                put_amount(out, memory.charged_total);
                match &memory.proof {
                    Proof::Voucher(max) => {
                        out.push(BY_VOUCHER);
                        put_amount(out, *max);
                    }
                    Proof::Tick { index, preimage } => {
                        out.push(BY_TICK);
                        out.extend_from_slice(&index.to_be_bytes());
                        out.extend_from_slice(preimage.as_slice());
                    }
                }
            }
            Self::RememberedExact(exact) => {
                out.push(REMEMBERED_EXACT);
                put_exact(out, exact);
            }
            Self::WrittenOff(given_up) => {
                out.push(WRITTEN_OFF);
                out.extend_from_slice(given_up.channel_id.as_slice());
                put_amount(out, given_up.total);
                put_amount(out, given_up.amount);
                out.extend_from_slice(&given_up.at_s.to_be_bytes());
            }
            Self::RememberedWriteOff { channel_id, total } => {
                out.push(REMEMBERED_WRITE_OFF);
                out.extend_from_slice(channel_id.as_slice());
                put_amount(out, *total);
            }
        }
    }

    /// Reads a record that fills `bytes` but for zeros behind it; `None` when there is none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let fields = &mut Fields(bytes);
        let [kind] = fields.bytes()?;
        let record = match kind {
            OPENED => Self::Opened(fields.config()?),
            CHARGED => charged(fields)?,
            WINDOW_SIGNED => Self::WindowSigned { voucher: fields.voucher()?, open: fields.bytes()? },
            WINDOW => Self::Window(WindowRecord {
                open: TickOpen {
                    gateway: fields.address()?,
                    channelId: fields.word()?,
                    base: fields.amount()?.0,
                    unitPrice: fields.amount()?.0,
                    maxTicks: fields.u32()?,
                    root: fields.word()?,
                    termsHash: fields.word()?,
                },
                used: fields.u32()?,
                tip: fields.word()?,
            }),
            TICKED => ticked(fields)?,
            WINDOW_CLOSED => Self::WindowClosed { channel_id: fields.word()?, root: fields.word()? },
            EXACT => Self::Exact(exact(fields)?),
            STANDING => Self::Standing(Standing {
                highest: fields.voucher()?,
                charged: fields.amount()?,
                last_charged_at_s: fields.u64()?,
                last_root: fields.word()?,
            }),
            REMEMBERED => remembered(fields)?,
            REMEMBERED_EXACT => Self::RememberedExact(exact(fields)?),
            WRITTEN_OFF => Self::WrittenOff(WriteOff {
                channel_id: fields.word()?,
                total: fields.amount()?,
                amount: fields.amount()?,
                at_s: fields.u64()?,
            }),
            REMEMBERED_WRITE_OFF => {
                Self::RememberedWriteOff { channel_id: fields.word()?, total: fields.amount()? }
            }
            _ => return None,
        };
        fields.0.iter().all(|byte| *byte == 0).then_some(record)
    }
}

fn charged(fields: &mut Fields<'_>) -> Option<Record> {
    let (signed, charged_total, amount) = (fields.voucher()?, fields.amount()?, fields.amount()?);
    let (units, request_id, request_digest, at_s) = request(fields)?;
    let charge = ChargeRecord { signed, charged_total, amount, units, request_id, request_digest, at_s };
    Some(Record::Charged(charge))
}

fn ticked(fields: &mut Fields<'_>) -> Option<Record> {
    let (channel_id, index, preimage) = (fields.word()?, fields.u32()?, fields.word()?);
    let (units, request_id, request_digest, at_s) = request(fields)?;
    Some(Record::Ticked(TickRecord { channel_id, index, preimage, units, request_id, request_digest, at_s }))
}

fn remembered(fields: &mut Fields<'_>) -> Option<Record> {
    let (channel_id, request_id, request_digest) = (fields.word()?, fields.word()?, fields.word()?);
    let (amount, charged_total) = (fields.amount()?, fields.amount()?);
    let [lane] = fields.bytes()?;
    let proof = match lane {
        BY_VOUCHER => Proof::Voucher(fields.amount()?),
        BY_TICK => Proof::Tick { index: fields.u32()?, preimage: fields.word()? },
        _ => return None,
    };
    let memory = Memory { request_id, request_digest, proof, amount, charged_total };
    Some(Record::Remembered { channel_id, memory })
}

fn exact(fields: &mut Fields<'_>) -> Option<ExactRecord> {
    let (payment_id, payer) = (fields.word()?, fields.address()?);
    let (receiver, token, amount) = (fields.address()?, fields.address()?, fields.amount()?);
    let (units, request_id, request_digest, at_s) = request(fields)?;
    Some(ExactRecord { payment_id, payer, receiver, token, amount, units, request_id, request_digest, at_s })
}

fn request(fields: &mut Fields<'_>) -> Option<(u32, B256, B256, u64)> {
    Some((fields.u32()?, fields.word()?, fields.word()?, fields.u64()?))
}

fn put_request(out: &mut Vec<u8>, units: u32, id: &B256, digest: &B256, at_s: u64) {
    out.extend_from_slice(&units.to_be_bytes());
    out.extend_from_slice(id.as_slice());
    out.extend_from_slice(digest.as_slice());
    out.extend_from_slice(&at_s.to_be_bytes());
}

fn put_exact(out: &mut Vec<u8>, exact: &ExactRecord) {
    out.extend_from_slice(exact.payment_id.as_slice());
    for address in [exact.payer, exact.receiver, exact.token] {
        out.extend_from_slice(address.as_slice());
    }
    put_amount(out, exact.amount);
    put_request(out, exact.units, &exact.request_id, &exact.request_digest, exact.at_s);
}

fn put_amount(out: &mut Vec<u8>, amount: Amount) {
    out.extend_from_slice(&amount.0.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log::RECORD;

    proptest! {
        /// Whatever decodes is encoded to the same bytes, and all kinds fit a frame; nothing panics.
        #[test]
        fn a_record_has_one_form(kind in 0..14_u8, lane in 0..3_u8, noise in prop::collection::vec(any::<u8>(), RECORD)) {
            let mut bytes = noise;
            bytes[0] = kind;
            if kind == REMEMBERED {
                bytes[1 + 3 * 32 + 2 * 16] = lane;
            }
            // The shortest prefix that decodes is the whole record, since zeros may follow it.
            for length in 0..=RECORD {
                let mut padded = bytes[..length].to_vec();
                padded.resize(RECORD, 0);
                let Some(record) = Record::decode(&padded) else { continue };
                let mut out = Vec::new();
                record.encode(&mut out);
                prop_assert!(out.len() <= RECORD);
                out.resize(RECORD, 0);
                prop_assert_eq!(out, padded);
            }
        }
    }
}
