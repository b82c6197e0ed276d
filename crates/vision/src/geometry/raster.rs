//! The model that the tests hold geometry to: pixels, one by one.

use crate::{Bounds, Rle};

/// An image of yes and no, column by column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Raster {
    height: u32,
    width: u32,
    pixels: Vec<bool>,
}

impl Raster {
    pub(super) fn new(width: u32, height: u32, covers: impl Fn(u32, u32) -> bool) -> Self {
        let pixels = (0..width).flat_map(|x| (0..height).map(move |y| (x, y))).map(|(x, y)| covers(x, y));
        Self { height, width, pixels: pixels.collect() }
    }

    /// A box of whole pixels.
    pub(super) fn of_box(width: u32, height: u32, one: &Bounds) -> Self {
        let within =
            |at: u32, from: f64, length: f64| f64::from(at) >= from && f64::from(at) + 1.0 <= from + length;
        Self::new(width, height, |x, y| within(x, one.x, one.width) && within(y, one.y, one.height))
    }

    /// Pixels whose centre is inside by the even-odd rule.
    pub(super) fn of_polygon(width: u32, height: u32, polygon: &[[f64; 2]]) -> Self {
        Self::new(width, height, |x, y| {
            let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
            let mut inside = false;
            for (index, &[x0, y0]) in polygon.iter().enumerate() {
                let [x1, y1] = polygon[(index + 1) % polygon.len()];
                if (y0 > y) != (y1 > y) && x < (x1 - x0) * (y - y0) / (y1 - y0) + x0 {
                    inside = !inside;
                }
            }
            inside
        })
    }

    pub(super) fn of_rle(rle: &Rle) -> Self {
        let runs = rle.counts.iter().enumerate();
        let pixels = runs.flat_map(|(index, count)| std::iter::repeat_n(index % 2 == 1, *count as usize));
        Self { height: rle.height, width: rle.width, pixels: pixels.collect() }
    }

    pub(super) fn to_rle(&self) -> Rle {
        let mut counts = vec![0];
        let mut covered = false;
        for &pixel in &self.pixels {
            if pixel != covered {
                counts.push(0);
                covered = pixel;
            }
            *counts.last_mut().expect("begins with one") += 1;
        }
        Rle { height: self.height, width: self.width, counts, compressed: false }
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        let pixels = self.pixels.iter().zip(&other.pixels).map(|(one, other)| *one || *other).collect();
        Self { height: self.height, width: self.width, pixels }
    }

    pub(super) fn area(&self) -> u64 {
        self.pixels.iter().filter(|pixel| **pixel).count() as u64
    }

    pub(super) fn shared(&self, other: &Self) -> u64 {
        self.pixels.iter().zip(&other.pixels).filter(|(one, other)| **one && **other).count() as u64
    }

    pub(super) fn iou(&self, other: &Self) -> f64 {
        let shared = self.shared(other);
        let union = self.area() + other.area() - shared;
        if union == 0 { 0.0 } else { shared as f64 / union as f64 }
    }

    pub(super) fn bounds(&self) -> Option<Bounds> {
        let covered = self.pixels.iter().enumerate().filter(|(_, pixel)| **pixel).map(|(at, _)| at as u32);
        let corners: Vec<[f64; 2]> = covered
            .flat_map(|at| {
                let (x, y) = (f64::from(at / self.height), f64::from(at % self.height));
                [[x, y], [x + 1.0, y + 1.0]]
            })
            .collect();
        Bounds::around(&corners)
    }
}
