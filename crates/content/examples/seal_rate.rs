//! Measures sealing, in GB/s of plaintext: `seal_rate FILE`, one JSON object a measurement.
//!
//! Blocks are dropped once named, so that only the work is measured; `directory` writes them durably to a temporary
//! directory. `bench/content/run` sets it beside Helia.

use std::{
    collections::HashSet,
    error::Error,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use residual_content::{
    Block, BlockId, BlockSource, BlockStore, ContentKey, DirectoryStore, Profile, Put, Sealing, StoreError,
    Tree, VersionKey, seal,
};

/// Knows which blocks it was given and drops their bytes, as Helia's store in memory keeps no copy of its input.
#[derive(Default)]
struct Names(Mutex<HashSet<BlockId>>);

impl Names {
    fn lock(&self) -> MutexGuard<'_, HashSet<BlockId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockSource for Names {
    fn get(&self, id: &BlockId) -> Result<Block, StoreError> {
        Err(StoreError::Missing { id: *id, place: "a list of names".to_owned() })
    }

    fn has(&self, id: &BlockId) -> Result<bool, StoreError> {
        Ok(self.lock().contains(id))
    }
}

impl BlockStore for Names {
    fn put(&self, block: &Block) -> Result<Put, StoreError> {
        Ok(if self.lock().insert(block.id()) { Put::Stored } else { Put::Present })
    }

    fn remove(&self, id: &BlockId) -> Result<(), StoreError> {
        self.lock().remove(id);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(std::env::args_os().nth(1).ok_or("expected the file to seal")?);
    let mut file = Tree::new();
    file.add_file(&path, "content".parse()?)?;
    let mut memory = Tree::new();
    memory.add_bytes("content".parse()?, std::fs::read(&path)?)?;
    let (one, all) = (NonZeroUsize::MIN, std::thread::available_parallelism()?);
    for (what, tree, profile, threads) in [
        ("a file", &file, Profile::Fixed, one),
        ("bytes in memory", &memory, Profile::Fixed, one),
        ("bytes in memory, cdc", &memory, Profile::Cdc, one),
        ("a file, all cores", &file, Profile::Fixed, all),
    ] {
        report(what, tree, measure(&Names::default(), tree, profile, threads)?);
    }
    let directory = tempfile::tempdir()?;
    let store = DirectoryStore::open(directory.path())?;
    report("a file, all cores, durable directory", &file, measure(&store, &file, Profile::Fixed, all)?);
    Ok(())
}

fn report(what: &str, tree: &Tree, seconds: f64) {
    println!("{{\"seal\":\"{what}\",\"gb_per_s\":{:.3}}}", tree.bytes() as f64 / seconds / 1e9);
}

/// Seconds to seal the tree into the store.
fn measure(
    store: &dyn BlockStore,
    tree: &Tree,
    profile: Profile,
    threads: NonZeroUsize,
) -> Result<f64, Box<dyn Error>> {
    let (content_key, version_key) = (ContentKey::random(), VersionKey::random());
    let asset = "1".parse()?;
    let how =
        Sealing { asset, epoch: 0, content_key: &content_key, version_key: &version_key, profile, threads };
    let start = Instant::now();
    seal(store, tree, &how, &mut |_| {})?;
    store.sync()?;
    Ok(start.elapsed().as_secs_f64())
}
