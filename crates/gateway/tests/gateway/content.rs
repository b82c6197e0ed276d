//! Blocks by their CID.

use residual_client::{BlockId, BlockSource};
use residual_content::{Codec, SignedManifest};

use crate::support::{Town, ask};

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_served_whole_in_part_or_not_again() {
    let town = Town::new().await;
    let id: BlockId = town.published.manifest_cid.parse().unwrap();
    let path = format!("/v1/content/{id}");
    let whole = town.get(&path).await;
    assert_eq!((whole.status, whole.header("content-type")), (200, "application/vnd.ipld.raw"));
    assert_eq!(BlockId::of(Codec::DagCbor, &whole.bytes), id, "the bytes hash to their name");
    let tag = format!("\"{id}\"");
    assert_eq!(whole.header("etag"), tag);
    assert_eq!(whole.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    assert_eq!(town.get(&format!("{path}?format=raw")).await.bytes, whole.bytes);
    town.get(&format!("{path}?format=car")).await.problem(400, "invalid-request");

    let head = ask(town.http.head(town.url(&path))).await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    assert_eq!(head.header("content-length"), whole.bytes.len().to_string());
    assert_eq!(head.header("etag"), tag);

    let with = async |name: &str, value: &str| ask(town.http.get(town.url(&path)).header(name, value)).await;
    let part = with("range", "bytes=10-19").await;
    assert_eq!((part.status, &part.bytes[..]), (206, &whole.bytes[10..20]));
    assert_eq!(part.header("content-range"), format!("bytes 10-19/{}", whole.bytes.len()));
    let last = with("range", "bytes=-7").await;
    assert_eq!((last.status, &last.bytes[..]), (206, &whole.bytes[whole.bytes.len() - 7..]));
    let beyond = with("range", &format!("bytes={}-", whole.bytes.len())).await;
    beyond.problem(416, "range-not-satisfiable");
    assert_eq!(beyond.header("content-range"), format!("bytes */{}", whole.bytes.len()));
    assert_eq!(with("range", "bytes=0-1,5-6").await.bytes, whole.bytes, "several ranges are as good as none");
    let there = with("if-none-match", &tag).await;
    assert_eq!((there.status, there.bytes.len()), (304, 0));
    assert_eq!(there.header("etag"), tag);
    let other = ask(town
        .http
        .get(town.url(&path))
        .header("range", "bytes=0-1")
        .header("if-range", "\"something else\""))
    .await;
    assert_eq!((other.status, other.bytes.len()), (200, whole.bytes.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_here_or_no_cid_is_refused_and_a_damaged_block_never_served() {
    let town = Town::new().await;
    let absent = BlockId::of(Codec::Raw, b"absent");
    town.get(&format!("/v1/content/{absent}")).await.problem(404, "not-found");
    for other in
        ["zebra", "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", "..%2f..%2fmarketplace.json", "%ff"]
    {
        town.get(&format!("/v1/content/{other}")).await.problem(400, "invalid-request");
    }
    // SEAL-1: a leaf whose bytes were flipped on the disk.
    let record = town.client.version_record(town.asset, 1).await.unwrap();
    let blocks = town.client.blocks().unwrap();
    let manifest = SignedManifest::open(&blocks, &record).unwrap().manifest;
    let id = manifest.content.block();
    let file = find(&town.client.home().path("blocks"), &id.to_string());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert!(blocks.get(&id).is_err());
    let detail = town.get(&format!("/v1/content/{id}")).await.problem(500, "internal");
    assert!(!detail.contains("blocks/"), "paths are the operator's business: {detail}");
}

fn find(root: &std::path::Path, name: &str) -> std::path::PathBuf {
    let shards = std::fs::read_dir(root).unwrap().map(|shard| shard.unwrap().path().join(name));
    shards.into_iter().find(|path| path.exists()).unwrap()
}
