//! Blocks: bytes under the name that their own hash gives them.
//!
//! Owns: [`BlockId`], the one shape of CID in use (version 1, sha2-256, three codecs), and [`Block`], which cannot
//! exist with bytes that do not hash to its id. Refuses: any other CID; where blocks are kept (that is `store`).

use std::{fmt, str::FromStr};

use cid::{Cid, multihash::Multihash};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits::MAX_BLOCK_BYTES;

/// Multicodec of sha2-256.
const SHA2_256: u8 = 0x12;

/// How a block's bytes are to be read; the numbers are multicodecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Codec {
    /// Bytes and nothing else: leaves.
    Raw = 0x55,
    /// A UnixFS node.
    DagPb = 0x70,
    /// A manifest.
    DagCbor = 0x71,
}

impl Codec {
    fn from_code(code: u64) -> Option<Self> {
        [Self::Raw, Self::DagPb, Self::DagCbor].into_iter().find(|codec| u64::from(*codec as u8) == code)
    }
}

/// Why a CID is not one that Residual uses.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BlockIdError {
    /// Not a CID at all.
    #[error("expected a CID, found {found:?}")]
    NotACid {
        /// What was given, cut to 80 characters.
        found: String,
    },
    /// A CID, but of another version, codec or hash.
    #[error("expected a CIDv1 with sha2-256 and the codec raw, dag-pb or dag-cbor, found {found}")]
    Unsupported {
        /// The CID as found.
        found: String,
    },
}

/// The name of a block: a CIDv1 with a sha2-256 digest.
///
/// Text: the CID in base32. Bytes: 36, the form in which the ledger keeps a manifest's CID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Cid", into = "Cid")]
pub struct BlockId {
    codec: Codec,
    digest: [u8; 32],
}

impl BlockId {
    /// Bytes of the binary form.
    pub const BYTES: usize = 36;

    /// The id that `bytes` have under `codec`.
    #[must_use]
    pub fn of(codec: Codec, bytes: &[u8]) -> Self {
        Self { codec, digest: Sha256::digest(bytes).into() }
    }

    /// The id with a digest that is already known.
    #[must_use]
    pub const fn new(codec: Codec, digest: [u8; 32]) -> Self {
        Self { codec, digest }
    }

    /// How the block is to be read.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The sha2-256 digest of the block.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The CID in binary.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&[1, self.codec as u8, SHA2_256, 32]);
        bytes[4..].copy_from_slice(&self.digest);
        bytes
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// When `bytes` are not exactly one CID of a kind in use.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BlockIdError> {
        let hex = || bytes.iter().take(40).map(|byte| format!("{byte:02x}")).collect::<String>();
        match bytes {
            [1, code, SHA2_256, 32, digest @ ..] => {
                let codec = Codec::from_code(u64::from(*code))
                    .ok_or_else(|| BlockIdError::Unsupported { found: hex() })?;
                let digest = digest.try_into().map_err(|_| BlockIdError::NotACid { found: hex() })?;
                Ok(Self { codec, digest })
            }
            _ => Err(BlockIdError::NotACid { found: hex() }),
        }
    }
}

impl From<BlockId> for Cid {
    fn from(id: BlockId) -> Self {
        let hash = Multihash::wrap(u64::from(SHA2_256), &id.digest).expect("32 bytes fit a multihash of 64");
        Self::new_v1(u64::from(id.codec as u8), hash)
    }
}

impl TryFrom<Cid> for BlockId {
    type Error = BlockIdError;

    fn try_from(cid: Cid) -> Result<Self, BlockIdError> {
        let unsupported = || BlockIdError::Unsupported { found: cid.to_string() };
        if cid.version() != cid::Version::V1 || cid.hash().code() != u64::from(SHA2_256) {
            return Err(unsupported());
        }
        let codec = Codec::from_code(cid.codec()).ok_or_else(unsupported)?;
        let digest = cid.hash().digest().try_into().map_err(|_| unsupported())?;
        Ok(Self { codec, digest })
    }
}

impl FromStr for BlockId {
    type Err = BlockIdError;

    fn from_str(text: &str) -> Result<Self, BlockIdError> {
        let not_a_cid = || BlockIdError::NotACid { found: text.chars().take(80).collect() };
        if text.len() > 128 {
            return Err(not_a_cid());
        }
        Cid::try_from(text).map_err(|_| not_a_cid())?.try_into()
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Cid::from(*self), f)
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why bytes are not the block that was asked for (SEAL-1).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BlockError {
    /// Another hash: damaged, truncated, extended or swapped.
    #[error("expected the block {expected}, found bytes that hash to {found}")]
    Mismatch {
        /// The id that was asked for.
        expected: BlockId,
        /// The id of the bytes that came.
        found: BlockId,
    },
    /// Longer than any block may be.
    #[error("expected the block {expected} to hold at most {MAX_BLOCK_BYTES} bytes, found {found}")]
    TooLarge {
        /// The id that was asked for.
        expected: BlockId,
        /// Bytes found, as far as they were counted.
        found: u64,
    },
}

/// Bytes together with the id that they hash to; one cannot be made otherwise.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    id: BlockId,
    bytes: Vec<u8>,
}

impl Block {
    /// Names bytes of our own making.
    ///
    /// # Panics
    /// Above [`MAX_BLOCK_BYTES`]: everything that makes blocks cuts them smaller.
    #[must_use]
    pub fn new(codec: Codec, bytes: Vec<u8>) -> Self {
        assert!(bytes.len() <= MAX_BLOCK_BYTES, "a block of {} bytes", bytes.len());
        Self { id: BlockId::of(codec, &bytes), bytes }
    }

    /// Takes foreign bytes for the block `expected`, if they are (SEAL-1).
    ///
    /// # Errors
    /// When they are too long or hash to another id.
    pub fn verify(expected: BlockId, bytes: Vec<u8>) -> Result<Self, BlockError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(BlockError::TooLarge { expected, found: bytes.len() as u64 });
        }
        let found = BlockId::of(expected.codec, &bytes);
        if found == expected {
            Ok(Self { id: expected, bytes })
        } else {
            Err(BlockError::Mismatch { expected, found })
        }
    }

    /// The block's name.
    #[must_use]
    pub const fn id(&self) -> BlockId {
        self.id
    }

    /// The block's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes alone.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({}, {} bytes)", self.id, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_survives_text_and_bytes_and_other_cids_are_refused() {
        for codec in [Codec::Raw, Codec::DagPb, Codec::DagCbor] {
            let id = BlockId::of(codec, b"hello");
            assert_eq!(id.to_string().parse::<BlockId>().unwrap(), id);
            assert_eq!(BlockId::from_bytes(&id.to_bytes()).unwrap(), id);
            assert_eq!(Cid::from(id).to_bytes(), id.to_bytes());
        }
        // The well-known CIDv0 of the empty directory, and a CIDv1 of identity hash.
        for other in ["QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", "bafkqabtimvwgy3yk"] {
            assert!(matches!(other.parse::<BlockId>(), Err(BlockIdError::Unsupported { .. })), "{other}");
        }
        assert!(matches!("zebra".parse::<BlockId>(), Err(BlockIdError::NotACid { .. })));
    }

    proptest! {
        #[test]
        fn foreign_bytes_and_texts_never_panic(bytes: Vec<u8>, text: String) {
            if let Ok(id) = BlockId::from_bytes(&bytes) {
                prop_assert_eq!(&id.to_bytes()[..], &bytes[..]);
            }
            let _ = text.parse::<BlockId>();
        }

        #[test]
        fn seal_1_a_block_with_a_flipped_bit_is_refused(bytes in prop::collection::vec(any::<u8>(), 1..300), at: prop::sample::Index, bit in 0u8..8) {
            let id = BlockId::of(Codec::Raw, &bytes);
            let mut flipped = bytes.clone();
            flipped[at.index(bytes.len())] ^= 1 << bit;
            prop_assert!(Block::verify(id, flipped).is_err());
            prop_assert!(Block::verify(id, bytes).is_ok());
        }
    }
}
