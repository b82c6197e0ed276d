//! libFuzzer's entry to [`residual_fuzz::dag`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::dag);
