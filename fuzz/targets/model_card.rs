//! libFuzzer's entry to [`residual_fuzz::model_card`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::model_card);
