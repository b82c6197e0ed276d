//! The network: its shape, its parameters, and the passes forward and backward over one image.
//!
//! Linear layers with ReLU between them and softmax at the end. All parameters lie in one flat list, layer by layer,
//! the weights `[inputs, outputs]` row by row and then the biases, so that training can walk over them as one.

use std::fmt;

use crate::digits::{CLASSES, PIXEL_MAX, PIXELS, Sample};
use crate::softmax::softmax;

/// The most hidden layers of a model; the fewest is one.
pub const MAX_HIDDEN_LAYERS: usize = 2;

/// The most units in one hidden layer.
pub const MAX_WIDTH: usize = 256;

/// The greatest absolute value of a weight or bias. With it no logit of any allowed shape can overflow.
pub const MAX_PARAMETER: f32 = 1e4;

/// Why no model can have these hidden layers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// None, or too many.
    #[error("{found} hidden layers; expected 1 to {MAX_HIDDEN_LAYERS}")]
    Layers {
        /// How many were asked for.
        found: usize,
    },
    /// An empty layer, or one too wide.
    #[error("hidden layer {layer} has {found} units; expected 1 to {MAX_WIDTH}")]
    Width {
        /// Which one, from 1.
        layer: usize,
        /// Its units.
        found: usize,
    },
}

/// A trained classifier of 8x8 images into ten classes. Cloning copies its parameters.
#[derive(Clone, PartialEq)]
pub struct Model {
    layers: Vec<Layer>,
    parameters: Vec<f32>,
}

/// Where one linear layer's parameters lie in the flat list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    start: usize,
}

impl Layer {
    fn bias_start(&self) -> usize {
        self.start + self.inputs * self.outputs
    }

    fn end(&self) -> usize {
        self.bias_start() + self.outputs
    }

    pub(crate) fn weights<'p>(&self, parameters: &'p [f32]) -> &'p [f32] {
        &parameters[self.start..self.bias_start()]
    }

    pub(crate) fn biases<'p>(&self, parameters: &'p [f32]) -> &'p [f32] {
        &parameters[self.bias_start()..self.end()]
    }

    pub(crate) fn both_mut<'p>(&self, parameters: &'p mut [f32]) -> (&'p mut [f32], &'p mut [f32]) {
        parameters[self.start..self.end()].split_at_mut(self.inputs * self.outputs)
    }
}

/// What a model says of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The likeliest class, `0..10`; the lowest of them on a tie.
    pub label: u8,
    /// One for each class, in `0.0..=1.0`, summing to 1 but for rounding.
    pub probabilities: [f32; CLASSES],
}

/// How many images of a set a model labelled right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accuracy {
    /// Labelled right.
    pub correct: usize,
    /// In all.
    pub total: usize,
}

impl Accuracy {
    /// The part labelled right, `0.0..=1.0`; 0 of an empty set.
    pub fn fraction(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.correct as f64 / self.total as f64 }
    }
}

impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4} ({} of {})", self.fraction(), self.correct, self.total)
    }
}

impl Model {
    /// A model with these hidden layers and every parameter zero.
    pub(crate) fn zeroed(hidden: &[usize]) -> Result<Self, ShapeError> {
        if !(1..=MAX_HIDDEN_LAYERS).contains(&hidden.len()) {
            return Err(ShapeError::Layers { found: hidden.len() });
        }
        if let Some(index) = hidden.iter().position(|width| !(1..=MAX_WIDTH).contains(width)) {
            return Err(ShapeError::Width { layer: index + 1, found: hidden[index] });
        }
        let inputs = std::iter::once(PIXELS).chain(hidden.iter().copied());
        let outputs = hidden.iter().copied().chain(std::iter::once(CLASSES));
        let mut start = 0;
        let layers: Vec<Layer> = inputs
            .zip(outputs)
            .map(|(inputs, outputs)| {
                let layer = Layer { inputs, outputs, start };
                start = layer.end();
                layer
            })
            .collect();
        Ok(Self { layers, parameters: vec![0.0; start] })
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    pub(crate) fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    pub(crate) fn parameters_mut(&mut self) -> &mut [f32] {
        &mut self.parameters
    }

    /// The units of each hidden layer, from the input to the output.
    pub fn hidden(&self) -> Vec<usize> {
        self.layers.iter().skip(1).map(|layer| layer.inputs).collect()
    }

    /// How many numbers the model has learned: weights and biases.
    pub fn parameter_count(&self) -> usize {
        self.parameters.len()
    }

    /// Classifies one image: 8 rows of 8 pixels in `0..=16`. A darker pixel counts as 16.
    pub fn predict(&self, pixels: &[u8; PIXELS]) -> Prediction {
        let mut pass = Pass::new(self);
        pass.forward(self, &scaled(pixels));
        let probabilities = pass.probabilities();
        // `max_by` would give the last of equals.
        let mut best = 0;
        for class in 1..CLASSES {
            if probabilities[class] > probabilities[best] {
                best = class;
            }
        }
        Prediction { label: best as u8, probabilities }
    }

    /// Predicts every sample and counts the labels that it got right.
    pub fn accuracy(&self, samples: &[Sample]) -> Accuracy {
        let right = |sample: &&Sample| self.predict(sample.pixels()).label == sample.label();
        Accuracy { correct: samples.iter().filter(right).count(), total: samples.len() }
    }
}

impl fmt::Debug for Model {
    /// The shape only: thousands of numbers help nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("hidden", &self.hidden()).finish_non_exhaustive()
    }
}

/// Pixels as the network sees them, `0.0..=1.0`. The divisor is a power of two, so nothing is rounded.
pub(crate) fn scaled(pixels: &[u8; PIXELS]) -> [f32; PIXELS] {
    pixels.map(|pixel| f32::from(pixel.min(PIXEL_MAX)) / f32::from(PIXEL_MAX))
}

/// The room for one image's way through a network and back, reused from image to image.
pub(crate) struct Pass {
    /// The input of each layer, and at the end the probabilities.
    activations: Vec<Vec<f32>>,
    /// The derivative of the loss by the outputs of the layer at hand.
    delta: Vec<f32>,
    below: Vec<f32>,
}

impl Pass {
    pub(crate) fn new(model: &Model) -> Self {
        let inputs = model.layers.iter().map(|layer| vec![0.0; layer.inputs]);
        let activations = inputs.chain(std::iter::once(vec![0.0; CLASSES])).collect();
        Self { activations, delta: Vec::new(), below: Vec::new() }
    }

    pub(crate) fn probabilities(&self) -> [f32; CLASSES] {
        let last = self.activations.last().expect("a pass has the output's room from its start");
        last.as_slice().try_into().expect("the last layer has one output for each class")
    }

    pub(crate) fn forward(&mut self, model: &Model, inputs: &[f32; PIXELS]) {
        self.activations[0].copy_from_slice(inputs);
        let last = model.layers.len() - 1;
        for (index, layer) in model.layers.iter().enumerate() {
            let (before, after) = self.activations.split_at_mut(index + 1);
            let (inputs, outputs) = (&before[index], &mut after[0]);
            // Input by input: every output is summed in the same order, and the inner loop runs over neighbours.
            outputs.fill(0.0);
            let rows = layer.weights(&model.parameters).chunks_exact(layer.outputs);
            for (&input, row) in inputs.iter().zip(rows) {
                add_scaled(outputs, input, row);
            }
            add_scaled(outputs, 1.0, layer.biases(&model.parameters));
            if index < last {
                outputs.iter_mut().for_each(|output| *output = output.max(0.0));
            } else {
                softmax(outputs);
            }
        }
    }

    /// Adds to `gradient` the derivative of the cross-entropy between `targets` and the last forward pass.
    pub(crate) fn backward(&mut self, model: &Model, targets: &[f32; CLASSES], gradient: &mut [f32]) {
        let probabilities = self.probabilities();
        self.delta.clear();
        self.delta.extend(probabilities.iter().zip(targets).map(|(p, t)| p - t));
        for (index, layer) in model.layers.iter().enumerate().rev() {
            let inputs = &self.activations[index];
            let (weights, biases) = layer.both_mut(gradient);
            for (&input, row) in inputs.iter().zip(weights.chunks_exact_mut(layer.outputs)) {
                add_scaled(row, input, &self.delta);
            }
            add_scaled(biases, 1.0, &self.delta);
            if index > 0 {
                let rows = layer.weights(&model.parameters).chunks_exact(layer.outputs);
                self.below.clear();
                self.below.extend(inputs.iter().zip(rows).map(|(&input, row)| {
                    // ReLU passes nothing back where it passed nothing on.
                    if input > 0.0 { row.iter().zip(&self.delta).map(|(w, d)| w * d).sum() } else { 0.0 }
                }));
                std::mem::swap(&mut self.delta, &mut self.below);
            }
        }
    }
}

/// `sums += factor * terms`, number by number. Blank pixels and idle units are common: a zero factor is skipped.
fn add_scaled(sums: &mut [f32], factor: f32, terms: &[f32]) {
    if factor != 0.0 {
        for (sum, term) in sums.iter_mut().zip(terms) {
            *sum += factor * term;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn random_model(hidden: &[usize], seed: u64) -> Model {
        let mut model = Model::zeroed(hidden).unwrap();
        let mut random = Random::new(seed);
        model.parameters.iter_mut().for_each(|parameter| *parameter = random.symmetric(0.4));
        model
    }

    fn random_image(seed: u64) -> [u8; PIXELS] {
        let mut random = Random::new(seed);
        std::array::from_fn(|_| (random.next_u64() % 17) as u8)
    }

    /// The loss as its definition says, in f64 and without the code under test: log-sum-exp of the logits minus
    /// the targets' share of them.
    fn loss(model: &Model, parameters: &[f64], pixels: &[u8; PIXELS], targets: &[f32; CLASSES]) -> f64 {
        let mut values: Vec<f64> = pixels.iter().map(|&pixel| f64::from(pixel) / 16.0).collect();
        let mut at = 0;
        for layer in &model.layers {
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            let next = (0..outputs).map(|o| {
                let sum: f64 = (0..inputs).map(|i| values[i] * parameters[at + i * outputs + o]).sum();
                sum + parameters[at + inputs * outputs + o]
            });
            let next: Vec<f64> = next.collect();
            at += inputs * outputs + outputs;
            let hidden = at < parameters.len();
            values = next.into_iter().map(|x| if hidden { x.max(0.0) } else { x }).collect();
        }
        let log_sum = values.iter().map(|x| x.exp()).sum::<f64>().ln();
        values.iter().zip(targets).map(|(x, &t)| f64::from(t) * (log_sum - x)).sum()
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for (hidden, seed) in [(vec![7], 1), (vec![6, 5], 2)] {
            let model = random_model(&hidden, seed);
            let pixels = random_image(seed);
            let mut targets = [0.02; CLASSES];
            targets[3] = 0.82;

            let mut gradient = vec![0.0; model.parameter_count()];
            let mut pass = Pass::new(&model);
            pass.forward(&model, &scaled(&pixels));
            pass.backward(&model, &targets, &mut gradient);

            let exact: Vec<f64> = model.parameters.iter().map(|&p| f64::from(p)).collect();
            let step = 1e-6;
            for index in 0..exact.len() {
                let moved = |by: f64| {
                    let mut parameters = exact.clone();
                    parameters[index] += by;
                    loss(&model, &parameters, &pixels, &targets)
                };
                let expected = (moved(step) - moved(-step)) / (2.0 * step);
                let error = (f64::from(gradient[index]) - expected).abs();
                assert!(error < 1e-5, "{hidden:?}, parameter {index}: {} for {expected}", gradient[index]);
            }
            assert!(gradient.iter().filter(|g| g.abs() > 1e-3).count() > gradient.len() / 4);
        }
    }

    #[test]
    fn shapes_outside_the_limits_are_refused() {
        assert_eq!(Model::zeroed(&[]), Err(ShapeError::Layers { found: 0 }));
        assert_eq!(Model::zeroed(&[1, 1, 1]), Err(ShapeError::Layers { found: 3 }));
        assert_eq!(Model::zeroed(&[4, 0]), Err(ShapeError::Width { layer: 2, found: 0 }));
        assert_eq!(Model::zeroed(&[257]), Err(ShapeError::Width { layer: 1, found: 257 }));
        let largest = Model::zeroed(&[MAX_WIDTH; MAX_HIDDEN_LAYERS]).unwrap();
        assert_eq!(largest.parameter_count(), 65 * 256 + 257 * 256 + 257 * 10);
        assert_eq!(largest.hidden(), [256, 256]);
    }

    #[test]
    fn the_greatest_parameters_still_give_probabilities() {
        let mut model = Model::zeroed(&[MAX_WIDTH; MAX_HIDDEN_LAYERS]).unwrap();
        let count = model.parameters.len();
        model.parameters.fill(MAX_PARAMETER);
        model.parameters[count - CLASSES..].copy_from_slice(&[-MAX_PARAMETER; CLASSES]);
        let prediction = model.predict(&[PIXEL_MAX; PIXELS]);
        assert_eq!(prediction.probabilities, [0.1; CLASSES]);
        assert_eq!(prediction.label, 0, "the lowest class wins a tie");
    }

    #[test]
    fn accuracy_counts_what_predict_says() {
        let model = random_model(&[5], 3);
        let samples: Vec<Sample> =
            (0..50).map(|seed| Sample::new(random_image(seed), (seed % 10) as u8).unwrap()).collect();
        let correct = samples.iter().filter(|s| model.predict(s.pixels()).label == s.label()).count();
        assert_eq!(model.accuracy(&samples), Accuracy { correct, total: 50 });
        assert_eq!(model.accuracy(&[]).fraction(), 0.0);
        assert_eq!(Accuracy { correct: 3, total: 4 }.to_string(), "0.7500 (3 of 4)");
    }
}
