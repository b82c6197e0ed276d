//! libFuzzer's entry to [`residual_fuzz::keystore`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::keystore);
