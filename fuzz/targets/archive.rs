//! libFuzzer's entry to [`residual_fuzz::archive`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::archive);
