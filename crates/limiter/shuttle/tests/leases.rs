//! Threads that meet in one table of leases: whatever the order, each token that was granted is spent once, given back once
//! or still held; see `docs/proof.md`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::scheduler::DfsScheduler;
use shuttle::{Runner, thread};
use tollkeeper_limiter_shuttle::{
    Applied, Epoch, LeaseOutcome, LeaseSettings, LeaseVerdict, Leases, LimitSpec, MAX_LIMITS, Period, Rule, StoreReply,
    TierId, TierSpec, Times,
};

mod explore;

use explore::{config, explore};

const STORE_MS: u64 = 1_790_000_000_000;
const LEASE_MS: u64 = 1_000;
const FREE: TierId = 0;
const PRO: TierId = 1;

fn leases(max_keys: usize) -> Leases {
    let tier = |name: &str, tokens: u64| TierSpec {
        name: name.into(),
        limits: vec![
            LimitSpec {
                name: "minute".into(),
                rule: Rule::Bucket {
                    limit_milli: tokens * 1_000,
                    window_ms: 60_000,
                    burst_milli: 1_000,
                    block_ms: 0,
                },
            },
            LimitSpec {
                name: "month".into(),
                rule: Rule::Quota {
                    limit_milli: 1_000_000,
                    period: Period::Month { anchor_day: 1 },
                },
            },
        ],
    };
    let settings = LeaseSettings {
        tiers: vec![tier("free", 100), tier("pro", 1_000)],
        max_keys,
        secret: [3; 16],
        lease_ms: LEASE_MS,
        timeout_ms: 100,
    };
    Leases::new(settings).expect("the tiers are sound")
}

fn units(key: &str) -> Vec<u16> {
    key.encode_utf16().collect()
}

fn at(mono_ms: u64) -> Times {
    Times {
        store_ms: STORE_MS + mono_ms,
        mono_ms,
    }
}

/// Calls of one token that were allowed.
fn spend(leases: &Leases, key: &str, tier: TierId, calls: usize, mono_ms: u64) -> u64 {
    let allowed = (0..calls).filter(|_| {
        let mut outcome = LeaseOutcome::default();
        let decided = leases.consume(&units(key), tier, 1_000, at(mono_ms), &mut outcome);
        decided.expect("the call is sound");
        outcome.verdict == LeaseVerdict::Allowed
    });
    allowed.count() as u64
}

/// Asks for tokens and is granted them; how many the table has taken charge of.
fn take(leases: &Leases, key: &str, tier: TierId, tokens: u64, mono_ms: u64) -> u64 {
    let key = units(key);
    leases.ask(&key, tier, mono_ms).expect("the tier is known");
    let reply = StoreReply {
        tier,
        version: 0,
        now_ms: STORE_MS + mono_ms,
        behind_ms: 0,
        epoch: Epoch::new(0, STORE_MS * 256),
        spent: [Some(0); MAX_LIMITS],
        granted_milli: Some(tokens * 1_000),
        held_milli: tokens * 1_000,
        lasts_ms: LEASE_MS.cast_signed(),
        wait_ms: Some(0),
        is_provisional: false,
        mono_ms,
        races: true,
    };
    match leases.apply(&key, &reply) {
        Applied::Kept => tokens,
        Applied::Stale | Applied::Full => 0,
        Applied::Unknown => panic!("the tier is known"),
    }
}

/// Sweeps until nothing is due.
fn sweep(leases: &Leases, mono_ms: u64) {
    while leases.sweep(at(mono_ms)) {}
}

/// Takes out what waits to be given back, in tokens.
fn give_back(leases: &Leases) -> u64 {
    let returned = leases.take_returns(8);
    returned.iter().map(|returned| returned.milli).sum::<u64>() / 1_000
}

fn held(leases: &Leases) -> u64 {
    leases.stats().held_milli / 1_000
}

/// All that is left, once nobody is at work.
fn rest(leases: &Leases) -> u64 {
    let held = held(leases);
    let waiting = give_back(leases);
    leases.drain();
    assert_eq!(give_back(leases), held);
    held + waiting
}

/// Runs each on a thread of its own, with a clone of the table, and sums what they return.
/// Tokens, as one thread or several have seen them.
#[derive(Debug, Default, Clone, Copy)]
struct Tokens {
    granted: u64,
    spent: u64,
    returned: u64,
}

impl Tokens {
    fn granted(granted: u64) -> Self {
        Self {
            granted,
            ..Self::default()
        }
    }

    fn spent(spent: u64) -> Self {
        Self {
            spent,
            ..Self::default()
        }
    }

    fn returned(returned: u64) -> Self {
        Self {
            returned,
            ..Self::default()
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            granted: self.granted + other.granted,
            spent: self.spent + other.spent,
            returned: self.returned + other.returned,
        }
    }
}

type Work = fn(&Leases) -> Tokens;

/// Has each done by a thread of its own, with its own clone of the table.
fn at_once<const N: usize>(leases: &Leases, work: [Work; N]) -> Tokens {
    let threads = work.map(|work| {
        let leases = leases.clone();
        thread::spawn(move || work(&leases))
    });
    let tokens = threads.map(|thread| thread.join().expect("it does not panic"));
    tokens.into_iter().fold(Tokens::default(), Tokens::and)
}

/// Every token that was granted is accounted for.
fn check(leases: &Leases, tokens: Tokens) {
    let Tokens {
        granted,
        spent,
        returned,
    } = tokens;
    assert_eq!(granted, spent + returned + rest(leases), "{tokens:?}");
}

#[test]
fn threads_that_share_a_lease_spend_each_token_once() {
    explore(|| {
        let leases = leases(10);
        let first = Tokens::granted(take(&leases, "hot", FREE, 3, 0));
        let spender: Work = |leases| Tokens::spent(spend(leases, "hot", FREE, 2, 1));
        let tokens = at_once(&leases, [spender; 3]);
        let stats = leases.stats();
        assert_eq!(
            (tokens.spent, stats.held_milli, stats.counted.tiers[0].allowed),
            (3, 0, 3)
        );
        check(&leases, tokens.and(first));
    });
}

#[test]
fn tokens_that_are_taken_spent_expired_and_given_back_add_up() {
    let expired = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&expired);
    explore(move || {
        let leases = leases(10);
        let first = Tokens::granted(take(&leases, "hot", FREE, 2, 0));
        let taker: Work = |leases| {
            // The third grant is merged into the second.
            let granted = take(leases, "hot", FREE, 2, 10) + take(leases, "hot", FREE, 1, 20);
            Tokens::granted(granted).and(Tokens::spent(spend(leases, "hot", FREE, 1, 30)))
        };
        let spender: Work = |leases| Tokens::spent(spend(leases, "hot", FREE, 3, 30));
        let sweeper: Work = |leases| {
            sweep(leases, LEASE_MS + 5);
            Tokens::returned(give_back(leases))
        };
        let tokens = at_once(&leases, [taker, spender, sweeper]);
        seen.fetch_add(tokens.returned, Ordering::Relaxed);
        assert_eq!(tokens.granted, 3);
        check(&leases, tokens.and(first));
    });
    assert!(expired.load(Ordering::Relaxed) > 0, "grants expired");
}

#[test]
fn two_threads_that_give_back_give_each_token_once() {
    explore(|| {
        let leases = leases(10);
        let mut first = Tokens::granted(take(&leases, "hot", FREE, 2, 0));
        first = first.and(Tokens::granted(take(&leases, "other", FREE, 1, 0)));
        let giver: Work = |leases| {
            leases.give_back(&units("hot"), false, 5);
            Tokens::returned(give_back(leases))
        };
        let drainer: Work = |leases| {
            leases.drain();
            Tokens::returned(give_back(leases)).and(Tokens::granted(take(leases, "hot", FREE, 1, 6)))
        };
        let spender: Work = |leases| Tokens::spent(spend(leases, "hot", FREE, 2, 7));
        check(&leases, at_once(&leases, [giver, drainer, spender]).and(first));
    });
}

#[test]
fn a_key_that_goes_to_another_tier_leaves_its_tokens_to_be_given_back() {
    explore(|| {
        let leases = leases(10);
        let first = Tokens::granted(take(&leases, "hot", FREE, 2, 0));
        let free: Work = |leases| {
            let spent = spend(leases, "hot", FREE, 2, 1);
            // Not taken in, if the key has gone to the other tier meanwhile.
            Tokens::spent(spent).and(Tokens::granted(take(leases, "hot", FREE, 1, 2)))
        };
        let pro: Work = |leases| {
            let spent = spend(leases, "hot", PRO, 1, 1);
            let granted = take(leases, "hot", PRO, 2, 2);
            Tokens::spent(spent + spend(leases, "hot", PRO, 1, 3)).and(Tokens::granted(granted))
        };
        let returner: Work = |leases| Tokens::returned(give_back(leases));
        check(&leases, at_once(&leases, [free, pro, returner]).and(first));
    });
}

#[test]
fn a_key_that_is_forgotten_takes_no_more_along_than_it_held() {
    explore(|| {
        let leases = leases(10);
        let first = Tokens::granted(take(&leases, "hot", FREE, 2, 0));
        let forgetter: Work = |leases| {
            leases.forget(&units("hot"));
            Tokens::default()
        };
        let spender: Work = |leases| Tokens::spent(spend(leases, "hot", FREE, 3, 1));
        let taker: Work = |leases| Tokens::granted(take(leases, "hot", FREE, 1, 1));
        let tokens = at_once(&leases, [forgetter, spender, taker]).and(first);
        let left = rest(&leases);
        assert!(tokens.spent + left <= tokens.granted, "{tokens:?} {left}");
        assert!(leases.stats().counted.keys <= 1);
    });
}

#[test]
fn a_key_makes_room_for_another_only_if_it_holds_nothing() {
    explore(|| {
        let leases = leases(1);
        let first: Work = |leases| {
            let granted = take(leases, "first", FREE, 1, 0);
            let spent = spend(leases, "first", FREE, 1, 1);
            // Again, while somebody may be about to forget it.
            Tokens::granted(granted + take(leases, "first", FREE, 1, 2)).and(Tokens::spent(spent))
        };
        let second: Work = |leases| {
            let granted = take(leases, "second", FREE, 2, 0) + take(leases, "second", FREE, 1, 2);
            Tokens::granted(granted).and(Tokens::spent(spend(leases, "second", FREE, 1, 1)))
        };
        let tokens = at_once(&leases, [first, second]);
        assert!(tokens.granted > 0 && leases.stats().counted.keys <= 1);
        check(&leases, tokens);
    });
}

#[test]
fn one_thread_of_those_that_share_a_lease_is_told_that_it_runs_low() {
    explore(|| {
        let leases = leases(10);
        take(&leases, "hot", FREE, 8, 0);
        let spender: Work = |leases| {
            let low = (0..4).filter(|_| {
                let mut outcome = LeaseOutcome::default();
                let decided = leases.consume(&units("hot"), FREE, 1_000, at(LEASE_MS / 16), &mut outcome);
                decided.is_ok() && outcome.is_low
            });
            Tokens::granted(low.count() as u64)
        };
        assert_eq!(at_once(&leases, [spender; 2]).granted, 1);
    });
}

#[test]
fn a_take_a_call_and_a_sweep_meet_in_every_order() {
    Runner::new(DfsScheduler::new(Some(20_000), false), config()).run(|| {
        let leases = leases(10);
        let first = Tokens::granted(take(&leases, "hot", FREE, 1, 0));
        let taker: Work = |leases| Tokens::granted(take(leases, "hot", FREE, 1, LEASE_MS));
        let spender: Work = |leases| Tokens::spent(spend(leases, "hot", FREE, 1, LEASE_MS - 1));
        check(&leases, at_once(&leases, [taker, spender]).and(first));
    });
}

#[test]
fn a_call_that_looks_first_and_spends_later_is_found_out() {
    let explored = catch_unwind(AssertUnwindSafe(|| {
        explore(|| {
            let leases = leases(10);
            let first = Tokens::granted(take(&leases, "hot", FREE, 1, 0));
            let racer: Work = |leases| {
                let seen = leases.peek(&units("hot"), FREE, 1_000, at(1));
                let allowed = seen.is_ok_and(|outcome| outcome.verdict == LeaseVerdict::Allowed);
                spend(leases, "hot", FREE, 1, 1);
                Tokens::spent(u64::from(allowed))
            };
            check(&leases, at_once(&leases, [racer; 2]).and(first));
        });
    }));
    assert!(explored.is_err(), "two threads never looked before either spent");
}
