//! Has `TShark` compute JA3 of every captured hello and writes what it says into a fixture of the crate's tests:
//! `cargo run --release --manifest-path crates/fingerprint/capture/Cargo.toml --bin cross-check`. `TShark` has to be
//! installed. JA4 is held against another implementation in `crates/fingerprint/cross-check`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const CRATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn main() -> Result<()> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(Path::new(CRATE).join("data"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut hellos = Vec::new();
    for file in files {
        let rows: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        for row in rows {
            let text = row["client_hello"].as_str().context("client_hello")?.to_owned();
            hellos.push((row["client"].clone(), STANDARD.decode(&text)?, text));
        }
    }
    let ja3s = tshark(&hellos.iter().map(|(_, bytes, _)| bytes.as_slice()).collect::<Vec<_>>())?;
    ensure!(
        ja3s.len() == hellos.len(),
        "TShark saw {} hellos of {}",
        ja3s.len(),
        hellos.len()
    );
    let values: Vec<Value> = hellos
        .iter()
        .zip(ja3s)
        .map(|((client, _, text), (ja3, ja3_full))| {
            json!({ "client": client, "ja3": ja3, "ja3_full": ja3_full, "client_hello": text })
        })
        .collect();
    let lines: Vec<String> = values.iter().map(Value::to_string).collect();
    let fixture = format!(
        "{{\n\"ja3_by\": {},\n\"hellos\": [\n{}\n]\n}}\n",
        json!(tshark_version()?),
        lines.join(",\n")
    );
    std::fs::write(Path::new(CRATE).join("tests/fixtures/cross_check.json"), fixture)?;
    println!("{} hellos", values.len());
    Ok(())
}

fn tshark_version() -> Result<String> {
    let output = Command::new("tshark").arg("--version").output().context("tshark")?;
    let text = String::from_utf8(output.stdout)?;
    let words: Vec<&str> = text.split_whitespace().take(3).collect();
    Ok(words.join(" ").trim_end_matches('.').to_owned())
}

/// JA3 and its full string for each hello, by way of a capture file.
fn tshark(hellos: &[&[u8]]) -> Result<Vec<(String, String)>> {
    let path = std::env::temp_dir().join(format!("tollkeeper-cross-check-{}.pcap", std::process::id()));
    std::fs::write(&path, pcap(hellos)?)?;
    let output = Command::new("tshark")
        .arg("-r")
        .arg(&path)
        .args([
            "-T",
            "fields",
            "-e",
            "tls.handshake.ja3",
            "-e",
            "tls.handshake.ja3_full",
        ])
        .output()
        .context("tshark")?;
    std::fs::remove_file(path)?;
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    Ok(lines.map(|(md5, full)| (md5.to_owned(), full.to_owned())).collect())
}

/// A capture file with each hello as the one segment of a TCP connection of its own, in bare IPv4.
fn pcap(hellos: &[&[u8]]) -> Result<Vec<u8>> {
    const LINKTYPE_RAW: u32 = 101;
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0002_0004, 0, 0, 0x0004_0000, LINKTYPE_RAW] {
        file.extend_from_slice(&u32::to_be_bytes(word));
    }
    for (index, hello) in hellos.iter().enumerate() {
        let length = u16::try_from(40 + hello.len())?;
        let port = u16::try_from(20_000 + index)?;
        for word in [0, 0, u32::from(length), u32::from(length)] {
            file.extend_from_slice(&u32::to_be_bytes(word));
        }
        file.extend_from_slice(&[0x45, 0]);
        file.extend_from_slice(&length.to_be_bytes());
        file.extend_from_slice(&[0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 2]);
        file.extend_from_slice(&port.to_be_bytes());
        file.extend_from_slice(&443_u16.to_be_bytes());
        file.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
        file.extend_from_slice(hello);
    }
    Ok(file)
}
