//! The digits of `examples/`: how they are split, how well models learn them, and that they learn them the same
//! way everywhere.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::Path;

use residual_classifier::{
    FineTuneConfig, FineTuneError, Model, Sample, Schedule, ScheduleError, ShapeError, TrainConfig,
    TrainError, fine_tune, onnx, parse_csv, train,
};

fn digits(third: &str) -> Vec<Sample> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(third).join("digits.csv");
    parse_csv(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

fn parent_and_child(seed: u64) -> (Model, Model) {
    let parent = train(&digits("digits-a"), &TrainConfig { seed, ..TrainConfig::default() }).unwrap();
    let config = FineTuneConfig { seed, ..FineTuneConfig::default() };
    let child = fine_tune(&parent, &digits("digits-b"), &config).unwrap();
    (parent, child)
}

/// FNV-1a, 64 bits: enough to tell one exported model from another.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[test]
fn the_thirds_are_equal_stratified_and_disjoint() {
    let thirds = ["digits-a", "digits-b", "digits-held-out"].map(digits);
    let mut all = Vec::new();
    for third in &thirds {
        assert_eq!(third.len(), 599);
        all.extend(third.iter().map(|sample| (sample.pixels().to_vec(), sample.label())));
    }
    for label in 0..10 {
        let counts = thirds.each_ref().map(|t| t.iter().filter(|s| s.label() == label).count());
        let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
        assert!(spread <= 1, "digit {label}: {counts:?}");
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 1_797, "no image may be both trained on and held out");
}

#[test]
fn training_gives_the_same_bits_on_every_run_and_machine() {
    let (parent, child) = parent_and_child(1);
    let (parent_again, child_again) = parent_and_child(1);
    assert_eq!(onnx::export(&parent), onnx::export(&parent_again));
    assert_eq!(onnx::export(&child), onnx::export(&child_again));
    // What the first machine found. A change here changes every model that was trained before: it must be meant.
    assert_eq!(
        [fingerprint(&onnx::export(&parent)), fingerprint(&onnx::export(&child))],
        [0x97a1_8a3e_c4ad_9693, 0x1e24_95df_819e_4b3e]
    );

    let (other, _) = parent_and_child(2);
    assert_ne!(onnx::export(&parent), onnx::export(&other), "the seed must matter");
}

/// The bars of the demo, over twenty seeds. The control is the parent fine-tuned on its own data once more: what the
/// child gains beyond it is owed to the new data and not to longer training.
#[test]
fn a_child_reaches_the_bar_and_is_better_than_its_parent() {
    let held_out = digits("digits-held-out");
    let (mut parents, mut children, mut controls) = (0.0, 0.0, 0.0);
    for seed in 1..=20 {
        let (parent, child) = parent_and_child(seed);
        let config = FineTuneConfig { seed, ..FineTuneConfig::default() };
        let control = fine_tune(&parent, &digits("digits-a"), &config).unwrap();
        let [p, c, again] = [&parent, &child, &control].map(|model| model.accuracy(&held_out).fraction());
        assert!(p >= 0.93, "seed {seed}: the parent reaches {p:.4}");
        assert!(c >= 0.93 && c >= p, "seed {seed}: the parent reaches {p:.4}, the child {c:.4}");
        parents += p / 20.0;
        children += c / 20.0;
        controls += again / 20.0;
    }
    println!("held out, mean of 20 seeds: parent {parents:.4}, child {children:.4}, control {controls:.4}");
    assert!(children - parents >= 0.005, "a mean lift of {:.4}", children - parents);
    assert!(children - controls >= 0.003, "{:.4} better than without new data", children - controls);
}

#[test]
fn two_hidden_layers_learn_too() {
    let config = TrainConfig { hidden: vec![32, 16], ..TrainConfig::default() };
    let model = train(&digits("digits-a"), &config).unwrap();
    let accuracy = model.accuracy(&digits("digits-held-out"));
    assert!(accuracy.fraction() >= 0.93, "{accuracy}");
}

#[test]
fn the_parent_alone_teaches_only_what_it_knows() {
    let (parent, _) = parent_and_child(1);
    // With nothing but the parent's opinion there is no slope anywhere, whatever the labels say.
    let wrong: Vec<Sample> = digits("digits-b")
        .iter()
        .map(|sample| Sample::new(*sample.pixels(), (sample.label() + 1) % 10).unwrap())
        .collect();
    let config = FineTuneConfig { distillation: 1.0, ..FineTuneConfig::default() };
    assert!(fine_tune(&parent, &wrong, &config).unwrap() == parent);
}

#[test]
fn configurations_outside_the_limits_are_refused() {
    let samples = vec![Sample::new([3; 64], 5).unwrap()];
    let with = |schedule: Schedule| train(&samples, &TrainConfig { schedule, ..TrainConfig::default() });
    let good = TrainConfig::default().schedule;

    for epochs in [0, 10_001] {
        let expected = TrainError::Schedule(ScheduleError::Epochs { found: epochs });
        assert_eq!(with(Schedule { epochs, ..good.clone() }), Err(expected));
    }
    let batchless = Schedule { batch_size: 0, ..good.clone() };
    assert_eq!(with(batchless), Err(TrainError::Schedule(ScheduleError::BatchSize)));
    for learning_rate in [0.0, -0.1, 1.1, f32::INFINITY, f32::NAN] {
        let refused = with(Schedule { learning_rate, ..good.clone() });
        assert!(
            matches!(refused, Err(TrainError::Schedule(ScheduleError::LearningRate { .. }))),
            "{learning_rate}: {refused:?}"
        );
    }
    assert!(with(Schedule { batch_size: usize::MAX, ..good.clone() }).is_ok(), "a batch may be everything");

    let shapeless = TrainConfig { hidden: vec![], ..TrainConfig::default() };
    assert_eq!(train(&samples, &shapeless), Err(TrainError::Shape(ShapeError::Layers { found: 0 })));
    assert_eq!(train(&[], &TrainConfig::default()), Err(TrainError::NoSamples));

    let parent = with(good).unwrap();
    assert_eq!(fine_tune(&parent, &[], &FineTuneConfig::default()), Err(FineTuneError::NoSamples));
    for distillation in [-0.1, 1.1, f32::NAN] {
        let config = FineTuneConfig { distillation, ..FineTuneConfig::default() };
        let refused = fine_tune(&parent, &samples, &config);
        assert!(matches!(refused, Err(FineTuneError::Distillation { .. })), "{refused:?}");
    }
}
