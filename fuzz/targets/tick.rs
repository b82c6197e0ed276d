//! libFuzzer's entry to [`residual_fuzz::tick`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::tick);
