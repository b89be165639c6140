//! The targets on their corpora and on random changes of it; see `docs/proof.md`.

use std::path::Path;

use tollkeeper_fuzz_driver::drive;
use tollkeeper_limiter_fuzz::{leases, operations};

#[test]
fn operations_agree_with_the_model() {
    run("operations", operations);
}

#[test]
fn leases_agree_with_the_model() {
    run("leases", leases);
}

fn run(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    assert!(
        corpus.read_dir().is_ok_and(|mut files| files.next().is_some()),
        "the corpus is there"
    );
    drive(name, &corpus, Vec::new(), target);
}
