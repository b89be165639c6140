//! Time of one identification and one comparison, from JSON to JSON: `cargo bench -p tollkeeper-fingerprint`.

use std::hint::black_box;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tollkeeper_fingerprint::{ClientHello, MAX_CLIENT_HELLO, batch_json, compare_json, identify_json};

const ROUNDS: u32 = 20_000;

fn time(name: &str, rounds: u32, run: impl Fn() -> String) {
    black_box(run());
    let start = Instant::now();
    for _ in 0..rounds {
        black_box(run());
    }
    println!(
        "{name}: {:.1} µs",
        start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
    );
}

/// What an attacker may send: bytes that mean nothing, and such as cost the most before they turn out to be wrong.
fn garbage() -> [(&'static str, Vec<u8>); 4] {
    let noise: Vec<u8> = (0..MAX_CLIENT_HELLO)
        .map(|place| ((place * 7919) >> 3).to_le_bytes()[0])
        .collect();
    let records = noise
        .chunks(6)
        .flat_map(|part| [0x16, 3, 1, 0, 1, part[0]])
        .take(MAX_CLIENT_HELLO);
    let mut fragments: Vec<u8> = records.collect();
    fragments.splice(
        ..24,
        [1, 0, 0x3f, 0xfc].into_iter().flat_map(|byte| [0x16, 3, 1, 0, 1, byte]),
    );
    let mut record = noise.clone();
    record[..9].copy_from_slice(&[0x16, 3, 1, 0x3f, 0xfb, 1, 0, 0x3f, 0xf7]);
    let extensions = (1000_u16..).flat_map(|kind| [kind.to_be_bytes(), [0, 120]].concat().into_iter().chain([0; 120]));
    let mut last_wrong = vec![1, 0, 0x3f, 0xfc, 3, 3];
    last_wrong.extend([0; 32]);
    last_wrong.extend([0, 0, 2, 0x13, 1, 1, 0]);
    let length = u16::try_from(MAX_CLIENT_HELLO - last_wrong.len() - 2).unwrap_or(u16::MAX);
    last_wrong.extend(length.to_be_bytes());
    last_wrong.extend(extensions.take(length.into()));
    [
        ("noise", noise),
        ("records of one byte", fragments),
        ("a record of noise", record),
        ("wrong in its last extension", last_wrong),
    ]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (name, file) in [
        ("chromium", include_str!("../data/chromium.json")),
        ("curl", include_str!("../data/curl.json")),
    ] {
        let rows: serde_json::Value = serde_json::from_str(file)?;
        let one = format!(r#"{{"tls":{{"client_hello":{}}}}}"#, rows[0]["client_hello"]);
        // As the hello of an unknown client: no fingerprint fits, and the lists are compared.
        let mut lists = rows[0]["tls"].clone();
        lists["ciphers"] = serde_json::json!([0x1301, 0x1302]);
        let unknown = format!(r#"{{"tls":{lists}}}"#);
        let all = serde_json::json!({
            "tls": { "client_hello": rows[0]["client_hello"] },
            "http2": { "akamai": rows[0]["akamai_h2"] },
            "http": { "headers": rows[0]["headers"] },
        })
        .to_string();
        let two = format!(r#"{{"a":{one},"b":{one}}}"#);
        let items: Vec<_> = (0..100)
            .map(|index| format!(r#"{{"id":"{index}","fingerprint":{one}}}"#))
            .collect();
        let text =
            |result: Result<String, tollkeeper_fingerprint::Error>| result.unwrap_or_else(|error| error.to_string());
        time(&format!("{name}, identify"), ROUNDS, || text(identify_json(&one)));
        time(&format!("{name}, identify by all signals"), ROUNDS, || {
            text(identify_json(&all))
        });
        time(&format!("{name}, identify, unknown"), ROUNDS, || {
            text(identify_json(&unknown))
        });
        time(&format!("{name}, compare"), ROUNDS, || text(compare_json(&two)));
        time(&format!("{name}, batch of 100"), ROUNDS / 100, || {
            text(batch_json(&items, 0))
        });
    }
    for (name, garbage) in garbage() {
        let parsed = || ClientHello::parse(&garbage).map_or_else(|error| error.to_string(), |_| String::new());
        time(&format!("16 KiB of garbage, {name}, parse"), ROUNDS, parsed);
        let json = format!(r#"{{"tls":{{"client_hello":"{}"}}}}"#, STANDARD.encode(&garbage));
        let identified = || identify_json(&json).unwrap_or_else(|error| error.to_string());
        time(&format!("16 KiB of garbage, {name}, identify"), ROUNDS, identified);
    }
    Ok(())
}
