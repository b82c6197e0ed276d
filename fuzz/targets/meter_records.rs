//! libFuzzer's entry to [`residual_fuzz::meter_records`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::meter_records);
