//! libFuzzer's entry to [`residual_fuzz::voc`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::voc);
