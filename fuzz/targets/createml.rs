//! libFuzzer's entry to [`residual_fuzz::createml`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::createml);
