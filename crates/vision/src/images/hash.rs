//! Hashes by which an image is found again: its pixels exactly, or what it looks like.

use std::{
    fmt,
    sync::{LazyLock, OnceLock},
};

use image::DynamicImage;
use serde::{Serialize, Serializer};

use super::Luma;

/// The grid that is transformed: 32 by 32 means of the image.
const SIDE: usize = 32;
/// Frequencies in a direction that a bit can stand for.
const FREQUENCIES: usize = 22;
/// Bits of a cosine in the table.
const COSINE_BITS: u32 = 14;
/// Bits that are dropped between the two passes of the transformation.
const DROPPED_BITS: u32 = 14;
/// The coefficient of a wave of one grey level: that level, a cosine both ways, and the sums of its square over the grid.
const AMPLITUDE: i64 =
    (1 << (Luma::GRID_BITS + 2 * COSINE_BITS - DROPPED_BITS)) * (SIDE as i64 / 2) * (SIDE as i64 / 2);
/// A quarter of a grey level; weaker waves are noise of rounding.
const NOISE: i64 = AMPLITUDE / 4;

/// BLAKE3 of an image's pixels and size, whatever file they are in: a PNG and a BMP of one image have the same, and so has a
/// JPEG that was packed anew without being encoded anew. An image that was scaled or encoded anew has another.
///
/// Grey counts as red, green and blue alike, and opaque as no transparency at all. 16 bits are another image than 8.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 32]);

/// BLAKE3 of a file as it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileHash(pub [u8; 32]);

/// A content hash under a secret salt (BLAKE3, keyed): whoever has the salt can tell whether an image he has is among the
/// hashed ones, and nobody else can. For sealed images that are to be compared and not shown.
///
/// It finds images whose pixels are equal, and no others: not one that was scaled, encoded anew or changed in a single
/// pixel, since any hash that keeps nearness would let whoever sees it search for images near to what it stands for.
/// Whoever has both the salt and the hashes can test every image of the world against them: a salt belongs to one
/// comparison, and is told only to who makes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaltedHash(pub [u8; 32]);

/// What an image looks like, in 64 bits to search by and 256 to verify: signs of the low frequencies of its brightness.
///
/// After pHash (Zauner 2010, section 3.2.1) with signs in place of the comparison with the median, so that the hashes of all
/// flips and turns follow from the bits alone ([`PerceptualHash::variants`]), and of what is searched only one is kept.
/// Stays nearly the same when the image is scaled, encoded anew, brightened, softened or cropped a little.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PerceptualHash {
    /// The 64 lowest frequencies. Neighbouring frequencies stand in different words of 16 bits, which is what
    /// [`super::HashIndex`] looks up.
    pub coarse: u64,
    /// The 256 lowest frequencies.
    pub fine: [u64; 4],
}

impl ContentHash {
    /// Of an image's pixels.
    pub fn of(image: &DynamicImage) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&image.width().to_le_bytes());
        hasher.update(&image.height().to_le_bytes());
        match image {
            DynamicImage::ImageRgb8(colours) => {
                hasher.update(b"rgb8");
                hasher.update(colours.as_raw());
            }
            DynamicImage::ImageRgba8(colours) if colours.pixels().any(|pixel| pixel.0[3] != u8::MAX) => {
                hasher.update(b"rgba8");
                hasher.update(colours.as_raw());
            }
            DynamicImage::ImageLumaA8(grey) if grey.pixels().any(|pixel| pixel.0[1] != u8::MAX) => {
                hasher.update(b"rgba8");
                hasher.update(image.to_rgba8().as_raw());
            }
            DynamicImage::ImageLuma8(_) | DynamicImage::ImageLumaA8(_) | DynamicImage::ImageRgba8(_) => {
                hasher.update(b"rgb8");
                hasher.update(image.to_rgb8().as_raw());
            }
            deep => {
                hasher.update(b"rgba16");
                let rows = deep.to_rgba16();
                let mut row_bytes = Vec::new();
                for row in rows.as_raw().chunks(4096) {
                    row_bytes.clear();
                    row_bytes.extend(row.iter().flat_map(|sample| sample.to_le_bytes()));
                    hasher.update(&row_bytes);
                }
            }
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// Under a salt of 32 random bytes.
    pub fn salted(&self, salt: &[u8; 32]) -> SaltedHash {
        SaltedHash(*blake3::keyed_hash(salt, &self.0).as_bytes())
    }
}

impl FileHash {
    /// Of a file's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl PerceptualHash {
    /// Of an image; none where the bits would say little of it: where most of the frequencies are weaker than rounding, or it
    /// has fewer pixels a side than the grid. (Of 8x8 digits one pair in two hundred would look alike.)
    pub fn of(luma: &Luma) -> Option<Self> {
        if luma.width() < SIDE || luma.height() < SIDE {
            return None;
        }
        let waves = transform(&luma.grid::<SIDE>()?);
        let bits = &*BITS;
        let strong = bits.coarse.iter().filter(|(u, v)| waves[*v][*u].abs() > NOISE).count();
        if strong < bits.coarse.len() / 2 {
            return None;
        }
        let set = |(u, v): &(usize, usize)| waves[*v][*u] > 0;
        let mut hash = Self { coarse: 0, fine: [0; 4] };
        for (bit, wave) in bits.coarse.iter().enumerate() {
            hash.coarse |= u64::from(set(wave)) << bit;
        }
        for (bit, wave) in bits.fine.iter().enumerate() {
            hash.fine[bit / 64] |= u64::from(set(wave)) << (bit % 64);
        }
        Some(hash)
    }

    /// The hashes of this image under all eight flips and turns, itself first.
    pub fn variants(&self) -> [Self; 8] {
        let flips = [(false, false), (true, false), (false, true), (true, true)];
        let turned = self.transposed();
        let of = |hash: &Self| flips.map(|(across, down)| hash.flipped(across, down));
        let [a, b, c, d] = of(self);
        let [e, f, g, h] = of(&turned);
        [a, b, c, d, e, f, g, h]
    }

    /// In how many of the 64 bits two differ.
    pub fn coarse_distance(&self, other: &Self) -> u32 {
        (self.coarse ^ other.coarse).count_ones()
    }

    /// In how many of the 256 bits two differ.
    pub fn fine_distance(&self, other: &Self) -> u32 {
        self.fine.iter().zip(&other.fine).map(|(one, other)| (one ^ other).count_ones()).sum()
    }

    /// A wave that is odd in a direction changes its sign when the image is mirrored in it.
    fn flipped(&self, across: bool, down: bool) -> Self {
        let bits = &*BITS;
        let mut hash = *self;
        for (flip, odd) in [(across, &bits.odd_across), (down, &bits.odd_down)] {
            if flip {
                hash.coarse ^= odd.coarse;
                hash.fine.iter_mut().zip(&odd.fine).for_each(|(word, odd)| *word ^= odd);
            }
        }
        hash
    }

    /// Rows and columns changed places.
    fn transposed(&self) -> Self {
        let bits = &*BITS;
        let mut hash = Self { coarse: 0, fine: [0; 4] };
        for (bit, from) in bits.coarse_transposed.iter().enumerate() {
            hash.coarse |= (self.coarse >> from & 1) << bit;
        }
        for (bit, from) in bits.fine_transposed.iter().enumerate() {
            hash.fine[bit / 64] |= (self.fine[from / 64] >> (from % 64) & 1) << (bit % 64);
        }
        hash
    }
}

/// Which bit stands for which wave, `(across, down)` in half periods over the image.
struct Bits {
    coarse: [(usize, usize); 64],
    fine: [(usize, usize); 256],
    coarse_transposed: [usize; 64],
    fine_transposed: [usize; 256],
    odd_across: PerceptualHash,
    odd_down: PerceptualHash,
}

static BITS: LazyLock<Bits> = LazyLock::new(|| {
    let mut coarse = lowest::<64>();
    // Every fourth in one word of 16 bits: neighbours vary together, and words should not.
    coarse = std::array::from_fn(|bit| coarse[bit % 16 * 4 + bit / 16]);
    let fine = lowest::<256>();
    Bits {
        coarse_transposed: transposition(&coarse),
        fine_transposed: transposition(&fine),
        odd_across: odd(&coarse, &fine, |(across, _)| across),
        odd_down: odd(&coarse, &fine, |(_, down)| down),
        coarse,
        fine,
    }
});

/// The `COUNT` lowest waves without the mean, by the sum of their frequencies, and on the last diagonal pairs from the middle
/// on without the middle itself, so that the set is its own mirror image.
fn lowest<const COUNT: usize>() -> [(usize, usize); COUNT] {
    let mut waves = Vec::with_capacity(COUNT + FREQUENCIES);
    for sum in 1usize.. {
        let mut diagonal: Vec<_> = (0..=sum).map(|across| (across, sum - across)).collect();
        diagonal.sort_by_key(|(across, down)| (across.abs_diff(*down), *across));
        if waves.len() + diagonal.len() > COUNT {
            diagonal.retain(|(across, down)| across != down);
        }
        waves.extend(diagonal);
        if waves.len() >= COUNT {
            break;
        }
    }
    std::array::from_fn(|wave| waves[wave])
}

fn transposition<const COUNT: usize>(waves: &[(usize, usize); COUNT]) -> [usize; COUNT] {
    waves.map(|(across, down)| {
        let place = waves.iter().position(|wave| *wave == (down, across));
        place.expect("the set of waves is its own mirror image")
    })
}

fn odd(
    coarse: &[(usize, usize); 64],
    fine: &[(usize, usize); 256],
    direction: impl Fn((usize, usize)) -> usize,
) -> PerceptualHash {
    let mut mask = PerceptualHash { coarse: 0, fine: [0; 4] };
    for (bit, wave) in coarse.iter().enumerate() {
        mask.coarse |= (direction(*wave) as u64 & 1) << bit;
    }
    for (bit, wave) in fine.iter().enumerate() {
        mask.fine[bit / 64] |= (direction(*wave) as u64 & 1) << (bit % 64);
    }
    mask
}

/// DCT-II of the grid at the lowest frequencies, in integers, so that every machine finds the same bits.
fn transform(grid: &[[i32; SIDE]; SIDE]) -> [[i64; FREQUENCIES]; FREQUENCIES] {
    static COSINES: OnceLock<[[i64; SIDE]; FREQUENCIES]> = OnceLock::new();
    let cosines = COSINES.get_or_init(|| {
        std::array::from_fn(|frequency| {
            std::array::from_fn(|place| {
                let angle = std::f64::consts::PI * ((2 * place + 1) * frequency) as f64 / (2 * SIDE) as f64;
                (angle.cos() * f64::from(1 << COSINE_BITS)).round() as i64
            })
        })
    });
    let across: [[i64; FREQUENCIES]; SIDE] = std::array::from_fn(|row| {
        std::array::from_fn(|frequency| {
            let terms = grid[row].iter().zip(&cosines[frequency]);
            terms.map(|(cell, cosine)| i64::from(*cell) * cosine).sum::<i64>() >> DROPPED_BITS
        })
    });
    std::array::from_fn(|down| {
        std::array::from_fn(|frequency| {
            across.iter().zip(&cosines[down]).map(|(row, cosine)| row[frequency] * cosine).sum()
        })
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

macro_rules! shown_in_hex {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{}({self})", stringify!($name))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

shown_in_hex!(ContentHash FileHash SaltedHash);

impl fmt::Display for PerceptualHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { coarse, fine: [a, b, c, d] } = self;
        write!(out, "{coarse:016x}-{a:016x}{b:016x}{c:016x}{d:016x}")
    }
}

impl fmt::Debug for PerceptualHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PerceptualHash({self})")
    }
}

impl Serialize for PerceptualHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_is_the_pixels_whatever_they_are_kept_in() {
        let grey = GrayImage::from_fn(5, 3, |x, y| image::Luma([(x * 50 + y) as u8]));
        let same = [
            DynamicImage::ImageLuma8(grey.clone()),
            DynamicImage::ImageLumaA8(GrayAlphaImage::from_fn(5, 3, |x, y| {
                image::LumaA([grey[(x, y)].0[0], 255])
            })),
            DynamicImage::ImageRgb8(RgbImage::from_fn(5, 3, |x, y| image::Rgb([grey[(x, y)].0[0]; 3]))),
            DynamicImage::ImageLuma8(grey.clone()).to_rgba8().into(),
        ];
        let hash = ContentHash::of(&same[0]);
        same.iter().for_each(|image| assert_eq!(ContentHash::of(image), hash, "{:?}", image.color()));
        let mut through: RgbaImage = same[0].to_rgba8();
        through[(0, 0)].0[3] = 254;
        let mut off_by_one = same[0].to_rgb8();
        off_by_one[(4, 2)].0[1] ^= 1;
        let turned = DynamicImage::ImageLuma8(GrayImage::from_raw(3, 5, grey.into_raw()).unwrap());
        for other in [through.into(), off_by_one.into(), turned, same[0].to_rgb16().into()] {
            assert_ne!(ContentHash::of(&other), hash, "{:?}", other.color());
        }
    }

    #[test]
    fn a_salted_hash_is_equal_under_the_same_salt_only() {
        let [one, other] = [ContentHash([1; 32]), ContentHash([2; 32])];
        assert_eq!(one.salted(&[7; 32]), one.salted(&[7; 32]));
        assert_ne!(one.salted(&[7; 32]), one.salted(&[8; 32]));
        assert_ne!(one.salted(&[7; 32]), other.salted(&[7; 32]));
        assert_ne!(one.salted(&[7; 32]).0, one.0);
    }

    proptest! {
        /// A plane of random levels has all frequencies, so that each bit says something.
        #[test]
        fn variants_are_the_hashes_of_the_turned_images(
            (width, height) in (33usize..70, 33usize..70),
            seed: u64,
        ) {
            let mut state = seed | 1;
            let pixels = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            });
            let pixels: Vec<u8> = pixels.take(width * height).collect();
            let image = GrayImage::from_raw(width as u32, height as u32, pixels).unwrap();
            let hash = |image: &DynamicImage| PerceptualHash::of(&Luma::of(image)).unwrap();
            let image = DynamicImage::ImageLuma8(image);
            let turned = image.rotate90().fliph();
            let views = [&image, &turned].map(|image| [image.clone(), image.fliph(), image.flipv(), image.rotate180()]);
            let variants = hash(&image).variants();
            for (view, variant) in views.iter().flatten().zip(variants) {
                // A wave that is all but absent may fall to either side.
                prop_assert!(hash(view).coarse_distance(&variant) <= 1);
                prop_assert!(hash(view).fine_distance(&variant) <= 2);
            }
        }
    }
}
