//! libFuzzer's entry to [`residual_fuzz::ids`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::ids);
