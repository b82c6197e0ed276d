//! libFuzzer's entry to [`residual_fuzz::manifest`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::manifest);
