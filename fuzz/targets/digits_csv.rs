//! libFuzzer's entry to [`residual_fuzz::digits_csv`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::digits_csv);
