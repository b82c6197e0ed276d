//! libFuzzer's entry to [`residual_fuzz::coco_results`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::coco_results);
