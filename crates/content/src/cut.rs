//! Cutting laid out content into chunks.
//!
//! Owns: the two profiles and where each cuts. Refuses: reading files (that is `tree`); sealing.

use std::io;

use fastcdc::v2020::FastCDC;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::limits::CHUNK_BYTES;

/// The smallest chunk of `cdc` but for the last, in bytes.
const CDC_MIN_BYTES: usize = 128 << 10;

/// The size that chunks of `cdc` tend to, in bytes.
const CDC_AVERAGE_BYTES: usize = 512 << 10;

/// How content is cut; the manifest names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Chunks of 1 MiB - 16, the last padded with zeros: tells nothing but the number of chunks.
    #[default]
    Fixed,
    /// FastCDC (Xia et al., 2020) with 128 KiB, 512 KiB and 1 MiB - 16: a new version shares all chunks but those around
    /// a change, and the lengths of chunks tell something of what is in them.
    Cdc,
}

/// Bytes to be cut, in order.
pub(crate) trait ContentReader {
    type Error;

    /// Fills `buffer` as far as content lasts; returns how far.
    fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error>;
}

impl ContentReader for &[u8] {
    type Error = io::Error;

    fn read_full(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(self, buffer)
    }
}

/// Hands out the chunks of a content one by one.
pub(crate) struct Cutter<R> {
    reader: R,
    profile: Profile,
    /// Read but not handed out; `cdc` only.
    window: Zeroizing<Vec<u8>>,
    begun: bool,
    ended: bool,
}

impl<R: ContentReader> Cutter<R> {
    pub(crate) fn new(reader: R, profile: Profile) -> Self {
        Self { reader, profile, window: Zeroizing::default(), begun: false, ended: false }
    }

    /// Puts the next chunk into `chunk`, replacing what is there; false at the end. Even empty content has one chunk.
    pub(crate) fn next(&mut self, chunk: &mut Vec<u8>) -> Result<bool, R::Error> {
        match self.profile {
            Profile::Fixed => self.next_fixed(chunk),
            Profile::Cdc => self.next_cdc(chunk),
        }
    }

    fn next_fixed(&mut self, chunk: &mut Vec<u8>) -> Result<bool, R::Error> {
        // A buffer that held a chunk is overwritten in place; only the padding must be zeros again.
        chunk.resize(CHUNK_BYTES, 0);
        let read = self.reader.read_full(chunk)?;
        chunk[read..].fill(0);
        let first = !std::mem::replace(&mut self.begun, true);
        Ok(read > 0 || first)
    }

    fn next_cdc(&mut self, chunk: &mut Vec<u8>) -> Result<bool, R::Error> {
        if !self.ended {
            let held = self.window.len();
            self.window.resize(CHUNK_BYTES, 0);
            let read = self.reader.read_full(&mut self.window[held..])?;
            self.window.truncate(held + read);
            self.ended = held + read < CHUNK_BYTES;
        }
        let first = !std::mem::replace(&mut self.begun, true);
        let (_, end) = FastCDC::new(&self.window, CDC_MIN_BYTES, CDC_AVERAGE_BYTES, CHUNK_BYTES)
            .cut(0, self.window.len());
        chunk.clear();
        chunk.extend_from_slice(&self.window[..end]);
        self.window.drain(..end);
        Ok(!chunk.is_empty() || first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunks(content: &[u8], profile: Profile) -> Vec<Vec<u8>> {
        let mut cutter = Cutter::new(content, profile);
        let mut chunks = Vec::new();
        let mut chunk = Vec::new();
        while cutter.next(&mut chunk).unwrap() {
            chunks.push(chunk.clone());
        }
        chunks
    }

    fn noise(seed: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn fixed_chunks_are_full_and_the_last_is_padded() {
        for (length, count) in [
            (0, 1),
            (1, 1),
            (CHUNK_BYTES - 1, 1),
            (CHUNK_BYTES, 1),
            (CHUNK_BYTES + 1, 2),
            (2 * CHUNK_BYTES, 2),
        ] {
            let content = noise(1, length);
            let chunks = chunks(&content, Profile::Fixed);
            assert_eq!(chunks.len(), count, "{length} bytes");
            assert!(chunks.iter().all(|chunk| chunk.len() == CHUNK_BYTES));
            let joined = chunks.concat();
            assert_eq!(joined[..length], content[..]);
            assert!(joined[length..].iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn cdc_chunks_keep_their_limits_and_join_to_the_content() {
        for length in [0, 1, CDC_MIN_BYTES, CHUNK_BYTES, CHUNK_BYTES + 1, 9_000_000] {
            let content = noise(2, length);
            let chunks = chunks(&content, Profile::Cdc);
            assert_eq!(chunks.concat(), content);
            let (last, before) = chunks.split_last().unwrap();
            assert!(before.iter().all(|chunk| (CDC_MIN_BYTES..=CHUNK_BYTES).contains(&chunk.len())));
            assert!(last.len() <= CHUNK_BYTES && (length == 0 || !last.is_empty()));
        }
    }

    #[test]
    fn cdc_cuts_are_pinned_so_that_a_new_fastcdc_cannot_move_them_unseen() {
        let lengths: Vec<usize> = chunks(&noise(3, 4_000_000), Profile::Cdc).iter().map(Vec::len).collect();
        assert_eq!(lengths, [775657, 202612, 433127, 220173, 379945, 669745, 532290, 569217, 146432, 70802]);
    }

    #[test]
    fn cdc_finds_its_cuts_again_after_an_insertion() {
        let content = noise(4, 12_000_000);
        let changed = [&content[..3_000_000], b"inserted", &content[3_000_000..]].concat();
        let before = chunks(&content, Profile::Cdc);
        let kept = chunks(&changed, Profile::Cdc).iter().filter(|chunk| before.contains(chunk)).count();
        assert!(before.len() - kept <= 2, "{kept} of {} chunks kept", before.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn both_profiles_join_to_the_content(seed: u8, length in 0usize..3_000_000) {
            let content = noise(seed, length);
            prop_assert_eq!(chunks(&content, Profile::Cdc).concat(), content.clone());
            prop_assert_eq!(&chunks(&content, Profile::Fixed).concat()[..length], &content[..]);
        }
    }
}
