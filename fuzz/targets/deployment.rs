//! libFuzzer's entry to [`residual_fuzz::deployment`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::deployment);
