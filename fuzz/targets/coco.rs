//! libFuzzer's entry to [`residual_fuzz::coco`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::coco);
