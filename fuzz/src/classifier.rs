//! What `classifier` reads: its own kind of ONNX, and tables of digits.

use residual_classifier::{onnx, parse_csv};

use crate::memory::within;

/// What is imported is exported to the same bytes.
pub fn classifier_onnx(bytes: &[u8]) -> bool {
    let Ok(model) = within(bytes, 64, || onnx::import(bytes)) else { return false };
    assert_eq!(onnx::export(&model), bytes);
    true
}

/// What is read is read again from how we would have written it.
pub fn digits_csv(bytes: &[u8]) -> bool {
    let Ok(samples) = within(bytes, 8, || parse_csv(bytes)) else { return false };
    let rows = samples.iter().map(|sample| {
        let pixels: String = sample.pixels().iter().map(|pixel| format!("{pixel},")).collect();
        format!("{pixels}{}\n", sample.label())
    });
    let written: String = rows.collect();
    assert_eq!(parse_csv(written.as_bytes()).as_ref(), Ok(&samples));
    true
}
