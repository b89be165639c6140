//! The JSON surface, as the binding calls it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batches;
mod comparisons;
mod identifications;

use serde_json::Value;
use tollkeeper_fingerprint::identify_json;

const AKAMAI: &str = "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p";
const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

fn row(file: &str) -> Value {
    serde_json::from_str::<Value>(file).unwrap()[0].clone()
}

fn curl() -> Value {
    row(include_str!("../../data/curl.json"))
}

fn identified(input: &Value) -> Value {
    serde_json::from_str(&identify_json(&input.to_string()).unwrap()).unwrap()
}
