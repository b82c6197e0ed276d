//! libFuzzer's entry to [`residual_fuzz::dota`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::dota);
