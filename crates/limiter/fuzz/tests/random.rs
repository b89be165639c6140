//! The target on its corpus and on random changes of it; see `docs/proof.md`.

use std::path::Path;

use tollkeeper_fuzz_driver::drive;
use tollkeeper_limiter_fuzz::operations;

#[test]
fn operations_agree_with_the_model() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/operations");
    assert!(
        corpus.read_dir().is_ok_and(|mut files| files.next().is_some()),
        "the corpus is there"
    );
    drive("operations", &corpus, Vec::new(), operations);
}
