//! Comparisons come out in the order in which a person would put them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use serde_json::{Value, json};
use tollkeeper_fingerprint::{Comparison, Resolution, Signals, compare};

fn rows(file: &str) -> Vec<Value> {
    serde_json::from_str(file).unwrap()
}

fn chromium() -> Vec<Value> {
    rows(include_str!("../data/chromium.json"))
}

fn tls(row: &Value) -> Value {
    json!({ "tls": row["tls"] })
}

fn compared(a: &Value, b: &Value) -> Comparison {
    compare(&Signals::from_value(a).unwrap(), &Signals::from_value(b).unwrap()).unwrap()
}

/// Every captured way to open a connection: the client, its version, and all signals.
fn everyone() -> Vec<(String, String, Value)> {
    let data = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/data")).unwrap();
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    data.flat_map(|file| rows(&std::fs::read_to_string(file.unwrap().path()).unwrap()))
        .map(|row| (text(&row, "client"), text(&row, "version"), full(&row)))
        .collect()
}

fn full(row: &Value) -> Value {
    let mut signals = tls(row);
    if !row["akamai_h2"].is_null() {
        signals["http2"] = json!({ "akamai": row["akamai_h2"] });
    }
    if !row["headers"].is_null() {
        signals["http"] = json!({ "headers": row["headers"] });
    }
    signals
}

fn is_one(value: f64) -> bool {
    value.to_bits() == 1.0_f64.to_bits()
}

#[test]
fn identity_is_one_and_sides_can_be_swapped() {
    let everyone = everyone();
    for (name, _, a) in &everyone {
        let own = compared(a, a);
        assert!(
            is_one(own.similarity) && own.is_match && own.differences.is_empty(),
            "{name}: {own:?}"
        );
        for (_, _, b) in &everyone {
            let (there, back) = (compared(a, b), compared(b, a));
            assert_eq!(there.similarity.to_bits(), back.similarity.to_bits());
            assert_eq!(there.components, back.components);
            assert!((0.0..=1.0).contains(&there.similarity));
            assert_eq!(there.is_match, back.is_match);
        }
    }
}

#[test]
fn runs_of_one_version_match_and_only_clients_of_one_family() {
    let family = |name: &str| name.split('-').next().map(str::to_owned);
    let everyone = everyone();
    let (mut least_same, mut most_other) = (1.0_f64, 0.0_f64);
    for (name, version, a) in &everyone {
        for (other, other_version, b) in &everyone {
            let one = compared(a, b);
            if (name, version) == (other, other_version) {
                least_same = least_same.min(one.similarity);
                assert!(one.is_match, "{name}: {one:?}");
            }
            if family(name) != family(other) {
                most_other = most_other.max(one.similarity);
                assert!(!one.is_match, "{name}, {other}: {one:?}");
            }
        }
    }
    println!("one version {least_same:.3} at least, two families {most_other:.3} at most");
}

/// Node by the version of its TLS library, curl over the older of the two, and a browser.
#[test]
fn the_same_client_then_the_same_library_then_the_rest() {
    let node = |major: &str| {
        let rows = rows(include_str!("../data/node-https.json"));
        let is_major = |row: &&Value| row["version"].as_str().unwrap().starts_with(major);
        tls(rows.iter().find(is_major).unwrap())
    };
    let of = |file: &str| tls(&rows(file)[0]);
    let curl = of(include_str!("../data/curl.json"));
    let chromium = of(include_str!("../data/chromium.json"));
    let firefox = of(include_str!("../data/firefox.json"));
    let alike = |a: &Value, b: &Value| compared(a, b).similarity;
    let same_client = alike(&node("20."), &node("24."));
    let same_library = alike(&node("20."), &curl);
    let unrelated = alike(&node("20."), &chromium).max(alike(&curl, &firefox));
    println!("same client {same_client:.3}, same library {same_library:.3}, unrelated {unrelated:.3}");
    assert!(same_client > same_library && same_library > unrelated + 0.2);
    assert!(same_client < 1.0);
}

#[test]
fn an_addition_of_the_next_version_is_a_small_difference() {
    let chromium = chromium();
    let mut next_version = chromium[1]["tls"].clone();
    let algorithms = next_version["signature_algorithms"].as_array_mut().unwrap();
    algorithms.push(json!(0x0904));
    let one = compared(&tls(&chromium[0]), &json!({ "tls": next_version }));
    assert!(one.similarity > 0.9 && one.similarity < 1.0, "{one:?}");
}

#[test]
fn differences_read_as_sentences() {
    let curl = full(&rows(include_str!("../data/curl.json"))[0]);
    let chrome = full(&chromium()[0]);
    let lines = compared(&curl, &chrome).differences;
    for start in [
        "ciphers only in a: ",
        "extensions only in b: ",
        "groups only in a: ",
        "http2: ",
        "headers only in b: sec-ch-ua",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(start)),
            "{start} in {lines:#?}"
        );
    }
    assert!(lines.iter().any(|line| line.ends_with("more")));
    let shuffled = json!({ "tls": { "version": 771, "ciphers": [2, 1], "extensions": [] } });
    let plain = json!({ "tls": { "version": 770, "ciphers": [1, 2], "extensions": [] } });
    let lines = compared(&shuffled, &plain).differences;
    assert_eq!(
        lines,
        ["ciphers: the same, in another order", "version: 12 in a, 11 in b"]
    );
}

#[test]
fn hashes_are_equal_or_not() {
    let chrome = "t13d1516h2_8daaf6152771_e5627efa2ab1";
    let ja4 = |text: &str| json!({ "tls": { "ja4": text } });
    let own = compared(&ja4(chrome), &ja4(chrome));
    assert_eq!(own.resolution, Resolution::Hash);
    assert!(is_one(own.similarity) && own.is_match);
    assert_eq!(own.components.groups, None);
    let other = compared(&ja4(chrome), &ja4("t13d1516h2_8daaf6152771_02713d6af862"));
    assert_eq!(other.components.ciphers, Some(1.0));
    assert_eq!(other.components.extensions, Some(0.0));
    assert_eq!(other.components.signature_algorithms, None);
    assert!(!other.is_match);
    assert!(other.differences[0].starts_with("ja4: "));
    let ja3 = |text: &str| json!({ "tls": { "ja3": text } });
    let differ = compared(
        &ja3("ada70206e40642a3e4461f35503241d5"),
        &ja3("de350869b8c85de67a350c8d186f11e6"),
    );
    assert_eq!(
        (differ.components.ciphers, differ.components.groups),
        (Some(0.0), Some(0.0))
    );
    let mixed = compared(
        &ja3("ada70206e40642a3e4461f35503241d5"),
        &json!({ "tls": {
        "ja3": "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0" } }),
    );
    assert!(is_one(mixed.similarity));
}

/// Each in its scantest form, so that only the part that can be read tells the two apart.
#[test]
fn one_is_for_those_that_differ_in_nothing() {
    let pair = |field: &str, a: &str, b: &str| {
        let side = |text: &str| json!({ "tls": { field: text } });
        compared(&side(a), &side(b))
    };
    for (field, a, b, line) in [
        (
            "ja4",
            "t13d1516h2_8daaf6152771_e5627efa2ab1",
            "t13d1516h1_8daaf6152771_e5627efa2ab1",
            "ja4: t13d1516h2_8daaf6152771_e5627efa2ab1 in a, t13d1516h1_8daaf6152771_e5627efa2ab1 in b",
        ),
        (
            "ja4",
            "t13d1516h2_8daaf6152771_e5627efa2ab1",
            "q13d1516h2_8daaf6152771_e5627efa2ab1",
            "ja4: t13d1516h2_8daaf6152771_e5627efa2ab1 in a, q13d1516h2_8daaf6152771_e5627efa2ab1 in b",
        ),
        (
            "ja4_r",
            "t13d0202h2_1301,1302_000a",
            "t13d0202h1_1301,1302_000a",
            "alpn: h2 in a, h1 in b",
        ),
        ("ja3", "771,1-2,,,", "769,1-2,,,", "version: 771 in a, 769 in b"),
    ] {
        let one = pair(field, a, b);
        assert!(one.similarity < 1.0 && one.similarity > 0.8, "{field}: {one:?}");
        assert_eq!(one.differences, [line], "{field}");
    }
    // The server's name follows from the request.
    let named = pair(
        "ja4",
        "t13d1516h2_8daaf6152771_e5627efa2ab1",
        "t13i1515h2_8daaf6152771_e5627efa2ab1",
    );
    assert!(
        is_one(named.similarity) && named.is_match && named.differences.is_empty(),
        "{named:?}"
    );
}

#[test]
fn lists_are_compared_where_one_side_has_them_sorted() {
    let row = &chromium()[0];
    let signals = Signals::from_value(&tls(row)).unwrap();
    let ja4_r = tollkeeper_fingerprint::identify(&signals).computed.ja4_r;
    let one = compared(&tls(row), &json!({ "tls": { "ja4_r": ja4_r } }));
    assert!(is_one(one.similarity), "{one:?}");
    assert_eq!(one.resolution, Resolution::Raw);
    assert_eq!(one.components.groups, None);
}

#[test]
fn parts_of_http2_count_by_themselves() {
    let h2 = |text: &str| json!({ "http2": { "akamai": text } });
    let chrome = h2("1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p");
    let one_setting = compared(&chrome, &h2("1:65536;2:0;4:6291455;6:262144|15663105|0|m,a,s,p"));
    let all_else = compared(&chrome, &h2("3:100|1|3:0:0:201|m,p,s,a"));
    assert!(one_setting.similarity > all_else.similarity + 0.5);
    assert!(all_else.similarity < 0.2);
}

proptest! {
    #[test]
    fn bounds_and_symmetry_hold_for_any_lists(
        a in proptest::collection::vec(0_u16..40, 0..20),
        b in proptest::collection::vec(0_u16..40, 0..20),
    ) {
        let lists = |values: &[u16]| json!({ "tls": {
            "version": 771, "ciphers": values, "extensions": [], "groups": values, "signature_algorithms": values,
        } });
        let (there, back) = (compared(&lists(&a), &lists(&b)), compared(&lists(&b), &lists(&a)));
        prop_assert_eq!(there.similarity.to_bits(), back.similarity.to_bits());
        prop_assert!((0.0..=1.0).contains(&there.similarity));
        prop_assert!(is_one(compared(&lists(&a), &lists(&a)).similarity));
    }
}
