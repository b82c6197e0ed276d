//! libFuzzer's entry to [`residual_fuzz::image_header`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::image_header);
