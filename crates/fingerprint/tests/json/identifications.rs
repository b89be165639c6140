//! Identifications, and the signals that are refused.

use serde_json::{Value, json};
use tollkeeper_fingerprint::{Dataset, MAX_DEPTH, MAX_INPUT, Signals, compare_json, identify_json};

use crate::{AKAMAI, CHROME, curl, identified};

#[test]
fn an_identification_has_the_shape_of_the_api() {
    let input = json!({
        "tls": { "client_hello": curl()["client_hello"] },
        "http2": { "akamai": curl()["akamai_h2"] },
        "http": { "headers": [["User-Agent", CHROME], ["Accept", "*/*"]] },
    });
    let answer = identified(&input);
    assert!(answer["fingerprint_id"].as_str().unwrap().starts_with("fp1_"));
    assert_eq!(answer["fingerprint_id"].as_str().unwrap().len(), 36);
    for name in ["ja3", "ja3n", "ja4", "ja4_r", "akamai_h2", "header_order"] {
        assert!(answer["computed"][name].is_string(), "{name}");
    }
    assert_eq!(answer["candidates"][0]["client"], "curl");
    assert_eq!(
        answer["candidates"][0]["evidence"],
        json!(["ja4", "ja3", "ja3n", "akamai_h2", "header_order"])
    );
    assert_eq!(answer["ambiguous"], false);
    let flags = json!(["ua_tls_mismatch", "ua_h2_mismatch", "ua_hints_missing"]);
    assert_eq!(answer["consistency"], json!({ "score": 0.0, "flags": flags }));
    assert_eq!(answer["dataset"], "2026.11");
}

#[test]
fn what_can_not_be_computed_is_null() {
    let answer = identified(&json!({ "http2": { "akamai": AKAMAI } }));
    assert_eq!(answer["computed"]["akamai_h2"], AKAMAI);
    for name in ["ja3", "ja3n", "ja4", "ja4_r", "header_order"] {
        assert_eq!(answer["computed"][name], Value::Null);
    }
    let answer = identified(&json!({ "tls": { "ja3": "ADA70206E40642A3E4461F35503241D5" } }));
    assert_eq!(answer["computed"]["ja3"], "ada70206e40642a3e4461f35503241d5");
    assert_eq!(answer["candidates"], json!([]));
    let full = identified(
        &json!({ "tls": { "ja3": "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0" } }),
    );
    assert_eq!(full["computed"]["ja3"], answer["computed"]["ja3"]);
    assert!(full["computed"]["ja3n"].is_string());
    let headers = identified(&json!({ "http": { "headers": [["cookie", "a=b"]] } }));
    assert_eq!(headers["computed"]["header_order"], Value::Null);
    assert_eq!(headers["consistency"], json!({ "score": 0.9, "flags": ["ua_missing"] }));
}

#[test]
fn base64_comes_in_all_its_forms() {
    let standard = curl()["client_hello"].as_str().unwrap().to_owned();
    let expected = identified(&json!({ "tls": { "client_hello": standard } }));
    let bare = standard.trim_end_matches('=').to_owned();
    let url = standard.replace('+', "-").replace('/', "_");
    for text in [bare.clone(), url.clone(), url.trim_end_matches('=').to_owned()] {
        assert_eq!(identified(&json!({ "tls": { "client_hello": text } })), expected);
    }
}

#[test]
fn signals_that_disagree_are_flagged_and_the_fuller_decides() {
    let hello = curl()["client_hello"].clone();
    let own = identified(&json!({ "tls": { "client_hello": hello } }));
    let both = identified(&json!({ "tls": { "client_hello": hello, "ja4": own["computed"]["ja4"] } }));
    assert_eq!(both, own);
    let other = "t13d1516h2_8daaf6152771_e5627efa2ab1";
    let answer = identified(&json!({ "tls": { "client_hello": hello, "ja4": other } }));
    assert_eq!(answer["computed"], own["computed"]);
    assert_eq!(answer["consistency"]["flags"], json!(["tls_signals_disagree"]));
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table with a line for each refusal")]
fn refusals_name_the_field_and_what_it_may_be() {
    let many: Vec<u16> = (0..300).collect();
    let long = "h".repeat(256);
    for (input, code, path, part) in [
        (json!({}), "ERR_NO_SIGNAL", "", "at least one of"),
        (json!({ "tls": {} }), "ERR_NO_SIGNAL", "", "at least one of"),
        (
            json!({ "tls": null, "http": { "headers": null } }),
            "ERR_NO_SIGNAL",
            "",
            "at least one of",
        ),
        (
            json!([]),
            "ERR_SIGNAL_INVALID",
            "",
            "an array; it may be an object with tls, http2, http",
        ),
        (json!({ "tsl": {} }), "ERR_SIGNAL_INVALID", "", "\"tsl\""),
        (json!({ "tls": 7 }), "ERR_SIGNAL_INVALID", "tls", "is 7"),
        (json!({ "tls": { "ja5": "x" } }), "ERR_SIGNAL_INVALID", "tls", "\"ja5\""),
        (
            json!({ "tls": { "client_hello": true } }),
            "ERR_SIGNAL_INVALID",
            "tls.client_hello",
            "is true; it may be a string",
        ),
        (
            json!({ "tls": { "client_hello": "?" } }),
            "ERR_SIGNAL_INVALID",
            "tls.client_hello",
            "is not base64",
        ),
        (
            json!({ "tls": { "client_hello": "FgMB" } }),
            "ERR_CLIENT_HELLO_TRUNCATED",
            "tls.client_hello",
            "ends at byte 3",
        ),
        (
            json!({ "tls": { "client_hello": "A".repeat(50_000) } }),
            "ERR_CLIENT_HELLO_TOO_LARGE",
            "tls.client_hello",
            "50000 characters",
        ),
        (
            json!({ "tls": { "ja4": "t13" } }),
            "ERR_SIGNAL_INVALID",
            "tls.ja4",
            "is \"t13\"; a JA4 looks like",
        ),
        (
            json!({ "tls": { "ja4_r": {} } }),
            "ERR_SIGNAL_INVALID",
            "tls.ja4_r",
            "is an object",
        ),
        (
            json!({ "tls": { "ja3": "771,x,,," } }),
            "ERR_SIGNAL_INVALID",
            "tls.ja3",
            "ciphers holds \"x\"",
        ),
        (
            json!({ "tls": { "ciphers": [1] } }),
            "ERR_SIGNAL_INVALID",
            "tls.extensions",
            "is missing",
        ),
        (
            json!({ "tls": { "extensions": [], "version": 771 } }),
            "ERR_SIGNAL_INVALID",
            "tls.ciphers",
            "is missing",
        ),
        (
            json!({ "tls": { "extensions": [], "ciphers": [] } }),
            "ERR_SIGNAL_INVALID",
            "tls.version",
            "is missing",
        ),
        (
            json!({ "tls": { "version": 771, "ciphers": [1, -1], "extensions": [] } }),
            "ERR_SIGNAL_INVALID",
            "tls.ciphers[1]",
            "is -1; it may be a whole number of 16 bits",
        ),
        (
            json!({ "tls": { "version": 771, "ciphers": many, "extensions": [] } }),
            "ERR_INPUT_TOO_LARGE",
            "tls.ciphers",
            "may have 256",
        ),
        (
            json!({ "tls": { "version": 771, "ciphers": 1, "extensions": [] } }),
            "ERR_SIGNAL_INVALID",
            "tls.ciphers",
            "may be an array",
        ),
        (
            json!({ "tls": { "version": 771, "ciphers": [], "extensions": [], "alpn": [long] } }),
            "ERR_SIGNAL_INVALID",
            "tls.alpn[0]",
            "may have 255",
        ),
        (
            json!({ "http2": { "akamai": "x" } }),
            "ERR_SIGNAL_INVALID",
            "http2.akamai",
            "four parts",
        ),
        (
            json!({ "http": { "headers": [["a"]] } }),
            "ERR_SIGNAL_INVALID",
            "http.headers[0]",
            "may be [name, value]",
        ),
        (
            json!({ "http": { "headers": [["a", "b"], ["c", null]] } }),
            "ERR_SIGNAL_INVALID",
            "http.headers[1][1]",
            "is null",
        ),
        (
            json!({ "http": { "headers": [["a", "b"], [":path", "/"]] } }),
            "ERR_SIGNAL_INVALID",
            "http.headers[1]",
            ":path",
        ),
    ] {
        let error = identify_json(&input.to_string()).unwrap_err();
        assert_eq!((error.code(), error.path()), (code, path), "{error}");
        assert!(error.message().contains(part), "{error}");
    }
    assert_eq!(identify_json("{").unwrap_err().code(), "ERR_INPUT_NOT_JSON");
    assert_eq!(
        identify_json(&" ".repeat(MAX_INPUT + 1)).unwrap_err().code(),
        "ERR_INPUT_TOO_LARGE"
    );
}

#[test]
fn an_empty_list_of_headers_is_no_signal() {
    let error = identify_json(r#"{"tls":{},"http":{"headers":[]}}"#).unwrap_err();
    assert_eq!(error.code(), "ERR_NO_SIGNAL");
}

#[test]
fn text_that_can_not_be_read_says_why() {
    for lone in [r"\ud800", r"\udc00", r"\ud800\u0041", r"a\ud800b"] {
        let error = identify_json(&format!(r#"{{"tls":{{"ja4":"{lone}"}}}}"#)).unwrap_err();
        assert_eq!(error.code(), "ERR_INPUT_NOT_JSON");
        assert!(error.message().contains("not valid Unicode"), "{lone}: {error}");
    }
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let deepest = identify_json(&nested(MAX_DEPTH)).unwrap_err();
    assert_eq!(deepest.code(), "ERR_SIGNAL_INVALID", "{deepest}");
    for depth in [MAX_DEPTH + 1, 200, 100_000] {
        let error = compare_json(&nested(depth)).unwrap_err();
        assert_eq!(error.code(), "ERR_INPUT_NOT_JSON");
        assert!(error.message().contains("nested 127 deep"), "{error}");
    }
}

#[test]
fn a_data_set_of_ones_own() {
    let rows = |change: &dyn Fn(&mut Value)| {
        let mut row = curl();
        row["client"] = json!("curl-mine");
        change(&mut row);
        json!([curl(), row]).to_string()
    };
    let signals = Signals::from_value(&json!({ "tls": { "client_hello": curl()["client_hello"] } })).unwrap();
    let own = Dataset::from_json(&rows(&|_| {})).unwrap();
    let clients: Vec<&str> = own.identify(&signals).candidates.iter().map(|one| one.client).collect();
    assert_eq!(clients, ["curl", "curl-mine"]);
    assert!(
        Dataset::from_json("[]")
            .unwrap()
            .identify(&signals)
            .candidates
            .is_empty()
    );
    for (text, code, path) in [
        ("{}".to_owned(), "ERR_INPUT_NOT_JSON", ""),
        (rows(&|row| row["runs"] = json!(0)), "ERR_INPUT_NOT_JSON", ""),
        (
            rows(&|row| row["tls"]["ciphers"] = json!([1, "x"])),
            "ERR_SIGNAL_INVALID",
            "[1].tls.ciphers[1]",
        ),
        (
            rows(&|row| row["akamai_h2"] = json!("x")),
            "ERR_SIGNAL_INVALID",
            "[1].akamai_h2",
        ),
        (
            rows(&|row| row["headers"] = json!([[":path", "/"]])),
            "ERR_SIGNAL_INVALID",
            "[1].headers[0]",
        ),
    ] {
        let error = Dataset::from_json(&text).unwrap_err();
        assert_eq!((error.code(), error.path()), (code, path), "{error}");
    }
}
