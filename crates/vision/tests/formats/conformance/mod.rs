//! What other projects test with, as they write it.

mod coco;
mod others;

#[path = "../../support/shared.rs"]
mod samples;

use samples::shared;
