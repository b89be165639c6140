//! What a decision takes, in rounds in which every map has its turn.

use std::time::Instant;

use crate::contestants::{Dash, Keys, NAMES, NOW_MS, Papaya, Rules, Scc};
use crate::key::KeyHash;
use crate::table::Table;

/// Of one turn: so few that most turns are over before another process takes the processor.
const DECISIONS: usize = 10_000;

/// Nanoseconds a decision, by round, for each map.
pub(crate) type Times = [Vec<f64>; NAMES.len()];

pub(crate) fn run(keys: usize, rounds: usize) -> Times {
    let rules = Rules::new();
    let table = rules.fill(Table::<2>::new(keys), keys);
    let dash = rules.fill(Dash::default(), keys);
    let papaya = rules.fill(Papaya::default(), keys);
    let scc = rules.fill(Scc::default(), keys);
    let mut times = Times::default();
    let mut before = chosen(&rules, keys, 0);
    for round in 1..=rounds {
        let chosen = chosen(&rules, keys, round);
        let now_ms = NOW_MS + round as u64;
        for turn in 0..NAMES.len() {
            let contestant = (round + turn) % NAMES.len();
            let time = match contestant {
                0 => time(&rules, &table, [&before, &chosen], now_ms),
                1 => time(&rules, &dash, [&before, &chosen], now_ms),
                2 => time(&rules, &papaya, [&before, &chosen], now_ms),
                _ => time(&rules, &scc, [&before, &chosen], now_ms),
            };
            times[contestant].push(time);
        }
        before = chosen;
    }
    times
}

fn time(rules: &Rules, map: &impl Keys, [before, chosen]: [&[KeyHash]; 2], now_ms: u64) -> f64 {
    // What the map before has left in the caches is not this one's.
    rules.decide(map, before, now_ms);
    let start = Instant::now();
    rules.decide(map, chosen, now_ms);
    start.elapsed().as_secs_f64() * 1e9 / chosen.len() as f64
}

/// Keys at random, the same for all maps (method: splitmix64, after Steele, Lea and Flood).
fn chosen(rules: &Rules, keys: usize, round: usize) -> Vec<KeyHash> {
    let random = |place: usize| {
        let mut random = ((round * DECISIONS + place) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        random = (random ^ (random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        random = (random ^ (random >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((random ^ (random >> 31)) >> 1).unwrap_or(0) % keys
    };
    (0..DECISIONS).map(|place| rules.hash(random(place))).collect()
}
