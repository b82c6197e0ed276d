//! libFuzzer's entry to [`residual_fuzz::revert`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::revert);
