//! The one model that every format is read into and written from.
//!
//! Coordinates are pixels of the image as it is stored, x to the right and y down from the upper left corner of the upper
//! left pixel, so that a box over the whole image is `[0, 0, width, height]` (COCO's convention). A reader converts; a
//! writer converts back. What a format says beyond this model is kept as [`Attributes`] under the format's own names, and
//! what a format cannot say is told by its writer.

use std::collections::BTreeMap;

use crate::Place;

/// A dataset: what is common, then rows that point at each other by index.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dataset {
    /// What it says of itself.
    pub info: Info,
    /// Classes, in the order of the format: a category's index is not its id.
    pub categories: Vec<Category>,
    /// Images, in the order of the format.
    pub images: Vec<Image>,
    /// Annotations, in the order of the format.
    pub annotations: Vec<Annotation>,
}

/// What a dataset says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Info {
    /// Licences that images name, or the dataset's own.
    pub licences: Vec<Licence>,
    /// Everything else, under the format's own names.
    pub attributes: Attributes,
}

/// A licence under which images stand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Licence {
    /// The format's id of it.
    pub id: u64,
    /// Its name or SPDX id.
    pub name: String,
    /// Where its text is.
    pub url: Option<String>,
    /// Everything else.
    pub attributes: Attributes,
}

/// Fields that this model has no word for, under the format's own names.
pub type Attributes = BTreeMap<String, serde_json::Value>;

/// The place of a category in [`Dataset::categories`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CategoryIndex(pub u32);

/// The place of an image in [`Dataset::images`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageIndex(pub u32);

/// A class of objects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Category {
    /// The format's id of it; the index where a format has none.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The group it belongs to.
    pub supercategory: Option<String>,
    /// Its keypoints, where it has any.
    pub skeleton: Option<Skeleton>,
    /// Everything else.
    pub attributes: Attributes,
}

/// The keypoints of a category.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Skeleton {
    /// Their names, in the order of [`Annotation::keypoints`].
    pub keypoints: Vec<String>,
    /// Pairs that are drawn connected, by index from 0.
    pub edges: Vec<[u32; 2]>,
    /// Which keypoint each one becomes when the image is mirrored, where the format says so.
    pub flip: Option<Vec<u32>>,
}

/// An image and what is said of it as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Image {
    /// The format's id of it; a running number from 1 where a format has none.
    pub id: u64,
    /// Its file, relative to the dataset's folder, with `/` between its parts.
    pub file: String,
    /// Width in pixels as the annotations say; none where the format says nothing.
    pub width: Option<u32>,
    /// Height in pixels as the annotations say; none where the format says nothing.
    pub height: Option<u32>,
    /// `train`, `val`, `test` or the dataset's own word.
    pub split: Option<String>,
    /// The id of its licence in [`Info::licences`].
    pub licence: Option<u64>,
    /// Whether the format says anything of its objects, be it that there are none. `false`: unlabelled.
    pub labelled: bool,
    /// Classes of the whole image (image folders).
    pub classes: Vec<CategoryIndex>,
    /// Where it is said.
    pub place: Place,
    /// Everything else.
    pub attributes: Attributes,
}

/// One object in one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// The format's id of it; a running number from 1 where a format has none.
    pub id: u64,
    /// The image it is in.
    pub image: ImageIndex,
    /// Its class.
    pub category: CategoryIndex,
    /// Its upright box.
    pub bounds: Option<Bounds>,
    /// Its outline or mask.
    pub segmentation: Option<Segmentation>,
    /// Its oriented box.
    pub oriented: Option<Box<Quadrangle>>,
    /// Its keypoints: as many as its category's skeleton names, or any number where it names none.
    pub keypoints: Vec<Keypoint>,
    /// Its area in square pixels, as the format says it.
    pub area: Option<f64>,
    /// A crowd: many objects under one outline, not counted one by one.
    pub crowd: bool,
    /// How sure a model is of it, 0 to 1; none in ground truth.
    pub score: Option<f64>,
    /// Where it is said.
    pub place: Place,
    /// Everything else.
    pub attributes: Attributes,
}

/// An upright box, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width; a reader lets no negative one in.
    pub width: f64,
    /// Height; a reader lets no negative one in.
    pub height: f64,
}

/// Four corners of an oriented box in their order around it, in pixels, `[x, y]` each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quadrangle(pub [[f64; 2]; 4]);

/// What of the image an object covers.
#[derive(Debug, Clone, PartialEq)]
pub enum Segmentation {
    /// Outlines whose union it is, `[x, y]` each vertex, at least three a polygon.
    Polygons(Vec<Vec<[f64; 2]>>),
    /// A mask.
    Rle(Rle),
}

/// A run-length encoded mask, column by column from the upper left, as pycocotools has it: runs of zeros and ones in turn,
/// zeros first, whose lengths sum to `height * width`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rle {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Lengths of runs.
    pub counts: Vec<u32>,
    /// Whether the format had it as a compressed string, so that it is written so again.
    pub compressed: bool,
}

/// A point of an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keypoint {
    /// From the left, in pixels.
    pub x: f64,
    /// From above, in pixels.
    pub y: f64,
    /// Whether it is there.
    pub visibility: Visibility,
}

/// COCO's `v` of a keypoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// 0: not labelled; x and y say nothing.
    Absent,
    /// 1: labelled, hidden by something.
    Hidden,
    /// 2: labelled and seen.
    Visible,
}
