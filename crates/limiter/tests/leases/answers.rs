//! What answers of the store teach.

use tollkeeper_limiter::{Applied, Epoch, LeaseVerdict, MAX_LIMITS, StoreReply};

use crate::{START_MS, amounts, granted, kept, leases, units, verdict};

#[test]
fn an_earlier_answer_of_the_same_epoch_teaches_nothing_and_its_grant_is_held() {
    let leases = leases(10);
    let free = leases.tier_id("free").unwrap();
    let spent = || leases.look(&units("k"), free, 0).unwrap().snapshot.unwrap().spent[1];
    let reply = |milli, at_ms| StoreReply {
        spent: amounts(&[0, milli]),
        ..granted(&leases, "free", 1, at_ms)
    };
    kept(&leases, "k", &reply(5_000, 50));
    kept(&leases, "k", &reply(4_000, 49));
    assert_eq!(spent(), Some(5_000));
    kept(
        &leases,
        "k",
        &StoreReply {
            epoch: None,
            ..reply(6_000, 60)
        },
    );
    assert_eq!(spent(), Some(5_000));
    kept(
        &leases,
        "k",
        &StoreReply {
            epoch: Epoch::new(1, 2),
            ..reply(3_000, 40)
        },
    );
    assert_eq!(spent(), Some(3_000), "another epoch");
    assert_eq!(leases.look(&units("k"), free, 0).unwrap().held_milli, 4_000);
    kept(
        &leases,
        "k",
        &StoreReply {
            spent: [Some(u64::MAX >> 1); MAX_LIMITS],
            ..reply(0, 70)
        },
    );
    assert_eq!(spent(), Some((1 << 53) - 1), "more than can be");
}

#[test]
fn of_two_answers_of_one_instant_the_larger_amount_of_each_limit_counts_if_they_race() {
    let below = |milli: u64| 0_u64.wrapping_sub(milli);
    for (races, known, told, then) in [
        (
            true,
            [Some(7), Some(5_000)],
            [Some(9), Some(4_000)],
            [Some(9), Some(5_000)],
        ),
        (true, [None, Some(5_000)], [Some(9), None], [Some(9), Some(5_000)]),
        (
            true,
            [Some(0), Some(below(3_000))],
            [Some(0), Some(below(4_000))],
            [Some(0), Some(below(3_000))],
        ),
        (
            true,
            [Some(0), Some(below(3_000))],
            [Some(1), Some(0)],
            [Some(1), Some(0)],
        ),
        (
            false,
            [Some(7), Some(5_000)],
            [Some(9), Some(4_000)],
            [Some(9), Some(4_000)],
        ),
        (false, [Some(7), Some(5_000)], [None, Some(4_000)], [None, Some(4_000)]),
    ] {
        let leases = leases(10);
        let free = leases.tier_id("free").unwrap();
        let apply = |spent: [Option<u64>; 2], at_ms, epoch| {
            let reply = StoreReply {
                spent: std::array::from_fn(|limit| spent.get(limit).copied().flatten()),
                epoch: Epoch::new(1, epoch),
                races,
                ..granted(&leases, "free", 1, at_ms)
            };
            kept(&leases, "k", &reply);
            let spent = leases.look(&units("k"), free, 0).unwrap().snapshot.unwrap().spent;
            [spent[0], spent[1]]
        };
        apply(known, 50, 1);
        assert_eq!(apply(told, 50, 1), then, "{races} {known:?} {told:?}");
        assert_eq!(apply(told, 51, 1), told, "of a later instant");
        apply(known, 52, 1);
        assert_eq!(apply(told, 52, 2), told, "of another epoch");
    }
}

#[test]
fn all_that_is_known_can_be_told_shard_by_shard() {
    let leases = leases(1_000);
    let keys: Vec<String> = (0..300).map(|key| format!("key {key} \u{142}")).collect();
    for (key, spent) in keys.iter().zip(0..) {
        kept(
            &leases,
            key,
            &StoreReply {
                spent: amounts(&[spent]),
                ..granted(&leases, "free", 0, 7)
            },
        );
    }
    let mut told: Vec<_> = (0..).map_while(|shard| leases.known_of(shard)).flatten().collect();
    told.sort_by_key(|known| known.snapshot.spent[0]);
    assert_eq!(told.len(), 300);
    for (known, (key, spent)) in told.iter().zip(keys.iter().zip(0..)) {
        assert_eq!(*known.key, *units(key));
        assert_eq!(
            (known.snapshot.at_ms, known.snapshot.spent),
            (START_MS + 7, amounts(&[spent]))
        );
        assert_eq!(leases.named_rules(&known.rules).len(), 2);
    }
}

#[test]
fn many_answers_are_taken_in_as_one_by_one_and_memory_is_fetched_first_where_keys_are_many() {
    const KEYS: usize = 1 << 15;
    let leases = leases(2 * KEYS);
    let keys: Vec<_> = (0..KEYS).map(|number| units(&format!("key {number}"))).collect();
    let apply_all = |replies: &[(&[u16], StoreReply)]| {
        let (mut fetched, mut told) = (0, Vec::new());
        let tell = |number, applied| told.push((number, applied));
        leases.apply_all(replies, |_| fetched += 1, tell);
        (fetched, told)
    };
    let one = granted(&leases, "free", 1, 0);
    let all: Vec<_> = keys.iter().map(|key| (&key[..], one)).collect();
    let kept = |replies: usize| (0..replies).map(|number| (number, Applied::Kept)).collect::<Vec<_>>();
    assert_eq!(apply_all(&all), (0, kept(KEYS)), "few keys stay in the caches");

    let mut some = all[100..230].to_vec();
    some[70].1 = granted(&leases, "pro", 1, 0);
    let mut told = kept(130);
    told[70].1 = Applied::Stale;
    assert_eq!(apply_all(&some), (130 * 4, told));
    assert_eq!(apply_all(&all[..1]), (0, kept(1)), "one waits for its memory by itself");
    for (key, tokens) in [(0, 2), (99, 1), (100, 2), (170, 1), (229, 2), (230, 1)] {
        let key = format!("key {key}");
        assert_eq!(verdict(&leases, &key, tokens, 10), LeaseVerdict::Allowed);
        assert_eq!(verdict(&leases, &key, 1, 10), LeaseVerdict::Ask);
    }
}
