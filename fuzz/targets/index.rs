//! libFuzzer's entry to [`residual_fuzz::index`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::index);
