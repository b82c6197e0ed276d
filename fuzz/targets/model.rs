//! libFuzzer's entry to [`residual_fuzz::model`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::model);
