//! Pictures: PNG and JPEG to the numbers a model takes.
//!
//! Pixels are taken as they are stored: an EXIF orientation, a colour profile and transparency are not looked at. Who sends
//! a photo that is stored lying down turns it first; so boxes are in the pixels that were sent.

use std::io::Cursor;

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder};
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageError};
use thiserror::Error;

use crate::card::{ImageCard, Layout};
use crate::geometry::Placement;
use crate::limits::Limits;
use crate::request::MediaType;

/// What a letterbox is filled with: the grey that Ultralytics trains its detectors with.
const LETTERBOX_GREY: u8 = 114;
/// What decoding may take for each permitted pixel: four channels of 16 bits, twice.
const DECODING_BYTES_PER_PIXEL: u64 = 16;

/// Why bytes are no picture for a model.
#[derive(Debug, Error)]
pub enum PictureError {
    /// Not the format, damaged, or cut off.
    #[error("expected a whole {format:?}, found something else: {source}; send the file as it was made")]
    Malformed {
        /// The format it should be in.
        format: MediaType,
        /// The decoder's reason.
        #[source]
        source: ImageError,
    },
    /// Too large to decode.
    #[error(
        "expected at most {max_side} pixels a side and {max_pixels} in all, found {width} by {height}; send it smaller"
    )]
    TooLarge {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// [`Limits::max_image_side`].
        max_side: u32,
        /// [`Limits::max_image_pixels`].
        max_pixels: u64,
    },
    /// Another size than the one that a model without resizing takes.
    #[error("expected a picture of {expected:?} pixels, found {found:?}; resize it")]
    Size {
        /// Width and height.
        expected: [u32; 2],
        /// Width and height.
        found: [u32; 2],
    },
}

/// Decodes a picture and makes the numbers of one row, in the card's layout, and where it lies in them.
///
/// # Errors
/// What is no whole picture of the format, too large, or not the size it must have.
pub(crate) fn read(
    bytes: &[u8],
    format: MediaType,
    card: &ImageCard,
    limits: &Limits,
) -> Result<(Vec<f32>, Placement), PictureError> {
    let malformed = |source| PictureError::Malformed { format, source };
    let picture = match format {
        MediaType::Jpeg => decode(JpegDecoder::new(Cursor::new(bytes)).map_err(malformed)?, format, limits)?,
        _ => {
            // The decoder of PNG allocates for text and profiles while it is made: its limits come first.
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), decoding_limits(limits));
            decode(decoder.map_err(|error| too_large_or_malformed(error, bytes, limits))?, format, limits)?
        }
    };
    let found = [picture.width(), picture.height()];
    let expected = [card.width, card.height];
    let placement =
        Placement::new(card.resize, found, expected).ok_or(PictureError::Size { expected, found })?;
    Ok((numbers(&place(picture, &placement, card), card), placement))
}

fn decoding_limits(limits: &Limits) -> image::Limits {
    let mut decoding = image::Limits::default();
    decoding.max_image_width = Some(limits.max_image_side);
    decoding.max_image_height = Some(limits.max_image_side);
    decoding.max_alloc = Some(limits.max_image_pixels.saturating_mul(DECODING_BYTES_PER_PIXEL));
    decoding
}

/// PNG's decoder refuses a side too long before it tells its length, which stands at a fixed place.
fn too_large_or_malformed(error: ImageError, bytes: &[u8], limits: &Limits) -> PictureError {
    let side = |at: usize| bytes[at..].first_chunk().map_or(0, |side| u32::from_be_bytes(*side));
    match error {
        ImageError::Limits(_) if bytes.len() >= 24 => PictureError::TooLarge {
            width: side(16),
            height: side(20),
            max_side: limits.max_image_side,
            max_pixels: limits.max_image_pixels,
        },
        source => PictureError::Malformed { format: MediaType::Png, source },
    }
}

fn decode(
    mut decoder: impl ImageDecoder,
    format: MediaType,
    limits: &Limits,
) -> Result<DynamicImage, PictureError> {
    let malformed = |source| PictureError::Malformed { format, source };
    let (width, height) = decoder.dimensions();
    let (max_side, max_pixels) = (limits.max_image_side, limits.max_image_pixels);
    if width.max(height) > max_side || u64::from(width) * u64::from(height) > max_pixels {
        return Err(PictureError::TooLarge { width, height, max_side, max_pixels });
    }
    decoder.set_limits(decoding_limits(limits)).map_err(malformed)?;
    DynamicImage::from_decoder(decoder).map_err(malformed)
}

/// The model's picture, channels beside each other: 1 or 3 bytes a pixel.
fn place(picture: DynamicImage, placement: &Placement, card: &ImageCard) -> Vec<u8> {
    let [left, top, width, height] = placement.from;
    let [to_left, to_top, to_width, to_height] = placement.to;
    let whole = [left, top, width, height] == [0, 0, picture.width(), picture.height()];
    let picture = if whole { picture } else { picture.crop_imm(left, top, width, height) };
    let grey = card.channels == 1;
    let picture = if grey { picture.into_luma8().into() } else { DynamicImage::from(picture.into_rgb8()) };
    let picture = if (width, height) == (to_width, to_height) {
        picture
    } else {
        picture.resize_exact(to_width, to_height, FilterType::Triangle)
    };
    if (to_width, to_height) == (card.width, card.height) {
        return picture.into_bytes();
    }
    let mut canvas = if grey {
        DynamicImage::new_luma8(card.width, card.height)
    } else {
        DynamicImage::new_rgb8(card.width, card.height)
    };
    match &mut canvas {
        DynamicImage::ImageLuma8(grey) => grey.fill(LETTERBOX_GREY),
        DynamicImage::ImageRgb8(colour) => colour.fill(LETTERBOX_GREY),
        _ => {}
    }
    imageops::replace(&mut canvas, &picture, i64::from(to_left), i64::from(to_top));
    canvas.into_bytes()
}

/// `(pixel * scale - mean) / std`, in the order of the layout.
fn numbers(pixels: &[u8], card: &ImageCard) -> Vec<f32> {
    let channels = usize::from(card.channels);
    let tables: Vec<Vec<f32>> = (0..channels)
        .map(|channel| {
            let (mean, std) = card.normalisation(channel);
            (0..=255_u8).map(|pixel| ((f64::from(pixel) * card.scale - mean) / std) as f32).collect()
        })
        .collect();
    match card.layout {
        Layout::Nhwc | Layout::Flat => pixels
            .chunks(channels)
            .flat_map(|pixel| pixel.iter().zip(&tables).map(|(&value, table)| table[usize::from(value)]))
            .collect(),
        Layout::Nchw => tables
            .iter()
            .enumerate()
            .flat_map(|(channel, table)| {
                pixels.iter().skip(channel).step_by(channels).map(|&value| table[usize::from(value)])
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::Resize;
    use image::{GrayImage, ImageFormat, Rgb, RgbImage};

    fn card(width: u32, height: u32, channels: u8, resize: Resize) -> ImageCard {
        let layout = Layout::Nchw;
        ImageCard { width, height, channels, layout, scale: 1.0, mean: vec![], std: vec![], resize }
    }

    fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = Vec::new();
        picture.into().write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    }

    fn read_png(bytes: &[u8], card: &ImageCard) -> Result<Vec<f32>, PictureError> {
        read(bytes, MediaType::Png, card, &Limits::default()).map(|(numbers, _)| numbers)
    }

    #[test]
    fn layouts_and_normalisation_are_as_the_card_says() {
        let picture = png(RgbImage::from_fn(2, 1, |x, _| Rgb([x as u8, 10 + x as u8, 20 + x as u8])));
        let mut card = card(2, 1, 3, Resize::Exact);
        assert_eq!(read_png(&picture, &card).unwrap(), [0.0, 1.0, 10.0, 11.0, 20.0, 21.0]);
        card.layout = Layout::Nhwc;
        assert_eq!(read_png(&picture, &card).unwrap(), [0.0, 10.0, 20.0, 1.0, 11.0, 21.0]);
        (card.scale, card.mean, card.std) = (2.0, vec![1.0, 0.0, 2.0], vec![2.0]);
        assert_eq!(read_png(&picture, &card).unwrap(), [-0.5, 10.0, 19.0, 0.5, 11.0, 20.0]);
    }

    #[test]
    fn a_letterbox_is_grey_and_a_crop_is_the_middle() {
        let wide = png(GrayImage::from_fn(4, 2, |x, _| image::Luma([x as u8])));
        let boxed = read_png(&wide, &card(4, 4, 1, Resize::Letterbox)).unwrap();
        let (grey, row) = ([114.0; 4], [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(boxed, [grey, row, row, grey].concat());
        assert_eq!(read_png(&wide, &card(2, 2, 1, Resize::Crop)).unwrap(), [1.0, 2.0, 1.0, 2.0]);
    }

    #[test]
    fn sizes_are_held_to_the_limits_and_to_the_card() {
        let picture = png(GrayImage::new(20, 10));
        let stretched = card(8, 8, 1, Resize::Stretch);
        let refusal = |limits: &Limits| read(&picture, MediaType::Png, &stretched, limits).unwrap_err();
        let narrow = Limits { max_image_side: 19, ..Limits::default() };
        assert!(matches!(refusal(&narrow), PictureError::TooLarge { .. }));
        let small = Limits { max_image_pixels: 199, ..Limits::default() };
        assert!(matches!(refusal(&small), PictureError::TooLarge { width: 20, height: 10, .. }));
        assert!(matches!(
            read_png(&picture, &card(8, 8, 1, Resize::Exact)),
            Err(PictureError::Size { expected: [8, 8], found: [20, 10] })
        ));
        let jpeg = read(&picture, MediaType::Jpeg, &stretched, &Limits::default());
        assert!(matches!(jpeg, Err(PictureError::Malformed { format: MediaType::Jpeg, .. })));
    }

    /// A PNG of a few bytes that says it has 4 billion pixels.
    #[test]
    fn a_picture_that_claims_much_is_refused_before_it_is_allocated() {
        let mut bomb = png(GrayImage::new(1, 1));
        bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        let header = bomb[12..29].to_vec();
        bomb[29..33].copy_from_slice(&crc32(&header).to_be_bytes());
        assert!(matches!(
            read_png(&bomb, &card(8, 8, 1, Resize::Stretch)),
            Err(PictureError::TooLarge { width: 0xffff, height: 0xffff, .. })
        ));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }
}
