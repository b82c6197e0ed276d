//! A model that was loaded, and the way of a request through it: read, priced, answered.

use thiserror::Error;

use crate::answer::{self, Answer, Answers};
use crate::boxes;
use crate::card::{
    BoxLayout, BoxesCard, CardError, ImageCard, InputCard, Layout, ModelCard, OutputCard, Resize,
    TensorInputCard, TensorOutputCard,
};
use crate::geometry::Placement;
use crate::graph::{Graph, GraphError};
use crate::limits::Limits;
use crate::metadata::{self, MetadataError};
use crate::program::{Port, Program, ProgramError};
use crate::request::{MediaType, RequestError};
use crate::tensor::{Element, Numbers, volume};
use crate::{json, npy, picture};

/// Why a model is not served.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The card.
    #[error(transparent)]
    Card(#[from] CardError),
    /// What the exporter wrote in place of a card.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The network.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Several outputs and no word which.
    #[error(
        "the model has {found} outputs; name the one to tell in model.toml ([output], kind = \"tensor\")"
    )]
    WhichOutput {
        /// How many.
        found: usize,
    },
    /// A picture is made of 32-bit floats.
    #[error(
        "the card's input is an image, but the model takes {found:?}; expected 32-bit floats: export it so"
    )]
    ImageElement {
        /// What it takes.
        found: Element,
    },
    /// A card for another network.
    #[error(
        "the card expects the output {name} to be {expected}, found the shape {found:?}; correct model.toml"
    )]
    OutputShape {
        /// The output.
        name: String,
        /// What the card makes of it.
        expected: String,
        /// What the model gives.
        found: Vec<usize>,
    },
    /// Boxes need a picture.
    #[error("the card's output is boxes, but its input is no image; correct model.toml")]
    BoxesOfTensor,
}

/// A model ready to answer, from any number of threads at once.
pub struct Served {
    program: Program,
    card: ModelCard,
    limits: Limits,
}

/// A request that was read and fits the model.
#[derive(Debug)]
pub struct Input {
    /// Numbers for the input port, one run each; at least one.
    rows: Vec<Numbers>,
    /// Where the picture lies in the model's, when one was sent.
    placement: Option<Placement>,
}

impl Served {
    /// Makes a published model ready. Without a card, what the exporter wrote into the model says what it takes and
    /// gives (Ultralytics' detectors and classifiers); failing that, it takes and gives tensors.
    ///
    /// # Errors
    /// A file that is damaged, not served, or beyond `limits`; a card that is out of range or for another model. See
    /// [`Limits`] for what is refused before it runs.
    pub fn load(onnx: &[u8], card: Option<&ModelCard>, limits: &Limits) -> Result<Self, LoadError> {
        let graph = Graph::read(onnx, limits)?;
        let card = match card {
            Some(card) => card.clone(),
            None => metadata::card(&graph.metadata())?.unwrap_or(ModelCard {
                input: InputCard::Tensor(TensorInputCard::default()),
                output: OutputCard::Tensor(TensorOutputCard::default()),
            }),
        };
        card.check()?;
        if matches!((&card.input, &card.output), (InputCard::Tensor(_), OutputCard::Boxes(_))) {
            return Err(LoadError::BoxesOfTensor);
        }
        let row = match &card.input {
            InputCard::Image(_) if graph.element != Element::F32 => {
                return Err(LoadError::ImageElement { found: graph.element });
            }
            InputCard::Image(image) => Some(image_shape(image)),
            InputCard::Tensor(tensor) => tensor.shape.clone(),
        };
        let outputs = wanted_outputs(&card.output, &graph.outputs)?;
        let program = Program::prepare(graph, row.as_deref(), &outputs, limits)?;
        check_outputs(&card.output, &program.outputs)?;
        Ok(Self { program, card, limits: limits.clone() })
    }

    /// What it takes and gives.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// The graph's input.
    pub fn input(&self) -> &Port {
        &self.program.input
    }

    /// The graph's outputs that the card names.
    pub fn outputs(&self) -> &[Port] {
        &self.program.outputs
    }

    /// The most rows of a request.
    pub fn max_rows(&self) -> usize {
        // Boxes of several pictures would be one list in npy, in which nobody could tell them apart.
        let alone = !self.program.input.batched || matches!(self.card.output, OutputCard::Boxes(_));
        if alone { 1 } else { self.limits.max_batch.max(1) }
    }

    /// Reads a request. All of the client's faults are found here: what was read can be priced and charged.
    ///
    /// Takes memory within a small multiple of [`Limits::max_request_bytes`] and [`Limits::max_image_pixels`].
    ///
    /// # Errors
    /// Every fault but [`Fault::Model`](crate::Fault::Model).
    pub fn read(&self, body: &[u8], media: MediaType) -> Result<Input, RequestError> {
        if body.len() > self.limits.max_request_bytes {
            return Err(RequestError::TooLarge { found: body.len(), limit: self.limits.max_request_bytes });
        }
        let port = &self.program.input;
        let max_rows = self.max_rows();
        let tensor = match (media, &self.card.input) {
            (MediaType::Png | MediaType::Jpeg, InputCard::Image(image)) => {
                let (numbers, placement) = picture::read(body, media, image, &self.limits)?;
                return Ok(Input { rows: vec![Numbers::F32(numbers)], placement: Some(placement) });
            }
            (MediaType::Png | MediaType::Jpeg, InputCard::Tensor(_)) => {
                return Err(RequestError::TakesTensors);
            }
            (MediaType::Json, _) => json::parse(body)?,
            (MediaType::Npy, _) => npy::parse(body)?,
        };
        let rows = tensor.rows_for(port).filter(|rows| (1..=max_rows).contains(rows));
        let rows = rows.ok_or_else(|| RequestError::Shape {
            expected: port.row().unwrap_or(&port.shape).to_vec(),
            max_rows,
            found: tensor.shape().to_vec(),
        })?;
        let numbers = tensor.into_numbers().convert(port.element)?;
        Ok(Input { rows: numbers.split(rows), placement: None })
    }

    /// How many priced units a request is: one for an image or a row.
    pub fn units(&self, input: &Input) -> u64 {
        input.rows.len() as u64
    }

    /// Answers a request. Takes `units` runs, each within [`Limits::max_operations`].
    ///
    /// The rows are run one by one, so that none depends on its neighbours; the same input gives the same answer.
    ///
    /// # Errors
    /// Only [`Fault::Model`](crate::Fault::Model).
    pub fn answer(&self, input: &Input) -> Result<Answers, RequestError> {
        let rows = input.rows.iter().map(|row| self.answer_row(row, input.placement.as_ref()));
        Ok(Answers::new(rows.collect::<Result<_, _>>()?))
    }

    fn answer_row(&self, row: &Numbers, placement: Option<&Placement>) -> Result<Answer, RequestError> {
        let unsound = |found| RequestError::Unsound { found };
        let mut outputs = self.program.run(row)?;
        match (&self.card.output, &self.card.input) {
            (OutputCard::Boxes(boxes), InputCard::Image(image)) => {
                // A tensor is the model's own picture.
                let size = [image.width, image.height];
                let own = || Placement::new(Resize::Stretch, size, size);
                let placement = placement.cloned().or_else(own).ok_or(unsound("no picture"))?;
                boxes::read(boxes, &outputs, &placement).map(Answer::Boxes).map_err(unsound)
            }
            (OutputCard::Classes(classes), _) => {
                let scores = outputs.pop().ok_or(unsound("no scores"))?;
                answer::classes(classes, scores).map(Answer::Classes).map_err(unsound)
            }
            _ => {
                let tensor = outputs.pop().ok_or(unsound("no output"))?;
                let name = self.program.outputs.first().map(|port| port.name.clone()).unwrap_or_default();
                Ok(Answer::Tensor { name, tensor })
            }
        }
    }
}

fn image_shape(card: &ImageCard) -> Vec<usize> {
    let [width, height] = [card.width, card.height].map(|side| side as usize);
    let channels = usize::from(card.channels);
    match card.layout {
        Layout::Nchw => vec![channels, height, width],
        Layout::Nhwc => vec![height, width, channels],
        Layout::Flat => vec![channels * height * width],
    }
}

/// The outputs to compute, in the order that [`boxes::read`] takes them.
fn wanted_outputs(card: &OutputCard, graph: &[String]) -> Result<Vec<String>, LoadError> {
    match card {
        OutputCard::Boxes(BoxesCard {
            layout: BoxLayout::Separate { boxes, scores, labels, .. }, ..
        }) => Ok(vec![boxes.clone(), scores.clone(), labels.clone()]),
        OutputCard::Tensor(TensorOutputCard { name: Some(name) }) => Ok(vec![name.clone()]),
        _ if graph.len() == 1 => Ok(graph.to_vec()),
        _ => Err(LoadError::WhichOutput { found: graph.len() }),
    }
}

fn check_outputs(card: &OutputCard, ports: &[Port]) -> Result<(), LoadError> {
    let hold = |port: &Port, fits: bool, expected: String| {
        let (name, found) = (port.name.clone(), port.shape.clone());
        if fits { Ok(()) } else { Err(LoadError::OutputShape { name, expected, found }) }
    };
    let without_batch = |port: &Port| -> Vec<usize> { port.row().unwrap_or(&port.shape).to_vec() };
    match (card, ports) {
        (OutputCard::Classes(classes), [port]) => {
            let labels = classes.labels.len();
            hold(port, volume(&port.shape) == Some(labels), format!("{labels} scores, one for each label"))
        }
        (OutputCard::Boxes(BoxesCard { layout: BoxLayout::Columns, labels, .. }), [port]) => {
            let rows = 4 + labels.len();
            let fits = matches!(*port.shape, [1, found, _] if found == rows);
            hold(port, fits, format!("[1, {rows}, n], 4 sides and a score for each label"))
        }
        (OutputCard::Boxes(_), [boxes, scores, labels]) => {
            let count = match *without_batch(boxes) {
                [count, 4] => count,
                _ => return hold(boxes, false, "[n, 4]".to_owned()),
            };
            // A single box has the shape [1, 4] with or without a batch.
            [scores, labels].into_iter().try_for_each(|port| {
                hold(port, volume(&port.shape) == Some(count), format!("[{count}], as many as boxes"))
            })
        }
        _ => Ok(()),
    }
}
