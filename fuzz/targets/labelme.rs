//! libFuzzer's entry to [`residual_fuzz::labelme`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::labelme);
