//! How well clients are told apart: each captured run identified by a data set that lacks it. Prints what it finds:
//! `cargo test -p tollkeeper-fingerprint --test hold_out -- --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::cast_precision_loss, reason = "counts are small")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollkeeper_fingerprint::{Dataset, Family, Flag, Signals};

const SETS: [(&str, bool, bool); 3] = [
    ("TLS", false, false),
    ("TLS, HTTP/2", true, false),
    ("TLS, HTTP/2, headers", true, true),
];
const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";

fn rows() -> Vec<Value> {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
    let mut files: Vec<_> = std::fs::read_dir(data).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |file| serde_json::from_str::<Vec<Value>>(&std::fs::read_to_string(file).unwrap()).unwrap();
    files.into_iter().flat_map(read).collect()
}

fn dataset(rows: &[Value]) -> Dataset {
    Dataset::from_json(&json!(rows).to_string()).unwrap()
}

/// The rows without one run of the row at `index`.
fn without_run(rows: &[Value], index: usize) -> Vec<Value> {
    let mut rest = rows.to_vec();
    match rest[index]["runs"].as_u64().unwrap() {
        1 => drop(rest.remove(index)),
        runs => rest[index]["runs"] = json!(runs - 1),
    }
    rest
}

fn signals(row: &Value, http2: bool, headers: bool) -> Signals {
    let mut signals = json!({ "tls": { "client_hello": row["client_hello"] } });
    if http2 && !row["akamai_h2"].is_null() {
        signals["http2"] = json!({ "akamai": row["akamai_h2"] });
    }
    if headers && !row["headers"].is_null() {
        signals["http"] = json!({ "headers": row["headers"] });
    }
    Signals::from_value(&signals).unwrap()
}

/// The client's own signals under another's `User-Agent`, its client hints left out.
fn claiming(row: &Value, agent: &str) -> Signals {
    let mut headers = vec![json!(["user-agent", agent])];
    let own = row["headers"].as_array().into_iter().flatten();
    let is_claim = |pair: &&Value| {
        let name = pair[0].as_str().unwrap();
        name == "user-agent" || name.starts_with("sec-ch-ua")
    };
    headers.extend(own.filter(|pair| !is_claim(pair)).cloned());
    let mut signals = json!({ "tls": { "client_hello": row["client_hello"] }, "http": { "headers": headers } });
    if !row["akamai_h2"].is_null() {
        signals["http2"] = json!({ "akamai": row["akamai_h2"] });
    }
    Signals::from_value(&signals).unwrap()
}

fn client(row: &Value) -> &str {
    row["client"].as_str().unwrap()
}

fn family(client: &str) -> Option<Family> {
    Family::of_client(client)
}

#[derive(Default)]
struct Score {
    runs: u64,
    first: f64,
    three: f64,
    family: f64,
    /// Sum of the squares of confidence less outcome, over all candidates.
    brier: f64,
    candidates: f64,
    /// By tenth of confidence: candidates, their confidence in sum, and how many of them were right.
    bins: [(f64, f64, f64); 10],
}

impl Score {
    /// Counts an answer `runs` times. Of candidates that share a place, each gets its share of the place.
    fn add(&mut self, runs: u64, truth: &str, answer: &[(String, f64)]) {
        let weight = runs as f64;
        self.runs += runs;
        let own = answer.iter().find(|(name, _)| name == truth).map(|(_, confidence)| *confidence);
        if let Some(own) = own {
            let above = answer.iter().filter(|(_, other)| *other > own).count() as f64;
            let level = answer.iter().filter(|(_, other)| (other - own).abs() < 1e-9).count() as f64;
            self.first += weight * if above == 0.0 { 1.0 / level } else { 0.0 };
            self.three += weight * ((3.0 - above) / level).clamp(0.0, 1.0);
        }
        if answer.first().is_some_and(|(name, _)| family(name) == family(truth)) {
            self.family += weight;
        }
        for (name, confidence) in answer {
            let right = f64::from(u8::from(name == truth));
            self.brier += weight * (confidence - right).powi(2);
            self.candidates += weight;
            let bin = &mut self.bins[(confidence * 10.0).min(9.0) as usize];
            *bin = (bin.0 + weight, bin.1 + weight * confidence, bin.2 + weight * right);
        }
    }

    fn share(&self, count: f64) -> f64 {
        count / self.runs as f64
    }

    /// How far confidence is from outcome, on average over candidates (expected calibration error).
    fn calibration_error(&self) -> f64 {
        self.bins.iter().map(|(_, said, right)| (said - right).abs()).sum::<f64>() / self.candidates
    }
}

fn names(dataset: &Dataset, signals: &Signals) -> Vec<(String, f64)> {
    let answer = dataset.identify(signals);
    answer.candidates.into_iter().map(|one| (one.client.to_owned(), one.confidence)).collect()
}

#[test]
fn held_out_runs_are_identified() {
    let rows = rows();
    let runs: u64 = rows.iter().map(|row| row["runs"].as_u64().unwrap()).sum();
    println!("{runs} runs in {} ways, each identified by the others", rows.len());
    println!("| signals | top-1 | top-3 | family | calibration error | Brier |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut confusion: BTreeMap<(&str, String), u64> = BTreeMap::new();
    let mut scores = Vec::new();
    for (name, http2, headers) in SETS {
        let mut score = Score::default();
        for (index, row) in rows.iter().enumerate() {
            let runs = row["runs"].as_u64().unwrap();
            let dataset = dataset(&without_run(&rows, index));
            let answer = names(&dataset, &signals(row, http2, headers));
            score.add(runs, client(row), &answer);
            if headers {
                let level = answer.iter().filter(|(_, confidence)| *confidence >= answer[0].1 - 1e-9);
                let first: Vec<&str> = level.map(|(name, _)| name.as_str()).collect();
                *confusion.entry((client(row), first.join(" or "))).or_default() += runs;
            }
        }
        println!(
            "| {name} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} |",
            score.share(score.first),
            score.share(score.three),
            score.share(score.family),
            score.calibration_error(),
            score.brier / score.candidates,
        );
        scores.push(score);
    }
    println!("\nconfidence, by tenths, and how often right:");
    for (set, score) in SETS.iter().zip(&scores) {
        let shown = |(count, said, right): &(f64, f64, f64)| {
            (*count > 0.0).then(|| format!("{:.2} → {:.2} of {count}", said / count, right / count))
        };
        let bins: Vec<String> = score.bins.iter().filter_map(shown).collect();
        println!("{}: {}", set.0, bins.join(", "));
    }
    println!("\n| client | identified as, by all signals | runs |\n| --- | --- | --- |");
    for ((truth, first), count) in &confusion {
        println!("| {truth} | {first} | {count} |");
    }
    let [tls, http2, all] = scores.as_slice() else { panic!("three sets") };
    assert!(tls.share(tls.three) >= TLS_FLOORS.1 && tls.share(tls.first) >= TLS_FLOORS.0);
    assert!(http2.share(http2.three) >= HTTP2_FLOORS.1 && http2.share(http2.first) >= HTTP2_FLOORS.0);
    assert!(all.share(all.three) >= ALL_FLOORS.1 && all.share(all.first) >= ALL_FLOORS.0);
    assert!(scores.iter().all(|score| score.calibration_error() <= MOST_CALIBRATION_ERROR));
}

/// Of top-1 and top-3. TLS alone can't tell apart the clients of one library that leave its settings alone.
const TLS_FLOORS: (f64, f64) = (0.3, 0.5);
const HTTP2_FLOORS: (f64, f64) = (0.3, 0.5);
const ALL_FLOORS: (f64, f64) = (0.9, 0.95);
const MOST_CALIBRATION_ERROR: f64 = 0.5;

/// A client that the data set doesn't know is mostly named as one of its relatives, or not at all.
#[test]
fn clients_held_out_whole_are_not_named_for_sure() {
    let rows = rows();
    println!("| client left out | named instead, by all signals |\n| --- | --- |");
    let mut clients: Vec<&str> = rows.iter().map(client).collect();
    clients.dedup();
    let mut surest_stranger: f64 = 0.0;
    for left_out in clients {
        let rest: Vec<Value> = rows.iter().filter(|row| client(row) != left_out).cloned().collect();
        let dataset = dataset(&rest);
        let row = rows.iter().find(|row| client(row) == left_out).unwrap();
        let answer = names(&dataset, &signals(row, true, true));
        let shown: Vec<String> = answer.iter().take(3).map(|(name, share)| format!("{name} {share:.2}")).collect();
        println!("| {left_out} | {} |", shown.join(", "));
        for (name, confidence) in &answer {
            if family(name) != family(left_out) {
                surest_stranger = surest_stranger.max(*confidence);
            }
        }
    }
    println!("surest of another family: {surest_stranger:.2}");
    assert!(surest_stranger < 0.5);
}

#[test]
fn a_claim_to_be_another_is_flagged_and_an_honest_one_is_not() {
    let rows = rows();
    let agents = [("chromium", CHROME), ("firefox", FIREFOX), ("curl", "curl/7.88.1"), ("python", "python-requests/2.32")];
    println!("| signals of a client that claims | runs | flagged |\n| --- | --- | --- |");
    let contradicted = |flags: &[Flag]| flags.iter().any(|flag| [Flag::UaTlsMismatch, Flag::UaH2Mismatch].contains(flag));
    for (claimed, agent) in agents {
        let (mut lies, mut flagged, mut unknown, mut unknown_flagged) = (0, 0, 0, 0);
        for (index, row) in rows.iter().enumerate() {
            if family(client(row)) == family(claimed) {
                continue;
            }
            let runs = row["runs"].as_u64().unwrap();
            let signals = claiming(row, agent);
            let held_out = dataset(&without_run(&rows, index));
            lies += runs;
            flagged += runs * u64::from(contradicted(&held_out.identify(&signals).consistency.flags));
            let strangers: Vec<Value> = rows.iter().filter(|other| family(client(other)) != family(client(row))).cloned().collect();
            unknown += runs;
            unknown_flagged +=
                runs * u64::from(contradicted(&dataset(&strangers).identify(&signals).consistency.flags));
        }
        println!("| to be {claimed} | {lies} | {flagged} |");
        println!("| to be {claimed}, and whose family the data set lacks | {unknown} | {unknown_flagged} |");
        assert_eq!(lies, flagged, "{claimed}");
    }
    let mut honest = 0;
    for (index, row) in rows.iter().enumerate() {
        let held_out = dataset(&without_run(&rows, index));
        let flags = held_out.identify(&signals(row, true, true)).consistency.flags;
        assert!(!contradicted(&flags), "{}: {flags:?}", client(row));
        honest += row["runs"].as_u64().unwrap();
    }
    println!("| to be what it is | {honest} | 0 |");
}
