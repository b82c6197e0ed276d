//! Foreign bytes for every decoder of foreign bytes.
//!
//! Owns: one function for each decoder, which gives it bytes and asserts what must hold of the answer, whatever the bytes;
//! the witness of how much it allocated; and the list of them all ([`TARGETS`]), by which libFuzzer (`fuzz/run`) and the
//! replay of the seeds (`tests/replay.rs`) find them. Refuses: decoders that only a whole node or gateway reaches; which
//! those are stands in `fuzz/README.md`.
//!
//! A target keeps nothing of its input, so that an input says the same whenever it is shown.

mod classifier;
mod content;
mod inference;
mod ledger;
mod memory;
mod meter;
mod payments;
mod usage;
mod vision;
mod words;

#[cfg(feature = "engine")]
pub use libfuzzer_sys;

pub use classifier::{classifier_onnx, digits_csv};
pub use content::{
    dag, dag_input, honest_dag, honest_index, honest_manifest, honest_wrapped_key, index, manifest, names,
    wrapped_key,
};
pub use inference::{model, model_card, model_request};
pub use ledger::{deployment, event, keystore, revert, suite_json};
pub use meter::{AUTHORIZER, channels, meter_records, meter_segment, purse, purse_config, sign, voucher};
pub use payments::{tick, x402};
pub use usage::{usage_file, usage_record};
pub use vision::{
    archive, coco, coco_results, createml, cvat, dota, image, image_folder, image_header, labelme, voc,
    yolo_config, yolo_label,
};
pub use words::{ids, terms};

/// Gives bytes to a decoder, and says whether it took them.
///
/// # Panics
/// When it answers what it must not, or takes more memory than the bytes are worth.
pub type Target = fn(&[u8]) -> bool;

/// All targets by their names, which are those of their seeds' directories too.
pub const TARGETS: &[(&str, Target)] = &[
    ("archive", archive),
    ("classifier_onnx", classifier_onnx),
    ("coco", coco),
    ("coco_results", coco_results),
    ("createml", createml),
    ("cvat", cvat),
    ("dag", dag),
    ("deployment", deployment),
    ("digits_csv", digits_csv),
    ("dota", dota),
    ("event", event),
    ("ids", ids),
    ("image", image),
    ("image_folder", image_folder),
    ("image_header", image_header),
    ("index", index),
    ("keystore", keystore),
    ("labelme", labelme),
    ("manifest", manifest),
    ("meter_records", meter_records),
    ("meter_segment", meter_segment),
    ("model", model),
    ("model_card", model_card),
    ("model_request", model_request),
    ("names", names),
    ("purse", purse),
    ("revert", revert),
    ("terms", terms),
    ("tick", tick),
    ("usage_file", usage_file),
    ("usage_record", usage_record),
    ("voc", voc),
    ("voucher", voucher),
    ("wrapped_key", wrapped_key),
    ("x402", x402),
    ("yolo_config", yolo_config),
    ("yolo_label", yolo_label),
];

/// Makes a program of a target, with libFuzzer's `main`.
///
/// libFuzzer's hook would end the process at any panic; those that `inference` catches on purpose must be let by. One that
/// nobody catches ends it all the same, where the target is called.
#[macro_export]
macro_rules! libfuzzer {
    ($target:path) => {
        $crate::libfuzzer_sys::fuzz_target!(
            init: drop(std::panic::take_hook()),
            |bytes: &[u8]| {
                $target(bytes);
            }
        );
    };
}
