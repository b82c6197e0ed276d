//! How bright each pixel is, all that the measures and the perceptual hash look at.

use image::DynamicImage;

/// Brightness of pixels, row by row, 0 to 255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Luma {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Luma {
    /// A level's units in [`Luma::grid`], as a power of two.
    pub(crate) const GRID_BITS: u32 = 12;

    /// Of an image, by the weights of ITU-R BT.601, rounded. Transparency is dropped, as trainers drop it.
    pub fn of(image: &DynamicImage) -> Self {
        let pixels = match image {
            DynamicImage::ImageLuma8(grey) => grey.as_raw().clone(),
            DynamicImage::ImageLumaA8(grey) => grey.as_raw().chunks_exact(2).map(|pixel| pixel[0]).collect(),
            DynamicImage::ImageRgb8(colours) => colours.as_raw().as_chunks().0.iter().map(luma).collect(),
            DynamicImage::ImageRgba8(colours) => {
                colours.as_raw().as_chunks().0.iter().map(|[r, g, b, _]| luma(&[*r, *g, *b])).collect()
            }
            deep => deep.to_rgb8().as_raw().as_chunks().0.iter().map(luma).collect(),
        };
        Self { width: image.width() as usize, height: image.height() as usize, pixels }
    }

    /// From pixels, row by row; none when there are not `width` times `height` of them.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Option<Self> {
        (width.checked_mul(height)? == pixels.len()).then_some(Self { width, height, pixels })
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All pixels, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The rows.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        // An image without columns has no pixels, and so no rows here.
        self.pixels.chunks_exact(self.width.max(1))
    }

    /// The same image at one `factor`th of its width and height: means of squares of pixels, what is over cut off.
    #[must_use]
    pub fn reduced(&self, factor: usize) -> Self {
        let factor = factor.max(1);
        let (width, height) = (self.width / factor, self.height / factor);
        let mut pixels = Vec::with_capacity(width * height);
        let mut sums = vec![0u32; width];
        let weight = (factor * factor) as u32;
        for (row, pixel_row) in self.rows().enumerate().take(height * factor) {
            for (sum, square) in sums.iter_mut().zip(pixel_row.chunks_exact(factor)) {
                *sum += square.iter().map(|pixel| u32::from(*pixel)).sum::<u32>();
            }
            if row % factor == factor - 1 {
                pixels.extend(sums.iter().map(|sum| ((sum + weight / 2) / weight) as u8));
                sums.fill(0);
            }
        }
        Self { width, height, pixels }
    }

    /// Means over a grid of `SIDE` times `SIDE` cells that covers the image exactly, in units of 1/2^12 of a level. A cell's
    /// edge may cross a pixel; then each side has its part of it, so that turned images have turned grids.
    pub(crate) fn grid<const SIDE: usize>(&self) -> Option<[[i32; SIDE]; SIDE]> {
        if self.width == 0 || self.height == 0 {
            return None;
        }
        let mut cells = [[0i32; SIDE]; SIDE];
        let area = self.width as u64 * self.height as u64;
        let mut columns = vec![0; self.width];
        for (down, row) in cells.iter_mut().enumerate() {
            columns.fill(0);
            self.add_rows::<SIDE>(down, &mut columns);
            for (across, cell) in row.iter_mut().enumerate() {
                let (first, last, [before, inner, after]) = parts::<SIDE>(across, self.width);
                let within: u64 = columns[first + 1..last.max(first + 1)].iter().sum();
                let sum = before * columns[first] + inner * within + after * columns[last];
                *cell = ((sum << Self::GRID_BITS) / area) as i32;
            }
        }
        Some(cells)
    }

    /// Adds up each column's pixels in the grid's row `down`.
    fn add_rows<const SIDE: usize>(&self, down: usize, columns: &mut [u64]) {
        // So few at once that their sums fit 32 bits, which go faster than 64.
        const TOGETHER: usize = 1 << 16;
        let (first, last, [before, inner, after]) = parts::<SIDE>(down, self.height);
        let rows = |from: usize, to: usize| &self.pixels[from * self.width..to * self.width];
        let mut sums = vec![0u32; self.width];
        for together in rows(first + 1, last.max(first + 1)).chunks(TOGETHER * self.width) {
            sums.fill(0);
            for row in together.chunks_exact(self.width) {
                sums.iter_mut().zip(row).for_each(|(sum, pixel)| *sum = sum.wrapping_add(u32::from(*pixel)));
            }
            columns.iter_mut().zip(&sums).for_each(|(column, sum)| *column += inner * u64::from(*sum));
        }
        for (row, weight) in [(first, before), (last, after)] {
            let pixels = rows(row, row + 1);
            columns.iter_mut().zip(pixels).for_each(|(column, pixel)| *column += weight * u64::from(*pixel));
        }
    }
}

/// Which of `length` pixels the `cell`th of `SIDE` cells begins and ends in, and how many units of the first, of each one
/// between and of the last it has: a pixel is `SIDE` units wide, a cell `length`. Where the first is the last, all is the first's.
fn parts<const SIDE: usize>(cell: usize, length: usize) -> (usize, usize, [u64; 3]) {
    let (from, to) = (cell * length, (cell + 1) * length);
    let (first, last) = (from / SIDE, (to - 1) / SIDE);
    if first == last {
        return (first, last, [length as u64, 0, 0]);
    }
    let (before, after) = ((first + 1) * SIDE - from, to - last * SIDE);
    (first, last, [before as u64, SIDE as u64, after as u64])
}

fn luma([red, green, blue]: &[u8; 3]) -> u8 {
    // 255 times all weights, and a half, is just below 2^16.
    let [red, green, blue] = [red, green, blue].map(|channel| u16::from(*channel));
    ((77 * red + 150 * green + 29 * blue + 128) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn luma_image() -> impl Strategy<Value = Luma> {
        (1usize..80, 1usize..80).prop_flat_map(|(width, height)| {
            proptest::collection::vec(any::<u8>(), width * height).prop_map(move |pixels| Luma {
                width,
                height,
                pixels,
            })
        })
    }

    proptest! {
        /// A grid keeps the mean, and turns with the image.
        #[test]
        fn a_grid_is_the_image_seen_from_afar(luma in luma_image()) {
            let grid = luma.grid::<8>().unwrap();
            let mean = luma.pixels.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / luma.pixels.len() as f64;
            let of_grid = grid.iter().flatten().map(|cell| f64::from(*cell) / 4096.0).sum::<f64>() / 64.0;
            prop_assert!((mean - of_grid).abs() < 0.001, "{mean} {of_grid}");
            let mirrored: Vec<u8> = luma.rows().flat_map(|row| row.iter().rev()).copied().collect();
            let mirrored = Luma { pixels: mirrored, ..luma.clone() }.grid::<8>().unwrap();
            prop_assert_eq!(mirrored, grid.map(|mut row| { row.reverse(); row }));
        }

        #[test]
        fn a_reduced_image_has_means(luma in luma_image(), factor in 1usize..9) {
            let small = luma.reduced(factor);
            prop_assert_eq!((small.width, small.height), (luma.width / factor, luma.height / factor));
            for (index, pixel) in small.pixels.iter().enumerate() {
                let (x, y) = (index % small.width * factor, index / small.width * factor);
                let square = (y..y + factor).flat_map(|y| (x..x + factor).map(move |x| (x, y)));
                let sum: u32 = square.map(|(x, y)| u32::from(luma.pixels[y * luma.width + x])).sum();
                let mean = f64::from(sum) / (factor * factor) as f64;
                prop_assert!((f64::from(*pixel) - mean).abs() <= 0.5);
            }
        }
    }
}
