//! The codes, flags and evidence that users meet are in the documentation.

use serde_json::{Value, json};
use tollkeeper_fingerprint::{ErrorCode, Evidence, Flag};

const PAGE: &str = include_str!("../../../docs/fingerprint.md");

#[test]
fn what_users_meet_is_explained() {
    let evidence = [
        Evidence::Ja4,
        Evidence::Ja4Bc,
        Evidence::Ja3,
        Evidence::Ja3n,
        Evidence::TlsLists,
        Evidence::AkamaiH2,
        Evidence::HeaderOrder,
    ];
    let names = [json!(Flag::ALL), json!(evidence)];
    let names = names
        .iter()
        .flat_map(|list| list.as_array().into_iter().flatten().filter_map(Value::as_str));
    for name in names.chain(ErrorCode::ALL.iter().map(|code| code.as_str())) {
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
}
