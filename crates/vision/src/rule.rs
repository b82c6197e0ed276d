//! The linter's rules: the one table of their ids, gravity, meaning and advice.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A fact worth knowing.
    Info,
    /// Perhaps a fault: somebody should look.
    Warning,
    /// A fault that makes training or evaluation worse.
    Error,
    /// A fault that readers disagree about, fail on or are harmed by: not published.
    Blocker,
}

impl Severity {
    /// Every severity, the least grave first.
    pub const ALL: &[Severity] = &[Severity::Info, Severity::Warning, Severity::Error, Severity::Blocker];
}

impl fmt::Display for Severity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Blocker => "blocker",
        })
    }
}

macro_rules! rules {
    ($($name:ident $id:literal $severity:ident $meaning:literal $advice:literal;)*) => {
        /// A rule. Its id is an API: it never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $meaning] $name,)*
        }

        impl Rule {
            /// Every rule, in the table's order.
            pub const ALL: &[Rule] = &[$(Rule::$name,)*];

            /// Its id, `UPPER_SNAKE`.
            pub fn id(self) -> &'static str {
                match self { $(Rule::$name => $id,)* }
            }

            /// How grave it is.
            pub fn severity(self) -> Severity {
                match self { $(Rule::$name => Severity::$severity,)* }
            }

            /// What it finds, as a noun.
            pub fn meaning(self) -> &'static str {
                match self { $(Rule::$name => $meaning,)* }
            }

            /// What to do about it.
            pub fn advice(self) -> &'static str {
                match self { $(Rule::$name => $advice,)* }
            }
        }
    };
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

rules! {
    ParseError "PARSE_ERROR" Blocker "a file that is not of its format" "repair or export the file again";
    BadEncoding "BAD_ENCODING" Blocker "text that is not UTF-8" "save the file as UTF-8";
    DuplicateKey "DUPLICATE_KEY" Blocker "a key that stands twice in one object" "keep one of the two: readers differ in which they take";
    MissingField "MISSING_FIELD" Blocker "a record without a field it must have" "add the field, or remove the record";
    BadType "BAD_TYPE" Blocker "a value of another type" "write the value as its format says";
    BadArity "BAD_ARITY" Blocker "too few or too many values" "write as many values as the format says";
    NotFinite "NOT_FINITE" Blocker "a number that is not finite" "replace the number, or remove the record";
    NegativeSize "NEGATIVE_SIZE" Blocker "a negative width or height" "swap the corners or remove the box";
    PathTraversal "PATH_TRAVERSAL" Blocker "a path that leaves the dataset's folder" "name files relative to the folder, without `..`";
    ArchiveSlip "ARCHIVE_SLIP" Blocker "an archive whose entries leave the folder it is unpacked to" "pack the archive again with relative names";
    XmlEntity "XML_ENTITY" Blocker "an XML file that declares entities" "remove the document type and its entities";
    ResourceLimit "RESOURCE_LIMIT" Blocker "something larger than a reader should take in" "split the file or shrink what is in it";
    ImageUnreadable "IMAGE_UNREADABLE" Blocker "an image file that is no image" "replace the file or remove it with its annotations";
    ImageTruncated "IMAGE_TRUNCATED" Blocker "an image that ends too early" "fetch the image again";
    ImageDecodeError "IMAGE_DECODE_ERROR" Blocker "an image with damaged content" "fetch or encode the image again";
    DuplicateImageId "DUP_IMAGE_ID" Blocker "an image id that stands twice" "number the images anew";
    DuplicateAnnotationId "DUP_ANN_ID" Blocker "an annotation id that stands twice" "number the annotations anew";
    DuplicateCategoryId "DUP_CATEGORY_ID" Blocker "a category id that stands twice" "number the categories anew";
    OrphanImageReference "ORPHAN_IMAGE_REF" Blocker "an annotation of an image that is not listed" "list the image or remove the annotation";
    UnknownCategory "UNKNOWN_CATEGORY" Blocker "an annotation of a class that is not listed" "list the class or correct the annotation";
    RleLength "RLE_LENGTH" Blocker "a mask whose runs do not fill it" "encode the mask again";
    RleSizeMismatch "RLE_SIZE_MISMATCH" Blocker "a mask of another size than its image" "encode the mask at the image's size";
    KeypointArity "KP_ARITY" Blocker "keypoints that are not three numbers for each of the skeleton" "write x, y and visibility for every keypoint";
    MissingImage "MISSING_IMAGE" Blocker "an image that is listed and not there" "add the file or remove it from the annotations";
    SplitLeakage "SPLIT_LEAKAGE" Blocker "the same image in two splits" "keep it in one split";
    MissingLicence "MISSING_LICENCE" Blocker "no licence is named" "add a LICENSE file or a `licenses` entry, or say the licence when publishing";
    OutOfBounds "OUT_OF_BOUNDS" Error "a box or outline beyond its image by more than a pixel" "clip it to the image";
    DegenerateBox "DEGENERATE_BOX" Error "a box without area" "remove the box";
    NotNormalised "NOT_NORMALISED" Error "a YOLO coordinate outside 0 to 1" "divide by the image's size; clip to 0 to 1";
    DeclaredSize "DECLARED_SIZE" Error "an image of another size than its annotations say" "correct the size, and check that the boxes were made on this image";
    ExifOrientation "EXIF_ORIENTATION" Error "an image that viewers turn and trainers may not" "turn the pixels and drop the tag";
    BadPolygon "BAD_POLYGON" Error "a polygon of fewer than three vertices or an odd number of coordinates" "draw the polygon again or remove it";
    SelfIntersecting "SELF_INTERSECTING" Error "a polygon that crosses itself" "draw the polygon again";
    AreaMismatch "AREA_MISMATCH" Error "an area that is not that of the mask" "compute the area from the mask";
    MaskBoxMismatch "MASK_BOX_MISMATCH" Error "a box that is not around its mask" "compute the box from the mask";
    DuplicateAnnotation "DUPLICATE_ANNOTATION" Error "one object annotated twice" "remove one of the two";
    KeypointVisibility "KP_VISIBILITY" Error "a visibility other than 0, 1 or 2" "write 0 (not labelled), 1 (hidden) or 2 (visible)";
    KeypointCountMismatch "KP_COUNT_MISMATCH" Error "`num_keypoints` that is not the number of labelled keypoints" "count the keypoints with visibility over 0";
    KeypointOutOfBounds "KP_OUT_OF_BOUNDS" Error "a labelled keypoint outside its image" "move the keypoint or set its visibility to 0";
    ExtensionMismatch "EXTENSION_MISMATCH" Error "an image whose content is not what its name says" "rename the file";
    ConflictingLabels "CONFLICTING_LABELS" Error "identical images with different labels" "decide for one and remove the other";
    VocZeroBased "VOC_ZERO_BASED" Error "Pascal VOC corners counted from 0" "count from 1, as Pascal VOC does, or every box is off by a pixel";
    NearDuplicate "NEAR_DUPLICATE" Warning "images that look alike" "keep one, unless both are wanted";
    NearDuplicateAcrossSplits "NEAR_DUPLICATE_ACROSS_SPLITS" Warning "images that look alike in two splits" "keep them in one split, or results will be too good";
    Unlabelled "UNLABELLED" Warning "an image of which nothing is said" "annotate it, or say that it holds nothing";
    UnlistedImage "UNLISTED_IMAGE" Warning "an image file that no annotation file names" "list it or remove it";
    TinyBox "TINY_BOX" Warning "a box of a few pixels" "check that it is an object";
    WholeImageBox "WHOLE_IMAGE_BOX" Warning "a box over all of its image" "check that it is an object";
    OutlierBox "OUTLIER_BOX" Warning "a box unlike the others of its class" "check its size and shape";
    TwoClasses "TWO_CLASSES" Warning "one box under two classes" "decide for one, unless both are meant";
    SimilarClassNames "SIMILAR_CLASS_NAMES" Warning "class names that differ by a letter or in case" "merge them if they mean the same";
    Dark "IMAGE_DARK" Warning "an image that is nearly black" "check the image";
    Bright "IMAGE_BRIGHT" Warning "an image that is nearly white" "check the image";
    Blurred "IMAGE_BLURRED" Warning "an image without sharp edges" "check the image";
    LowInformation "IMAGE_LOW_INFORMATION" Warning "an image that shows next to nothing" "check the image";
    ImageTooSmall "IMAGE_TOO_SMALL" Warning "an image of a few pixels" "check the image";
    OddSize "IMAGE_ODD_SIZE" Warning "an image of an extreme shape, or unlike the others in size" "check the image";
    KeypointsSwapped "KP_SWAPPED" Warning "left and right keypoints that seem swapped" "check the keypoints";
    ExifPosition "EXIF_GPS" Warning "an image that tells where it was taken" "strip the metadata, unless the position is meant to be public";
    ExifPersonal "EXIF_PERSONAL" Warning "an image that names a person or a device" "strip the metadata";
    Imbalance "CLASS_IMBALANCE" Info "classes of very different size" "weigh or sample the classes when training";
    FewSamples "FEW_SAMPLES" Info "a class with few samples" "add samples, or expect little of this class";
    UnusedClass "UNUSED_CLASS" Info "a class without a sample" "remove the class if it is not meant to come";
    SplitDrift "SPLIT_DRIFT" Info "splits whose classes are distributed differently" "split anew, by class";
    NoLabels "EMPTY_LABELS" Info "an image that is said to hold nothing" "nothing, if it is meant as background";
    MetadataLost "METADATA_LOST" Info "something that the reader has no place for" "nothing, if it is not needed";
}
