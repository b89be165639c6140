//! What a decision takes, in rounds in which every contestant has its turn.

use std::time::Instant;

use crate::contestants::{Chosen, Decide, Group, NOW_MS};

/// Of one turn: so few that most turns are over before another process takes the processor.
const DECISIONS: usize = 10_000;

/// Nanoseconds a decision, by round, for each of the group.
pub(crate) fn run(group: Group, keys: usize, rounds: usize) -> Vec<Vec<f64>> {
    let contestants: Vec<_> = group.iter().map(|(_, fill)| fill(keys)).collect();
    let mut times = vec![Vec::new(); contestants.len()];
    let mut before = chosen(keys, 0);
    for round in 1..=rounds {
        let chosen = chosen(keys, round);
        for turn in 0..contestants.len() {
            let contestant = (round + turn) % contestants.len();
            let decide = &contestants[contestant];
            times[contestant].push(time(decide, [&before, &chosen], NOW_MS + round as u64));
        }
        before = chosen;
    }
    times
}

fn time(decide: &Decide, [before, chosen]: [&Chosen; 2], now_ms: u64) -> f64 {
    // What another has left in the caches is not this one's.
    decide(before, now_ms);
    let start = Instant::now();
    decide(chosen, now_ms);
    start.elapsed().as_secs_f64() * 1e9 / chosen.len() as f64
}

/// Keys at random, the same for all (method: splitmix64, after Steele, Lea and Flood).
fn chosen(keys: usize, round: usize) -> Chosen {
    let random = |place: usize| {
        let mut random = ((round * DECISIONS + place) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        random = (random ^ (random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        random = (random ^ (random >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((random ^ (random >> 31)) >> 1).unwrap_or(0) % keys
    };
    Chosen::of((0..DECISIONS).map(random))
}
