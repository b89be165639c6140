//! Runs a fuzz target on a corpus and on random changes of it, with a stable compiler and no instrumentation.
//!
//! It finds much less than cargo-fuzz does. It is there so that every target is run by every `cargo test`, and so that
//! what cargo-fuzz once found stays found.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

const DEFAULT_SECONDS: u64 = 5;
const MAX_BYTES: usize = 4096;
/// What parsers like to see.
const TOKENS: [&[u8]; 12] = [
    &[0],
    &[1],
    &[0xFF],
    &[0xFF, 0xFF],
    &[0, 0, 0, 0],
    &[0xFF; 8],
    b"\"",
    b"}",
    b",",
    b"-1",
    b"0",
    b"18446744073709551616",
];

/// Runs `target` on every seed, every file of a folder and then, for `FUZZ_SECONDS` (5 by default), on changes of them.
/// The changes are the same in every run with the same `FUZZ_SEED` (1 by default). A target fails by panicking.
///
/// # Panics
/// If the target does; the input is then in a file of the system's temporary folder, whose path is printed.
pub fn drive(name: &str, corpus: &Path, seeds: Vec<Vec<u8>>, target: impl Fn(&[u8])) {
    let mut inputs = seeds;
    for entry in fs::read_dir(corpus).into_iter().flatten().flatten() {
        inputs.extend(fs::read(entry.path()));
    }
    inputs.push(Vec::new());
    inputs.sort();
    let run = |input: &[u8]| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
            let path = std::env::temp_dir().join(format!("tollkeeper-{name}-crash"));
            let written = fs::write(&path, input);
            eprintln!("{name}: the input that failed: {} ({written:?})", path.display());
            resume_unwind(panic);
        }
    };
    for input in &inputs {
        run(input);
    }
    let seconds = number("FUZZ_SECONDS", DEFAULT_SECONDS);
    let mut random = Random(number("FUZZ_SEED", 1));
    let start = Instant::now();
    let mut executions = inputs.len();
    while start.elapsed() < Duration::from_secs(seconds) {
        let mut input = inputs[random.below(inputs.len())].clone();
        for _ in 0..=random.below(5) {
            let other = &inputs[random.below(inputs.len())];
            change(&mut input, other, &mut random);
        }
        run(&input);
        executions += 1;
    }
    println!(
        "{name}: {executions} executions in {:.1} s",
        start.elapsed().as_secs_f64()
    );
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = at + random.below(input.len() - at + 1).min(64);
    match random.below(7) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.byte(),
        2 => drop(input.drain(at..end)),
        3 => {
            let bytes: Vec<u8> = (0..=random.below(16)).map(|_| random.byte()).collect();
            drop(input.splice(at..at, bytes));
        }
        4 => drop(input.splice(at..end, TOKENS[random.below(TOKENS.len())].iter().copied())),
        5 => {
            let from = random.below(other.len() + 1);
            let to = from + random.below(other.len() - from + 1).min(512);
            drop(input.splice(at..end, other[from..to].iter().copied()));
        }
        _ => {
            let again = input[at..end].to_vec();
            drop(input.splice(at..at, again));
        }
    }
    input.truncate(MAX_BYTES.max(other.len()));
}

/// Xorshift64* (Marsaglia; Vigna's multiplier).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % bound
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}
