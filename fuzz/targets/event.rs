//! libFuzzer's entry to [`residual_fuzz::event`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::event);
