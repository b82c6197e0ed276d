//! What rules judge an image by: how its brightness is distributed, and how sharp it is.

use serde::Serialize;

use super::Luma;

/// The longer side, in pixels, that sharpness is measured at: larger images are reduced to it, by whole factors, since what a
/// lens blurs over two pixels of twelve million no trainer sees. Smaller ones are measured as they are.
const SHARPNESS_SIDE: usize = 640;
/// How far to either side the comparison of [`Measures::blur`] looks, in pixels.
const REACH: usize = 4;
/// The shortest side, in pixels, at which sharpness means anything.
const SHARPNESS_LEAST: usize = 4 * REACH;
/// The range of brightness, in levels, and the entropy, in bits, below which an image shows next to nothing: fainter than
/// the noise of a camera in the dark, and less than a page with a line of text on it.
const NOTHING_RANGE: u8 = 16;
const NOTHING_ENTROPY: f64 = 2.0;

/// Figures of one image. Levels of brightness are 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measures {
    /// The mean level.
    pub mean: f64,
    /// The level that 0.1% of the pixels do not exceed.
    pub lowest: u8,
    /// The level that 1% of the pixels do not exceed.
    pub darkest: u8,
    /// The level that 5% of the pixels do not exceed.
    pub dark: u8,
    /// The level that half of the pixels do not exceed.
    pub median: u8,
    /// The level that 99% of the pixels do not exceed.
    pub bright: u8,
    /// The level that 99.9% of the pixels do not exceed.
    pub highest: u8,
    /// Shannon entropy of the levels, 0 to 8 bits.
    pub entropy: f64,
    /// 0 is sharp, 1 is blurred: what share of its changes from pixel to pixel an image would keep if it were blurred, in the
    /// direction in which it keeps more (Crété and others 2007, "The blur effect", with a box of nine pixels). Unlike
    /// the variance of a Laplacian it does not rise with contrast or texture. None for images too small to say, or without
    /// any change.
    pub blur: Option<f64>,
}

impl Measures {
    /// Measures an image.
    pub fn of(luma: &Luma) -> Self {
        let levels = levels(luma);
        let total: u64 = levels.iter().sum();
        let sum: u64 = levels.iter().zip(0u64..).map(|(count, level)| count * level).sum();
        let at = |per_mille: u64| {
            let wanted = (total * per_mille).div_ceil(1000).max(1);
            let mut seen = 0;
            let reached = levels.iter().zip(0u8..=255).find(|(count, _)| {
                seen += **count;
                seen >= wanted
            });
            reached.map_or(0, |(_, level)| level)
        };
        let entropy = levels.iter().filter(|count| **count > 0).map(|count| {
            let share = *count as f64 / total as f64;
            -share * share.log2()
        });
        Self {
            mean: sum as f64 / total.max(1) as f64,
            lowest: at(1),
            darkest: at(10),
            dark: at(50),
            median: at(500),
            bright: at(990),
            highest: at(999),
            // Nothing is left of a sum of zeros but their sign.
            entropy: entropy.sum::<f64>().abs(),
            blur: blur(luma),
        }
    }

    /// Whether the image is all but one colour, so that it can be told from no other one of that kind.
    pub fn says_nothing(&self) -> bool {
        self.highest - self.lowest < NOTHING_RANGE && self.entropy < NOTHING_ENTROPY
    }
}

fn levels(luma: &Luma) -> [u64; 256] {
    // Four tables in turn: neighbours are often equal, and one table would wait for itself.
    let mut tables = [[0u32; 256]; 4];
    let mut levels = [0u64; 256];
    // So few at once that no count overflows.
    for part in luma.pixels().chunks(1 << 30) {
        let (fours, rest) = part.as_chunks::<4>();
        for four in fours {
            for (table, level) in tables.iter_mut().zip(four) {
                table[usize::from(*level)] += 1;
            }
        }
        for level in rest {
            tables[0][usize::from(*level)] += 1;
        }
        for table in &mut tables {
            levels
                .iter_mut()
                .zip(table.iter_mut())
                .for_each(|(sum, count)| *sum += u64::from(std::mem::take(count)));
        }
    }
    levels
}

fn blur(luma: &Luma) -> Option<f64> {
    let longer = luma.width().max(luma.height());
    let reduced = (longer >= 2 * SHARPNESS_SIDE).then(|| luma.reduced(longer / SHARPNESS_SIDE));
    let luma = reduced.as_ref().unwrap_or(luma);
    if luma.width() < SHARPNESS_LEAST || luma.height() < SHARPNESS_LEAST {
        return None;
    }
    let (mut across, mut down) = (Changes::default(), Changes::default());
    let rows: Vec<&[u8]> = luma.rows().collect();
    // Every second row, and every second one of their changes, say what all do.
    for row in rows.iter().step_by(2) {
        let end = row.len() - REACH;
        across.add([
            &row[..end - REACH - 1],
            &row[REACH..end - 1],
            &row[REACH + 1..end],
            &row[2 * REACH + 1..],
        ]);
    }
    for window in rows.windows(2 * REACH + 2).step_by(2) {
        down.add([window[0], window[REACH], window[REACH + 1], window[2 * REACH + 1]]);
    }
    across.kept().into_iter().chain(down.kept()).reduce(f64::max)
}

/// Sums of changes from pixel to pixel in one direction.
#[derive(Default)]
struct Changes {
    all: u64,
    kept: u64,
}

impl Changes {
    /// The box of nine pixels around a pixel and that around the next one differ in their ends only, so that the blurred
    /// image's change is a ninth of the difference of these.
    fn add(&mut self, [before, this, next, after]: [&[u8]; 4]) {
        const BOX: u16 = 2 * REACH as u16 + 1;
        // Sums of a block fit 32 bits.
        const BLOCK: usize = 1 << 20;
        let pairs = this.chunks(BLOCK).zip(next.chunks(BLOCK));
        for ((this, next), (before, after)) in pairs.zip(before.chunks(BLOCK).zip(after.chunks(BLOCK))) {
            let (mut all, mut kept) = (0u32, 0u32);
            for (((this, next), before), after) in this.iter().zip(next).zip(before).zip(after) {
                let change = u16::from(this.abs_diff(*next)) * BOX;
                let blurred = u16::from(before.abs_diff(*after));
                all = all.wrapping_add(u32::from(change));
                kept = kept.wrapping_add(u32::from(change.min(blurred)));
            }
            self.all += u64::from(all);
            self.kept += u64::from(kept);
        }
    }

    fn kept(&self) -> Option<f64> {
        (self.all > 0).then(|| self.kept as f64 / self.all as f64)
    }
}
