//! The hot calls of a local table: peek, consume, and consume for many keys, each by itself or all or none. Handed to
//! [`hot`](crate::hot) when an engine opens.

use std::cell::RefCell;
use std::rc::Rc;

use napi::{Env, Result};
use tollkeeper_limiter::{Cost, Costs, Error, KeyHash, Limiter, Outcome, Subject, TierId, Verdict};

use crate::clock::{coarse_ms, given, instant, system_ms};
use crate::hot::{self, Frame, ROWS, RawValue, at, keys_of, outcome, prefetch, write_spent};

/// The longest key, in UTF-16 units.
const MAX_KEY: usize = 512;

/// This environment's clone; none from `close` on.
type Own = Rc<RefCell<Option<Limiter>>>;

/// One row.
type Row = [f64; at::ROW];

/// Whether what is decided is spent.
const SPENDS: bool = true;
const PEEKS: bool = false;

/// Makes the functions `(key) => void` that peek and consume, and `(keys, count) => void` that consume many keys, joined:
/// each by itself, or all or none.
pub(crate) fn deciders(env: Env, limiter: &Own, frame: RawValue) -> Result<Vec<RawValue>> {
    let frame = Frame::new(env, frame)?;
    let [peeked, consumed, consumed_many, consumed_all] = [(); 4].map(|()| Rc::clone(limiter));
    Ok(vec![
        hot::of_key(env, &frame, move |row, key| one::<PEEKS>(&peeked, row, key))?,
        hot::of_key(env, &frame, move |row, key| one::<SPENDS>(&consumed, row, key))?,
        hot::of_keys(env, &frame, move |frame, count, keys| {
            consume_many(&consumed_many, frame, count, keys);
        })?,
        hot::of_keys(env, &frame, move |frame, count, keys| {
            consume_all(&consumed_all, frame, count, keys);
        })?,
    ])
}

#[inline]
fn one<const SPENDING: bool>(limiter: &Own, row: &mut Row, key: &[u16]) {
    match &*limiter.borrow() {
        Some(limiter) => decide::<SPENDING>(limiter, row, hash(limiter, key), given(row[at::NOW])),
        None => row[at::CODE] = outcome::CLOSED,
    }
}

/// Decides for the keys of the first `count` rows, which come as one string. What can't be told apart stays undecided.
fn consume_many(limiter: &Own, frame: &Frame<{ at::ROW }>, count: usize, keys: &[u16]) {
    let limiter = limiter.borrow();
    let Some(limiter) = &*limiter else {
        (0..count).for_each(|row| frame.row(row)[at::CODE] = outcome::CLOSED);
        return;
    };
    // One instant for all.
    let now_ms = Some(instant(frame.row(0)[at::NOW]));
    let mut hashes = [None; ROWS];
    let mut told = 0;
    for (hash, key) in hashes.iter_mut().zip(keys_of(frame, count, keys)) {
        *hash = self::hash(limiter, key);
        told += 1;
    }
    let hashes = &hashes[..told];
    // Else each decision would wait for memory by itself, which with many keys takes longer than all the rest.
    limiter.prefetch_addresses(hashes.iter().flatten().copied(), prefetch);
    for (row, hash) in hashes.iter().enumerate() {
        decide::<SPENDS>(limiter, frame.row(row), *hash, now_ms);
    }
}

/// Makes the decision that a row asks for, and writes it there.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what comes in is checked or saturates"
)]
#[inline]
fn decide<const SPENDING: bool>(limiter: &Limiter, row: &mut Row, key: Option<KeyHash>, now_ms: Option<u64>) {
    let (tier, cost) = (row[at::TIER], row[at::COST]);
    let Some(key) = key else {
        row[at::CODE] = outcome::KEY_INVALID;
        return;
    };
    if cost.is_nan() || cost < 0.0 {
        decide_each::<SPENDING>(limiter, row, key, now_ms);
    } else if tier.is_nan() || tier < 0.0 {
        row[at::CODE] = outcome::TIER_UNKNOWN;
    } else {
        let (tier, cost) = (tier as TierId, cost as u64);
        let mut decided = Outcome::default();
        let result = if SPENDING {
            // The coarse clock may allow a call of a known key, but only the better one deny it or begin a new one.
            let cheap_ms = now_ms.unwrap_or_else(coarse_ms);
            let better_ms = || now_ms.unwrap_or_else(system_ms);
            limiter.consume_by(key, tier, cost, cheap_ms, better_ms, &mut decided)
        } else {
            let now_ms = now_ms.unwrap_or_else(system_ms);
            limiter.peek(key, tier, cost, now_ms).map(|peeked| decided = peeked)
        };
        write(row, &result, &decided, limiter.slots());
    }
}

/// The same where each limit has a cost of its own; else the cost is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what comes in is checked or saturates"
)]
#[inline(never)]
fn decide_each<const SPENDING: bool>(limiter: &Limiter, row: &mut Row, key: KeyHash, now_ms: Option<u64>) {
    let tier = row[at::TIER];
    let mut costs = Costs::default();
    if !read_costs(row, limiter.slots(), &mut costs) {
        row[at::CODE] = outcome::COST_INVALID;
        return;
    }
    if tier.is_nan() || tier < 0.0 {
        row[at::CODE] = outcome::TIER_UNKNOWN;
        return;
    }
    let tier = tier as TierId;
    let mut decided = Outcome::default();
    let result = if SPENDING {
        let cheap_ms = now_ms.unwrap_or_else(coarse_ms);
        let better_ms = || now_ms.unwrap_or_else(system_ms);
        limiter.consume_each_by(key, tier, &costs, cheap_ms, better_ms, &mut decided)
    } else {
        let now_ms = now_ms.unwrap_or_else(system_ms);
        limiter
            .peek_each(key, tier, &costs, now_ms)
            .map(|peeked| decided = peeked)
    };
    write(row, &result, &decided, limiter.slots());
}

/// Reads the costs that stand in a row, of a table of so many slots; whether it says so and they are some. Into their place,
/// since to copy what was just written waits until it is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what comes in is checked or saturates"
)]
#[inline]
fn read_costs(row: &Row, slots: usize, costs: &mut Costs) -> bool {
    let mut are_costs = at::EACH.contains(&row[at::COST]);
    costs.version = row[at::VERSION] as usize;
    for (milli, cost) in costs.milli.iter_mut().zip(&row[at::COSTS..]).take(slots) {
        are_costs &= *cost >= 0.0;
        *milli = *cost as u64;
    }
    are_costs
}

/// Writes a decision, or why there is none.
#[inline]
fn write(row: &mut Row, result: &std::result::Result<(), Error>, decided: &Outcome, slots: usize) {
    match result {
        Ok(()) => write_outcome(row, decided, slots),
        Err(error) => row[at::CODE] = misuse(error),
    }
}

/// Writes a decision into its row, of a table of so many slots.
#[expect(clippy::cast_precision_loss, reason = "what goes out is below 2^53")]
#[inline]
fn write_outcome(row: &mut Row, decided: &Outcome, slots: usize) {
    let denied = match decided.verdict {
        Verdict::Allowed => 0.0,
        Verdict::Denied { limit } => f64::from(limit) + 1.0,
    };
    row[at::CODE] = denied + if decided.overflow { outcome::OVERFLOW } else { 0.0 };
    if decided.behind_ms > 0 {
        row[at::CODE] += outcome::BEHIND;
        row[at::BEHIND] = decided.behind_ms as f64;
    }
    if decided.place > 0 {
        row[at::PLACE] = decided.place as f64;
    }
    row[at::VERSION] = decided.version as f64;
    // Signed, since that takes one instruction where unsigned takes six.
    row[at::NOW] = decided.now_ms.cast_signed() as f64;
    write_spent(row, &decided.spent, slots);
}

/// As what a row says why it was not decided.
#[inline]
fn misuse(error: &Error) -> f64 {
    match error {
        Error::CostExceedsCapacity { .. } => outcome::COST_EXCEEDS_CAPACITY,
        _ => outcome::TIER_UNKNOWN,
    }
}

/// Decides for the keys of the first `count` rows, all of which spend or none. If one can't be decided, its row says why, and
/// those of the others stay as they were.
#[cold]
fn consume_all(limiter: &Own, frame: &Frame<{ at::ROW }>, count: usize, keys: &[u16]) {
    let limiter = limiter.borrow();
    let Some(limiter) = &*limiter else {
        (0..count).for_each(|row| frame.row(row)[at::CODE] = outcome::CLOSED);
        return;
    };
    let mut subjects = Vec::with_capacity(count);
    for (row, key) in keys_of(frame, count, keys).enumerate() {
        let row = frame.row(row);
        match subject(limiter, row, key) {
            Ok(subject) => subjects.push(subject),
            Err(code) => {
                row[at::CODE] = code;
                return;
            }
        }
    }
    // Fewer, if the keys are not those of which the rows tell the lengths.
    if subjects.len() < count {
        return;
    }
    match limiter.consume_together(&subjects, instant(frame.row(0)[at::NOW])) {
        Ok(outcomes) => {
            for (row, outcome) in outcomes.iter().enumerate() {
                write_outcome(frame.row(row), outcome, limiter.slots());
            }
        }
        Err(wrong) => frame.row(wrong.index)[at::CODE] = misuse(&wrong.error),
    }
}

/// Who spends what by a row, or as what the row says why that can't be.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what comes in is checked or saturates"
)]
fn subject(limiter: &Limiter, row: &Row, key: &[u16]) -> std::result::Result<Subject, f64> {
    let (tier, milli) = (row[at::TIER], row[at::COST]);
    let key = hash(limiter, key).ok_or(outcome::KEY_INVALID)?;
    let cost = if milli >= 0.0 {
        Cost::Every(milli as u64)
    } else {
        let mut costs = Costs::default();
        if !read_costs(row, limiter.slots(), &mut costs) {
            return Err(outcome::COST_INVALID);
        }
        Cost::Each(costs)
    };
    if tier.is_nan() || tier < 0.0 {
        return Err(outcome::TIER_UNKNOWN);
    }
    Ok(Subject {
        key,
        tier: tier as TierId,
        cost,
    })
}

/// What stands for a key; None if it can't be one.
#[inline]
fn hash(limiter: &Limiter, key: &[u16]) -> Option<KeyHash> {
    (1..=MAX_KEY).contains(&key.len()).then(|| limiter.hash_utf16(key))
}
