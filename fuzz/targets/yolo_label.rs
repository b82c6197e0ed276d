//! libFuzzer's entry to [`residual_fuzz::yolo_label`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::yolo_label);
