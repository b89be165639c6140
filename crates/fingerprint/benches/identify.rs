//! Time of one identification and one comparison, from JSON to JSON: `cargo bench -p tollkeeper-fingerprint`.

use std::hint::black_box;
use std::time::Instant;

use tollkeeper_fingerprint::{batch_json, compare_json, identify_json};

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
        let two = format!(r#"{{"a":{one},"b":{one}}}"#);
        let items: Vec<_> = (0..100)
            .map(|index| format!(r#"{{"id":"{index}","fingerprint":{one}}}"#))
            .collect();
        let hundred = serde_json::json!(items).to_string();
        let text =
            |result: Result<String, tollkeeper_fingerprint::Error>| result.unwrap_or_else(|error| error.to_string());
        time(&format!("{name}, identify"), ROUNDS, || text(identify_json(&one)));
        time(&format!("{name}, identify, unknown"), ROUNDS, || {
            text(identify_json(&unknown))
        });
        time(&format!("{name}, compare"), ROUNDS, || text(compare_json(&two)));
        time(&format!("{name}, batch of 100"), ROUNDS / 100, || {
            text(batch_json(&hundred))
        });
    }
    Ok(())
}
