//! ONNX files: there and back, through stock onnxruntime, and under attack.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::{fs, io};

use proptest::prelude::*;
use residual_classifier::onnx::{self, ImportError, MAX_ONNX_BYTES};
use residual_classifier::{Model, PIXELS, Sample, TrainConfig, parse_csv, train};
use serde_json::{Value, json};

fn held_out() -> Vec<Sample> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits-held-out/digits.csv");
    parse_csv(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

fn trained(hidden: &[usize]) -> Model {
    train(&held_out(), &TrainConfig { hidden: hidden.to_vec(), ..TrainConfig::default() }).unwrap()
}

#[test]
fn an_imported_model_is_the_exported_one() {
    for hidden in [vec![1], vec![24], vec![256, 256]] {
        let mut config = TrainConfig { hidden: hidden.clone(), ..TrainConfig::default() };
        config.schedule.epochs = 2;
        let model = train(&held_out()[..100], &config).unwrap();
        let bytes = onnx::export(&model);
        let back = onnx::import(&bytes).unwrap();
        assert_eq!(back.hidden(), hidden);
        assert!(back == model, "every parameter must survive, bit by bit");
        for sample in held_out() {
            assert_eq!(back.predict(sample.pixels()), model.predict(sample.pixels()));
        }
        assert_eq!(onnx::export(&back), bytes);
    }
}

/// Runs exported models in onnxruntime (see `tests/peers/setup`) on every held-out image, a blank and a full one.
#[test]
fn stock_onnxruntime_agrees() {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let mut images: Vec<[u8; PIXELS]> = held_out().iter().map(|sample| *sample.pixels()).collect();
    images.extend([[0; PIXELS], [16; PIXELS]]);
    let folder = tempfile::tempdir().unwrap();
    let (model_path, images_path) = (folder.path().join("model.onnx"), folder.path().join("images.json"));
    fs::write(&images_path, json!(images.iter().map(|image| image.to_vec()).collect::<Vec<_>>()).to_string())
        .unwrap();

    for hidden in [vec![64], vec![32, 16]] {
        let model = trained(&hidden);
        fs::write(&model_path, onnx::export(&model)).unwrap();
        let run = Command::new(peers.join(".venv/bin/python"))
            .args([&peers.join("run_onnx.py"), &model_path, &images_path])
            .output();
        let run = match run {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                panic!("onnxruntime is not installed: run crates/classifier/tests/peers/setup once")
            }
            run => run.unwrap(),
        };
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let peer: Value = serde_json::from_slice(&run.stdout).unwrap();

        assert_eq!(peer["inputs"], json!([["pixels", "tensor(float)", ["N", 64]]]));
        assert_eq!(peer["outputs"], json!([["probabilities", "tensor(float)", ["N", 10]]]));
        assert_eq!(peer["rewritten_same"], json!(true), "the encoding must be what the onnx package writes");
        let batch = peer["batch"].as_array().unwrap();
        assert_eq!(batch.len(), images.len());
        for (row, image) in batch.iter().zip(&images) {
            let theirs: Vec<f64> = row.as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
            let ours = model.predict(image);
            let best = (0..10).max_by(|&a, &b| theirs[a].total_cmp(&theirs[b])).unwrap();
            assert_eq!(ours.label, best as u8);
            for (our, their) in ours.probabilities.iter().zip(&theirs) {
                assert!((f64::from(*our) - their).abs() <= 1e-5, "{ours:?} for {theirs:?}");
            }
        }
        let alone = peer["single"][0].as_array().unwrap();
        for (alone, together) in alone.iter().zip(batch[0].as_array().unwrap()) {
            assert!((alone.as_f64().unwrap() - together.as_f64().unwrap()).abs() <= 1e-5);
        }
    }
}

static EXPORTED: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let mut config = TrainConfig::default();
    config.schedule.epochs = 1;
    [vec![3], vec![4, 2]].map(|hidden| {
        let config = TrainConfig { hidden, ..config.clone() };
        onnx::export(&train(&held_out()[..20], &config).unwrap())
    })
});

/// A hostile file is refused with a reason, or is byte for byte a model that we could have written.
fn refused_or_ours(bytes: &[u8]) -> Result<(), TestCaseError> {
    match onnx::import(bytes) {
        Err(error) => prop_assert!(error.to_string().len() < 400, "{error}"),
        Ok(model) => {
            prop_assert_eq!(&onnx::export(&model), bytes);
            let prediction = model.predict(&[16; PIXELS]);
            prop_assert!(prediction.probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{prediction:?}");
        }
    }
    Ok(())
}

/// One way to damage a file. Places are parts of its length, so that they fit any file.
#[derive(Clone, Debug)]
enum Damage {
    Flip { at: prop::sample::Index, mask: u8 },
    Cut { at: prop::sample::Index, length: usize },
    Insert { at: prop::sample::Index, bytes: Vec<u8> },
    Repeat { at: prop::sample::Index, length: usize },
    Truncate { at: prop::sample::Index },
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), 1..=u8::MAX).prop_map(|(at, mask)| Damage::Flip { at, mask }),
        1 => (at(), 1..40_usize).prop_map(|(at, length)| Damage::Cut { at, length }),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
        1 => (at(), 1..200_usize).prop_map(|(at, length)| Damage::Repeat { at, length }),
        1 => at().prop_map(|at| Damage::Truncate { at }),
    ]
}

fn apply(damage: Damage, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let range = |at: prop::sample::Index, length: usize, size: usize| {
        let start = at.index(size);
        start..(start + length).min(size)
    };
    match damage {
        Damage::Flip { at, mask } => {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        Damage::Cut { at, length } => drop(bytes.drain(range(at, length, bytes.len()))),
        Damage::Insert { at, bytes: new } => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, new);
        }
        Damage::Repeat { at, length } => bytes.extend_from_within(range(at, length, bytes.len())),
        Damage::Truncate { at } => bytes.truncate(at.index(bytes.len())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_damaged_file_is_refused_or_ours(
        which in 0..2_usize,
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let mut bytes = EXPORTED[which].clone();
        damages.into_iter().for_each(|damage| apply(damage, &mut bytes));
        refused_or_ours(&bytes)?;
    }

    #[test]
    fn foreign_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(onnx::import(&bytes).is_err());
    }
}

#[test]
fn every_truncation_is_refused() {
    for exported in EXPORTED.iter() {
        for length in 0..exported.len() {
            assert!(onnx::import(&exported[..length]).is_err(), "{length} of {} bytes", exported.len());
        }
    }
}

/// Replaces `from`, which must be there, once.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at =
        bytes.windows(from.len()).position(|window| window == from).expect("the text to replace is there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn refusals_say_what_was_expected_and_found() {
    let good = &EXPORTED[0];
    let refusal = |bytes: &[u8]| onnx::import(bytes).unwrap_err();

    assert_eq!(refusal(&vec![0; MAX_ONNX_BYTES + 1]), ImportError::TooLarge { found: MAX_ONNX_BYTES + 1 });
    assert!(matches!(refusal(b"\x89PNG\r\n\x1a\n"), ImportError::Malformed { .. }));
    assert_eq!(refusal(b""), ImportError::Version { what: "IR version", expected: 7, found: None });
    assert_eq!(
        refusal(&replaced(good, &[0x08, 7], &[0x08, 8])),
        ImportError::Version { what: "IR version", expected: 7, found: Some(8) }
    );
    assert_eq!(
        refusal(&replaced(good, &[0x0a, 0, 0x10, 13], &[0x0a, 0, 0x10, 12])),
        ImportError::Version { what: "opset", expected: 13, found: Some(12) }
    );
    assert_eq!(
        refusal(&replaced(good, b"\x22\x04Relu", b"\x22\x04Tanh")),
        ImportError::Node { index: 1, expected: "Relu", found: "\"Tanh\"".to_owned() }
    );
    // Matrix 0 is [64, 3]; as [63, 3] it no longer takes an image.
    assert_eq!(
        refusal(&replaced(good, &[0x08, 64, 0x08, 3, 0x10, 1], &[0x08, 63, 0x08, 3, 0x10, 1])),
        ImportError::TensorShape { index: 0, expected: "[64, 3]".to_owned(), found: vec![63, 3] }
    );
    assert_eq!(
        refusal(&replaced(good, &[0x08, 64, 0x08, 3, 0x10, 1], &[0x08, 64, 0x08, 3, 0x10, 11])),
        ImportError::ElementType { index: 0, found: Some(11) }
    );
    // Names carry no meaning for us, but they do for whoever else reads the file.
    assert_eq!(refusal(&replaced(good, b"layer1.sums", b"layer1.SUMS")), ImportError::NotCanonical);
    // A field of the file format that the subset leaves out: a documentation string.
    let documented = [good.as_slice(), &[0x32, 2, b'h', b'i']].concat();
    assert_eq!(refusal(&documented), ImportError::NotCanonical);

    let not_a_number = [good.as_slice()].concat();
    let data = not_a_number.windows(3).position(|window| window == [0x4a, 0x80, 0x06]).unwrap() + 3;
    let mut not_a_number = not_a_number;
    not_a_number[data + 4..data + 8].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(matches!(refusal(&not_a_number), ImportError::Parameter { index: 0, element: 1, .. }));
    not_a_number[data + 4..data + 8].copy_from_slice(&1e5_f32.to_le_bytes());
    assert_eq!(refusal(&not_a_number), ImportError::Parameter { index: 0, element: 1, value: 1e5 });
}

/// Many empty messages in few bytes are the worst that protobuf allows here.
#[test]
fn a_crowd_of_empty_nodes_is_refused() {
    let nodes = (MAX_ONNX_BYTES - 64) / 2;
    let mut bytes = vec![0x08, 7, 0x42, 2, 0x10, 13];
    let length = 2 * nodes;
    // The graph's length as a varint of three bytes.
    bytes.extend([0x3a, length as u8 | 0x80, (length >> 7) as u8 | 0x80, (length >> 14) as u8]);
    bytes.extend([0x0a, 0].repeat(nodes));
    assert_eq!(onnx::import(&bytes), Err(ImportError::NodeCount { found: nodes }));
}
