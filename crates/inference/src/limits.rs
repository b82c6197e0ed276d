//! How much of the machine a stranger's model, and a request to it, may take.

/// What is refused before it is allocated or run.
///
/// **Guarded.** The file's length, and how much its protobuf unfolds to; the number of operators, which are a fixed list
/// without loops, subgraphs, randomness or shapes that depend on data; weights in other files. Before any operator runs,
/// also one whose inputs are constants, its output's shape must be known: the tensors of a whole run together are within
/// `max_working_bytes` and the multiplications within `max_operations`.
///
/// **Not guarded.** What tract allocates inside one operator beyond its inputs and outputs (the columns of a convolution,
/// packed weights), which is a small multiple of them. The seconds a permitted run takes: that is the machine's matter. A
/// fault in tract that ends the process rather than panics; panics are caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest ONNX file, in bytes. Loading takes some four times as much memory.
    pub max_model_bytes: usize,
    /// The most operators.
    pub max_nodes: usize,
    /// The most multiplications (for operators without any: elements read and written) of one run, which is one image
    /// or one row of a batch.
    pub max_operations: u64,
    /// The most bytes of all tensors of one run together: weights, input, and every operator's output.
    pub max_working_bytes: u64,
    /// The longest request, in bytes as sent.
    pub max_request_bytes: usize,
    /// The widest and highest image, in pixels.
    pub max_image_side: u32,
    /// The most pixels of an image. Decoding takes up to 16 bytes of memory for each.
    pub max_image_pixels: u64,
    /// The most rows of a request, each of which is a run of its own.
    pub max_batch: usize,
}

impl Default for Limits {
    /// Room for the detectors people run on CPUs, at less than 2 GiB of memory and some seconds a run.
    fn default() -> Self {
        Self {
            max_model_bytes: 128 << 20,
            max_nodes: 2_000,
            max_operations: 40_000_000_000,
            max_working_bytes: 1 << 30,
            max_request_bytes: 16 << 20,
            max_image_side: 8_192,
            max_image_pixels: 25_000_000,
            max_batch: 64,
        }
    }
}
