//! The ONNX file before any operator is made of it: one plain graph of operators that are served.
//!
//! Checks what the wire does not show, and strips what tract would otherwise trust: declared inner shapes, symbolic
//! dimensions, documentation.

use std::collections::{BTreeMap, BTreeSet};

use prost::{DecodeError, Message};
use thiserror::Error;
use tract_onnx::pb::{
    self, AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto,
    tensor_proto::DataType, tensor_shape_proto::Dimension, tensor_shape_proto::dimension::Value,
};

use crate::excerpt::excerpt;
use crate::limits::Limits;
use crate::operators;
use crate::tensor::{Element, MAX_RANK};
use crate::wire::{self, WireError};

/// tract's own tests cover 9 to 18; what changed later is refused operator by operator.
const OPSETS: std::ops::RangeInclusive<i64> = 9..=22;
/// The largest stride, pad, dilation or kernel side.
const MAX_STEP: i64 = 4_096;
/// The largest window of a pool or convolution.
const MAX_WINDOW: u64 = 65_536;
/// Attributes that say how windows lie; all small in any model that was ever trained.
const STEPS: &[&str] = &[
    "blocksize",
    "dilations",
    "group",
    "kernel_shape",
    "num_groups",
    "num_outputs",
    "output_padding",
    "output_shape",
    "pads",
    "strides",
];
/// The most outputs of a model.
const MAX_OUTPUTS: usize = 64;

/// Why a file is no graph that is served.
#[derive(Debug, Error)]
pub enum GraphError {
    /// Longer than the limit.
    #[error("the ONNX file has {found} bytes; expected at most {limit}: publish a smaller model")]
    TooLarge {
        /// Its length.
        found: usize,
        /// [`Limits::max_model_bytes`].
        limit: usize,
    },
    /// What the wire shows already.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// No ONNX.
    #[error("the file is no ONNX model, or it is damaged; fetch it again")]
    Malformed {
        /// Where decoding failed.
        #[source]
        source: DecodeError,
    },
    /// Another version of the operators.
    #[error(
        "expected opset 9 to 22 of the standard operators, found {found:?}; export the model for one of them"
    )]
    Opset {
        /// The one in the file, or none.
        found: Option<i64>,
    },
    /// A model without a network.
    #[error("the ONNX model has no graph; export it again")]
    NoGraph,
    /// More operators than the limit.
    #[error("the graph has {found} operators; expected 1 to {limit}")]
    Nodes {
        /// How many.
        found: usize,
        /// [`Limits::max_nodes`].
        limit: usize,
    },
    /// An operator that is not served.
    #[error(
        "operator {index} is {found}, which is not served; export the model with standard operators without control flow"
    )]
    Operator {
        /// Which one, from 0.
        index: usize,
        /// Its name, shortened.
        found: String,
    },
    /// A window beyond any sense.
    #[error(
        "operator {index} has {attribute} beyond what is served; expected steps of 0 to 4096 and windows of at most 65536"
    )]
    Step {
        /// Which one, from 0.
        index: usize,
        /// Which attribute.
        attribute: &'static str,
    },
    /// A tensor of a type that is not served, or of too many dimensions.
    #[error(
        "the tensor {name} has a type or rank that is not served; expected numbers or truth values in at most 8 dimensions"
    )]
    Tensor {
        /// Its name, shortened.
        name: String,
    },
    /// A value used before it is made, or made twice.
    #[error("the value {name} is {fault}; export the model again")]
    Value {
        /// Its name, shortened.
        name: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// Several inputs, or none.
    #[error("the model has {found} inputs; expected one")]
    Inputs {
        /// How many.
        found: usize,
    },
    /// An input of another type.
    #[error(
        "the model's input is no tensor of float, double, uint8 or int64 with a known rank of at most 8; export it so"
    )]
    InputType,
    /// No outputs or a great many.
    #[error("the model has {found} outputs; expected 1 to 64")]
    Outputs {
        /// How many.
        found: usize,
    },
}

/// A graph that was checked.
pub(crate) struct Graph {
    proto: ModelProto,
    /// The one input.
    pub(crate) input: String,
    pub(crate) element: Element,
    /// The input's dimensions, where the file fixes them.
    pub(crate) dimensions: Vec<Option<usize>>,
    /// In the order of the file.
    pub(crate) outputs: Vec<String>,
}

impl Graph {
    /// Reads and checks a file.
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, GraphError> {
        if bytes.len() > limits.max_model_bytes {
            return Err(GraphError::TooLarge { found: bytes.len(), limit: limits.max_model_bytes });
        }
        wire::scan(bytes, limits.max_nodes)?;
        let mut proto = ModelProto::decode(bytes).map_err(|source| GraphError::Malformed { source })?;
        let opset =
            proto.opset_import.iter().find(|opset| is_standard(&opset.domain)).map(|opset| opset.version);
        if !opset.is_some_and(|version| OPSETS.contains(&version)) {
            return Err(GraphError::Opset { found: opset });
        }
        let graph = proto.graph.as_mut().ok_or(GraphError::NoGraph)?;
        if !(1..=limits.max_nodes).contains(&graph.node.len()) {
            return Err(GraphError::Nodes { found: graph.node.len(), limit: limits.max_nodes });
        }
        for (index, node) in graph.node.iter().enumerate() {
            check_node(index, node)?;
        }
        graph.initializer.iter().try_for_each(check_tensor)?;
        check_values(graph)?;
        let (input, element, dimensions) = read_input(graph)?;
        let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
        if !(1..=MAX_OUTPUTS).contains(&outputs.len()) {
            return Err(GraphError::Outputs { found: outputs.len() });
        }
        Ok(Self { proto, input, element, dimensions, outputs })
    }

    /// What exporters wrote beside the graph.
    pub(crate) fn metadata(&self) -> BTreeMap<&str, &str> {
        self.proto.metadata_props.iter().map(|entry| (&*entry.key, &*entry.value)).collect()
    }

    /// The file's content with the input fixed to `shape` and only `outputs` left, in this order. Every other declared
    /// shape is gone, so that shapes are what the operators make them.
    pub(crate) fn fixed(mut self, shape: &[usize], outputs: &[String]) -> ModelProto {
        self.proto.metadata_props.clear();
        if let Some(graph) = &mut self.proto.graph {
            graph.value_info.clear();
            let untyped = |name: &String| ValueInfoProto { name: name.clone(), ..Default::default() };
            graph.output = outputs.iter().map(untyped).collect();
            for input in graph.input.iter_mut().filter(|input| input.name == self.input) {
                if let Some(TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), .. }) =
                    &mut input.r#type
                {
                    let dimension = |&size: &usize| Dimension {
                        value: Some(Value::DimValue(size as i64)),
                        ..Default::default()
                    };
                    tensor.shape = Some(pb::TensorShapeProto { dim: shape.iter().map(dimension).collect() });
                }
            }
            // Inputs that have a default are constants here.
            let constants: BTreeSet<&str> = graph.initializer.iter().map(|tensor| &*tensor.name).collect();
            graph.input.retain(|input| !constants.contains(&*input.name));
        }
        self.proto
    }
}

fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

fn check_node(index: usize, node: &NodeProto) -> Result<(), GraphError> {
    if !is_standard(&node.domain) || operators::work(&node.op_type).is_none() {
        return Err(GraphError::Operator { index, found: excerpt(node.op_type.as_bytes()) });
    }
    for attribute in &node.attribute {
        if let Some(&name) = STEPS.iter().find(|&&step| step == attribute.name) {
            let steps = attribute.ints.iter().chain([&attribute.i]);
            if steps.into_iter().any(|step| !(0..=MAX_STEP).contains(step)) {
                return Err(GraphError::Step { index, attribute: name });
            }
        }
        attribute.t.iter().chain(&attribute.tensors).try_for_each(check_tensor)?;
    }
    if window(node) > MAX_WINDOW {
        return Err(GraphError::Step { index, attribute: "kernel_shape" });
    }
    Ok(())
}

/// The elements of a pool's or convolution's window; 1 for other operators.
pub(crate) fn window(node: &NodeProto) -> u64 {
    let kernel = |attribute: &&AttributeProto| attribute.name == "kernel_shape";
    node.attribute.iter().find(kernel).map_or(1, |kernel| {
        kernel.ints.iter().fold(1, |product: u64, &side| product.saturating_mul(side.unsigned_abs()))
    })
}

fn check_tensor(tensor: &TensorProto) -> Result<(), GraphError> {
    use DataType::{Bool, Double, Float, Float16, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
    let served = matches!(
        DataType::try_from(tensor.data_type),
        Ok(Float | Double | Float16 | Bool | Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64)
    );
    // 0 is a tensor in the file itself.
    if !served || tensor.dims.len() > MAX_RANK || tensor.data_location.is_some_and(|location| location != 0) {
        return Err(GraphError::Tensor { name: excerpt(tensor.name.as_bytes()) });
    }
    Ok(())
}

/// Every value is made once and before it is used, so that the order of the file is an order to run in.
fn check_values(graph: &GraphProto) -> Result<(), GraphError> {
    let fault = |name: &str, fault| GraphError::Value { name: excerpt(name.as_bytes()), fault };
    let mut known = BTreeSet::new();
    for name in graph.initializer.iter().map(|tensor| &*tensor.name) {
        if name.is_empty() || !known.insert(name) {
            return Err(fault(name, "made twice or has no name"));
        }
    }
    let mut inputs = BTreeSet::new();
    for name in graph.input.iter().map(|input| &*input.name) {
        // An input may have an initializer of its name, its default.
        if name.is_empty() || !inputs.insert(name) {
            return Err(fault(name, "made twice or has no name"));
        }
    }
    known.extend(inputs);
    for node in &graph.node {
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            if !known.contains(&**name) {
                return Err(fault(name, "used before it is made"));
            }
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if !known.insert(name) {
                return Err(fault(name, "made twice"));
            }
        }
    }
    let mut outputs = BTreeSet::new();
    for name in graph.output.iter().map(|output| &*output.name) {
        if !known.contains(name) || !outputs.insert(name) {
            return Err(fault(name, "given twice or never made"));
        }
    }
    Ok(())
}

fn read_input(graph: &GraphProto) -> Result<(String, Element, Vec<Option<usize>>), GraphError> {
    let constants: BTreeSet<&str> = graph.initializer.iter().map(|tensor| &*tensor.name).collect();
    let inputs: Vec<&ValueInfoProto> =
        graph.input.iter().filter(|input| !constants.contains(&*input.name)).collect();
    let [input] = inputs[..] else { return Err(GraphError::Inputs { found: inputs.len() }) };
    let Some(pb::type_proto::Value::TensorType(tensor)) =
        input.r#type.as_ref().and_then(|r#type| r#type.value.as_ref())
    else {
        return Err(GraphError::InputType);
    };
    let element = match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Float) => Element::F32,
        Ok(DataType::Double) => Element::F64,
        Ok(DataType::Uint8) => Element::U8,
        Ok(DataType::Int64) => Element::I64,
        _ => return Err(GraphError::InputType),
    };
    let shape =
        tensor.shape.as_ref().filter(|shape| shape.dim.len() <= MAX_RANK).ok_or(GraphError::InputType)?;
    let dimension = |dimension: &Dimension| match &dimension.value {
        Some(Value::DimValue(size)) => match usize::try_from(*size) {
            // Exporters write 0 and -1 for a dimension that is open.
            Ok(0) | Err(_) => None,
            Ok(size) => Some(size),
        },
        _ => None,
    };
    Ok((input.name.clone(), element, shape.dim.iter().map(dimension).collect()))
}
