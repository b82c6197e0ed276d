//! libFuzzer's entry to [`residual_fuzz::classifier_onnx`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::classifier_onnx);
