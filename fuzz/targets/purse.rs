//! libFuzzer's entry to [`residual_fuzz::purse`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::purse);
