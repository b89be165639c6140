//! Comparisons.

use serde_json::{Value, json};
use tollkeeper_fingerprint::compare_json;

use crate::{AKAMAI, curl};

#[test]
fn a_comparison_has_the_shape_of_the_api() {
    let one = json!({ "tls": { "client_hello": curl()["client_hello"] } });
    let answer = compare_json(&json!({ "a": one, "b": one }).to_string()).unwrap();
    let expected = json!({
        "similarity": 1.0,
        "match": true,
        "resolution": "raw",
        "components": {
            "ciphers": 1.0, "extensions": 1.0, "groups": 1.0, "signature_algorithms": 1.0, "http2": null, "headers": null,
        },
        "differences": [],
    });
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap(), expected);
}

#[test]
fn refused_comparisons_say_which_side() {
    let one = json!({ "tls": { "ja3": "769,4-5,,," } });
    let other = json!({ "http2": { "akamai": AKAMAI } });
    for (input, code, path) in [
        (json!({ "a": one, "b": other }), "ERR_NOT_COMPARABLE", ""),
        (json!({ "a": one }), "ERR_SIGNAL_INVALID", "b"),
        (json!({ "a": {}, "b": one }), "ERR_NO_SIGNAL", "a"),
        (
            json!({ "a": one, "b": { "tls": { "ja4": "x" } } }),
            "ERR_SIGNAL_INVALID",
            "b.tls.ja4",
        ),
    ] {
        let error = compare_json(&input.to_string()).unwrap_err();
        assert_eq!((error.code(), error.path()), (code, path), "{error}");
    }
}
