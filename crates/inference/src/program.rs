//! A graph made ready to run: the only place that calls tract.
//!
//! tract folds constants while it reads a graph, so a few bytes can ask for terabytes before the first request. Therefore
//! the graph is walked operator by operator: tract's rules tell the shapes of an operator's outputs, these are held
//! against the limits, and only then may the operator be evaluated.
//!
//! tract panics on some malformed graphs (an axis beyond the rank, a division by zero among integers, overflow), and its
//! panics are made errors here. A panic leaves nothing behind: a run has a state of its own, a failed load no state at
//! all. The panic hook still prints it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;
use tract_onnx::pb::{ModelProto, NodeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{
    DimLike, Factoid, InferenceModelExt, IntoRunnable, TypedRunnableModel,
};

use crate::excerpt::excerpt;
use crate::graph::{self, Graph};
use crate::limits::Limits;
use crate::operators::{self, Work, elements};
use crate::tensor::{Element, Numbers, Tensor};

/// tract breaks operators into simpler ones; their outputs together may be so many times those of the graph.
const SIMPLER_OPERATORS: u64 = 4;
/// Operators whose outputs are as large as the values of their inputs say. tract reckons such sizes in 32 bits here and in
/// 64 there, so that a larger one would pass as a small one.
const SHAPED_BY_VALUES: &[&str] =
    &["ConstantOfShape", "Expand", "OneHot", "Pad", "Reshape", "Resize", "Split", "Tile", "TopK"];
/// The longest reason of tract's that a message repeats, in bytes.
const MAX_REASON_BYTES: usize = 300;

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its name in the graph.
    pub name: String,
    /// What it is made of.
    pub element: Element,
    /// Its shape in one run.
    pub shape: Vec<usize>,
    /// The first dimension is that of the batch: 1 in every run.
    pub batched: bool,
}

impl Port {
    /// The shape of one row, if rows can be told from the whole.
    pub fn row(&self) -> Option<&[usize]> {
        if self.batched { self.shape.get(1..) } else { None }
    }
}

/// Why a graph cannot be made ready.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProgramError {
    /// A shape that nothing fixes.
    #[error(
        "the input's shape {found:?} (0 = open) does not fit {expected}; give its width and height, or its shape, in model.toml"
    )]
    InputShape {
        /// The file's shape.
        found: Vec<usize>,
        /// What it should fit.
        expected: String,
    },
    /// An output that is not there.
    #[error("the model has no output {name}; name one of its outputs in model.toml")]
    NoOutput {
        /// The name asked for, shortened.
        name: String,
    },
    /// A shape that is not known before the run.
    #[error(
        "the output of operator {index} ({operator}) has a shape that depends on data; export the model with fixed shapes"
    )]
    OpenShape {
        /// Which one, from 0.
        index: usize,
        /// What it is.
        operator: String,
    },
    /// A size that nothing has.
    #[error("operator {index} ({operator}) is given a size beyond 2^31; export the model again")]
    Size {
        /// Which one, from 0.
        index: usize,
        /// What it is.
        operator: String,
    },
    /// More memory than the limit.
    #[error(
        "by operator {index} the model takes {found} bytes of tensors; expected at most {limit}: publish a smaller one"
    )]
    WorkingBytes {
        /// The operator that is too much, from 0.
        index: usize,
        /// Bytes so far.
        found: u64,
        /// [`Limits::max_working_bytes`].
        limit: u64,
    },
    /// More work than the limit.
    #[error(
        "by operator {index} the model takes {found} multiplications; expected at most {limit}: publish a smaller one"
    )]
    Operations {
        /// The operator that is too much, from 0.
        index: usize,
        /// Multiplications so far.
        found: u64,
        /// [`Limits::max_operations`].
        limit: u64,
    },
    /// An output of a type that is not served.
    #[error("the output {name} is no tensor of numbers; leave it out of the model's outputs")]
    OutputType {
        /// Its name, shortened.
        name: String,
    },
    /// tract's reason.
    #[error("the graph cannot be made ready: {reason}; check it with onnx.checker and export it again")]
    Refused {
        /// Its words, shortened.
        reason: String,
    },
}

/// Why a run gave nothing, though the model was loaded and its input fits.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the model failed on this input: {reason}; tell its publisher")]
pub struct RunError {
    /// tract's words, shortened.
    pub reason: String,
}

/// A graph that can be run.
pub(crate) struct Program {
    plan: Arc<TypedRunnableModel>,
    pub(crate) input: Port,
    pub(crate) outputs: Vec<Port>,
}

impl Program {
    /// Makes a graph ready for rows of shape `row` (or of the file's own, where it is fixed), to compute `outputs`.
    pub(crate) fn prepare(
        graph: Graph,
        row: Option<&[usize]>,
        outputs: &[String],
        limits: &Limits,
    ) -> Result<Self, ProgramError> {
        if let Some(name) = outputs.iter().find(|name| !graph.outputs.contains(name)) {
            return Err(ProgramError::NoOutput { name: excerpt(name.as_bytes()) });
        }
        let (shape, batched) = fix_shape(&graph.dimensions, row)?;
        let input = Port { name: graph.input.clone(), element: graph.element, shape, batched };
        let proto = graph.fixed(&input.shape, outputs);
        let (plan, outputs) = contain(|| build(&proto, outputs, limits))
            .unwrap_or_else(|reason| Err(ProgramError::Refused { reason }))?;
        Ok(Self { plan, input, outputs })
    }

    /// Runs once. `row` has as many numbers, of the element, as the input port.
    pub(crate) fn run(&self, row: &Numbers) -> Result<Vec<Tensor>, RunError> {
        let run = || -> TractResult<Option<Vec<Tensor>>> {
            let shape = &self.input.shape;
            let input = match row {
                Numbers::F32(numbers) => tract_onnx::prelude::Tensor::from_shape(shape, numbers),
                Numbers::F64(numbers) => tract_onnx::prelude::Tensor::from_shape(shape, numbers),
                Numbers::U8(numbers) => tract_onnx::prelude::Tensor::from_shape(shape, numbers),
                Numbers::I64(numbers) => tract_onnx::prelude::Tensor::from_shape(shape, numbers),
            }?;
            let outputs = self.plan.run(tvec!(input.into_tvalue()))?;
            outputs.iter().zip(&self.outputs).map(|(output, port)| give(output, port)).collect()
        };
        match contain(run) {
            Ok(Ok(Some(outputs))) => Ok(outputs),
            Ok(Ok(None)) => Err(RunError { reason: "an output of another shape than promised".to_owned() }),
            Ok(Err(error)) => Err(RunError { reason: shorten(&format!("{error:#}")) }),
            Err(reason) => Err(RunError { reason }),
        }
    }
}

/// Runs `call` and makes a panic of it a reason. Without it a graph that tract did not foresee would take down a thread
/// of the server, or the server.
fn contain<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("for no reason given");
        shorten(&format!("tract stopped: {words}"))
    })
}

fn shorten(reason: &str) -> String {
    let end = reason.floor_char_boundary(MAX_REASON_BYTES);
    reason[..end].chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The shape of one run, and whether its first dimension is that of the batch: one that is open or 1.
fn fix_shape(file: &[Option<usize>], row: Option<&[usize]>) -> Result<(Vec<usize>, bool), ProgramError> {
    let misfit = |expected: String| ProgramError::InputShape {
        found: file.iter().map(|size| size.unwrap_or(0)).collect(),
        expected,
    };
    let batched = |first: Option<usize>| first.is_none_or(|size| size == 1);
    let fits = |sizes: &[Option<usize>], wanted: &[usize]| {
        sizes.len() == wanted.len()
            && sizes.iter().zip(wanted).all(|(size, &wanted)| size.is_none_or(|size| size == wanted))
    };
    match (row, file) {
        (Some(row), [first, rest @ ..]) if batched(*first) && fits(rest, row) => {
            Ok(([&[1], row].concat(), true))
        }
        (Some(row), whole) if fits(whole, row) => Ok((row.to_vec(), false)),
        (Some(row), _) => Err(misfit(format!("the card's {row:?}, with or without a batch of 1 before it"))),
        (None, [first, rest @ ..]) if batched(*first) => {
            let rest: Option<Vec<usize>> = rest.iter().copied().collect();
            let rest = rest.ok_or_else(|| misfit("fixed sizes after the batch".to_owned()))?;
            Ok(([vec![1], rest].concat(), true))
        }
        (None, whole) => {
            let whole: Option<Vec<usize>> = whole.iter().copied().collect();
            Ok((whole.ok_or_else(|| misfit("fixed sizes".to_owned()))?, false))
        }
    }
}

fn refused(error: &TractError) -> ProgramError {
    ProgramError::Refused { reason: shorten(&format!("{error:#}")) }
}

fn build(
    proto: &ModelProto,
    outputs: &[String],
    limits: &Limits,
) -> Result<(Arc<TypedRunnableModel>, Vec<Port>), ProgramError> {
    let parsed = tract_onnx::onnx()
        .with_ignore_value_info(true)
        .with_ignore_output_types(true)
        .parse(proto, None)
        .map_err(|error| refused(&error))?;
    let mut model = parsed.model;
    let nodes = proto.graph.as_ref().map_or(&[][..], |graph| &graph.node);
    walk(&mut model, nodes, limits)?;
    let typed = model.into_typed().map_err(|error| refused(&error))?;
    check_size(&typed, limits)?;
    let ready = typed.into_optimized().map_err(|error| refused(&error))?;
    check_size(&ready, limits)?;
    let ports =
        outputs.iter().enumerate().map(|(slot, name)| port(&ready, slot, name)).collect::<Result<_, _>>()?;
    let plan = ready.into_runnable().map_err(|error| refused(&error))?;
    Ok((plan, ports))
}

/// Tells every shape in the order of the file, and refuses before anything is evaluated that is too much.
fn walk(model: &mut InferenceModel, nodes: &[NodeProto], limits: &Limits) -> Result<(), ProgramError> {
    // The input and the constants come first, then one node for each operator.
    let first = model.nodes().len() - nodes.len();
    let mut bytes = 0;
    for node in &model.nodes()[..first] {
        for output in &node.outputs {
            bytes = add_bytes(0, bytes, &known(&output.fact, 0, "Constant")?, limits)?;
        }
    }
    let mut operations = 0_u64;
    for (index, proto) in nodes.iter().enumerate() {
        let id = first + index;
        let facts = Facts::of(model, id).map_err(|error| refused(&error))?;
        if SHAPED_BY_VALUES.contains(&&*proto.op_type) && !facts.inputs.iter().all(narrow) {
            return Err(ProgramError::Size { index, operator: proto.op_type.clone() });
        }
        let (inputs, outputs) = infer(model, id, &facts).map_err(|error| refused(&error))?;
        let known = |facts: &[InferenceFact]| -> Result<Vec<Known>, ProgramError> {
            facts.iter().map(|fact| known(fact, index, &proto.op_type)).collect()
        };
        let (inputs, outputs) = (known(&inputs)?, known(&outputs)?);
        for output in &outputs {
            bytes = add_bytes(index, bytes, output, limits)?;
        }
        let work = operators::work(&proto.op_type).unwrap_or(Work::Elements);
        let shapes = |facts: Vec<Known>| facts.into_iter().map(|(_, shape)| shape).collect::<Vec<_>>();
        let more = operators::operations(work, &shapes(inputs), &shapes(outputs), graph::window(proto));
        operations = operations.saturating_add(more);
        if operations > limits.max_operations {
            return Err(ProgramError::Operations { index, found: operations, limit: limits.max_operations });
        }
        evaluate(model, id, &facts).map_err(|error| refused(&error))?;
    }
    Ok(())
}

/// A type's size in bytes and a shape.
type Known = (usize, Vec<usize>);

/// That a constant input, if it is whole numbers, holds only such as fit 32 bits.
fn narrow(fact: &InferenceFact) -> bool {
    let Some(value) = fact.value.concretize() else { return true };
    if !value.datum_type().is_integer() && value.datum_type() != DatumType::TDim {
        return true;
    }
    let wide = value.cast_to::<i64>();
    let wide = wide.as_ref().ok().and_then(|wide| wide.to_plain_array_view::<i64>().ok());
    wide.is_some_and(|wide| wide.iter().all(|&number| i32::try_from(number).is_ok()))
}

/// What is known of the values around an operator.
struct Facts {
    inputs: TVec<InferenceFact>,
    outputs: TVec<InferenceFact>,
    observed: TVec<InferenceFact>,
}

impl Facts {
    fn of(model: &InferenceModel, id: usize) -> TractResult<Self> {
        let (inputs, outputs) = model.node_facts(id)?;
        let node = model.node(id);
        let outlets = node.op.observe_outlets(model, node)?;
        let own = |facts: TVec<&InferenceFact>| facts.into_iter().cloned().collect();
        let observed =
            outlets.iter().map(|&outlet| model.outlet_fact(outlet).cloned()).collect::<TractResult<_>>()?;
        Ok(Self { inputs: own(inputs), outputs: own(outputs), observed })
    }
}

/// The types and shapes of an operator's inputs and outputs by tract's rules, without evaluating it.
fn infer(
    model: &mut InferenceModel,
    id: usize,
    facts: &Facts,
) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>)> {
    let op = &mut model.node_mut(id).op;
    let (inputs, outputs, _) = op.infer_facts(
        facts.inputs.iter().collect(),
        facts.outputs.iter().collect(),
        facts.observed.iter().collect(),
    )?;
    Ok((inputs, outputs))
}

/// The same by evaluating it if its inputs are constants, and remembers what came of it.
fn evaluate(model: &mut InferenceModel, id: usize, facts: &Facts) -> TractResult<()> {
    let op = &mut model.node_mut(id).op;
    let (_, outputs, _) = op.infer(
        facts.inputs.iter().collect(),
        facts.outputs.iter().collect(),
        facts.observed.iter().collect(),
    )?;
    for (slot, (output, old)) in outputs.iter().zip(&facts.outputs).enumerate() {
        model.set_outlet_fact(OutletId::new(id, slot), output.unify(old)?)?;
    }
    Ok(())
}

fn known(fact: &InferenceFact, index: usize, operator: &str) -> Result<Known, ProgramError> {
    let open = || ProgramError::OpenShape { index, operator: excerpt(operator.as_bytes()) };
    let datum = fact.datum_type.concretize().ok_or_else(open)?;
    let shape = fact.shape.concretize().ok_or_else(open)?;
    let shape = shape.iter().map(|size| size.to_usize().ok()).collect::<Option<Vec<usize>>>();
    Ok((datum.size_of(), shape.ok_or_else(open)?))
}

fn add_bytes(index: usize, so_far: u64, known: &Known, limits: &Limits) -> Result<u64, ProgramError> {
    let (size, shape) = known;
    let found = so_far.saturating_add(elements(shape).saturating_mul(*size as u64));
    if found > limits.max_working_bytes {
        return Err(ProgramError::WorkingBytes { index, found, limit: limits.max_working_bytes });
    }
    Ok(found)
}

/// The walk's bound once more for the simpler operators that tract made, before it folds the constants among them.
fn check_size(model: &TypedModel, limits: &Limits) -> Result<(), ProgramError> {
    let limit = limits.max_working_bytes.saturating_mul(SIMPLER_OPERATORS);
    let mut found = 0_u64;
    for (index, node) in model.nodes().iter().enumerate() {
        for output in &node.outputs {
            let shape = output.fact.shape.as_concrete();
            let open = || ProgramError::OpenShape { index, operator: excerpt(node.name.as_bytes()) };
            let bytes =
                elements(shape.ok_or_else(open)?).saturating_mul(output.fact.datum_type.size_of() as u64);
            found = found.saturating_add(bytes);
            if found > limit {
                return Err(ProgramError::WorkingBytes { index, found, limit });
            }
        }
    }
    Ok(())
}

fn port(model: &TypedModel, slot: usize, name: &str) -> Result<Port, ProgramError> {
    let fact = model.output_fact(slot).map_err(|error| refused(&error))?;
    let unserved = || ProgramError::OutputType { name: excerpt(name.as_bytes()) };
    let element = given_as(fact.datum_type).ok_or_else(unserved)?;
    let shape = fact.shape.as_concrete().ok_or_else(unserved)?.to_vec();
    let batched = shape.first() == Some(&1);
    Ok(Port { name: name.to_owned(), element, shape, batched })
}

/// What an output is told as: the narrowest of the four elements that holds it.
fn given_as(datum: DatumType) -> Option<Element> {
    Some(match datum {
        DatumType::F16 | DatumType::F32 => Element::F32,
        DatumType::F64 => Element::F64,
        DatumType::Bool | DatumType::U8 => Element::U8,
        DatumType::I8 | DatumType::I16 | DatumType::U16 | DatumType::I32 | DatumType::U32 => Element::I64,
        DatumType::I64 | DatumType::TDim => Element::I64,
        _ => return None,
    })
}

/// An output as its port promises it; nothing when its shape is another.
fn give(output: &tract_onnx::prelude::Tensor, port: &Port) -> TractResult<Option<Tensor>> {
    fn all<D: Datum + Copy>(tensor: &tract_onnx::prelude::Tensor) -> TractResult<Vec<D>> {
        Ok(tensor.cast_to::<D>()?.to_plain_array_view::<D>()?.iter().copied().collect())
    }
    let numbers = match port.element {
        Element::F32 => Numbers::F32(all(output)?),
        Element::F64 => Numbers::F64(all(output)?),
        Element::U8 => Numbers::U8(all(output)?),
        Element::I64 => Numbers::I64(all(output)?),
    };
    Ok(Tensor::new(output.shape().to_vec(), numbers).filter(|tensor| tensor.shape() == port.shape))
}
