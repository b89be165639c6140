//! Copies the sources of the ledger, with shuttle's locks and atomics for those of `std`.

use std::path::Path;
use std::{env, fs};

fn main() {
    let sources = Path::new("../src");
    println!("cargo::rerun-if-changed={}", sources.display());
    let out = env::var("OUT_DIR").expect("cargo sets it");
    for entry in fs::read_dir(sources).expect("the sources are there") {
        let path = entry.expect("the folder can be read").path();
        let text = fs::read_to_string(&path).expect("sources are UTF-8");
        let text = text.replace("std::sync::", "shuttle::sync::");
        // What is included can't begin with what is said of a whole crate or file.
        let text: String = text
            .lines()
            .filter(|line| !line.starts_with("//!") && !line.starts_with("#!["))
            .flat_map(|line| [line, "\n"])
            .collect();
        let name = path.file_name().expect("it is a file");
        fs::write(Path::new(&out).join(name), text).expect("the folder can be written");
    }
}
