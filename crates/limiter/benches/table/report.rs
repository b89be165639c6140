//! The figures as tables and as JSON.

use std::error::Error;
use std::path::Path;

use serde_json::{Value, json};

use crate::contestants::NAMES;
use crate::memory::Taken;
use crate::rounds::Times;

/// The middle of some samples, and the quarters between which half of them lie.
fn spread(samples: &[f64]) -> [f64; 3] {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| sorted[(sorted.len() * quarter).div_ceil(4) - 1])
}

fn as_json([p25, median, p75]: [f64; 3]) -> Value {
    json!({ "p25": rounded(p25), "median": rounded(median), "p75": rounded(p75) })
}

/// To hundredths.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

pub(crate) fn row(keys: usize, times: &Times, taken: &[Taken]) -> Value {
    let maps = NAMES.iter().zip(times).zip(taken).map(|((name, of_map), taken)| {
        let ratios: Vec<_> = of_map.iter().zip(&times[0]).map(|(time, table)| time / table).collect();
        json!({
            "map": name,
            "nsPerDecision": as_json(spread(of_map)),
            "timesTheTable": as_json(spread(&ratios)),
            "allocatedBytesPerKey": rounded(taken.allocated),
            "residentBytesPerKey": rounded(taken.resident),
        })
    });
    json!({ "keys": keys, "rounds": times[0].len(), "maps": maps.collect::<Vec<_>>() })
}

pub(crate) fn print(rows: &[Value]) {
    for row in rows {
        println!(
            "\n{} keys, {} rounds: median (quarters)\n\n{:<10}{:>22}{:>22}{:>16}{:>16}",
            row["keys"], row["rounds"], "", "ns a decision", "× the table", "bytes a key", "resident"
        );
        for map in row["maps"].as_array().into_iter().flatten() {
            println!(
                "{:<10}{:>22}{:>22}{:>16}{:>16}",
                map["map"].as_str().unwrap_or_default(),
                shown(&map["nsPerDecision"]),
                shown(&map["timesTheTable"]),
                map["allocatedBytesPerKey"].to_string(),
                map["residentBytesPerKey"].to_string(),
            );
        }
    }
}

fn shown(spread: &Value) -> String {
    format!("{} ({}–{})", spread["median"], spread["p25"], spread["p75"])
}

pub(crate) fn write(rows: &[Value]) -> Result<(), Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks/table.json");
    let title = "nanoseconds a decision and bytes a key, of the table of keys and of concurrent maps in its place";
    let json = json!({ "name": "table", "title": title, "rows": rows });
    std::fs::write(path, format!("{json:#}\n"))?;
    Ok(())
}
