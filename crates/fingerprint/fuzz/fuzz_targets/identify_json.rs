#![no_main]

use libfuzzer_sys::fuzz_target;
use tollkeeper_fingerprint::{batch_json, compare_json, identify_json};

fuzz_target!(|text: &str| {
    let _ = identify_json(text);
    let _ = compare_json(text);
    let _ = batch_json(text);
});
