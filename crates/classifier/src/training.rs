//! Training from nothing, and fine-tuning of a parent on images that the parent has not seen.
//!
//! Both are Adam (Kingma and Ba, ICLR 2015) over shuffled mini-batches, with a learning rate that falls evenly to
//! zero. Fine-tuning needs no image of the parent's: part of each target is what the parent says of the new image
//! (Li and Hoiem, "Learning without forgetting", ECCV 2016), which keeps what the parent knew.

use crate::digits::{CLASSES, PIXELS, Sample};
use crate::network::{MAX_PARAMETER, Model, Pass, ShapeError, scaled};
use crate::random::Random;

/// The most times that training goes over its samples.
pub const MAX_EPOCHS: u32 = 10_000;

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// How long and how fast to learn.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Times over all samples, `1..=MAX_EPOCHS`.
    pub epochs: u32,
    /// Samples to one step, at least 1; the last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// The size of Adam's first step, above 0 and at most 1.
    pub learning_rate: f32,
}

/// Why a schedule cannot be followed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// None, or too many.
    #[error("{found} epochs; expected 1 to {MAX_EPOCHS}")]
    Epochs {
        /// How many.
        found: u32,
    },
    /// Batches of nothing.
    #[error("a batch of 0 samples; expected at least 1")]
    BatchSize,
    /// No step, a step back, or a leap.
    #[error("a learning rate of {found}; expected more than 0 and at most 1")]
    LearningRate {
        /// The rate.
        found: f32,
    },
}

impl Schedule {
    fn check(&self) -> Result<(), ScheduleError> {
        if !(1..=MAX_EPOCHS).contains(&self.epochs) {
            return Err(ScheduleError::Epochs { found: self.epochs });
        }
        if self.batch_size == 0 {
            return Err(ScheduleError::BatchSize);
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            return Err(ScheduleError::LearningRate { found: self.learning_rate });
        }
        Ok(())
    }
}

/// How to train a model from nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// Decides the first weights and the order of the samples.
    pub seed: u64,
    /// Units of each hidden layer: one or two layers of 1 to 256.
    pub hidden: Vec<usize>,
    /// How long and how fast.
    pub schedule: Schedule,
}

impl Default for TrainConfig {
    /// One hidden layer of 64 units; longer training gains nothing on a few hundred digits.
    fn default() -> Self {
        Self {
            seed: 1,
            hidden: vec![64],
            schedule: Schedule { epochs: 30, batch_size: 16, learning_rate: 0.01 },
        }
    }
}

/// How to fine-tune a parent.
#[derive(Clone, Debug, PartialEq)]
pub struct FineTuneConfig {
    /// Decides the order of the samples.
    pub seed: u64,
    /// How long and how fast.
    pub schedule: Schedule,
    /// How much the parent's opinion of an image counts against its label, `0.0..=1.0`.
    pub distillation: f32,
}

impl Default for FineTuneConfig {
    /// The schedule of [`TrainConfig`], so that a child is better for its data and not for its patience.
    fn default() -> Self {
        Self {
            seed: 1,
            schedule: Schedule { epochs: 30, batch_size: 16, learning_rate: 0.01 },
            distillation: 0.4,
        }
    }
}

/// Why a model could not be trained.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// Nothing to learn from.
    #[error("no samples to train on; expected at least one")]
    NoSamples,
    /// Hidden layers that no model has.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A schedule that cannot be followed.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The weights ran away.
    #[error("training diverged in epoch {epoch}: a weight left +-{MAX_PARAMETER}; lower the learning rate")]
    Diverged {
        /// From 1.
        epoch: u32,
    },
}

/// Why a parent could not be fine-tuned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FineTuneError {
    /// Nothing to learn from.
    #[error("no samples to fine-tune on; expected at least one")]
    NoSamples,
    /// A schedule that cannot be followed.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// No part of a whole.
    #[error("a distillation of {found}; expected 0 (labels only) to 1 (the parent's opinion only)")]
    Distillation {
        /// What was given.
        found: f32,
    },
    /// The weights ran away.
    #[error(
        "fine-tuning diverged in epoch {epoch}: a weight left +-{MAX_PARAMETER}; lower the learning rate"
    )]
    Diverged {
        /// From 1.
        epoch: u32,
    },
}

/// An image as the network sees it, and the probabilities that it should answer.
struct Lesson {
    inputs: [f32; PIXELS],
    targets: [f32; CLASSES],
}

fn one_hot(label: u8) -> [f32; CLASSES] {
    let mut targets = [0.0; CLASSES];
    targets[usize::from(label)] = 1.0;
    targets
}

/// Trains a new model. The same samples in the same order with the same configuration give the same bits anywhere.
///
/// # Errors
/// No samples, a shape or schedule outside the limits, or divergence.
pub fn train(samples: &[Sample], config: &TrainConfig) -> Result<Model, TrainError> {
    let mut model = Model::zeroed(&config.hidden)?;
    config.schedule.check()?;
    if samples.is_empty() {
        return Err(TrainError::NoSamples);
    }
    let mut random = Random::new(config.seed);
    for layer in model.layers().to_vec() {
        // He and others, "Delving deep into rectifiers" (ICCV 2015): the variance that keeps ReLU layers in scale.
        let limit = (6.0 / layer.inputs as f32).sqrt();
        let (weights, _) = layer.both_mut(model.parameters_mut());
        weights.iter_mut().for_each(|weight| *weight = random.symmetric(limit));
    }
    let lessons: Vec<Lesson> = samples
        .iter()
        .map(|sample| Lesson { inputs: scaled(sample.pixels()), targets: one_hot(sample.label()) })
        .collect();
    learn(&mut model, &lessons, &config.schedule, &mut random)
        .map_err(|Diverged { epoch }| TrainError::Diverged { epoch })?;
    Ok(model)
}

/// Trains a copy of `parent` further on `samples`, holding on to what the parent knew. As reproducible as [`train`].
///
/// # Errors
/// No samples, a schedule or distillation outside the limits, or divergence.
pub fn fine_tune(
    parent: &Model,
    samples: &[Sample],
    config: &FineTuneConfig,
) -> Result<Model, FineTuneError> {
    config.schedule.check()?;
    if !(0.0..=1.0).contains(&config.distillation) {
        return Err(FineTuneError::Distillation { found: config.distillation });
    }
    if samples.is_empty() {
        return Err(FineTuneError::NoSamples);
    }
    let lessons: Vec<Lesson> = samples
        .iter()
        .map(|sample| {
            let opinion = parent.predict(sample.pixels()).probabilities;
            let label = one_hot(sample.label());
            let mixed = |class: usize| {
                config.distillation * opinion[class] + (1.0 - config.distillation) * label[class]
            };
            Lesson { inputs: scaled(sample.pixels()), targets: std::array::from_fn(mixed) }
        })
        .collect();
    let mut model = parent.clone();
    learn(&mut model, &lessons, &config.schedule, &mut Random::new(config.seed))
        .map_err(|Diverged { epoch }| FineTuneError::Diverged { epoch })?;
    Ok(model)
}

struct Diverged {
    epoch: u32,
}

fn learn(
    model: &mut Model,
    lessons: &[Lesson],
    schedule: &Schedule,
    random: &mut Random,
) -> Result<(), Diverged> {
    let mut adam = Adam::new(model.parameter_count());
    let mut gradient = vec![0.0; model.parameter_count()];
    let mut pass = Pass::new(model);
    let mut order: Vec<usize> = (0..lessons.len()).collect();
    let steps = schedule.epochs as usize * lessons.len().div_ceil(schedule.batch_size);
    let mut step = 0;
    for epoch in 1..=schedule.epochs {
        random.shuffle(&mut order);
        for batch in order.chunks(schedule.batch_size) {
            gradient.fill(0.0);
            for lesson in batch.iter().map(|&index| &lessons[index]) {
                pass.forward(model, &lesson.inputs);
                pass.backward(model, &lesson.targets, &mut gradient);
            }
            let size = batch.len() as f32;
            gradient.iter_mut().for_each(|slope| *slope /= size);
            let rate = schedule.learning_rate * (1.0 - step as f32 / steps as f32);
            adam.step(model.parameters_mut(), &gradient, rate);
            step += 1;
        }
        // Written so that it also refuses what is not a number.
        if !model.parameters().iter().all(|parameter| parameter.abs() <= MAX_PARAMETER) {
            return Err(Diverged { epoch });
        }
    }
    Ok(())
}

/// The running means of the gradient and of its square.
struct Adam {
    mean: Vec<f32>,
    square: Vec<f32>,
    /// The powers of the betas so far, multiplied up step by step.
    beta_1_power: f32,
    beta_2_power: f32,
}

impl Adam {
    fn new(parameters: usize) -> Self {
        Self {
            mean: vec![0.0; parameters],
            square: vec![0.0; parameters],
            beta_1_power: 1.0,
            beta_2_power: 1.0,
        }
    }

    fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f32) {
        self.beta_1_power *= BETA_1;
        self.beta_2_power *= BETA_2;
        let mean_scale = 1.0 / (1.0 - self.beta_1_power);
        let square_scale = 1.0 / (1.0 - self.beta_2_power);
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((parameter, &slope), (mean, square)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *mean = BETA_1 * *mean + (1.0 - BETA_1) * slope;
            *square = BETA_2 * *square + (1.0 - BETA_2) * slope * slope;
            *parameter -= rate * (*mean * mean_scale) / ((*square * square_scale).sqrt() + EPSILON);
        }
    }
}
