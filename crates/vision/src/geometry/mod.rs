//! Boxes, outlines and masks as geometry: what they cover, by how much two of them agree, whether an outline crosses itself.
//!
//! Owns: area, extent and overlap of every shape of the model. Coordinates are the model's: pixels from the upper left corner
//! of the upper left pixel, y down. An outline becomes a mask exactly as pycocotools draws it (`hotcoco::mask`), so that
//! what the linter measures is what an evaluation sees.
//!
//! Refuses: to judge. It measures; `lint` says what is a fault.
//!
//! The input is a stranger's. No function panics on any coordinates, finite or not, and what could cost more than the
//! shape is worth (crossings, drawing) has a budget, at whose end the answer is "unknown".

mod bounds;
mod oriented;
pub(crate) mod polygon;
#[cfg(test)]
mod raster;
mod rle;

pub(crate) use polygon::Crossing;
pub(crate) use rle::drawable;
