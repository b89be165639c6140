//! Rows of the data set: one for each way a client was seen to open its connection, with how many runs did.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tollkeeper_fingerprint::ClientHello;

use crate::clients::Client;
use crate::listener::Seen;
use crate::said;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data");

/// Replaces the client's rows of this version and platform.
pub fn write(client: &Client, version: &str, seen: &[Seen]) -> Result<()> {
    let platform = said(". /etc/os-release && echo \"$PRETTY_NAME $(uname -m)\"")?;
    let library = said(client.library)?;
    let when = said("date -u +%F")?;
    let path = Path::new(DATA).join(format!("{}.json", client.name));
    let mut rows: Vec<Value> = match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{}.json", client.name))?,
        Err(_) => Vec::new(),
    };
    let kept = |row: &Value| row["version"] != version || row["platform"] != platform.as_str();
    if !seen.is_empty() {
        rows.retain(kept);
    }
    for connection in seen {
        let hello = ClientHello::parse(&connection.hello)?;
        let headers = connection.headers.as_deref().map(without_port);
        let (tls, akamai, headers) = (lists(&hello), json!(connection.akamai), json!(headers));
        let same = |row: &&mut Value| {
            !kept(row) && row["tls"] == tls && row["akamai_h2"] == akamai && row["headers"] == headers
        };
        if let Some(known) = rows.iter_mut().find(same) {
            known["runs"] = json!(known["runs"].as_u64().unwrap_or(0) + 1);
            continue;
        }
        rows.push(json!({
            "client": client.name,
            "version": version,
            "library": library,
            "platform": platform,
            "how": client.command,
            "when": when,
            "runs": 1,
            "tls": tls,
            "sni": hello.has_sni(),
            "akamai_h2": akamai,
            "headers": headers,
            "client_hello": STANDARD.encode(&connection.hello),
        }));
    }
    if !rows.is_empty() {
        std::fs::write(path, text(&rows))?;
    }
    println!("  {} connections, {} rows", seen.len(), rows.len());
    Ok(())
}

/// Headers without the port of the listener, which is another in each run.
fn without_port(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    let host = |value| match value {
        value if str::starts_with(value, "localhost:") => "localhost",
        value => value,
    };
    let fields = headers.iter();
    fields.map(|(name, value)| (name.as_str(), host(value))).collect()
}

fn lists(hello: &ClientHello) -> Value {
    let alpn: Vec<_> = hello.alpn.iter().map(String::from_utf8_lossy).collect();
    json!({
        "version": hello.legacy_version,
        "ciphers": hello.ciphers,
        "extensions": hello.extensions,
        "groups": hello.groups,
        "point_formats": hello.point_formats,
        "signature_algorithms": hello.signature_algorithms,
        "alpn": alpn,
        "supported_versions": hello.supported_versions,
    })
}

/// JSON with a line for each list, so that a change reads as one.
fn text(rows: &[Value]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| block(row, 1)).collect();
    format!("[\n  {}\n]\n", rows.join(",\n  "))
}

fn block(value: &Value, depth: usize) -> String {
    let Value::Object(fields) = value else {
        return value.to_string();
    };
    let line =
        |(key, value): (&String, &Value)| format!("{}\"{key}\": {}", "  ".repeat(depth + 1), block(value, depth + 1));
    let lines: Vec<String> = Map::iter(fields).map(line).collect();
    format!("{{\n{}\n{}}}", lines.join(",\n"), "  ".repeat(depth))
}
