//! Every target on its corpus and on random changes of it; see `docs/proof.md`.

use std::path::Path;

use tollkeeper_fingerprint_fuzz::{batch_body, client_hello, json, signal_text};
use tollkeeper_fuzz_driver::drive;

fn run(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    assert!(
        corpus.read_dir().is_ok_and(|mut files| files.next().is_some()),
        "the corpus is there"
    );
    drive(name, &corpus, Vec::new(), target);
}

#[test]
fn client_hello_takes_any_bytes() {
    run("client_hello", client_hello);
}

#[test]
fn identify_json_takes_any_text() {
    run("identify_json", json);
}

#[test]
fn batch_body_takes_any_bytes() {
    run("batch_body", batch_body);
}

#[test]
fn signal_text_takes_any_text() {
    run("signal_text", signal_text);
}
