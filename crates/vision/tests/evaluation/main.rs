//! Evaluation beside pycocotools, which is in `tests/peers/.venv` (see `tests/peers/setup`). Without it these tests fail: a check
//! that is skipped checks nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod conformance;
mod hostile;
mod made;
mod peer;
mod pycocotools;
mod read;
