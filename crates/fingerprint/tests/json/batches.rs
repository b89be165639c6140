//! Batches.

use serde_json::{Value, json};
use tollkeeper_fingerprint::{MAX_ID, MAX_INPUT, MAX_ITEMS, batch_json};

use crate::{AKAMAI, curl, identified};

/// The texts of the items.
fn texts(items: &Value) -> Vec<String> {
    items.as_array().unwrap().iter().map(Value::to_string).collect()
}

#[test]
fn an_item_that_is_no_json_fails_alone() {
    let good = json!({ "fingerprint": { "tls": { "client_hello": curl()["client_hello"] } } }).to_string();
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let input = [&good, r#"{"id":"\ud800"}"#, "", &deep, &good];
    let answers: Value = serde_json::from_str(&batch_json(&input, 0).unwrap()).unwrap();
    for index in 1..4 {
        assert_eq!(answers[index]["problem"]["code"], "ERR_INPUT_NOT_JSON");
        assert_eq!(answers[index]["problem"]["path"], format!("items[{index}]"));
    }
    assert_eq!(answers[0]["result"], answers[4]["result"]);
}

#[test]
fn a_bad_item_of_a_batch_fails_alone() {
    let good = json!({ "tls": { "client_hello": curl()["client_hello"] } });
    let items = json!([
        { "id": "one", "fingerprint": good },
        { "id": "two", "fingerprint": { "tls": { "ja4": "x" } } },
        { "fingerprint": good },
        { "id": 7, "fingerprint": good },
        { "id": "five" },
        { "id": "x".repeat(MAX_ID + 1), "fingerprint": good },
        null,
        "\u{e000}",
    ]);
    let answers: Value = serde_json::from_str(&batch_json(&texts(&items), 0).unwrap()).unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 8);
    assert_eq!(answers[0]["id"], "one");
    assert_eq!(answers[0]["result"], identified(&good));
    assert!(answers[0].get("problem").is_none());
    assert_eq!(answers[1]["problem"]["code"], "ERR_SIGNAL_INVALID");
    assert_eq!(answers[1]["problem"]["path"], "items[1].fingerprint.tls.ja4");
    assert!(
        answers[1]["problem"]["detail"]
            .as_str()
            .unwrap()
            .contains("a JA4 looks like")
    );
    assert!(answers[1].get("result").is_none());
    assert_eq!(answers[2]["id"], Value::Null);
    assert_eq!(answers[2]["result"], answers[0]["result"]);
    for (index, path) in [
        (3, "items[3].id"),
        (4, "items[4].fingerprint"),
        (5, "items[5].id"),
        (6, "items[6]"),
        (7, "items[7]"),
    ] {
        assert_eq!(answers[index]["problem"]["path"], path);
    }
}

#[test]
fn an_item_that_is_too_long_fails_alone() {
    let good = json!({ "fingerprint": { "http2": { "akamai": AKAMAI } } }).to_string();
    let items = [" ".repeat(2 * MAX_INPUT), good];
    let answers: Value = serde_json::from_str(&batch_json(&items, 20).unwrap()).unwrap();
    assert_eq!(answers[0]["problem"]["path"], "items[20]");
    assert_eq!(answers[0]["problem"]["code"], "ERR_INPUT_TOO_LARGE");
    assert!(answers[1]["result"].is_object());
}

#[test]
fn a_batch_has_its_bounds() {
    let error = batch_json(&["{}"; MAX_ITEMS + 1], 0).unwrap_err();
    assert_eq!((error.code(), error.path()), ("ERR_INPUT_TOO_LARGE", "items"));
    assert_eq!(batch_json::<&str>(&[], 0).unwrap(), "[]");
}
