//! The payer's end of one channel: signs cumulative vouchers, never beyond the confirmed escrow (CH-3), and keeps the
//! highest on disk before anyone sees it, so that no restart makes it promise the same money for two things.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use alloy_primitives::B256;
use residual_primitives::{
    Amount,
    signed::{ChannelConfig, Voucher},
};

use crate::{
    channels::{Channels, SignatureError, SignedVoucher},
    durable::{self, FileError},
    escrow::Escrow,
    fields::{CHECKSUM, Fields, checksum, put_config, put_voucher},
};

const MAGIC: [u8; 8] = *b"RSDPURSE";
const VERSION: u16 = 1;

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

/// The payer's record of one channel.
#[derive(Debug)]
pub struct Purse {
    path: PathBuf,
    channels: Channels,
    config: ChannelConfig,
    channel_id: B256,
    escrow: Escrow,
    highest: Option<SignedVoucher>,
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
        let mut purse = Self { path, channels, config, channel_id, escrow, highest: None, _lock: lock };
        match fs::read(&purse.path) {
            Ok(bytes) => purse.highest = Some(purse.decode(&bytes)?),
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
        self.highest.as_ref()
    }

    /// Promised so far, cumulative. At least what the ledger says was claimed: a purse restored from an old backup
    /// must not promise that money again.
    #[must_use]
    pub fn promised(&self) -> Amount {
        let highest = self.highest.as_ref().map_or(Amount::ZERO, SignedVoucher::max_claimable);
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
        if amount == Amount::ZERO {
            return Err(PromiseError::Zero);
        }
        let promised = self.promised();
        let max = promised.checked_add(amount).filter(|max| *max <= self.escrow.covers());
        let max = max.ok_or_else(|| PromiseError::BeyondEscrow {
            amount,
            left: self.left(),
            promised,
            balance: self.escrow.balance,
            pending: self.escrow.pending_withdrawal,
        })?;
        let voucher = Voucher { channelId: self.channel_id, maxClaimableAmount: max.0 };
        let signature = sign(&self.channels.voucher_digest(&voucher))
            .map_err(|error| PromiseError::Signer(error.into()))?;
        let signed = SignedVoucher { voucher, signature };
        self.channels.verify(&signed, self.config.payerAuthorizer)?;
        durable::replace(&self.path, &self.encode(&signed))?;
        self.highest = Some(signed.clone());
        Ok(signed)
    }

    fn head(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&VERSION.to_be_bytes());
        head.extend_from_slice(&self.channels.chain_id().to_be_bytes());
        head.extend_from_slice(self.channels.address().as_slice());
        put_config(&mut head, &self.config);
        head
    }

    fn encode(&self, signed: &SignedVoucher) -> Vec<u8> {
        let mut bytes = self.head();
        put_voucher(&mut bytes, signed);
        let check = checksum(&checksum_key(), &bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    fn decode(&self, bytes: &[u8]) -> Result<SignedVoucher, OpenPurseError> {
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
        let signed = fields.voucher().ok_or_else(damaged)?;
        if !fields.0.is_empty() || signed.voucher.channelId != self.channel_id {
            return Err(damaged());
        }
        Ok(signed)
    }
}

fn checksum_key() -> [u8; 32] {
    blake3::derive_key("Residual purse file checksum", &MAGIC)
}
