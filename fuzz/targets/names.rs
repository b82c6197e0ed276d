//! libFuzzer's entry to [`residual_fuzz::names`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::names);
