//! libFuzzer's entry to [`residual_fuzz::meter_segment`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::meter_segment);
