//! Every captured hello: parsed, held against its own lists and against another implementation of JA3, and identified as
//! what it is. `cross-check/` holds JA4 against another implementation, `hold_out.rs` says how well clients are told apart.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tollkeeper_fingerprint::{ClientHello, Flag, Identification, Ja3, Signals, identify};

fn rows() -> Vec<Value> {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
    let files = std::fs::read_dir(data).unwrap();
    let rows = files.flat_map(|file| {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        serde_json::from_str::<Vec<Value>>(&text).unwrap()
    });
    rows.collect()
}

fn bytes(row: &Value) -> Vec<u8> {
    STANDARD.decode(row["client_hello"].as_str().unwrap()).unwrap()
}

fn identified(fingerprint: &Value) -> Identification<'static> {
    identify(&Signals::from_value(fingerprint).unwrap())
}

#[test]
fn rows_say_all_that_they_should() {
    let rows = rows();
    assert!(rows.len() >= 17);
    for row in &rows {
        for field in ["client", "version", "library", "platform", "how", "when"] {
            assert!(
                row[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field} of {}",
                row["client"]
            );
        }
        assert!(row["runs"].as_u64().is_some_and(|runs| runs > 0));
        let hello = ClientHello::parse(&bytes(row)).unwrap();
        assert_eq!(row["sni"], hello.has_sni());
        let names: Vec<_> = hello.alpn.iter().map(String::from_utf8_lossy).collect();
        let lists = json!({
            "version": hello.legacy_version,
            "ciphers": hello.ciphers,
            "extensions": hello.extensions,
            "groups": hello.groups,
            "point_formats": hello.point_formats,
            "signature_algorithms": hello.signature_algorithms,
            "alpn": names,
            "supported_versions": hello.supported_versions,
        });
        assert_eq!(row["tls"], lists, "{}", row["client"]);
    }
}

#[test]
fn another_implementation_of_ja3_agrees() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/cross_check.json")).unwrap();
    let hellos = fixture["hellos"].as_array().unwrap();
    assert_eq!(hellos.len(), rows().len());
    for expected in hellos {
        let hello = ClientHello::parse(&bytes(expected)).unwrap();
        let name = &expected["client"];
        assert_eq!(expected["ja3_full"], Ja3::of(&hello).to_string(), "{name}");
        assert_eq!(expected["ja3"], Ja3::of(&hello).md5(), "{name}");
    }
}

#[test]
fn each_client_is_among_the_candidates_of_its_signals() {
    for row in rows() {
        let mut signals = json!({ "tls": { "client_hello": row["client_hello"] } });
        let by_tls = identified(&signals);
        let own = by_tls
            .candidates
            .iter()
            .find(|one| row["client"] == one.client)
            .unwrap();
        assert!(own.versions.iter().any(|version| row["version"] == *version));
        if !row["akamai_h2"].is_null() {
            signals["http2"] = json!({ "akamai": row["akamai_h2"] });
        }
        if !row["headers"].is_null() {
            signals["http"] = json!({ "headers": row["headers"] });
        }
        let by_all = identified(&signals);
        let first = by_all.candidates[0].confidence;
        let own = by_all
            .candidates
            .iter()
            .find(|one| row["client"] == one.client)
            .unwrap();
        // Two that open all alike can't be told apart, and share the confidence.
        assert!(
            own.confidence >= 0.5 * first,
            "{}: {:?}",
            row["client"],
            by_all.candidates
        );
        let flags = &by_all.consistency.flags;
        assert!(
            flags.iter().all(|flag| *flag == Flag::UaMissing),
            "{}: {flags:?}",
            row["client"]
        );
        for answer in [&by_tls, &by_all] {
            let sum: f64 = answer.candidates.iter().map(|one| one.confidence).sum();
            assert!(sum <= 1.001, "{:?}", answer.candidates);
        }
    }
}

#[test]
fn the_form_of_a_signal_does_not_change_who_it_is() {
    for row in rows() {
        let by_hello = identified(&json!({ "tls": { "client_hello": row["client_hello"] } }));
        let hello = ClientHello::parse(&bytes(&row)).unwrap();
        assert_eq!(identify(&Signals::from_client_hello(&hello)), by_hello);
        let by_lists = identified(&json!({ "tls": row["tls"] }));
        assert_eq!(by_hello, by_lists);
        let by_ja4 = identified(&json!({ "tls": { "ja4": by_hello.computed.ja4 } }));
        let by_ja4_r = identified(&json!({ "tls": { "ja4_r": by_hello.computed.ja4_r } }));
        for answer in [&by_ja4, &by_ja4_r] {
            assert_eq!(answer.fingerprint_id, by_hello.fingerprint_id);
            assert_eq!(answer.candidates[0].client, by_hello.candidates[0].client);
        }
        let by_ja3 = identified(&json!({ "tls": { "ja3": by_hello.computed.ja3 } }));
        assert!(by_ja3.candidates.iter().any(|one| row["client"] == one.client));
    }
}

#[test]
fn a_client_that_shuffles_keeps_its_id() {
    let chromium: Vec<Value> = rows().into_iter().filter(|row| row["client"] == "chromium").collect();
    let answers: Vec<Identification> = chromium
        .iter()
        .map(|row| identified(&json!({ "tls": { "client_hello": row["client_hello"] } })))
        .collect();
    assert!(answers.len() > 1);
    assert!(
        answers
            .iter()
            .all(|one| one.fingerprint_id == answers[0].fingerprint_id)
    );
    assert!(answers.iter().all(|one| one.computed.ja3n == answers[0].computed.ja3n));
    assert!(answers.iter().any(|one| one.computed.ja3 != answers[0].computed.ja3));
}

#[test]
fn another_server_name_or_version_still_finds_the_client() {
    let rows = rows();
    let chromium = rows.iter().find(|row| row["client"] == "chromium").unwrap();
    let mut without_sni = chromium["tls"].clone();
    without_sni["extensions"]
        .as_array_mut()
        .unwrap()
        .retain(|kind| *kind != 0);
    let answer = identified(&json!({ "tls": without_sni }));
    assert_eq!(
        serde_json::to_value(&answer.candidates[0].evidence).unwrap(),
        json!(["ja4_bc"])
    );
    let mut older = chromium["tls"].clone();
    older["extensions"]
        .as_array_mut()
        .unwrap()
        .retain(|kind| *kind != 0xca34);
    let answer = identified(&json!({ "tls": older }));
    assert_eq!(answer.candidates[0].client, "chromium");
    assert_eq!(
        serde_json::to_value(&answer.candidates[0].evidence).unwrap(),
        json!(["tls_lists"])
    );
    let unheard = json!({ "version": 771, "ciphers": [1, 2, 3], "extensions": [] });
    let answer = identified(&json!({ "tls": unheard }));
    assert!(answer.candidates.is_empty() && !answer.ambiguous);
}

/// From a browser's report stored at <https://github.com/service0427/v2_cp_app>, `tls.md`: thirteen versions before the
/// one captured, on Android.
#[test]
fn an_older_version_nobody_captured_is_found_by_its_lists_and_its_claim_stands() {
    let agent = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Mobile Safari/537.36";
    let hashed = identified(&json!({
        "tls": { "ja4": "t13d1516h2_8daaf6152771_d8a2da3f94cd" },
        "http": { "headers": [["user-agent", agent]] },
    }));
    assert!(!hashed.consistency.flags.contains(&Flag::UaTlsMismatch));
    let answer = identified(&json!({
        "tls": { "ja4_r": "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9\
            _0005,000a,000b,000d,0012,0017,001b,0023,002b,002d,0033,44cd,fe0d,ff01\
            _0403,0804,0401,0503,0805,0501,0806,0601" },
        "http": { "headers": [
            ["sec-ch-ua", "\"Chromium\";v=\"143\", \"Not A(Brand\";v=\"24\""], ["sec-ch-ua-mobile", "?1"],
            ["sec-ch-ua-platform", "\"Android\""], ["user-agent", agent],
        ] },
    }));
    let [first] = answer.candidates.as_slice() else {
        panic!("{:?}", answer.candidates)
    };
    assert_eq!(first.client, "chromium");
    assert_eq!(serde_json::to_value(&first.evidence).unwrap(), json!(["tls_lists"]));
    assert!(first.confidence < 0.9, "{}", first.confidence);
    assert_eq!(answer.consistency.flags, []);
}
