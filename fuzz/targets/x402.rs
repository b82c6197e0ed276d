//! libFuzzer's entry to [`residual_fuzz::x402`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::x402);
