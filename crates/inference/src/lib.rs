//! Published models answer requests: ONNX bytes and a card in, answers out, on the CPU.
//!
//! Owns: loading an ONNX model that a stranger published ([`Served::load`]), the card that says what it takes and gives
//! ([`ModelCard`]), reading requests (PNG, JPEG, JSON, NumPy's npy) and telling answers (classes, boxes, tensors).
//! It alone knows tract, which runs the graphs.
//!
//! Refuses: files, clocks, network, threads of its own, random operators, and every graph whose memory and work cannot
//! be bounded before it runs. What is bounded and what is not stands at [`Limits`].
//!
//! The same bytes give the same answer, on any number of threads. Another processor may differ in the last bits of a
//! float, since tract picks its kernels by what the processor can do.

mod answer;
mod boxes;
mod card;
mod excerpt;
mod geometry;
mod graph;
mod json;
mod limits;
mod metadata;
mod npy;
mod operators;
mod picture;
mod program;
mod python;
mod request;
mod served;
mod tensor;
mod wire;

pub use answer::{Answer, Answers, ClassScore};
pub use boxes::Detection;
pub use card::{
    BoxCorners, BoxLayout, BoxesCard, CardError, ClassesCard, ImageCard, InputCard, Layout, MAX_CARD_BYTES,
    ModelCard, OutputCard, Resize, Scores, TensorInputCard, TensorOutputCard,
};
pub use graph::GraphError;
pub use json::JsonError;
pub use limits::Limits;
pub use metadata::MetadataError;
pub use npy::NpyError;
pub use picture::PictureError;
pub use program::{Port, ProgramError, RunError};
pub use python::LiteralError;
pub use request::{Fault, MediaType, RequestError};
pub use served::{Input, LoadError, Served};
pub use tensor::{ConversionError, Element, MAX_RANK, Numbers, Tensor};
pub use wire::WireError;
