//! The table of keys beside concurrent maps that could be in its place, the table of leases beside the limiter, and keys of
//! more limits beside those of two: `cargo bench -p tollkeeper-limiter`.
//!
//! The maps keep the same states under the same hashes and make the same decision under their locks. Everybody decides for a
//! known key by a bucket and a quota, or by as many as are told, and allows. Rounds are paired: in each, everybody has a turn. What a key takes is measured
//! in a process for each. Prints tables and writes `docs/benchmarks/table.json`; with `--quick` after `--`, a few rounds that
//! write nothing.

#![expect(clippy::cast_precision_loss, reason = "bytes, keys and decisions are few")]

use std::error::Error;

use contestants::{LIMITERS, MAPS, WIDTHS};
use tollkeeper_limiter::{MAX_AMOUNT, MAX_BLOCK, MAX_CAPACITY, MAX_LIMITS, NEVER_MS};

// What is measured is private to the limiter, so the bench is built of its sources.
macro_rules! sources {
    ($($name:ident $path:literal),* $(,)?) => {
        $(
            #[allow(unused, clippy::unused_self, reason = "only a part of it is measured")]
            #[path = $path]
            mod $name;
        )*
    };
}
sources! {
    bucket "../../src/bucket.rs",
    concurrency "../../src/concurrency.rs",
    correction "../../src/correction.rs",
    cost "../../src/cost.rs",
    credit "../../src/credit.rs",
    error "../../src/error.rs",
    key "../../src/key.rs",
    limit "../../src/limit.rs",
    ordered "../../src/ordered.rs",
    overridden_tiers "../../src/overridden_tiers.rs",
    period "../../src/period.rs",
    quota "../../src/quota.rs",
    rates "../../src/rates.rs",
    rule_set "../../src/rule_set.rs",
    rule_sets "../../src/rule_sets.rs",
    shard "../../src/shard.rs",
    slots "../../src/slots.rs",
    snapshot "../../src/snapshot.rs",
    span "../../src/span.rs",
    stamp "../../src/stamp.rs",
    state "../../src/state.rs",
    table "../../src/table.rs",
    tier "../../src/tier.rs",
    tier_versions "../../src/tier_versions.rs",
    verdict "../../src/verdict.rs",
}

mod contestants;
mod maps;
mod memory;
mod report;
mod rounds;

/// As many as the processor's caches hold; and many, just before maps that double have to, and after it.
const KEYS: [usize; 3] = [10_000, 900_000, 1_000_000];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [flag, contestant, keys] = &arguments[..]
        && flag == memory::FLAG
    {
        return memory::print(contestant, keys.parse()?);
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let mut rows = Vec::new();
    for group in [MAPS, LIMITERS, WIDTHS] {
        for keys in KEYS {
            let taken = memory::of_each(group, keys)?;
            let times = rounds::run(group, keys, if quick { 11 } else { 401 });
            rows.push(report::row(group, keys, &times, &taken));
        }
    }
    report::print(&rows);
    if quick { Ok(()) } else { report::write(&rows) }
}
