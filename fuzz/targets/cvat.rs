//! libFuzzer's entry to [`residual_fuzz::cvat`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::cvat);
