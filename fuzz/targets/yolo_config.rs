//! libFuzzer's entry to [`residual_fuzz::yolo_config`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::yolo_config);
