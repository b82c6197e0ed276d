//! The payer's end of one channel: signs cumulative vouchers, never beyond the confirmed escrow (CH-3), and keeps the
//! highest on disk before anyone sees it, so that no restart makes it promise the same money for two things.
//!
//! For many small uses it opens a window of ticks, by one voucher and the root of a hash chain, and lets one preimage go
//! for each use. How many it may have let go is on disk before the first of them goes, [`RESERVED_TICKS`] at a time.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use alloy_primitives::B256;
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, TickOpen, Voucher},
};

use crate::{
    channels::{Channels, SignatureError, SignedVoucher},
    durable::{self, FileError},
    escrow::Escrow,
    fields::{CHECKSUM, Fields, checksum, put_config, put_voucher},
    ticks::{MAX_TICKS, SignedTickOpen, Tick, TickChain, TickSeed, charged_with},
};

const MAGIC: [u8; 8] = *b"RSDPURSE";
const VERSION: u16 = 2;

/// How many ticks one flush allows to be let go. As many may count as let go after a crash that were not.
pub const RESERVED_TICKS: u32 = 64;

/// Why a purse cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenPurseError {
    /// The directory or a file in it cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The channel has no key of its own for vouchers, so no gateway serves it.
    #[error("expected a channel with a payerAuthorizer, found zero; open one whose vouchers a key signs")]
    NoAuthorizer,
    /// Written by another version of the program.
    #[error("expected version {VERSION} of a purse in {}, found {found}; use the program that wrote it", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
    },
    /// What is there is no purse of this channel.
    #[error(
        "expected the purse of channel {channel} in {}, found something else or a damaged file; restore it, or move it \
         away and ask the gateway for the highest voucher it holds",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The channel that it should be of.
        channel: B256,
    },
}

/// Why a promise was not made. Nothing has changed then, and no voucher left the purse.
#[derive(Debug, thiserror::Error)]
pub enum PromiseError {
    /// Inside a window the channel is charged by its ticks alone.
    #[error("expected a tick of the open window {root} to be let go, found a promise; end the window first")]
    InsideWindow {
        /// The window's root.
        root: B256,
    },
    /// A voucher must promise more than the one before.
    #[error("expected an amount above zero, found 0; there is nothing to promise")]
    Zero,
    /// The escrow is too small (CH-3).
    #[error(
        "expected at most {left} more to be promised (confirmed {balance}, of which {pending} are being withdrawn and \
         {promised} are promised), found {amount}; top the channel up and wait until the ledger has confirmed it"
    )]
    BeyondEscrow {
        /// What was to be promised.
        amount: Amount,
        /// What could be.
        left: Amount,
        /// Promised so far.
        promised: Amount,
        /// The confirmed balance.
        balance: Amount,
        /// Asked back by the payer.
        pending: Amount,
    },
    /// The signer refused.
    #[error(
        "expected a signature by the channel's payerAuthorizer, and the signer failed: {0}; unlock the account"
    )]
    Signer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The signer is another account, or its signature has a form that the contract refuses.
    #[error("the voucher's signature cannot be used: {0}")]
    Signature(#[from] SignatureError),
    /// It could not be kept, so it was not handed out.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What a window of ticks is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowPlan {
    /// What the gateway says is charged on the channel so far.
    pub base: Amount,
    /// The price of each tick, above zero.
    pub unit_price: Amount,
    /// How many ticks, 1 to [`MAX_TICKS`].
    pub max_ticks: u32,
    /// The hash of what a use is.
    pub terms_hash: B256,
}

/// Why a window was not opened. Nothing has changed then, and nothing left the purse.
#[derive(Debug, thiserror::Error)]
pub enum OpenWindowError {
    /// Its voucher cannot be made.
    #[error(transparent)]
    Refused(#[from] PromiseError),
    /// No ticks, or too many.
    #[error("expected a window of 1 to 1024 ticks, found {found}; plan one within these bounds")]
    Ticks {
        /// As planned.
        found: u32,
    },
    /// No gateway serves for nothing.
    #[error("expected a price above zero, found 0; plan the window at the gateway's price")]
    Free,
    /// The gateway says that less was charged than it has claimed, or more than was let go.
    #[error(
        "expected {at_least} to {at_most} to be charged so far, found {found} by the gateway's word; do not pay it, and close the channel"
    )]
    Base {
        /// What the ledger says was claimed.
        at_least: Amount,
        /// What was promised for requests and let go in ticks.
        at_most: Amount,
        /// As planned.
        found: Amount,
    },
}

/// Why a tick was not let go.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    /// There is nothing to take it from.
    #[error("expected an open window on channel {channel_id}, found none; open one")]
    NoWindow {
        /// The channel.
        channel_id: B256,
    },
    /// The purse was opened anew and does not keep seeds.
    #[error(
        "expected the seed of window {root}, found that the purse was opened without; resume or end the window"
    )]
    NotResumed {
        /// The window's root.
        root: B256,
    },
    /// All were let go.
    #[error(
        "expected a tick of the {max_ticks} of the window to be left, found none; end it and open another"
    )]
    UsedUp {
        /// The window's.
        max_ticks: u32,
    },
    /// The escrow has shrunk since the window was opened (CH-3).
    #[error(
        "expected at most {covered} to be charged, found that this tick would make it {found}; top the channel up"
    )]
    BeyondEscrow {
        /// What the escrow covers.
        covered: Amount,
        /// With the tick.
        found: Amount,
    },
    /// It could not be kept, so it was not let go.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a window cannot be gone on with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResumeError {
    /// There is none.
    #[error("expected an open window on channel {channel_id}, found none; open one")]
    NoWindow {
        /// The channel.
        channel_id: B256,
    },
    /// Of another chain.
    #[error("expected the seed of window {root}, found another; give that, or end the window")]
    OtherSeed {
        /// The window's root.
        root: B256,
    },
    /// The gateway cannot have charged ticks that nobody has.
    #[error(
        "expected at most {released} ticks to be charged, found {found} by the gateway's word; do not pay it"
    )]
    Ahead {
        /// The most that were let go.
        released: u32,
        /// What the gateway says.
        found: u32,
    },
}

/// A window that was opened from this purse.
#[derive(Debug)]
struct Window {
    signed: SignedTickOpen,
    voucher: SignedVoucher,
    /// On disk: no tick above it was let go.
    reserved: u32,
    /// The most that may have been let go.
    released: u32,
    /// The last that was let go, or that the gateway has charged.
    given: u32,
    /// `None` until it is resumed.
    chain: Option<TickChain>,
}

/// What is on disk of a purse that has promised something.
#[derive(Debug)]
struct Kept {
    highest: SignedVoucher,
    /// What requests and ended windows can have been charged.
    charged_at_most: Amount,
}

/// The payer's record of one channel.
#[derive(Debug)]
pub struct Purse {
    path: PathBuf,
    channels: Channels,
    config: ChannelConfig,
    channel_id: B256,
    escrow: Escrow,
    kept: Option<Kept>,
    window: Option<Window>,
    _lock: File,
}

impl Purse {
    /// Opens the purse of the channel in `dir`, or begins one. `escrow` is what the ledger has confirmed.
    ///
    /// # Errors
    /// [`OpenPurseError`]; nothing but the directory and a lock file has been made then.
    pub fn open(
        dir: &Path,
        channels: Channels,
        config: ChannelConfig,
        escrow: Escrow,
    ) -> Result<Self, OpenPurseError> {
        if !config.can_be_served() {
            return Err(OpenPurseError::NoAuthorizer);
        }
        let channel_id = channels.channel_id(&config);
        let lock = durable::lock(dir, &format!("{channel_id}.lock"))?;
        let path = dir.join(format!("{channel_id}.purse"));
        let mut purse =
            Self { path, channels, config, channel_id, escrow, kept: None, window: None, _lock: lock };
        match fs::read(&purse.path) {
            Ok(bytes) => {
                let (kept, window) = purse.decode(&bytes)?;
                (purse.kept, purse.window) = (Some(kept), window);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(durable::failed("read", &purse.path)(error).into()),
        }
        Ok(purse)
    }

    /// The channel's id.
    #[must_use]
    pub fn channel_id(&self) -> B256 {
        self.channel_id
    }

    /// The channel's configuration.
    #[must_use]
    pub fn config(&self) -> &ChannelConfig {
        &self.config
    }

    /// The highest voucher that was ever handed out; to be sent again when it is unknown whether it arrived.
    #[must_use]
    pub fn highest(&self) -> Option<&SignedVoucher> {
        self.kept.as_ref().map(|kept| &kept.highest)
    }

    /// Promised so far, cumulative. At least what the ledger says was claimed: a purse restored from an old backup
    /// must not promise that money again.
    #[must_use]
    pub fn promised(&self) -> Amount {
        let highest = self.highest().map_or(Amount::ZERO, SignedVoucher::max_claimable);
        highest.max(self.escrow.total_claimed)
    }

    /// What may still be promised: the confirmed balance less pending withdrawal and promises (CH-3).
    #[must_use]
    pub fn left(&self) -> Amount {
        Amount(self.escrow.covers().0.saturating_sub(self.promised().0))
    }

    /// Takes over what the ledger has confirmed since: a deposit, a withdrawal asked for or done, a claim.
    pub fn confirm(&mut self, escrow: Escrow) {
        self.escrow = escrow;
    }

    /// Promises `amount` more. `sign` gets the voucher's digest and answers r, s, v (27 or 28); the voucher is durable
    /// before it is returned.
    ///
    /// # Errors
    /// [`PromiseError`]; what is promised has not changed then.
    pub fn promise<E>(
        &mut self,
        amount: Amount,
        sign: impl FnOnce(&B256) -> Result<[u8; 65], E>,
    ) -> Result<SignedVoucher, PromiseError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if let Some(window) = &self.window {
            return Err(PromiseError::InsideWindow { root: window.signed.open.root });
        }
        if amount == Amount::ZERO {
            return Err(PromiseError::Zero);
        }
        let promised = self.promised();
        let max = promised.checked_add(amount).filter(|max| *max <= self.escrow.covers());
        let max = max.ok_or_else(|| self.beyond_escrow(amount))?;
        let signed = self.sign(max, sign)?;
        let charged_at_most =
            self.charged_at_most().checked_add(amount).expect("it is at most what is promised");
        self.keep(Kept { highest: signed.clone(), charged_at_most })?;
        Ok(signed)
    }

    /// Signs for `total`, cumulative: as [`Purse::promise`] when that is more than was promised, else again what was
    /// promised or less, which gives nothing away. So a payer goes on where the gateway says that it stands.
    ///
    /// # Errors
    /// [`PromiseError`]; what is promised has not changed then.
    pub fn promise_to<E>(
        &mut self,
        total: Amount,
        sign: impl FnOnce(&B256) -> Result<[u8; 65], E>,
    ) -> Result<SignedVoucher, PromiseError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match total.checked_sub(self.promised()).filter(|more| *more > Amount::ZERO) {
            Some(more) => self.promise(more, sign),
            None => self.sign(total, sign),
        }
    }

    /// What the ledger has confirmed, as far as the purse was told.
    #[must_use]
    pub fn escrow(&self) -> &Escrow {
        &self.escrow
    }

    /// Opens a window of ticks on the channel, from what is charged there so far. `sign` gets two digests, of the voucher
    /// and of the anchor, and answers r, s, v (27 or 28). Both are durable before they are returned, to be sent to the
    /// gateway; [`Purse::window`] has them again. The chain is drawn from `seed`, which the purse does not keep.
    ///
    /// # Errors
    /// [`OpenWindowError`]; what is promised has not changed then.
    pub fn open_window<E>(
        &mut self,
        plan: &WindowPlan,
        seed: &TickSeed,
        mut sign: impl FnMut(&B256) -> Result<[u8; 65], E>,
    ) -> Result<(SignedTickOpen, SignedVoucher), OpenWindowError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if let Some(window) = &self.window {
            return Err(PromiseError::InsideWindow { root: window.signed.open.root }.into());
        }
        let WindowPlan { base, unit_price, max_ticks, terms_hash } = *plan;
        if !(1..=MAX_TICKS).contains(&max_ticks) {
            return Err(OpenWindowError::Ticks { found: max_ticks });
        }
        if unit_price == Amount::ZERO {
            return Err(OpenWindowError::Free);
        }
        let (at_least, at_most) = (self.escrow.total_claimed, self.charged_at_most());
        if !(at_least..=at_most).contains(&base) {
            return Err(OpenWindowError::Base { at_least, at_most, found: base });
        }
        let chain = seed.chain(&self.channel_id, base, max_ticks);
        let open = TickOpen {
            gateway: self.config.receiverAuthorizer,
            channelId: self.channel_id,
            base: base.0,
            unitPrice: unit_price.0,
            maxTicks: max_ticks,
            root: chain.root(),
            termsHash: terms_hash,
        };
        let max = charged_with(&open, max_ticks).filter(|max| *max <= self.escrow.covers());
        let max =
            max.ok_or_else(|| self.beyond_escrow(Amount(unit_price.0.saturating_mul(max_ticks.into()))))?;
        let voucher = self.sign(max, &mut sign)?;
        let signature = sign(&self.channels.tick_open_digest(&open))
            .map_err(|error| PromiseError::Signer(error.into()))?;
        let signed = SignedTickOpen { open, signature };
        let key =
            self.channels.learn_key(&voucher, self.config.payerAuthorizer).map_err(PromiseError::from)?;
        self.channels.verify_tick_open(&signed, &key).map_err(PromiseError::from)?;
        // A window after one that ended early may promise less than that did; that promise stands.
        let highest = self.highest().filter(|highest| highest.max_claimable() > max);
        let highest = highest.unwrap_or(&voucher).clone();
        let sent = (signed.clone(), voucher.clone());
        let chain = Some(chain);
        self.window = Some(Window { signed, voucher, reserved: 0, released: 0, given: 0, chain });
        if let Err(error) = self.keep(Kept { highest, charged_at_most: base }) {
            self.window = None;
            return Err(PromiseError::File(error).into());
        }
        Ok(sent)
    }

    /// The open window's anchor and voucher, to be sent again when it is unknown whether they arrived.
    #[must_use]
    pub fn window(&self) -> Option<(&SignedTickOpen, &SignedVoucher)> {
        self.window.as_ref().map(|window| (&window.signed, &window.voucher))
    }

    /// Lets the next tick go. That it may be gone is durable before it is returned.
    ///
    /// # Errors
    /// [`TickError`]; no tick has left the purse then.
    pub fn tick(&mut self) -> Result<Tick, TickError> {
        let (channel_id, covered) = (self.channel_id, self.escrow.covers());
        let window = self.window.as_mut().ok_or(TickError::NoWindow { channel_id })?;
        let open = &window.signed.open;
        let chain = window.chain.as_ref().ok_or(TickError::NotResumed { root: open.root })?;
        let index = window.given + 1;
        let (Some(preimage), Some(found)) = (chain.tick(index), charged_with(open, index)) else {
            return Err(TickError::UsedUp { max_ticks: open.maxTicks });
        };
        if found > covered {
            return Err(TickError::BeyondEscrow { covered, found });
        }
        if index > window.reserved {
            self.reserve(index - 1 + RESERVED_TICKS)?;
        }
        if let Some(window) = &mut self.window {
            window.given = index;
            window.released = window.released.max(index);
        }
        Ok(Tick { channel_id, index, preimage })
    }

    /// Lets no tick above `index` go before the next flush.
    fn reserve(&mut self, index: u32) -> Result<(), FileError> {
        let Some(window) = &mut self.window else { return Ok(()) };
        let before = std::mem::replace(&mut window.reserved, index.min(window.signed.open.maxTicks));
        self.write().inspect_err(|_| {
            // Had it been written in spite of that, more would be reserved than is let go, which is safe.
            if let Some(window) = &mut self.window {
                window.reserved = before;
            }
        })
    }

    /// Goes on with the window after the purse was opened anew, or where its two ends disagree, behind the `charged`
    /// ticks that the gateway says it has charged. A tick that was let go before, for a request that never arrived, is let
    /// go again then: the gateway charges it once, for whichever request comes first.
    ///
    /// # Errors
    /// [`ResumeError`]; nothing has changed then.
    pub fn resume_window(&mut self, seed: &TickSeed, charged: u32) -> Result<(), ResumeError> {
        let channel_id = self.channel_id;
        let window = self.window.as_mut().ok_or(ResumeError::NoWindow { channel_id })?;
        let open = &window.signed.open;
        let chain = seed.chain(&channel_id, Amount(open.base), open.maxTicks);
        if chain.root() != open.root {
            return Err(ResumeError::OtherSeed { root: open.root });
        }
        if charged > window.released {
            return Err(ResumeError::Ahead { released: window.released, found: charged });
        }
        window.given = charged;
        window.chain = Some(chain);
        Ok(())
    }

    /// Forgets the window, which is used up or which the gateway has closed. Without one, nothing happens.
    ///
    /// # Errors
    /// When that cannot be written; the window is as it was then.
    pub fn end_window(&mut self) -> Result<(), FileError> {
        let charged_at_most = self.charged_at_most();
        let (Some(window), Some(kept)) = (self.window.take(), &mut self.kept) else { return Ok(()) };
        let before = std::mem::replace(&mut kept.charged_at_most, charged_at_most);
        self.write().inspect_err(|_| {
            self.window = Some(window);
            if let Some(kept) = &mut self.kept {
                kept.charged_at_most = before;
            }
        })
    }

    /// The most that an honest gateway can have charged: what was promised for each request, and the ticks that were let
    /// go. It is less than what is promised after a window that ended early.
    #[must_use]
    pub fn charged_at_most(&self) -> Amount {
        let kept = self.kept.as_ref().map_or(Amount::ZERO, |kept| kept.charged_at_most);
        let ticks = self.window.as_ref().map(|window| {
            charged_with(&window.signed.open, window.released).expect("the window's voucher holds more")
        });
        kept.max(ticks.unwrap_or_default()).max(self.escrow.total_claimed)
    }

    fn beyond_escrow(&self, amount: Amount) -> PromiseError {
        PromiseError::BeyondEscrow {
            amount,
            left: self.left(),
            promised: self.promised(),
            balance: self.escrow.balance,
            pending: self.escrow.pending_withdrawal,
        }
    }

    /// Signs a voucher and checks that the contract would take it.
    fn sign<E>(
        &self,
        max: Amount,
        sign: impl FnOnce(&B256) -> Result<[u8; 65], E>,
    ) -> Result<SignedVoucher, PromiseError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let voucher = Voucher { channelId: self.channel_id, maxClaimableAmount: max.0 };
        let signature = sign(&self.channels.voucher_digest(&voucher))
            .map_err(|error| PromiseError::Signer(error.into()))?;
        let signed = SignedVoucher { voucher, signature };
        self.channels.verify(&signed, self.config.payerAuthorizer)?;
        Ok(signed)
    }

    /// Puts `kept` in the place of what is there, on disk first.
    fn keep(&mut self, kept: Kept) -> Result<(), FileError> {
        let before = self.kept.replace(kept);
        self.write().inspect_err(|_| self.kept = before)
    }

    fn write(&self) -> Result<(), FileError> {
        let kept = self.kept.as_ref().expect("nothing is written before the first promise");
        durable::replace(&self.path, &self.encode(kept))
    }

    fn head(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&VERSION.to_be_bytes());
        head.extend_from_slice(&self.channels.chain_id().to_be_bytes());
        head.extend_from_slice(self.channels.address().as_slice());
        put_config(&mut head, &self.config);
        head
    }

    fn encode(&self, kept: &Kept) -> Vec<u8> {
        let mut bytes = self.head();
        put_voucher(&mut bytes, &kept.highest);
        bytes.extend_from_slice(&kept.charged_at_most.0.to_be_bytes());
        bytes.push(u8::from(self.window.is_some()));
        if let Some(Window { signed, voucher, reserved, .. }) = &self.window {
            let open = &signed.open;
            bytes.extend_from_slice(&open.base.to_be_bytes());
            bytes.extend_from_slice(&open.unitPrice.to_be_bytes());
            bytes.extend_from_slice(&open.maxTicks.to_be_bytes());
            bytes.extend_from_slice(open.root.as_slice());
            bytes.extend_from_slice(open.termsHash.as_slice());
            bytes.extend_from_slice(&signed.signature);
            bytes.extend_from_slice(&voucher.signature);
            bytes.extend_from_slice(&reserved.to_be_bytes());
        }
        let check = checksum(&checksum_key(), &bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    fn decode(&self, bytes: &[u8]) -> Result<(Kept, Option<Window>), OpenPurseError> {
        let damaged = || OpenPurseError::Damaged { path: self.path.clone(), channel: self.channel_id };
        let (body, check) = bytes.split_last_chunk::<CHECKSUM>().ok_or_else(damaged)?;
        if checksum(&checksum_key(), body) != *check {
            return Err(damaged());
        }
        let version = body.strip_prefix(&MAGIC).and_then(|rest| rest.first_chunk()).ok_or_else(damaged)?;
        let version = u16::from_be_bytes(*version);
        if version != VERSION {
            return Err(OpenPurseError::OtherVersion { path: self.path.clone(), found: version });
        }
        let mut fields = Fields(body.strip_prefix(self.head().as_slice()).ok_or_else(damaged)?);
        let (kept, window) = self.decode_kept(&mut fields).ok_or_else(damaged)?;
        if !fields.0.is_empty() || kept.highest.voucher.channelId != self.channel_id {
            return Err(damaged());
        }
        Ok((kept, window))
    }

    fn decode_kept(&self, fields: &mut Fields<'_>) -> Option<(Kept, Option<Window>)> {
        let kept = Kept { highest: fields.voucher()?, charged_at_most: fields.amount()? };
        match fields.bytes()? {
            [0] => return Some((kept, None)),
            [1] => {}
            _ => return None,
        }
        let open = TickOpen {
            gateway: self.config.receiverAuthorizer,
            channelId: self.channel_id,
            base: fields.amount()?.0,
            unitPrice: fields.amount()?.0,
            maxTicks: fields.u32()?,
            root: fields.word()?,
            termsHash: fields.word()?,
        };
        let signed = SignedTickOpen { open, signature: fields.bytes()? };
        let max = charged_with(&signed.open, signed.open.maxTicks)?;
        let voucher = Voucher { channelId: self.channel_id, maxClaimableAmount: max.0 };
        let voucher = SignedVoucher { voucher, signature: fields.bytes()? };
        let reserved = fields.u32()?;
        if reserved > signed.open.maxTicks || signed.open.maxTicks > MAX_TICKS {
            return None;
        }
        // Which of them were let go is not known, so all were.
        let window = Window { signed, voucher, reserved, released: reserved, given: reserved, chain: None };
        Some((kept, Some(window)))
    }
}

fn checksum_key() -> [u8; 32] {
    blake3::derive_key("Residual purse file checksum", &MAGIC)
}
