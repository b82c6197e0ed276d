//! A small image classifier: trained, fine-tuned and evaluated bit for bit the same on every machine.
//!
//! Owns: the digits CSV, a multilayer perceptron with one or two hidden layers, its training and fine-tuning, and
//! its ONNX form. Refuses: files, clocks, randomness from outside (the seed is given), network, and every ONNX graph
//! but the family that it writes itself.
//!
//! Reproducible means: only IEEE 754 additions, multiplications, divisions and square roots, in an order that the
//! source fixes. The standard library's `exp` and `powi` may differ from one platform to the next, so neither is used.

mod digits;
mod excerpt;
mod network;
pub mod onnx;
mod random;
mod softmax;
mod training;

pub use digits::{CLASSES, CsvError, MAX_CSV_BYTES, PIXEL_MAX, PIXELS, Sample, SampleError, parse_csv};
pub use network::{Accuracy, MAX_HIDDEN_LAYERS, MAX_PARAMETER, MAX_WIDTH, Model, Prediction, ShapeError};
pub use training::{
    FineTuneConfig, FineTuneError, MAX_EPOCHS, Schedule, ScheduleError, TrainConfig, TrainError, fine_tune,
    train,
};
