//! libFuzzer's entry to [`residual_fuzz::terms`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::terms);
