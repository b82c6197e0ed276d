//! libFuzzer's entry to [`residual_fuzz::wrapped_key`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::wrapped_key);
