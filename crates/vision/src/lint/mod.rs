//! What is wrong with a dataset: rules on the model and on the files, for all formats alike.

pub mod archives;
mod duplicates;
pub mod images;
pub mod licence;
