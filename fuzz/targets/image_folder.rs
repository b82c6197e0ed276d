//! libFuzzer's entry to [`residual_fuzz::image_folder`].
#![no_main]

residual_fuzz::libfuzzer!(residual_fuzz::image_folder);
