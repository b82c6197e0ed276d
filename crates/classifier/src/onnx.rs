//! Models as ONNX files: opset 13, one graph family.
//!
//! The graph takes `pixels`, float `[N, 64]` with values 0 to 16, through Gemm, Relu, Gemm (once more Relu, Gemm with a
//! second hidden layer) and Softmax to `probabilities`, float `[N, 10]`. The first Gemm's alpha, 1/16, scales the pixels.
//!
//! The importer accepts exactly the bytes that [`export`] writes for some model. A file that another program
//! would read differently, such as one with an unknown field or a second graph hidden in it, is thereby refused.

mod proto;

use prost::{DecodeError, Message};

use self::proto::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_INT, AttributeProto, DimensionProto, FLOAT, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::digits::{CLASSES, PIXEL_MAX, PIXELS};
use crate::excerpt::excerpt;
use crate::network::{MAX_HIDDEN_LAYERS, MAX_PARAMETER, Model, ShapeError};

/// The longest file that is read, in bytes. The largest model that can be exported takes some 340 KiB.
pub const MAX_ONNX_BYTES: usize = 512 * 1024;

/// The nodes of the largest graph: Gemm and Relu for each hidden layer, then Gemm and Softmax.
const MAX_NODES: usize = 2 * MAX_HIDDEN_LAYERS + 2;

/// IR version 7 came with opset 13 (ONNX 1.8); whatever reads ONNX today reads both.
const IR_VERSION: i64 = 7;
const OPSET: i64 = 13;

const INPUT: &str = "pixels";
const OUTPUT: &str = "probabilities";

/// Why an ONNX file is no model of ours.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ImportError {
    /// Longer than [`MAX_ONNX_BYTES`].
    #[error("the ONNX file has {found} bytes; at most {MAX_ONNX_BYTES} are read")]
    TooLarge {
        /// Its length.
        found: usize,
    },
    /// No protobuf, or not ONNX's.
    #[error("the file is no ONNX model, or it is damaged; fetch it again")]
    Malformed {
        /// Where decoding failed.
        #[source]
        source: DecodeError,
    },
    /// Another version of the format or of its operators.
    #[error("expected {what} {expected}, found {found:?}; export the model for that version")]
    Version {
        /// `IR version` or `opset`.
        what: &'static str,
        /// The one that is read.
        expected: i64,
        /// The one in the file, or none.
        found: Option<i64>,
    },
    /// A model without a network.
    #[error("the ONNX model has no graph")]
    NoGraph,
    /// More or fewer operators than any model has.
    #[error("the graph has {found} nodes; expected 4 (one hidden layer) or {MAX_NODES} (two)")]
    NodeCount {
        /// How many.
        found: usize,
    },
    /// An operator out of place.
    #[error(
        "node {index} is {found}; expected {expected}: only stacks of Gemm and Relu under a Softmax are read"
    )]
    Node {
        /// Which one, from 0.
        index: usize,
        /// The operator that belongs there.
        expected: &'static str,
        /// The one that is there, shortened.
        found: String,
    },
    /// More or fewer tensors than the operators take.
    #[error("the graph has {found} tensors; expected {expected}, a matrix and a vector for each Gemm")]
    TensorCount {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// Numbers of another type.
    #[error("tensor {index} has the element type {found:?}; expected {FLOAT} (32-bit float)")]
    ElementType {
        /// Which one, from 0.
        index: usize,
        /// ONNX's number for the type, or none.
        found: Option<i32>,
    },
    /// Weights that do not fit to each other, to 64 pixels or to 10 classes.
    #[error("tensor {index} has the shape {found:?}; expected {expected}")]
    TensorShape {
        /// Which one, from 0.
        index: usize,
        /// The shape that fits.
        expected: String,
        /// Its first dimensions.
        found: Vec<i64>,
    },
    /// Hidden layers that no model has.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// More or less data than the shape says.
    #[error("tensor {index} has {found} bytes of data; expected {expected}")]
    TensorBytes {
        /// Which one, from 0.
        index: usize,
        /// What the shape asks for.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// A weight that is no number, or beyond any sense.
    #[error("tensor {index}, element {element} is {value}; expected a number within +-{MAX_PARAMETER}")]
    Parameter {
        /// Which tensor, from 0.
        index: usize,
        /// Which number of it, from 0.
        element: usize,
        /// What it is.
        value: f32,
    },
    /// The network is ours, yet something in the file is not.
    #[error(
        "the file differs from what is exported for its network: other names, attributes or further fields; \
         export the model again"
    )]
    NotCanonical,
}

/// Writes a model as an ONNX file. The same model always gives the same bytes.
pub fn export(model: &Model) -> Vec<u8> {
    describe(model).encode_to_vec()
}

/// Reads a model that [`export`] wrote; exporting it again gives `bytes`.
///
/// # Errors
/// Anything else, with the first thing that differs.
pub fn import(bytes: &[u8]) -> Result<Model, ImportError> {
    if bytes.len() > MAX_ONNX_BYTES {
        return Err(ImportError::TooLarge { found: bytes.len() });
    }
    let file = ModelProto::decode(bytes).map_err(|source| ImportError::Malformed { source })?;
    expect_version("IR version", IR_VERSION, file.ir_version)?;
    expect_version("opset", OPSET, file.opset_import.first().and_then(|opset| opset.version))?;
    let graph = file.graph.ok_or(ImportError::NoGraph)?;
    let gemms = count_gemms(&graph.node)?;
    let model = read_parameters(&graph.initializer, gemms)?;
    // The steps above find the common reasons and name them; this one leaves no other.
    if export(&model) != bytes {
        return Err(ImportError::NotCanonical);
    }
    Ok(model)
}

fn expect_version(what: &'static str, expected: i64, found: Option<i64>) -> Result<(), ImportError> {
    if found == Some(expected) { Ok(()) } else { Err(ImportError::Version { what, expected, found }) }
}

fn count_gemms(nodes: &[NodeProto]) -> Result<usize, ImportError> {
    if ![4, MAX_NODES].contains(&nodes.len()) {
        return Err(ImportError::NodeCount { found: nodes.len() });
    }
    for (index, node) in nodes.iter().enumerate() {
        let expected = match index {
            last if last + 1 == nodes.len() => "Softmax",
            even if even % 2 == 0 => "Gemm",
            _ => "Relu",
        };
        let found = node.op_type.as_deref().unwrap_or_default();
        if found != expected {
            return Err(ImportError::Node { index, expected, found: excerpt(found.as_bytes()) });
        }
    }
    Ok(nodes.len() / 2)
}

fn read_parameters(tensors: &[TensorProto], gemms: usize) -> Result<Model, ImportError> {
    let expected = 2 * gemms;
    if tensors.len() != expected {
        return Err(ImportError::TensorCount { expected, found: tensors.len() });
    }
    // The first dimension of each matrix but the first is the width of the hidden layer before it.
    let mut hidden = Vec::with_capacity(gemms - 1);
    for (layer, tensor) in tensors.iter().step_by(2).enumerate().skip(1) {
        let index = 2 * layer;
        match *tensor.dims {
            [width, _] => hidden
                .push(usize::try_from(width).map_err(|_| shape_error(index, "[inputs, outputs]", tensor))?),
            _ => return Err(shape_error(index, "[inputs, outputs]", tensor)),
        }
    }
    let mut model = Model::zeroed(&hidden)?;
    for (number, layer) in model.layers().to_vec().into_iter().enumerate() {
        let (weights, biases) = layer.both_mut(model.parameters_mut());
        read_tensor(2 * number, &tensors[2 * number], &[layer.inputs, layer.outputs], weights)?;
        read_tensor(2 * number + 1, &tensors[2 * number + 1], &[layer.outputs], biases)?;
    }
    Ok(model)
}

fn read_tensor(
    index: usize,
    tensor: &TensorProto,
    shape: &[usize],
    numbers: &mut [f32],
) -> Result<(), ImportError> {
    if tensor.data_type != Some(FLOAT) {
        return Err(ImportError::ElementType { index, found: tensor.data_type });
    }
    if !tensor.dims.iter().copied().eq(shape.iter().map(|&size| size as i64)) {
        return Err(shape_error(index, &format!("{shape:?}"), tensor));
    }
    let data = tensor.raw_data.as_deref().unwrap_or_default();
    let expected = 4 * numbers.len();
    if data.len() != expected {
        return Err(ImportError::TensorBytes { index, expected, found: data.len() });
    }
    for (element, (number, bytes)) in numbers.iter_mut().zip(data.as_chunks().0).enumerate() {
        let value = f32::from_le_bytes(*bytes);
        // No range contains what is not a number.
        if !(-MAX_PARAMETER..=MAX_PARAMETER).contains(&value) {
            return Err(ImportError::Parameter { index, element, value });
        }
        *number = value;
    }
    Ok(())
}

fn shape_error(index: usize, expected: &str, tensor: &TensorProto) -> ImportError {
    // Two dimensions are right; a few more show what is wrong with the rest.
    let found = tensor.dims.iter().copied().take(4).collect();
    ImportError::TensorShape { index, expected: expected.to_owned(), found }
}

fn describe(model: &Model) -> ModelProto {
    let mut graph = GraphProto {
        node: Vec::new(),
        name: Some("classifier".to_owned()),
        initializer: Vec::new(),
        input: vec![value_info(INPUT, PIXELS)],
        output: vec![value_info(OUTPUT, CLASSES)],
    };
    let mut value = INPUT.to_owned();
    for (index, layer) in model.layers().iter().enumerate() {
        let number = index + 1;
        let [weights, biases, sums] =
            ["weights", "biases", "sums"].map(|part| format!("layer{number}.{part}"));
        let matrix = layer.weights(model.parameters());
        graph.initializer.push(tensor(&weights, &[layer.inputs, layer.outputs], matrix));
        graph.initializer.push(tensor(&biases, &[layer.outputs], layer.biases(model.parameters())));
        let scale = (index == 0).then(|| AttributeProto {
            name: Some("alpha".to_owned()),
            f: Some(1.0 / f32::from(PIXEL_MAX)),
            i: None,
            r#type: Some(ATTRIBUTE_FLOAT),
        });
        graph.node.push(node("Gemm", vec![value, weights, biases], &sums, scale));
        value = sums;
        if number < model.layers().len() {
            let active = format!("layer{number}.active");
            graph.node.push(node("Relu", vec![value], &active, None));
            value = active;
        }
    }
    let over_classes =
        AttributeProto { name: Some("axis".to_owned()), f: None, i: Some(1), r#type: Some(ATTRIBUTE_INT) };
    graph.node.push(node("Softmax", vec![value], OUTPUT, Some(over_classes)));
    ModelProto {
        ir_version: Some(IR_VERSION),
        // Without a version: the bytes, and so the content id of a model, must not change with a release.
        producer_name: Some("residual".to_owned()),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
    }
}

fn node(operator: &str, input: Vec<String>, output: &str, attribute: Option<AttributeProto>) -> NodeProto {
    NodeProto {
        input,
        output: vec![output.to_owned()],
        name: Some(format!("{output}.{}", operator.to_lowercase())),
        op_type: Some(operator.to_owned()),
        attribute: attribute.into_iter().collect(),
    }
}

fn tensor(name: &str, shape: &[usize], numbers: &[f32]) -> TensorProto {
    TensorProto {
        dims: shape.iter().map(|&size| size as i64).collect(),
        data_type: Some(FLOAT),
        name: Some(name.to_owned()),
        raw_data: Some(numbers.iter().flat_map(|number| number.to_le_bytes()).collect()),
    }
}

/// A float matrix with any number of rows.
fn value_info(name: &str, columns: usize) -> ValueInfoProto {
    let rows = DimensionProto { dim_value: None, dim_param: Some("N".to_owned()) };
    let columns = DimensionProto { dim_value: Some(columns as i64), dim_param: None };
    let shape = Some(TensorShapeProto { dim: vec![rows, columns] });
    let tensor_type = Some(TensorTypeProto { elem_type: Some(FLOAT), shape });
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(TypeProto { tensor_type }) }
}
