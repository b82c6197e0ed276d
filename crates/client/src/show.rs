//! Looking things up: an asset, its versions, parents and offers; a licence.

use alloy_sol_types::SolEvent;
use residual_content::{BlockId, ContentRoot, KeyCommitment, SignedManifest, VersionRecord};
use residual_ledger::{
    LogQuery,
    contracts::{
        assets::{self, Assets},
        licences::Licences,
    },
};
use residual_primitives::{
    Address, AssetId, AssetKind, B256, Bps, LicenceId, Rates, RevenueKind, TermsId, VersionsGranted,
};
use serde::Serialize;
use std::collections::BTreeMap;

use crate::{Client, LedgerError, TermsRow};

/// An asset as the ledger keeps it.
#[derive(Debug, Clone, Serialize)]
pub struct AssetRow {
    /// The asset.
    pub asset: AssetId,
    /// Who controls it.
    pub controller: Address,
    /// What it is.
    pub kind: AssetKind,
    /// The royalty on resales.
    pub resale: Bps,
    /// How many versions it has.
    pub versions: u32,
}

/// What a child owes one parent.
#[derive(Debug, Clone, Serialize)]
pub struct EdgeRow {
    /// The parent.
    pub parent: AssetId,
    /// Of the child's own revenue, by kind.
    pub all: Rates,
    /// Of all that the child receives, by kind.
    pub child: Rates,
}

/// An offer that stands.
#[derive(Debug, Clone, Serialize)]
pub struct OfferRow {
    /// Its terms.
    pub terms: TermsId,
    /// What they are.
    #[serde(flatten)]
    pub row: TermsRow,
}

/// All about an asset.
#[derive(Debug, Clone, Serialize)]
pub struct AssetPage {
    /// The asset itself.
    #[serde(flatten)]
    pub row: AssetRow,
    /// What its publisher says of it, if its manifest is in the local store.
    pub about: BTreeMap<String, String>,
    /// The newest version's manifest.
    pub manifest_cid: String,
    /// The newest version's content root.
    pub content_root: B256,
    /// Whom it owes.
    pub parents: Vec<EdgeRow>,
    /// What it is offered under.
    pub offers: Vec<OfferRow>,
}

/// A version that was published.
#[derive(Debug, Clone, Serialize)]
pub struct VersionRow {
    /// Its number, from 1.
    pub version: u32,
    /// The CID of its manifest.
    pub manifest_cid: String,
    /// The content root.
    pub content_root: B256,
    /// The commitment to its key.
    pub key_commitment: B256,
    /// The block that it was published in.
    pub block: u64,
}

/// A licence as the ledger keeps it.
#[derive(Debug, Clone, Serialize)]
pub struct LicenceRow {
    /// The licence.
    pub licence: LicenceId,
    /// What it licenses.
    pub asset: AssetId,
    /// Who holds it.
    pub holder: Address,
    /// What it was bought under.
    pub terms: TermsId,
    /// When it ends; none for a perpetual one.
    pub expires_at_s: Option<u64>,
    /// How many children it served.
    pub derivations_used: u32,
    /// The version that was current when it was bought.
    pub version: u32,
}

impl TermsRow {
    /// Which versions a licence opens.
    #[must_use]
    pub fn versions(&self) -> VersionsGranted {
        if self.all_versions { VersionsGranted::AllUntilExpiry } else { VersionsGranted::Bought }
    }
}

impl Client {
    /// Whether such an asset is registered.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub(crate) async fn asset_exists(&self, asset: AssetId) -> Result<bool, LedgerError> {
        self.call(self.suite().assets, &Assets::existsCall { assetId: asset.to_u256() }).await
    }

    /// An asset.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAsset`], or when the ledger cannot be reached.
    pub async fn asset_row(&self, asset: AssetId) -> Result<AssetRow, LedgerError> {
        if !self.asset_exists(asset).await? {
            return Err(LedgerError::UnknownAsset { asset });
        }
        asset_row(
            asset,
            self.call(self.suite().assets, &Assets::assetCall { assetId: asset.to_u256() }).await?,
        )
    }

    /// An asset that is there, in the state after a block.
    pub(crate) async fn asset_row_at(&self, asset: AssetId, block: u64) -> Result<AssetRow, LedgerError> {
        let call = Assets::assetCall { assetId: asset.to_u256() };
        asset_row(asset, self.call_at(self.suite().assets, &call, block).await?)
    }

    /// The assets that were registered in some blocks, in that order.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn registered(&self, from_block: u64, to_block: u64) -> Result<Vec<AssetId>, LedgerError> {
        let from_block = from_block.max(self.suite().deployment.block.number);
        if to_block < from_block {
            return Ok(Vec::new());
        }
        let query = LogQuery {
            events: vec![Assets::Registered::SIGNATURE_HASH],
            ..LogQuery::of([self.suite().assets])
        };
        let mut assets = Vec::new();
        for log in self.chain().logs(&query, from_block, to_block).await? {
            let registered = crate::decode::<Assets::Registered>(&log);
            let registered = registered.ok_or_else(|| LedgerError::unexpected("a registration"))?;
            assets.push(crate::asset_id(registered.assetId)?);
        }
        Ok(assets)
    }

    /// A licence.
    ///
    /// # Errors
    /// [`LedgerError::UnknownLicence`], or when the ledger cannot be reached.
    pub async fn licence_row(&self, licence: LicenceId) -> Result<LicenceRow, LedgerError> {
        self.licence_row_at(licence, self.chain().head().await?.number).await
    }

    /// A licence in the state after a block.
    pub(crate) async fn licence_row_at(
        &self,
        licence: LicenceId,
        block: u64,
    ) -> Result<LicenceRow, LedgerError> {
        let call = Licences::licenceCall { licenceId: licence.to_u256() };
        let found = match self.call_at(self.suite().licences, &call, block).await {
            Ok(found) => found,
            Err(error) if error.reverted_with("UnknownLicence") => {
                return Err(LedgerError::UnknownLicence { licence });
            }
            Err(error) => return Err(error),
        };
        let expires_at_s: u64 = found.expiresAt.to();
        Ok(LicenceRow {
            licence,
            asset: crate::asset_id(found.assetId)?,
            holder: found.holder,
            terms: TermsId(found.termsId),
            expires_at_s: (expires_at_s != 0).then_some(expires_at_s),
            derivations_used: found.derivationsUsed.to(),
            version: found.version.into(),
        })
    }

    /// All licences that an account holds by the final blocks, in the order in which they came to it; with an asset, only
    /// of that.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn licences_of(
        &self,
        holder: Address,
        asset: Option<AssetId>,
    ) -> Result<Vec<LicenceId>, LedgerError> {
        let transfers = |indexed| LogQuery {
            events: vec![Licences::Transfer::SIGNATURE_HASH],
            indexed,
            ..LogQuery::of([self.suite().licences])
        };
        let word = vec![holder.into_word()];
        let head = self.chain().final_head().await?.number;
        let mut logs = self.logs_to(transfers([Vec::new(), word.clone(), Vec::new()]), head).await?;
        logs.extend(self.logs_to(transfers([word, Vec::new(), Vec::new()]), head).await?);
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        // By when it came: who is sent very many, as anybody can be, is not to be waited for long.
        let mut held: BTreeMap<LicenceId, usize> = BTreeMap::new();
        for (at, log) in logs.iter().enumerate() {
            let moved = crate::decode::<Licences::Transfer>(log)
                .and_then(|moved| Some((moved.to, LicenceId::try_from(moved.tokenId).ok()?)));
            let (to, licence) = moved.ok_or_else(|| LedgerError::unexpected("a transfer of a licence"))?;
            if to != holder {
                held.remove(&licence);
            } else if asset.is_none_or(|asset| licence.asset() == asset) {
                held.insert(licence, at);
            }
        }
        let mut held: Vec<_> = held.into_iter().collect();
        held.sort_by_key(|(_, at)| *at);
        Ok(held.into_iter().map(|(licence, _)| licence).collect())
    }

    /// Every version of an asset by the final blocks, in the order of their numbers.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAsset`], or when the ledger cannot be reached.
    pub async fn versions(&self, asset: AssetId) -> Result<Vec<VersionRow>, LedgerError> {
        self.asset_row(asset).await?;
        let head = self.chain().final_head().await?.number;
        let published = self.published(asset, None, head).await?;
        let rows = published.into_iter().map(|(version, record, block)| VersionRow {
            version,
            manifest_cid: record.manifest.to_string(),
            content_root: record.content_root.0,
            key_commitment: record.key_commitment.0,
            block,
        });
        Ok(rows.collect())
    }

    /// What the ledger says of one version.
    ///
    /// # Errors
    /// [`LedgerError::UnknownVersion`], or when the ledger cannot be reached.
    pub async fn version_record(&self, asset: AssetId, version: u32) -> Result<VersionRecord, LedgerError> {
        self.version_record_at(asset, version, self.chain().head().await?.number).await
    }

    /// What the ledger says of one version up to a block.
    pub(crate) async fn version_record_at(
        &self,
        asset: AssetId,
        version: u32,
        block: u64,
    ) -> Result<VersionRecord, LedgerError> {
        let published = self.published(asset, Some(version), block).await?;
        let record = published.into_iter().find(|(number, ..)| *number == version);
        record.map(|(_, record, _)| record).ok_or(LedgerError::UnknownVersion { asset, version })
    }

    /// The versions of an asset, or the one of that number, that were published up to a block: number, record, block.
    async fn published(
        &self,
        asset: AssetId,
        version: Option<u32>,
        to_block: u64,
    ) -> Result<Vec<(u32, VersionRecord, u64)>, LedgerError> {
        let version = version.map(|version| residual_primitives::U256::from(version).into());
        let query = LogQuery {
            events: vec![Assets::VersionPublished::SIGNATURE_HASH],
            indexed: [vec![asset.to_u256().into()], version.into_iter().collect(), Vec::new()],
            ..LogQuery::of([self.suite().assets])
        };
        let mut versions = Vec::new();
        for log in self.logs_to(query, to_block).await? {
            let published = crate::decode::<Assets::VersionPublished>(&log).zip(log.block_number);
            let (published, block) = published.ok_or_else(|| LedgerError::unexpected("a version"))?;
            let record = VersionRecord {
                asset,
                manifest: BlockId::from_bytes(&published.manifestCid)
                    .map_err(|_| LedgerError::unexpected("a manifest's CID"))?,
                content_root: ContentRoot(published.contentRoot),
                key_commitment: KeyCommitment(published.keyCommitment),
            };
            versions.push((crate::narrow(published.version)?, record, block));
        }
        Ok(versions)
    }

    /// All about an asset.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAsset`], or when the ledger cannot be reached.
    pub async fn asset_page(&self, asset: AssetId) -> Result<AssetPage, LedgerError> {
        let row = self.asset_row(asset).await?;
        let record = self.version_record(asset, row.versions).await?;
        // The manifest is public and may simply not be here.
        let about = self
            .blocks()
            .ok()
            .and_then(|store| SignedManifest::open(&store, &record).ok())
            .map(|signed| signed.manifest.about)
            .unwrap_or_default();
        let edges = self.call(self.suite().assets, &Assets::edgesOfCall { assetId: asset.to_u256() }).await?;
        let mut parents = Vec::new();
        for edge in edges {
            parents.push(EdgeRow {
                parent: crate::asset_id(edge.parentId)?,
                all: rates(edge.all)?,
                child: rates(edge.child)?,
            });
        }
        let mut offers = Vec::new();
        for terms in self.offers(asset).await? {
            if let Some(row) = self.terms_row(terms).await? {
                offers.push(OfferRow { terms, row });
            }
        }
        Ok(AssetPage {
            row,
            about,
            manifest_cid: record.manifest.to_string(),
            content_root: record.content_root.0,
            parents,
            offers,
        })
    }

    /// The terms that an asset is offered under now, in the order of the offers.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    pub async fn offers(&self, asset: AssetId) -> Result<Vec<TermsId>, LedgerError> {
        let mut offers: Vec<TermsId> = Vec::new();
        let query = LogQuery {
            events: vec![Licences::Offered::SIGNATURE_HASH, Licences::Withdrawn::SIGNATURE_HASH],
            indexed: [vec![asset.to_u256().into()], Vec::new(), Vec::new()],
            ..LogQuery::of([self.suite().licences])
        };
        for log in self.logs(query).await? {
            if let Some(offered) = crate::decode::<Licences::Offered>(&log) {
                if offered.assetId == asset.to_u256() {
                    offers.push(TermsId(offered.termsId));
                }
            } else if let Some(withdrawn) = crate::decode::<Licences::Withdrawn>(&log)
                && withdrawn.assetId == asset.to_u256()
            {
                offers.retain(|terms| terms.0 != withdrawn.termsId);
            }
        }
        Ok(offers)
    }
}

/// An asset of the contract's words.
fn asset_row(asset: AssetId, found: assets::IAssets::Asset) -> Result<AssetRow, LedgerError> {
    Ok(AssetRow {
        asset,
        controller: found.controller,
        kind: AssetKind::from_index(found.kind).ok_or_else(|| LedgerError::unexpected("a kind of asset"))?,
        resale: Bps::new(found.resaleBps).map_err(|_| LedgerError::unexpected("a rate"))?,
        versions: found.versions.into(),
    })
}

pub(crate) fn rates(bps: [u16; 4]) -> Result<Rates, LedgerError> {
    let mut rates = Rates::default();
    for kind in RevenueKind::ALL {
        rates.0[kind.index()] =
            Bps::new(bps[kind.index()]).map_err(|_| LedgerError::unexpected("a rate of an edge"))?;
    }
    Ok(rates)
}
