//! The target on its corpus and on random changes of it; see `docs/proof.md`.

use std::path::Path;

use tollkeeper_fuzz_driver::drive;
use tollkeeper_storage_fuzz::storage;

#[test]
fn a_file_is_refused_or_usable() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/storage");
    assert!(
        corpus.read_dir().is_ok_and(|mut files| files.next().is_some()),
        "the corpus is there"
    );
    drive("storage", &corpus, Vec::new(), storage);
}
