//! The manifest of a version: public, signed by the publisher, DAG-CBOR in canonical form.
//!
//! Owns: its fields, its limits, the message that is signed, and checking a manifest against the ledger's record.
//! Refuses: holding accounts (a [`ManifestSigner`] signs); deciding who may publish (the ledger does).

use std::collections::BTreeMap;

use alloy_primitives::{Signature, keccak256};
use residual_primitives::{Address, AssetId, B256, U256};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use sha2::{Digest, Sha256};

use crate::{
    block::{Block, BlockId, Codec},
    cut::Profile,
    index,
    keys::KeyCommitment,
    limits::{
        LEAF_BYTES, MAX_ABOUT_ENTRIES, MAX_ABOUT_KEY_BYTES, MAX_ABOUT_VALUE_BYTES, MAX_LEAVES,
        MAX_MANIFEST_BYTES, TAG_BYTES,
    },
    store::{BlockSource, StoreError},
};

const FORMAT: &str = "residual/manifest/1";

/// Why a manifest is refused (SEAL-1).
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The block could not be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not the canonical DAG-CBOR of a manifest.
    #[error("expected a manifest in canonical DAG-CBOR: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// A field is outside its limits.
    #[error("expected a manifest with {expected}, found {found}")]
    OutOfLimits {
        /// The limit.
        expected: String,
        /// The value.
        found: u64,
    },
    /// The signature is not the publisher's.
    #[error("expected the signature of the publisher {publisher}, found one by {}", signer_text(.signer))]
    Signature {
        /// Who the manifest says published it.
        publisher: Address,
        /// Whose signature it is; `None` when it is no signature at all.
        signer: Option<Address>,
    },
    /// The ledger's record of the version says otherwise.
    #[error("expected a manifest whose {field} is {expected} as the ledger has it, found {found}")]
    NotAsRegistered {
        /// Which field.
        field: &'static str,
        /// The ledger's value.
        expected: String,
        /// The manifest's value.
        found: String,
    },
}

fn signer_text(signer: &Option<Address>) -> String {
    signer.map_or_else(|| "nobody".to_owned(), |signer| signer.to_string())
}

/// Why a manifest could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the account {account} did not sign the manifest")]
pub struct SigningError {
    /// Whose signature was wanted.
    pub account: Address,
    /// What the account's keeper said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Whoever keeps the publisher's account: a keystore, a wallet, a hardware key.
pub trait ManifestSigner {
    /// The account that signs.
    fn publisher(&self) -> Address;

    /// A secp256k1 signature `r | s | v` over the EIP-712 digest, s in the lower half, v 27 or 28; a deterministic one
    /// (RFC 6979) lets an interrupted publication be repeated to the same CID.
    ///
    /// # Errors
    /// When the account is locked, absent or its owner declines.
    fn sign(&self, digest: B256) -> Result<[u8; 65], SigningError>;
}

/// What the ledger holds of one version of one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRecord {
    /// The asset.
    pub asset: AssetId,
    /// The manifest's CID.
    pub manifest: BlockId,
    /// The content root.
    pub content_root: ContentRoot,
    /// The commitment to the version key.
    pub key_commitment: KeyCommitment,
}

/// What the ledger registers for a version's content: the sha2-256 digest of the dag-pb block of the UnixFS directory
/// that holds the sealed `data` and the sealed `index`. With CIDv1 and the codec dag-pb it is the IPFS address of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentRoot(pub B256);

impl ContentRoot {
    /// The directory block.
    #[must_use]
    pub fn block(self) -> BlockId {
        BlockId::new(Codec::DagPb, self.0.0)
    }
}

impl From<BlockId> for ContentRoot {
    fn from(directory: BlockId) -> Self {
        Self(B256::new(*directory.digest()))
    }
}

impl std::fmt::Display for ContentRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

/// What anybody may know of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The asset.
    pub asset: AssetId,
    /// The key epoch; chunks are shared between versions of one epoch.
    pub epoch: u32,
    /// How the content was cut.
    pub profile: Profile,
    /// The content root.
    pub content: ContentRoot,
    /// Leaves of the sealed data, 1 to [`MAX_LEAVES`].
    pub leaves: u64,
    /// Bytes of the sealed data.
    pub data_bytes: u64,
    /// Bytes of the sealed index.
    pub index_bytes: u64,
    /// Merkle root over the keys of all chunks; see [`crate::ChunkProof`].
    pub chunk_keys: B256,
    /// The commitment to the version key.
    pub key_commitment: KeyCommitment,
    /// Public description: at most 64 entries, keys of 64 and values of 3,072 bytes, 256 KiB with all the rest.
    pub about: BTreeMap<String, String>,
}

/// A manifest with its publisher's signature, as its block holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    /// What is signed.
    pub manifest: Manifest,
    /// Who signed.
    pub publisher: Address,
    /// `r | s | v`.
    pub signature: [u8; 65],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WireManifest {
    format: String,
    asset: ByteArray<16>,
    epoch: u32,
    profile: Profile,
    content: BlockId,
    leaves: u64,
    data_bytes: u64,
    index_bytes: u64,
    chunk_keys: ByteArray<32>,
    key_commitment: ByteArray<32>,
    about: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSigned {
    manifest: WireManifest,
    publisher: ByteArray<20>,
    signature: ByteArray<65>,
}

impl Manifest {
    fn to_wire(&self) -> WireManifest {
        WireManifest {
            format: FORMAT.to_owned(),
            asset: ByteArray::new(self.asset.to_be_bytes()),
            epoch: self.epoch,
            profile: self.profile,
            content: self.content.block(),
            leaves: self.leaves,
            data_bytes: self.data_bytes,
            index_bytes: self.index_bytes,
            chunk_keys: ByteArray::new(self.chunk_keys.0),
            key_commitment: ByteArray::new(self.key_commitment.0.0),
            about: self.about.clone(),
        }
    }

    fn from_wire(wire: WireManifest) -> Result<Self, ManifestError> {
        let malformed = |reason: &str| ManifestError::Malformed { reason: reason.to_owned() };
        if wire.format != FORMAT {
            return Err(malformed(&format!("its format is not {FORMAT}")));
        }
        if wire.content.codec() != Codec::DagPb {
            return Err(malformed("its content is not a UnixFS directory"));
        }
        let asset = U256::from_be_slice(wire.asset.as_ref());
        let manifest = Self {
            asset: AssetId::try_from(asset).map_err(|error| malformed(&error.to_string()))?,
            epoch: wire.epoch,
            profile: wire.profile,
            content: wire.content.into(),
            leaves: wire.leaves,
            data_bytes: wire.data_bytes,
            index_bytes: wire.index_bytes,
            chunk_keys: B256::new(wire.chunk_keys.into_array()),
            key_commitment: KeyCommitment(B256::new(wire.key_commitment.into_array())),
            about: wire.about,
        };
        manifest.check_limits()?;
        Ok(manifest)
    }

    fn check_limits(&self) -> Result<(), ManifestError> {
        let within = |what: &str, low: u64, high: u64, found: u64| {
            if (low..=high).contains(&found) {
                Ok(())
            } else {
                Err(ManifestError::OutOfLimits { expected: format!("{low} to {high} {what}"), found })
            }
        };
        within("leaves", 1, MAX_LEAVES, self.leaves)?;
        let smallest_leaf = if self.leaves == 1 { TAG_BYTES } else { TAG_BYTES + 1 } as u64;
        within(
            "bytes of sealed data",
            self.leaves * smallest_leaf,
            self.leaves * LEAF_BYTES as u64,
            self.data_bytes,
        )?;
        within("bytes of sealed index", 1, index::MAX_SEALED_BYTES, self.index_bytes)?;
        within("entries of description", 0, MAX_ABOUT_ENTRIES as u64, self.about.len() as u64)?;
        for (key, value) in &self.about {
            within("bytes in a key of the description", 1, MAX_ABOUT_KEY_BYTES as u64, key.len() as u64)?;
            within(
                "bytes in a value of the description",
                0,
                MAX_ABOUT_VALUE_BYTES as u64,
                value.len() as u64,
            )?;
        }
        Ok(())
    }

    /// The EIP-712 digest that the publisher signs.
    ///
    /// Domain `EIP712Domain(string name,string version)` = ("Residual", "1"): no chain, since the asset's id names it
    /// already. Type `Manifest(uint256 assetId,bytes32 contentRoot,bytes32 keyCommitment,bytes32 digest)`, where `digest`
    /// is the sha2-256 of the manifest's DAG-CBOR without publisher and signature.
    #[must_use]
    pub fn signing_digest(&self) -> B256 {
        let encoded =
            serde_ipld_dagcbor::to_vec(&self.to_wire()).expect("a manifest is made of what DAG-CBOR can say");
        let digest: [u8; 32] = Sha256::digest(encoded).into();
        let domain = keccak256(
            [keccak256("EIP712Domain(string name,string version)"), keccak256("Residual"), keccak256("1")]
                .concat(),
        );
        let message = keccak256(
            [
                keccak256(
                    "Manifest(uint256 assetId,bytes32 contentRoot,bytes32 keyCommitment,bytes32 digest)",
                ),
                B256::from(self.asset.to_u256()),
                self.content.0,
                self.key_commitment.0,
                B256::new(digest),
            ]
            .concat(),
        );
        keccak256([&[0x19, 0x01], &domain[..], &message[..]].concat())
    }

    /// Has `signer` sign the manifest.
    ///
    /// # Errors
    /// When a field is outside its limits, the signer declines, or what it made is not its signature.
    pub fn sign(self, signer: &dyn ManifestSigner) -> Result<SignedManifest, SignError> {
        self.check_limits().map_err(SignError::Manifest)?;
        let signature = signer.sign(self.signing_digest())?;
        let signed = SignedManifest { manifest: self, publisher: signer.publisher(), signature };
        signed.check_signature().map_err(SignError::Manifest)?;
        Ok(signed)
    }
}

/// Why a manifest was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The manifest cannot be published as it is, or the signature is not the publisher's.
    #[error(transparent)]
    Manifest(ManifestError),
    /// The signer declined.
    #[error(transparent)]
    Signer(#[from] SigningError),
}

impl SignedManifest {
    /// The block under whose CID the ledger registers the version.
    #[must_use]
    pub fn block(&self) -> Block {
        let wire = WireSigned {
            manifest: self.manifest.to_wire(),
            publisher: ByteArray::new(self.publisher.0.0),
            signature: ByteArray::new(self.signature),
        };
        let bytes = serde_ipld_dagcbor::to_vec(&wire).expect("a manifest is made of what DAG-CBOR can say");
        Block::new(Codec::DagCbor, bytes)
    }

    /// Reads a manifest from its block and checks its form, its limits and its signature.
    ///
    /// # Errors
    /// When any of them is not as it should be.
    pub fn from_block(block: &Block) -> Result<Self, ManifestError> {
        let found = block.bytes().len() as u64;
        if found > MAX_MANIFEST_BYTES as u64 {
            return Err(ManifestError::OutOfLimits {
                expected: format!("at most {MAX_MANIFEST_BYTES} bytes"),
                found,
            });
        }
        let malformed = |reason: String| ManifestError::Malformed { reason };
        let wire: WireSigned =
            serde_ipld_dagcbor::from_slice(block.bytes()).map_err(|error| malformed(error.to_string()))?;
        let signed = Self {
            manifest: Manifest::from_wire(wire.manifest)?,
            publisher: Address::new(wire.publisher.into_array()),
            signature: wire.signature.into_array(),
        };
        if signed.block() != *block {
            return Err(malformed("the same fields have another encoding".to_owned()));
        }
        signed.check_signature()?;
        Ok(signed)
    }

    /// Fetches the manifest of a registered version and checks it against the ledger's record.
    ///
    /// Whether `publisher` was entitled to publish is the ledger's to say: it let the account register the version.
    ///
    /// # Errors
    /// When the block cannot be had or differs in anything from what the record binds.
    pub fn open(source: &dyn BlockSource, record: &VersionRecord) -> Result<Self, ManifestError> {
        let signed = Self::from_block(&source.get(&record.manifest)?)?;
        let manifest = &signed.manifest;
        let same = |field, expected: String, found: String| {
            if expected == found {
                Ok(())
            } else {
                Err(ManifestError::NotAsRegistered { field, expected, found })
            }
        };
        same("asset", record.asset.to_string(), manifest.asset.to_string())?;
        same("content root", record.content_root.to_string(), manifest.content.to_string())?;
        same("key commitment", record.key_commitment.to_string(), manifest.key_commitment.to_string())?;
        Ok(signed)
    }

    /// The ledger's record of this manifest.
    #[must_use]
    pub fn record(&self) -> VersionRecord {
        VersionRecord {
            asset: self.manifest.asset,
            manifest: self.block().id(),
            content_root: self.manifest.content,
            key_commitment: self.manifest.key_commitment,
        }
    }

    fn check_signature(&self) -> Result<(), ManifestError> {
        // The other s, or another way to write v, would be a second form of one manifest.
        let signer = Signature::from_raw_array(&self.signature)
            .ok()
            .filter(|signature| signature.normalize_s().is_none() && signature.as_bytes() == self.signature)
            .and_then(|signature| {
                signature.recover_address_from_prehash(&self.manifest.signing_digest()).ok()
            });
        if signer == Some(self.publisher) {
            Ok(())
        } else {
            Err(ManifestError::Signature { publisher: self.publisher, signer })
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_sol_types::SolStruct;
    use k256::ecdsa::SigningKey;
    use proptest::prelude::*;

    use super::*;

    struct Account(SigningKey);

    impl ManifestSigner for Account {
        fn publisher(&self) -> Address {
            Address::from_private_key(&self.0)
        }

        fn sign(&self, digest: B256) -> Result<[u8; 65], SigningError> {
            let (signature, parity) = self.0.sign_prehash_recoverable(digest.as_slice()).unwrap();
            Ok(Signature::from((signature, parity)).as_bytes())
        }
    }

    fn account() -> Account {
        Account(SigningKey::from_slice(&[0x11; 32]).unwrap())
    }

    fn manifest() -> Manifest {
        Manifest {
            asset: "0x000102030405060708090a0b0c0d0e0f".parse().unwrap(),
            epoch: 2,
            profile: Profile::Fixed,
            content: ContentRoot(B256::repeat_byte(3)),
            leaves: 2,
            data_bytes: 2 << 20,
            index_bytes: 500,
            chunk_keys: B256::repeat_byte(4),
            key_commitment: KeyCommitment(B256::repeat_byte(5)),
            about: [("title".to_owned(), "Digits".to_owned())].into(),
        }
    }

    #[test]
    fn a_manifest_survives_its_block() {
        let signed = manifest().sign(&account()).unwrap();
        assert_eq!(SignedManifest::from_block(&signed.block()).unwrap(), signed);
        assert_eq!(signed.record().manifest.codec(), Codec::DagCbor);
    }

    #[test]
    fn seal_1_every_flipped_bit_of_a_manifest_is_refused_even_under_its_own_cid() {
        let block = manifest().sign(&account()).unwrap().block();
        for at in 0..block.bytes().len() {
            for bit in 0..8 {
                let mut bytes = block.bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let flipped = Block::new(Codec::DagCbor, bytes);
                assert!(SignedManifest::from_block(&flipped).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_manifest_outside_its_limits_is_not_signed() {
        type Break = fn(&mut Manifest);
        let breaks: [Break; 8] = [
            |m| m.leaves = 0,
            |m| m.leaves = MAX_LEAVES + 1,
            |m| m.data_bytes = (2 << 20) + 1,
            |m| m.data_bytes = 33,
            |m| m.index_bytes = 0,
            |m| m.index_bytes = u64::MAX,
            |m| m.about = (0..65).map(|i| (i.to_string(), String::new())).collect(),
            |m| m.about = [("x".repeat(65), String::new())].into(),
        ];
        for breaks in breaks {
            let mut manifest = manifest();
            breaks(&mut manifest);
            assert!(matches!(
                manifest.sign(&account()),
                Err(SignError::Manifest(ManifestError::OutOfLimits { .. }))
            ));
        }
    }

    #[test]
    fn the_other_s_of_a_signature_is_refused() {
        let mut signed = manifest().sign(&account()).unwrap();
        let signature = Signature::from_raw_array(&signed.signature).unwrap();
        let order =
            "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse::<U256>().unwrap();
        let other = Signature::new(signature.r(), order - signature.s(), !signature.v());
        signed.signature = other.as_bytes();
        assert!(matches!(SignedManifest::from_block(&signed.block()), Err(ManifestError::Signature { .. })));
    }

    #[test]
    fn the_signed_message_is_the_documented_one() {
        alloy_sol_types::sol! {
            struct Manifest {
                uint256 assetId;
                bytes32 contentRoot;
                bytes32 keyCommitment;
                bytes32 digest;
            }
        }
        let digest: [u8; 32] =
            Sha256::digest(serde_ipld_dagcbor::to_vec(&manifest().to_wire()).unwrap()).into();
        let message = Manifest {
            assetId: manifest().asset.to_u256(),
            contentRoot: manifest().content.0,
            keyCommitment: manifest().key_commitment.0,
            digest: digest.into(),
        };
        let domain = alloy_sol_types::eip712_domain! { name: "Residual", version: "1", };
        assert_eq!(message.eip712_signing_hash(&domain), manifest().signing_digest());
        let mut other = manifest();
        other.about.clear();
        assert_ne!(other.signing_digest(), manifest().signing_digest());
    }

    proptest! {
        #[test]
        fn foreign_and_mutated_bytes_never_panic(bytes: Vec<u8>, at: prop::sample::Index, insert: u8) {
            let _ = SignedManifest::from_block(&Block::new(Codec::DagCbor, bytes));
            let mut mutated = manifest().sign(&account()).unwrap().block().into_bytes();
            mutated.insert(at.index(mutated.len()), insert);
            prop_assert!(SignedManifest::from_block(&Block::new(Codec::DagCbor, mutated)).is_err());
        }
    }
}
