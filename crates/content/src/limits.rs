//! How large anything sealed may be. Every decoder of foreign bytes checks these before it allocates.

/// Bytes of a full sealed leaf: the chunk of IPIP-499 `unixfs-v1-2025`.
pub const LEAF_BYTES: usize = 1 << 20;

/// Bytes that sealing adds to a chunk: the Poly1305 tag.
pub const TAG_BYTES: usize = 16;

/// Bytes of plaintext in a full leaf, 1 MiB - 16.
pub const CHUNK_BYTES: usize = LEAF_BYTES - TAG_BYTES;

/// The largest block of any kind; IPFS nodes exchange blocks of this size without special settings.
pub const MAX_BLOCK_BYTES: usize = LEAF_BYTES;

/// The most links in one UnixFS node (IPIP-499 `unixfs-v1-2025`).
pub const MAX_LINKS: usize = 1024;

/// The most levels of nodes above the leaves of one UnixFS file; 1,024^3 leaves are more than [`MAX_LEAVES`].
pub const MAX_DAG_DEPTH: usize = 3;

/// The most leaves of one version: 4 TiB of full leaves.
pub const MAX_LEAVES: u64 = 1 << 22;

/// The most files of one version.
pub const MAX_FILES: usize = 1 << 21;

/// The largest manifest, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 256 << 10;

/// The largest index before sealing, in bytes.
pub const MAX_INDEX_BYTES: usize = 512 << 20;

/// The longest path of a file inside a version, in bytes of UTF-8.
pub const MAX_PATH_BYTES: usize = 1024;

/// The longest name between two slashes of a path, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 255;

/// The most names in one path.
pub const MAX_PATH_DEPTH: usize = 32;

/// The most entries of a manifest's public description.
pub const MAX_ABOUT_ENTRIES: usize = 64;

/// The longest key of a manifest's public description, in bytes of UTF-8.
pub const MAX_ABOUT_KEY_BYTES: usize = 64;

/// The longest value of a manifest's public description, in bytes of UTF-8.
pub const MAX_ABOUT_VALUE_BYTES: usize = 3 << 10;
