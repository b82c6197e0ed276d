//! Pixels of a stranger's image, within limits, and what is wrong with it where there are none.
//!
//! JPEG is decoded strictly: where a browser would show grey, this says what is missing. Sizes are held against the limits
//! before anything is allocated for them.

use std::{
    error::Error,
    io::{self, Cursor},
    panic::{AssertUnwindSafe, catch_unwind},
};

use image::{DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::{JpegDecoder, errors::DecodeErrors};

use super::{Kind, Outline};
use crate::Limits;

/// What decoders may allocate for each pixel that is allowed: four channels of 16 bits twice, and tables.
const BYTES_PER_PIXEL: u64 = 16;
const BYTES_ANYWAY: u64 = 1 << 20;

/// Why an image cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file is of no kind that is known here.
    #[error("expected a JPEG, PNG, BMP, GIF, WebP or TIFF image, found none of these")]
    NoImage,
    /// It is larger than the limits.
    #[error("expected at most {limit} pixels, found {width}x{height}")]
    TooLarge {
        /// Pixels that are allowed.
        limit: u64,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// It would take more memory to decode than its pixels are worth.
    #[error("expected {kind} that takes at most {limit} bytes to decode, found one that takes more")]
    TooCostly {
        /// The kind's name.
        kind: &'static str,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// It ends before its end.
    #[error("expected a whole {kind}, found one that ends too early")]
    Truncated {
        /// The kind's name.
        kind: &'static str,
    },
    /// Its content breaks the rules of its kind, or uses what trainers cannot read either.
    #[error("expected a sound {kind}: {what}")]
    Broken {
        /// The kind's name.
        kind: &'static str,
        /// What the decoder says.
        what: String,
    },
}

/// Decodes an image to as many channels as it has; JPEG to grey or RGB.
///
/// # Errors
/// It is no image, is damaged, or is larger than the limits.
pub fn decode(bytes: &[u8], outline: &Outline, limits: &Limits) -> Result<DynamicImage, Damage> {
    let kind = outline.kind.ok_or(Damage::NoImage)?;
    if let Some(size) = outline.size {
        check_size(size, limits)?;
    }
    // Decoders of strangers' code meet strangers' bytes here: one that panics has found an image that it cannot decode, and
    // that must not end the look at the others. They are given a slice and keep nothing, so nothing is left half done.
    let decoded = catch_unwind(AssertUnwindSafe(|| match kind {
        Kind::Jpeg => jpeg(bytes, limits),
        Kind::Png => other(bytes, kind, ImageFormat::Png, limits),
        Kind::Bmp => other(bytes, kind, ImageFormat::Bmp, limits),
        Kind::Gif => other(bytes, kind, ImageFormat::Gif, limits),
        Kind::WebP => other(bytes, kind, ImageFormat::WebP, limits),
        Kind::Tiff => other(bytes, kind, ImageFormat::Tiff, limits),
    }));
    let gave_up = || Damage::Broken { kind: kind.name(), what: "the decoder gave up".to_owned() };
    match decoded.unwrap_or_else(|_| Err(gave_up())) {
        Err(Damage::Broken { .. }) | Ok(_) if !outline.whole => Err(Damage::Truncated { kind: kind.name() }),
        decoded => decoded,
    }
}

fn check_size((width, height): (u32, u32), limits: &Limits) -> Result<(), Damage> {
    let limit = limits.image_pixels;
    if u64::from(width) * u64::from(height) > limit {
        return Err(Damage::TooLarge { limit, width, height });
    }
    Ok(())
}

fn jpeg(bytes: &[u8], limits: &Limits) -> Result<DynamicImage, Damage> {
    let kind = Kind::Jpeg.name();
    let broken = |error: DecodeErrors| match error {
        DecodeErrors::ExhaustedData => Damage::Truncated { kind },
        error => Damage::Broken { kind, what: error.to_string() },
    };
    // Headers as they come, as every decoder takes them; what follows strictly.
    let lenient = DecoderOptions::default().set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), lenient.set_strict_mode(false));
    decoder.decode_headers().map_err(broken)?;
    let size = decoder.info().map(|info| (info.width, info.height)).ok_or(Damage::NoImage)?;
    let (width, height) = (u32::from(size.0), u32::from(size.1));
    check_size((width, height), limits)?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let channels = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(lenient.set_strict_mode(true).jpeg_set_out_colorspace(channels));
    let samples = decoder.decode().map_err(broken)?;
    let pixels = if grey {
        GrayImage::from_raw(width, height, samples).map(DynamicImage::ImageLuma8)
    } else {
        RgbImage::from_raw(width, height, samples).map(DynamicImage::ImageRgb8)
    };
    pixels.ok_or_else(|| Damage::Broken { kind, what: "too few pixels".to_owned() })
}

fn other(bytes: &[u8], kind: Kind, format: ImageFormat, limits: &Limits) -> Result<DynamicImage, Damage> {
    let limit = limits.image_pixels.saturating_mul(BYTES_PER_PIXEL).saturating_add(BYTES_ANYWAY);
    let damage = |error: ImageError| match error {
        ImageError::Limits(_) => Damage::TooCostly { kind: kind.name(), limit },
        error if ends_early(&error) => Damage::Truncated { kind: kind.name() },
        error => Damage::Broken { kind: kind.name(), what: error.to_string() },
    };
    let mut allowed = image::Limits::no_limits();
    allowed.max_alloc = Some(limit);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(allowed);
    let decoder = reader.into_decoder().map_err(damage)?;
    check_size(decoder.dimensions(), limits)?;
    DynamicImage::from_decoder(decoder).map_err(damage)
}

/// Whether a decoder asked for bytes that are not there.
fn ends_early(error: &ImageError) -> bool {
    let mut error: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(this) = error {
        if let Some(ImageError::IoError(io)) = this.downcast_ref()
            && io.kind() == io::ErrorKind::UnexpectedEof
        {
            return true;
        }
        if let Some(io) = this.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::UnexpectedEof
        {
            return true;
        }
        error = this.source();
    }
    false
}
