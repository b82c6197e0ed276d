//! Windows of ticks: the payer's anchor, and the hash chain whose preimages pay for one use each.
//!
//! `tick_0` is the root that the payer has signed; `tick_i` is what hashes to `tick_{i-1}` by SHA-256. Who shows `tick_i`
//! was given `i` ticks by the payer, who alone knows the chain's other end.

use std::{fmt, str::FromStr};

use alloy_primitives::B256;
use residual_primitives::{Amount, signed::TickOpen};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::channels::SignatureError;

/// The most ticks of a window, which is what a payer can lose by a gateway that crashes.
pub const MAX_TICKS: u32 = 1024;

/// A window's anchor and its signature, r, s, v (27 or 28).
#[derive(Clone, PartialEq, Eq)]
pub struct SignedTickOpen {
    /// What is anchored.
    pub open: TickOpen,
    /// By the channel's `payerAuthorizer`.
    pub signature: [u8; 65],
}

impl SignedTickOpen {
    /// Puts together what a peer has sent.
    ///
    /// # Errors
    /// [`SignatureError::Length`]; nothing else is looked at here.
    pub fn new(open: TickOpen, signature: &[u8]) -> Result<Self, SignatureError> {
        let signature =
            signature.try_into().map_err(|_| SignatureError::Length { found: signature.len() })?;
        Ok(Self { open, signature })
    }
}

impl fmt::Debug for SignedTickOpen {
    /// Without the signature, as a voucher.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedTickOpen").field("open", &self.open).finish_non_exhaustive()
    }
}

/// One preimage of the chain of a channel's window. Whoever has it can spend it until it was charged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The channel.
    pub channel_id: B256,
    /// Which one of the window, from 1.
    pub index: u32,
    /// What hashes to the tick before it.
    pub preimage: B256,
}

/// A text that is no tick. It does not repeat the text, which may be one but for its form.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error(
    "expected a tick as `<channel>; <index>; <preimage>`, the first and the last 0x and 64 hexadecimal digits in lower \
     case, the index a decimal number, found something else; write it so"
)]
pub struct TickTextError;

impl Tick {
    /// The HTTP header of a request that a tick pays for.
    pub const HEADER: &str = "residual-tick";

    /// The tick as that header has it: `<channel>; <index>; <preimage>`. Not by `Display`, lest it be shown by accident.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}; {}; {}", self.channel_id, self.index, self.preimage)
    }
}

impl FromStr for Tick {
    type Err = TickTextError;

    /// Reads what [`Tick::to_text`] writes, and no other form of it.
    fn from_str(text: &str) -> Result<Self, TickTextError> {
        let mut parts = text.splitn(3, "; ");
        let mut next = || parts.next().ok_or(TickTextError);
        let (channel_id, index, preimage) = (next()?, next()?, next()?);
        let word = |text: &str| text.parse::<B256>().map_err(|_| TickTextError);
        let index = index.parse().map_err(|_| TickTextError)?;
        let tick = Self { channel_id: word(channel_id)?, index, preimage: word(preimage)? };
        if tick.to_text() == text { Ok(tick) } else { Err(TickTextError) }
    }
}

impl fmt::Debug for Tick {
    /// Without the preimage, which is money until it was charged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Tick");
        shown.field("channel_id", &self.channel_id).field("index", &self.index).finish_non_exhaustive()
    }
}

/// The tick that this preimage comes after.
pub(crate) fn tick_before(preimage: &B256) -> B256 {
    B256::new(Sha256::digest(preimage).into())
}

/// What is charged on the channel once `ticks` of the window are; `None` when no amount is that large.
pub(crate) fn charged_with(open: &TickOpen, ticks: u32) -> Option<Amount> {
    open.unitPrice.checked_mul(ticks.into())?.checked_add(open.base).map(Amount)
}

/// What a payer draws windows from: 32 random bytes, wiped when dropped. One serves any number of windows, since each
/// has another base or channel, and no chain tells of another.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct TickSeed([u8; 32]);

impl TickSeed {
    /// Takes the seed over.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// The chain of `ticks` ticks of the window that begins at `base` of the channel.
    pub(crate) fn chain(&self, channel_id: &B256, base: Amount, ticks: u32) -> TickChain {
        let mut hasher = blake3::Hasher::new_derive_key("Residual tick chain");
        hasher.update(&self.0).update(channel_id.as_slice()).update(&base.0.to_be_bytes());
        hasher.update(&ticks.to_be_bytes());
        let mut last = B256::new(*hasher.finalize().as_bytes());
        hasher.zeroize();
        let mut chain = Zeroizing::new(vec![[0; 32]; ticks as usize + 1]);
        for tick in chain.iter_mut().rev() {
            *tick = last.0;
            last = tick_before(&last);
        }
        TickChain(chain)
    }
}

impl fmt::Debug for TickSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TickSeed(..)")
    }
}

/// All ticks of a window, the root first; 32 bytes each.
pub(crate) struct TickChain(Zeroizing<Vec<[u8; 32]>>);

impl TickChain {
    pub(crate) fn root(&self) -> B256 {
        B256::new(self.0[0])
    }

    /// `None` beyond the last.
    pub(crate) fn tick(&self, index: u32) -> Option<B256> {
        self.0.get(index as usize).copied().map(B256::new)
    }
}

impl fmt::Debug for TickChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TickChain(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each tick has one text, and nothing near it is another's.
        #[test]
        fn a_tick_has_one_text(channel in any::<[u8; 32]>(), index: u32, preimage in any::<[u8; 32]>(), at in 0..200_usize, byte in 0x20..0x7f_u8) {
            let tick = Tick { channel_id: channel.into(), index, preimage: preimage.into() };
            let text = tick.to_text();
            prop_assert_eq!(text.parse(), Ok(tick));
            let mut other = text.clone().into_bytes();
            let at = at % other.len();
            other[at] = byte;
            let other = String::from_utf8(other).unwrap();
            if let Ok(read) = other.parse::<Tick>() {
                prop_assert_eq!(read.to_text(), other);
            }
        }
    }

    #[test]
    fn another_form_of_a_tick_is_none() {
        let tick = Tick { channel_id: B256::repeat_byte(0xab), index: 7, preimage: B256::repeat_byte(0xcd) };
        let text = tick.to_text();
        let (channel, preimage) = (&text[..66], &text[text.len() - 66..]);
        for wrong in [
            String::new(),
            channel.to_owned(),
            text.replace("; ", ";"),
            text.replace("; ", ", "),
            text.replace("0x", ""),
            text.to_uppercase(),
            format!("{channel}; +7; {preimage}"),
            format!("{channel}; 07; {preimage}"),
            format!("{channel}; 4294967296; {preimage}"),
            format!("{text}; more"),
            format!(" {text}"),
            format!("{text} "),
        ] {
            assert_eq!(wrong.parse::<Tick>(), Err(TickTextError), "{wrong}");
        }
        assert!(!TickTextError.to_string().contains(preimage));
    }

    #[test]
    fn each_tick_hashes_to_the_one_before() {
        let seed = TickSeed::new([7; 32]);
        let chain = seed.chain(&B256::repeat_byte(1), Amount(40), MAX_TICKS);
        for index in 1..=MAX_TICKS {
            assert_eq!(tick_before(&chain.tick(index).unwrap()), chain.tick(index - 1).unwrap());
        }
        assert_eq!(chain.tick(0), Some(chain.root()));
        assert_eq!(chain.tick(MAX_TICKS + 1), None);
        // Of SHA-256 and nothing else: the digest of 32 zero bytes.
        let zeros = "0x66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
        assert_eq!(tick_before(&B256::ZERO), zeros.parse::<B256>().unwrap());
    }

    /// Another base, channel, length or seed: another root, so that no preimage serves in two windows.
    #[test]
    fn no_two_windows_share_a_chain() {
        let (seed, one, two) = (TickSeed::new([7; 32]), B256::repeat_byte(1), B256::repeat_byte(2));
        let root = |seed: &TickSeed, id, base, ticks| seed.chain(id, Amount(base), ticks).root();
        let first = root(&seed, &one, 40, 10);
        assert_eq!(first, root(&seed, &one, 40, 10));
        let others = [root(&seed, &one, 41, 10), root(&seed, &two, 40, 10), root(&seed, &one, 40, 11)];
        assert!(others.iter().all(|other| *other != first));
        assert_ne!(root(&TickSeed::new([8; 32]), &one, 40, 10), first);
        // Nor a part of one: a window one tick longer is no window of which one tick is known.
        let longer = seed.chain(&one, Amount(40), 11);
        assert!((0..=11).all(|index| longer.tick(index) != Some(first)));
        assert_eq!(format!("{seed:?} {longer:?}"), "TickSeed(..) TickChain(..)");
    }
}
