//! What the sweep forgets.

use crate::{NOW_MS, allowed, bucket, limiter, sweep_all};

#[test]
fn the_sweep_forgets_what_is_as_good_as_new_and_nothing_else() {
    let plain = limiter(1_000, vec![bucket("minute", 60, 1_000)]);
    let bursty = limiter(1_000, vec![bucket("minute", 60, 1_500)]);
    for limiter in [&plain, &bursty] {
        allowed(limiter, "key", NOW_MS);
        sweep_all(limiter, NOW_MS + 999);
        assert_eq!(limiter.stats().keys, 1);
        sweep_all(limiter, NOW_MS + 600_000);
    }
    assert_eq!(plain.stats().keys, 0);
    // It would begin again with 60 tokens, and has 90.
    assert_eq!(bursty.stats().keys, 1);
}

#[test]
fn under_pressure_the_sweep_forgets_every_idle_key() {
    let limiter = limiter(100, vec![bucket("minute", 60, 1_500)]);
    for key in 0..80 {
        allowed(&limiter, &format!("key {key}"), NOW_MS);
    }
    sweep_all(&limiter, NOW_MS + 30_000);
    assert_eq!(limiter.stats().keys, 80, "none is idle yet");
    sweep_all(&limiter, NOW_MS + 600_000);
    assert!(limiter.stats().keys <= 75, "{}", limiter.stats().keys);
}
