//! The figures as tables and as JSON.

use std::error::Error;
use std::path::Path;

use serde_json::{Value, json};

use crate::contestants::Group;
use crate::memory::Taken;

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

pub(crate) fn row(group: Group, keys: usize, times: &[Vec<f64>], taken: &[Taken]) -> Value {
    let first = group[0].0;
    let rows = group.iter().zip(times).zip(taken).map(|(((name, _), of_it), taken)| {
        let ratios: Vec<_> = of_it
            .iter()
            .zip(&times[0])
            .map(|(time, of_first)| time / of_first)
            .collect();
        json!({
            "name": name,
            "nsPerDecision": as_json(spread(of_it)),
            "timesTheFirst": as_json(spread(&ratios)),
            "allocatedBytesPerKey": rounded(taken.allocated),
            "residentBytesPerKey": rounded(taken.resident),
        })
    });
    json!({ "beside": first, "keys": keys, "rounds": times[0].len(), "contestants": rows.collect::<Vec<_>>() })
}

pub(crate) fn print(rows: &[Value]) {
    for row in rows {
        let first = format!("× {}", row["beside"].as_str().unwrap_or_default());
        println!(
            "\n{} keys, {} rounds: median (quarters)\n\n{:<10}{:>26}{first:>22}{:>16}{:>16}",
            row["keys"], row["rounds"], "", "ns a decision", "bytes a key", "resident"
        );
        for contestant in row["contestants"].as_array().into_iter().flatten() {
            println!(
                "{:<10}{:>26}{:>22}{:>16}{:>16}",
                contestant["name"].as_str().unwrap_or_default(),
                shown(&contestant["nsPerDecision"]),
                shown(&contestant["timesTheFirst"]),
                contestant["allocatedBytesPerKey"].to_string(),
                contestant["residentBytesPerKey"].to_string(),
            );
        }
    }
}

fn shown(spread: &Value) -> String {
    format!("{} ({}–{})", spread["median"], spread["p25"], spread["p75"])
}

pub(crate) fn write(rows: &[Value]) -> Result<(), Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks/table.json");
    let title = "nanoseconds a decision and bytes a key: the table of keys beside other maps, leases beside the limiter, and more limits";
    let json = json!({ "name": "table", "title": title, "rows": rows });
    std::fs::write(path, format!("{json:#}\n"))?;
    Ok(())
}
