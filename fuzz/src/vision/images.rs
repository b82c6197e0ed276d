//! What is looked at beside the annotations: images, and the entries of archives.

use residual_vision::{
    Findings, Folder, Limits, Rule,
    images::{Outline, look},
    lint::archives,
};

use super::folder_of;
use crate::memory::at_most;

/// Small, so that whatever gets past them is seen.
fn limits() -> Limits {
    Limits { image_pixels: 10_000, files: 1_000, ..Limits::default() }
}

/// A picture in these limits at what decoders may take for each pixel, and their own tables.
const IMAGE_BYTES: usize = 8 << 20;
/// The end of an archive, a name of each entry, and what was found.
const ARCHIVE_BYTES: usize = 1 << 20;

/// An image file of any kind: what is decoded is within the limits, and the same each time.
pub fn image(bytes: &[u8]) -> bool {
    let outline = Outline::of(bytes);
    let Ok(facts) = at_most(IMAGE_BYTES, || look(bytes, &outline, &limits())) else { return false };
    assert!(u64::from(facts.width) * u64::from(facts.height) <= limits().image_pixels);
    assert!((0.0..=8.0).contains(&facts.measures.entropy), "{facts:?}");
    assert!(facts.measures.blur.is_none_or(|blur| (0.0..=1.0).contains(&blur)), "{facts:?}");
    assert_eq!(look(bytes, &outline, &limits()).as_ref(), Ok(&facts));
    true
}

/// The first byte says which, the rest is an archive: ZIP or TAR; its entries are looked through.
pub fn archive(bytes: &[u8]) -> bool {
    let Some((kind, content)) = bytes.split_first() else { return false };
    let place = folder_of(&[(if kind % 2 == 0 { "a.zip" } else { "a.tar" }, content)]);
    let mut findings = Findings::new(10);
    let folder = Folder::list(place.path(), &limits(), &mut findings).expect("it was just made");
    at_most(ARCHIVE_BYTES + 8 * bytes.len(), || archives::check(&folder, &limits(), &mut findings));
    assert!(
        findings
            .counts()
            .all(|(rule, _)| { matches!(rule, Rule::ArchiveSlip | Rule::ParseError | Rule::ResourceLimit) })
    );
    findings.count(Rule::ParseError) == 0
}
