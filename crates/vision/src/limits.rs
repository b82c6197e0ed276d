//! What a stranger's folder may cost: every reader stays within these, and says [`crate::Rule::ResourceLimit`] beyond.

/// Bounds on what is read and decoded. The defaults take COCO (118,287 images, 860,001 annotations) ten times over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files in the folder.
    pub files: usize,
    /// Folders within folders.
    pub depth: usize,
    /// Bytes of one annotation file.
    pub annotation_file_bytes: u64,
    /// Bytes of one image file.
    pub image_file_bytes: u64,
    /// Pixels of one image, before it is decoded.
    pub image_pixels: u64,
    /// Pixels of one mask: rows times columns that an RLE or a polygon spans.
    pub mask_pixels: u64,
    /// Annotations in all.
    pub annotations: usize,
    /// Categories in all.
    pub categories: usize,
    /// Vertices of one annotation's polygons together; also runs of one RLE.
    pub vertices: usize,
    /// Keypoints of one annotation.
    pub keypoints: usize,
    /// Values nested in values, in JSON and in XML.
    pub nesting: usize,
    /// Findings of one rule that are kept with their places; all are counted.
    pub findings_per_rule: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 4_000_000,
            depth: 32,
            annotation_file_bytes: 2 << 30,
            image_file_bytes: 256 << 20,
            image_pixels: 100_000_000,
            mask_pixels: 100_000_000,
            annotations: 20_000_000,
            categories: 100_000,
            vertices: 1_000_000,
            keypoints: 1_000,
            nesting: 64,
            findings_per_rule: 1_000,
        }
    }
}
