//! libFuzzer's entry to [`residual_fuzz::voucher`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::voucher);
