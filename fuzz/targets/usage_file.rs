//! libFuzzer's entry to [`residual_fuzz::usage_file`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::usage_file);
