//! Whatever is published or sent: refused with a reason or answered, within the limits of memory and time, never a panic.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use image::{GrayImage, ImageFormat, Luma};
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;
use residual_classifier::{TrainConfig, onnx, parse_csv, train};
use residual_inference::{Fault, Limits, MediaType, ModelCard, Served};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension::Value},
    type_proto,
};

/// Counts what each thread has allocated, at most.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(more: isize) {
    let live = LIVE.get() + more;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

// SAFETY: hands everything to the system's allocator; counting neither allocates nor panics.
#[expect(unsafe_code, reason = "an allocator is the only witness of what is allocated")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Small, so that whatever gets past them is seen.
fn limits() -> Limits {
    Limits {
        max_model_bytes: 1 << 20,
        max_nodes: 200,
        max_operations: 20_000_000,
        max_working_bytes: 8 << 20,
        max_request_bytes: 1 << 20,
        max_image_side: 512,
        max_image_pixels: 100_000,
        max_batch: 4,
    }
}

/// Four times the tensors that the limits allow, what the operators take inside, and tract's own tables.
const MEMORY: isize = 96 << 20;
const TIME: Duration = Duration::from_secs(10);

/// Does something and holds it to memory and time.
fn within<T>(what: impl FnOnce() -> T) -> T {
    let (start, before) = (Instant::now(), LIVE.get());
    PEAK.set(before);
    let result = what();
    let (taken, peak) = (start.elapsed(), PEAK.get() - before);
    assert!(peak <= MEMORY, "{peak} bytes at once");
    assert!(taken <= TIME, "{taken:?}");
    result
}

/// Loads a model and, if it is served, asks it something. Gives the refusal, if there is one.
fn try_model(bytes: &[u8], card: Option<&ModelCard>) -> Option<String> {
    within(|| {
        let served = match Served::load(bytes, card, &limits()) {
            Err(error) => return Some(error.to_string()),
            Ok(served) => served,
        };
        let shape = &served.input().shape;
        let zeros = vec![0; shape.iter().product()];
        let body = serde_json::json!({"shape": shape, "data": zeros}).to_string();
        match served.read(body.as_bytes(), MediaType::Json) {
            Ok(input) => match served.answer(&input) {
                Ok(answers) => {
                    assert_eq!(answers.rows().len(), 1);
                    assert!(answers.to_npy().starts_with(b"\x93NUMPY"));
                }
                Err(error) => assert_eq!(error.fault(), Fault::Model, "{error}"),
            },
            // A model's picture may be larger than a request.
            Err(error) => assert_eq!(error.fault(), Fault::TooLarge, "{error}"),
        }
        None
    })
}

fn digits() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits-a/digits.csv");
    let samples = parse_csv(&fs::read(path).unwrap()).unwrap();
    let mut config = TrainConfig { hidden: vec![4], ..TrainConfig::default() };
    config.schedule.epochs = 1;
    onnx::export(&train(&samples[..20], &config).unwrap())
}

const DIGITS_CARD: &str = include_str!("../../../examples/digits-model.toml");

/// The models of `tests/detector.rs`, without onnxruntime's answers.
static MODELS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = tempfile::tempdir().unwrap();
    let picture = vec![vec![[9_u8; 3]; 48]; 16];
    fs::write(folder.path().join("image.json"), serde_json::json!(picture).to_string()).unwrap();
    let run = Command::new(crates.join("classifier/tests/peers/.venv/bin/python"))
        .arg(crates.join("inference/tests/peers/detector.py"))
        .arg(folder.path())
        .output()
        .expect("onnx is installed: run crates/classifier/tests/peers/setup once");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let made = ["detector", "separate", "classifier"]
        .map(|name| fs::read(folder.path().join(name).with_extension("onnx")).unwrap());
    made.into_iter().chain([digits()]).collect()
});

fn dimensions(shape: &[i64]) -> TensorShapeProto {
    let dim = |&size: &i64| Dimension { value: Some(Value::DimValue(size)), ..Default::default() };
    TensorShapeProto { dim: shape.iter().map(dim).collect() }
}

fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(dimensions(shape)) };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..Default::default() }
}

fn whole_numbers(name: &str, numbers: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![numbers.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: numbers.to_vec(),
        ..Default::default()
    }
}

fn floats(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: vec![1.0; count],
        ..Default::default()
    }
}

fn node(operator: &str, inputs: &[&str], output: &str, ints: &[(&str, &[i64])]) -> NodeProto {
    NodeProto {
        op_type: operator.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: ints
            .iter()
            .map(|(name, ints)| AttributeProto {
                name: (*name).to_owned(),
                r#type: AttributeType::Ints as i32,
                ints: ints.to_vec(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

/// A model from `x`, float `[1, 4]`, to `y`.
fn model(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Vec<u8> {
    let output = vec![ValueInfoProto { name: "y".to_owned(), ..Default::default() }];
    let graph =
        GraphProto { node, initializer, input: vec![value("x", &[1, 4])], output, ..Default::default() };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 13 }];
    ModelProto { ir_version: 7, graph: Some(graph), opset_import, ..Default::default() }.encode_to_vec()
}

/// INF-1. Each of these is a few hundred bytes and would take gigabytes or hours, some of them while it is loaded.
#[test]
fn bombs_are_refused_before_they_go_off() {
    const HUGE: &[i64] = &[1 << 20, 1 << 20];
    let doubled = |times: usize, operator: &str| {
        let names: Vec<String> = (0..=times)
            .map(|at| match at {
                0 => "c".to_owned(),
                last if last == times => "y".to_owned(),
                at => format!("v{at}"),
            })
            .collect();
        names.windows(2).map(|pair| node(operator, &[&pair[0], &pair[0]], &pair[1], &[])).collect::<Vec<_>>()
    };
    let square = floats("c", &[256, 256]);
    let scaled = |by: f32| {
        let mut scales = floats("scales", &[4]);
        scales.float_data[3] = by;
        let nodes = vec![
            node("Reshape", &["x", "s"], "image", &[]),
            node("Resize", &["image", "", "scales"], "y", &[]),
        ];
        model(nodes, vec![whole_numbers("s", &[1, 1, 2, 2]), scales])
    };
    let bombs: Vec<(&str, Vec<u8>)> = vec![
        (
            "a constant of 4 TiB",
            model(vec![node("ConstantOfShape", &["s"], "y", &[])], vec![whole_numbers("s", HUGE)]),
        ),
        (
            "an input spread to 4 TiB",
            model(vec![node("Expand", &["x", "s"], "y", &[])], vec![whole_numbers("s", &[1 << 38, 4])]),
        ),
        (
            "a size that 32 bits show as 4",
            model(
                vec![node("ConstantOfShape", &["s"], "y", &[])],
                vec![whole_numbers("s", &[(1 << 32) + 4])],
            ),
        ),
        (
            "a constant spread to 4 TiB",
            model(
                vec![node("Expand", &["c", "s"], "y", &[])],
                vec![floats("c", &[1]), whole_numbers("s", HUGE)],
            ),
        ),
        (
            "tiles",
            model(
                vec![node("Tile", &["c", "s"], "y", &[])],
                vec![floats("c", &[4, 4]), whole_numbers("s", HUGE)],
            ),
        ),
        (
            "a shape beyond counting",
            model(vec![node("Tile", &["x", "s"], "y", &[])], vec![whole_numbers("s", &[i64::MAX, i64::MAX])]),
        ),
        (
            "pads",
            model(vec![node("Pad", &["x", "s"], "y", &[])], vec![whole_numbers("s", &[1 << 40, 0, 0, 0])]),
        ),
        (
            "a constant doubled forty times",
            model(
                doubled(40, "Concat")
                    .into_iter()
                    .map(|mut node| {
                        node.attribute = vec![AttributeProto {
                            name: "axis".to_owned(),
                            r#type: AttributeType::Int as i32,
                            ..Default::default()
                        }];
                        node
                    })
                    .collect(),
                vec![floats("c", &[4])],
            ),
        ),
        ("products of constants", model(doubled(30, "MatMul"), vec![square])),
        (
            "a window",
            model(
                vec![
                    node("Reshape", &["x", "s"], "image", &[]),
                    node(
                        "MaxPool",
                        &["image"],
                        "y",
                        &[("kernel_shape", &[4_000, 4_000]), ("pads", &[4_000; 4])],
                    ),
                ],
                vec![whole_numbers("s", &[1, 1, 2, 2])],
            ),
        ),
        (
            "a resize",
            model(
                vec![
                    node("Reshape", &["x", "s"], "image", &[]),
                    node("Resize", &["image", "", "", "sizes"], "y", &[]),
                ],
                vec![whole_numbers("s", &[1, 1, 2, 2]), whole_numbers("sizes", &[1, 1, 1 << 30, 1 << 30])],
            ),
        ),
        ("a resize by a billion", scaled(1e9)),
        ("a resize by infinity", scaled(f32::INFINITY)),
        (
            "one hot among 2^40",
            model(
                vec![
                    node("Cast", &["x"], "whole", &[]),
                    node("OneHot", &["whole", "depth", "values"], "y", &[]),
                ]
                .into_iter()
                .map(|mut node| {
                    if node.op_type == "Cast" {
                        node.attribute = vec![AttributeProto {
                            name: "to".to_owned(),
                            r#type: AttributeType::Int as i32,
                            i: i64::from(DataType::Int64 as i32),
                            ..Default::default()
                        }];
                    }
                    node
                })
                .collect(),
                vec![whole_numbers("depth", &[1 << 30]), floats("values", &[2])],
            ),
        ),
    ];
    for (what, bytes) in bombs {
        let refusal = try_model(&bytes, None);
        let refusal = refusal.unwrap_or_default();
        let bounds = ["bytes of tensors", "multiplications", "beyond 2^31", "beyond what is served"];
        assert!(bounds.iter().any(|bound| refusal.contains(bound)), "{what}: {refusal}");
    }
    // What is within the limits is served, so that the above are refused for what they are.
    let small = whole_numbers("s", &[3, 4]);
    assert_eq!(try_model(&model(vec![node("Expand", &["x", "s"], "y", &[])], vec![small]), None), None);
}

#[test]
fn what_is_not_served_is_named() {
    let refusal = |nodes, tensors| try_model(&model(nodes, tensors), None).unwrap_or_default();
    let random = refusal(vec![node("RandomNormal", &[], "y", &[("shape", &[4])])], vec![]);
    assert!(random.contains("operator 0 is \"RandomNormal\""), "{random}");
    let data_dependent = refusal(vec![node("NonZero", &["x"], "y", &[])], vec![]);
    assert!(data_dependent.contains("NonZero"), "{data_dependent}");
    let unmade = refusal(vec![node("Relu", &["z"], "y", &[])], vec![]);
    assert!(unmade.contains("used before it is made"), "{unmade}");
    let circle = refusal(vec![node("Add", &["x", "y"], "z", &[]), node("Relu", &["z"], "y", &[])], vec![]);
    assert!(circle.contains("used before it is made"), "{circle}");
    let mut elsewhere = floats("c", &[4]);
    elsewhere.data_location = Some(1);
    let elsewhere = refusal(vec![node("Add", &["x", "c"], "y", &[])], vec![elsewhere]);
    assert!(elsewhere.contains("the tensor \"c\""), "{elsewhere}");
}

/// Many operators in a row: neither tract's passes nor its stack may grow beyond what they have.
#[test]
fn a_long_chain_is_served_in_time() {
    let names: Vec<String> = (0..=2_000)
        .map(|at| match at {
            0 => "x".to_owned(),
            2_000 => "y".to_owned(),
            at => format!("v{at}"),
        })
        .collect();
    for operator in ["Sigmoid", "Identity", "Add"] {
        let chain = names.windows(2).map(|pair| match operator {
            "Add" => node("Add", &[&pair[0], "x"], &pair[1], &[]),
            _ => node(operator, &[&pair[0]], &pair[1], &[]),
        });
        let bytes = model(chain.collect(), vec![]);
        let start = Instant::now();
        let served = Served::load(&bytes, None, &Limits::default()).unwrap();
        let input = served.read(b"[1, 2, 3, 4]", MediaType::Json).unwrap();
        assert!(served.answer(&input).is_ok());
        assert!(start.elapsed() < TIME, "{operator}: {:?}", start.elapsed());
    }
}

/// One way to damage a file. Places are parts of its length, so that they fit any file.
#[derive(Clone, Debug)]
enum Damage {
    Flip { at: Index, mask: u8 },
    Cut { at: Index, length: usize },
    Repeat { at: Index, length: usize },
    Truncate { at: Index },
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        6 => (at(), 1..=u8::MAX).prop_map(|(at, mask)| Damage::Flip { at, mask }),
        1 => (at(), 1..40_usize).prop_map(|(at, length)| Damage::Cut { at, length }),
        1 => (at(), 1..200_usize).prop_map(|(at, length)| Damage::Repeat { at, length }),
        1 => at().prop_map(|at| Damage::Truncate { at }),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: Vec<Damage>) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            return bytes;
        }
        let range = |at: Index, length: usize, size: usize| {
            let start = at.index(size);
            start..(start + length).min(size)
        };
        match damage {
            Damage::Flip { at, mask } => {
                let at = at.index(bytes.len());
                bytes[at] ^= mask;
            }
            Damage::Cut { at, length } => drop(bytes.drain(range(at, length, bytes.len()))),
            Damage::Repeat { at, length } => bytes.extend_from_within(range(at, length, bytes.len())),
            Damage::Truncate { at } => bytes.truncate(at.index(bytes.len())),
        }
    }
    bytes
}

/// One change to a graph that leaves it an ONNX file.
#[derive(Clone, Debug)]
enum Change {
    Operator { node: Index, name: &'static str },
    Integer { node: Index, attribute: Index, which: Index, number: i64 },
    DropAttribute { node: Index, attribute: Index },
    Input { node: Index, which: Index, from: Index },
    DropInput { node: Index },
    Constant { tensor: Index, which: Index, number: i64 },
    Dimension { tensor: Index, which: Index, size: i64 },
    Swap { one: Index, other: Index },
    ModelInput { which: Index, size: i64 },
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let number = || {
        prop_oneof![
            -5..40_i64,
            prop::sample::select(vec![i64::MIN, i64::MAX, -1, 1 << 20, 1 << 31, 1 << 40, 4_096])
        ]
    };
    let operators = vec![
        "Add",
        "ArgMax",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Concat",
        "ConstantOfShape",
        "Conv",
        "ConvTranspose",
        "DepthToSpace",
        "Div",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Gemm",
        "GlobalAveragePool",
        "InstanceNormalization",
        "LayerNormalization",
        "MatMul",
        "MaxPool",
        "Mod",
        "Mul",
        "OneHot",
        "PRelu",
        "Pad",
        "Pow",
        "ReduceMax",
        "ReduceMean",
        "Reshape",
        "Resize",
        "Shape",
        "Slice",
        "Softmax",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "TopK",
        "Transpose",
        "Unsqueeze",
        "Where",
    ];
    prop_oneof![
        3 => (at(), prop::sample::select(operators)).prop_map(|(node, name)| Change::Operator { node, name }),
        3 => (at(), at(), at(), number()).prop_map(|(node, attribute, which, number)| Change::Integer {
            node, attribute, which, number,
        }),
        1 => (at(), at()).prop_map(|(node, attribute)| Change::DropAttribute { node, attribute }),
        2 => (at(), at(), at()).prop_map(|(node, which, from)| Change::Input { node, which, from }),
        1 => at().prop_map(|node| Change::DropInput { node }),
        3 => (at(), at(), number()).prop_map(|(tensor, which, number)| Change::Constant { tensor, which, number }),
        2 => (at(), at(), number()).prop_map(|(tensor, which, size)| Change::Dimension { tensor, which, size }),
        1 => (at(), at()).prop_map(|(one, other)| Change::Swap { one, other }),
        1 => (at(), number()).prop_map(|(which, size)| Change::ModelInput { which, size }),
    ]
}

fn changed(bytes: &[u8], changes: Vec<Change>) -> Vec<u8> {
    let mut model = ModelProto::decode(bytes).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let names: Vec<String> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.clone())
        .chain(graph.node.iter().flat_map(|node| node.output.clone()))
        .collect();
    fn pick<T>(list: &mut [T], at: Index) -> Option<&mut T> {
        if list.is_empty() { None } else { Some(at.get_mut(list)) }
    }
    for change in changes {
        match change {
            Change::Operator { node, name } => node.get_mut(&mut graph.node).op_type = name.to_owned(),
            Change::Integer { node, attribute, which, number } => {
                if let Some(attribute) = pick(&mut node.get_mut(&mut graph.node).attribute, attribute) {
                    match pick(&mut attribute.ints, which) {
                        Some(int) => *int = number,
                        None => attribute.i = number,
                    }
                }
            }
            Change::DropAttribute { node, attribute } => {
                let node = node.get_mut(&mut graph.node);
                if !node.attribute.is_empty() {
                    node.attribute.remove(attribute.index(node.attribute.len()));
                }
            }
            Change::Input { node, which, from } => {
                if let Some(input) = pick(&mut node.get_mut(&mut graph.node).input, which) {
                    *input = from.get(&names).clone();
                }
            }
            Change::DropInput { node } => drop(node.get_mut(&mut graph.node).input.pop()),
            Change::Constant { tensor, which, number } => {
                // Whole numbers are what shapes, pads and axes are made of.
                let mut whole: Vec<&mut TensorProto> = graph
                    .initializer
                    .iter_mut()
                    .filter(|tensor| tensor.data_type == DataType::Int64 as i32)
                    .collect();
                if let Some(tensor) = pick(&mut whole, tensor)
                    && let Some(bytes) = pick(tensor.raw_data.as_chunks_mut::<8>().0, which)
                {
                    *bytes = number.to_le_bytes();
                }
            }
            Change::Dimension { tensor, which, size } => {
                if let Some(dimension) = pick(&mut tensor.get_mut(&mut graph.initializer).dims, which) {
                    *dimension = size;
                }
            }
            Change::Swap { one, other } => {
                let count = graph.node.len();
                let (one, other) = (one.index(count), other.index(count));
                let inputs = graph.node[one].input.clone();
                let others = std::mem::replace(&mut graph.node[other].input, inputs);
                graph.node[one].input = others;
            }
            Change::ModelInput { which, size } => {
                if let Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) =
                    &mut graph.input[0].r#type
                    && let Some(shape) = &mut tensor.shape
                    && let Some(dimension) = pick(&mut shape.dim, which)
                {
                    dimension.value = Some(Value::DimValue(size));
                }
            }
        }
    }
    model.encode_to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// INF-1.
    #[test]
    fn damaged_models_are_refused_or_served(
        which in 0..4_usize,
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        try_model(&damaged(MODELS[which].clone(), damages), None);
    }

    /// INF-1.
    #[test]
    fn changed_graphs_are_refused_or_served(
        which in 0..4_usize,
        changes in prop::collection::vec(change(), 1..4),
        tensor_only in any::<bool>(),
    ) {
        let card = "[input]\nkind = \"tensor\"\n[output]\nkind = \"tensor\"\n";
        let name = if which == 1 { "name = \"boxes\"\n" } else { "" };
        let card = ModelCard::from_toml(&format!("{card}{name}")).unwrap();
        try_model(&changed(&MODELS[which], changes), tensor_only.then_some(&card));
    }

    #[test]
    fn damaged_cards_are_refused_or_read(damages in prop::collection::vec(damage(), 1..4)) {
        let text = String::from_utf8_lossy(&damaged(DIGITS_CARD.into(), damages)).into_owned();
        if let Ok(card) = within(|| ModelCard::from_toml(&text)) {
            prop_assert!(card.check().is_ok());
            let json = serde_json::to_string(&card).unwrap();
            prop_assert_eq!(ModelCard::from_json(&json).unwrap(), card.clone());
            try_model(&MODELS[3], Some(&card));
        }
    }

    /// INF-1.
    #[test]
    fn damaged_pictures_are_refused_or_answered(
        jpeg in any::<bool>(),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let (format, media) =
            if jpeg { (ImageFormat::Jpeg, MediaType::Jpeg) } else { (ImageFormat::Png, MediaType::Png) };
        let picture = GrayImage::from_fn(40, 30, |x, y| Luma([(x * y) as u8]));
        let mut bytes = Vec::new();
        picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        let body = damaged(bytes, damages);
        let card = ModelCard::from_toml(DIGITS_CARD).unwrap();
        let served = Served::load(&MODELS[3], Some(&card), &limits()).unwrap();
        match within(|| served.read(&body, media)) {
            Ok(input) => prop_assert!(served.answer(&input).is_ok()),
            Err(error) => prop_assert_ne!(error.fault(), Fault::Model, "{}", error),
        }
    }
}

#[test]
fn every_truncation_of_a_model_is_refused() {
    let whole = &MODELS[3];
    for length in 0..whole.len() {
        // What follows the graph may be cut off between two fields; the opset is among it, so it is missed.
        assert!(try_model(&whole[..length], None).is_some(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn cards_beyond_their_limits_are_refused() {
    let card = |from: &str, to: &str| {
        assert!(DIGITS_CARD.contains(from), "{from}");
        ModelCard::from_toml(&DIGITS_CARD.replace(from, to)).unwrap_err().to_string()
    };
    assert!(card("width = 8", "width = 100000").contains("input.width"));
    assert!(card("width = 8", "width = 0").contains("input.width"));
    assert!(card("channels = 1", "channels = 4").contains("input.channels"));
    assert!(card("scale = 0.06274509803921569", "scale = nan").contains("input.scale"));
    assert!(card("layout", "std = [0.0]\nlayout").contains("input.std"));
    assert!(card("layout", "mean = [0.0, 1.0]\nlayout").contains("input.mean"));
    assert!(card("layout", "colour = 1\nlayout").contains("unknown field"));
    assert!(card("\"9\"]", "\"9\"]\nmore = 1").contains("unknown field"));
    assert!(card("[output]", "[extra]\n[output]").contains("unknown field"));
    assert!(card("\"0\"", &format!("\"{}\"", "x".repeat(201))).contains("output.labels"));
    assert!(ModelCard::from_toml(&" ".repeat((1 << 20) + 1)).unwrap_err().to_string().contains("shorten"));
    assert!(ModelCard::from_json(&"[".repeat(100_000)).is_err());
    assert!(ModelCard::from_toml(&format!("a = {}", "[".repeat(100_000))).is_err());
}
