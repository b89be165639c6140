//! Where in memory keys are.

use crate::{NOW_MS, bucket, limiter};

#[test]
fn addresses_are_told_once_the_keys_no_longer_fit_into_the_caches() {
    let limiter = limiter(100_000, vec![bucket("minute", 10, 1_000)]);
    let hashes = |keys: std::ops::Range<u32>| keys.map(|key| limiter.hash(&key.to_string())).collect::<Vec<_>>();
    let addresses = || {
        let mut addresses = Vec::new();
        limiter.prefetch_addresses(hashes(0..64).into_iter(), |at| addresses.push(at));
        addresses
    };
    for key in hashes(0..1_000) {
        limiter.consume(key, 0, 1_000, NOW_MS).unwrap();
    }
    assert_eq!(addresses(), []);
    for key in hashes(1_000..50_000) {
        limiter.consume(key, 0, 1_000, NOW_MS).unwrap();
    }
    let mut distinct = addresses();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(
        distinct.len() > 60,
        "keys of their own places, but for neighbours that share one"
    );
}
