//! The hot calls of a table of leases: consume, peek, ask, look, and apply for many keys at once. Handed to
//! [`hot`](crate::hot) when an engine opens.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "what comes in is checked or saturates, what goes out is below 2^53"
)]

use std::cell::RefCell;
use std::rc::Rc;

use napi::{Env, Result};
use tollkeeper_limiter::{
    Applied, Asked, Epoch, Error, LeaseOutcome, LeaseVerdict, Leases, Snapshot, StoreReply, TierId, Times,
};

use crate::clock::{self, coarse_mono_ms, coarse_ms, given, system_ms};
use crate::hot::at::{BEHIND, CODE, COST, KEY_LENGTH, NOW, SPENT, TIER, VERSION};
use crate::hot::{self, RawValue, keys_of, outcome, prefetch, write_spent};
use crate::lease_frame::{Frame, Row, WITHOUT_NUL, applied, at, outcome as lease_outcome};

/// The longest key, in UTF-16 units: one of a caller's, and a limit's name beside it.
const MAX_KEY: usize = 1_057;

/// This environment's clone; none from `close` on.
pub(crate) type Own = Rc<RefCell<Option<Leases>>>;

/// Makes the functions `(key) => void` that consume, peek, ask and look, and `(keys, count) => void` that applies.
pub(crate) fn functions(env: Env, leases: &Own, frame: &Rc<Frame>) -> Result<Vec<RawValue>> {
    let applied = Rc::clone(leases);
    Ok(vec![
        of_key(env, leases, frame, consume)?,
        of_key(env, leases, frame, peek)?,
        of_key(env, leases, frame, ask)?,
        of_key(env, leases, frame, look)?,
        hot::of_keys(env, frame, move |frame: &Frame, count, keys| {
            apply(&applied, frame, count, keys);
        })?,
    ])
}

fn of_key(
    env: Env,
    leases: &Own,
    frame: &Rc<Frame>,
    call: impl Fn(&Leases, &[u16], &mut Row) + 'static,
) -> Result<RawValue> {
    let leases = Rc::clone(leases);
    hot::of_key(env, frame, move |row: &mut Row, key| match &*leases.borrow() {
        Some(leases) if is_key(key) => call(leases, key, row),
        Some(_) => row[CODE] = outcome::KEY_INVALID,
        None => row[CODE] = outcome::CLOSED,
    })
}

/// Whether so many units can be a key.
#[inline]
fn is_key(units: &[u16]) -> bool {
    (1..=MAX_KEY).contains(&units.len())
}

#[inline]
fn consume(leases: &Leases, key: &[u16], row: &mut Row) {
    if WITHOUT_NUL.contains(&row[KEY_LENGTH]) && key.contains(&0) {
        row[CODE] = lease_outcome::NUL;
        return;
    }
    decide(leases, row, |tier, cost_milli, now_ms, mono_ms, out| {
        if let Some(mono_ms) = mono_ms {
            return leases.consume(key, tier, cost_milli, times(leases, now_ms, mono_ms), out);
        }
        // The coarse clocks may allow a call, but only the better ones deny it or find a grant's end near.
        let better = || times(leases, now_ms, clock::mono_ms());
        leases.consume_by(key, tier, cost_milli, cheap_times(leases, now_ms), better, out)
    });
}

#[inline]
fn peek(leases: &Leases, key: &[u16], row: &mut Row) {
    decide(leases, row, |tier, cost_milli, now_ms, mono_ms, out| {
        let times = times(leases, now_ms, mono_ms.unwrap_or_else(clock::mono_ms));
        *out = leases.peek(key, tier, cost_milli, times)?;
        Ok(())
    });
}

/// Makes the decision that a row asks for, and writes it there.
#[inline]
fn decide(
    leases: &Leases,
    row: &mut Row,
    how: impl FnOnce(TierId, u64, Option<u64>, Option<u64>, &mut LeaseOutcome) -> std::result::Result<(), Error>,
) {
    let (tier, cost) = (row[TIER], row[COST]);
    if cost.is_nan() || cost < 0.0 {
        row[CODE] = outcome::COST_INVALID;
        return;
    }
    if tier.is_nan() || tier < 0.0 {
        row[CODE] = outcome::TIER_UNKNOWN;
        return;
    }
    let mut out = LeaseOutcome::default();
    match how(
        tier as TierId,
        cost as u64,
        given(row[NOW]),
        given(row[at::MONO]),
        &mut out,
    ) {
        Ok(()) => write(row, &out, leases.slots()),
        Err(why) => row[CODE] = code_of(&why),
    }
}

#[inline]
fn write(row: &mut Row, out: &LeaseOutcome, slots: usize) {
    let mut code = match out.verdict {
        LeaseVerdict::Allowed => 0.0,
        LeaseVerdict::Denied { limit } => f64::from(limit) + 1.0,
        LeaseVerdict::Ask => lease_outcome::ASK,
    };
    if out.is_low {
        code += lease_outcome::LOW;
    }
    if out.has_returns {
        code += lease_outcome::RETURNS;
    }
    row[VERSION] = out.version as f64;
    if out.verdict != LeaseVerdict::Ask {
        if out.back_ms > 0 {
            code += lease_outcome::WAIT + lease_outcome::PROVISIONAL;
            row[at::WAIT] = out.back_ms as f64;
        }
        if out.behind_ms > 0 {
            code += outcome::BEHIND;
            row[BEHIND] = out.behind_ms as f64;
        }
        // Signed, since that takes one instruction where unsigned takes six.
        row[NOW] = out.now_ms.cast_signed() as f64;
        write_spent(row, &out.spent, slots);
    }
    row[CODE] = code;
}

fn code_of(why: &Error) -> f64 {
    match why {
        Error::CostExceedsCapacity { .. } => outcome::COST_EXCEEDS_CAPACITY,
        _ => outcome::TIER_UNKNOWN,
    }
}

fn ask(leases: &Leases, key: &[u16], row: &mut Row) {
    asked(row, |tier, mono_ms| leases.ask(key, tier, mono_ms));
}

fn look(leases: &Leases, key: &[u16], row: &mut Row) {
    asked(row, |tier, mono_ms| leases.look(key, tier, mono_ms));
}

/// Writes what a take for a key should say.
fn asked(row: &mut Row, how: impl FnOnce(TierId, u64) -> std::result::Result<Asked, Error>) {
    let tier = row[TIER];
    if tier.is_nan() || tier < 0.0 {
        row[CODE] = outcome::TIER_UNKNOWN;
        return;
    }
    match how(tier as TierId, given(row[at::MONO]).unwrap_or_else(clock::mono_ms)) {
        Ok(asked) => {
            row[CODE] = 0.0;
            row[VERSION] = asked.version as f64;
            row[at::HELD] = asked.held_milli as f64;
            row[at::AHEAD] = asked.ahead_milli as f64;
            row[at::SERVER] = -1.0;
            if let Some(snapshot) = &asked.snapshot {
                write_snapshot(row, snapshot);
            }
        }
        Err(why) => row[CODE] = code_of(&why),
    }
}

/// Writes what is known of a key, amount by amount; NaN is not known.
pub(crate) fn write_snapshot(row: &mut Row, snapshot: &Snapshot) {
    row[at::SERVER] = f64::from(snapshot.epoch.server());
    row[at::EPOCH] = snapshot.epoch.count() as f64;
    row[NOW] = snapshot.at_ms as f64;
    for (number, spent) in row[SPENT..].iter_mut().zip(snapshot.spent) {
        *number = spent.map_or(f64::NAN, |spent| spent.cast_signed() as f64);
    }
}

/// Takes in the answers of the first `count` rows. Those of which the key can't be told stay as they were.
fn apply(leases: &Own, frame: &Frame, count: usize, keys: &[u16]) {
    let leases = leases.borrow();
    let Some(leases) = &*leases else {
        (0..count).for_each(|row| frame.row(row)[CODE] = outcome::CLOSED);
        return;
    };
    // Of one batch, all came at once.
    let mut own_ms = None;
    let mut rows = Vec::with_capacity(count);
    let mut replies = Vec::with_capacity(count);
    for (index, key) in keys_of(frame, count, keys).enumerate() {
        let row = frame.row(index);
        if is_key(key) {
            let mono_ms = given(row[at::MONO]).unwrap_or_else(|| *own_ms.get_or_insert_with(clock::mono_ms));
            rows.push(index);
            replies.push((key, reply_of(row, mono_ms)));
        } else {
            row[CODE] = outcome::KEY_INVALID;
        }
    }
    leases.apply_all(&replies, prefetch, |number, became| {
        frame.row(rows[number])[CODE] = match became {
            Applied::Kept => applied::KEPT,
            Applied::Stale => applied::STALE,
            Applied::Full => applied::FULL,
            Applied::Unknown => applied::UNKNOWN,
        };
    });
}

/// An amount, which may be below 0; NaN is not known.
fn amount(number: f64) -> Option<u64> {
    (!number.is_nan()).then_some((number as i64).cast_unsigned())
}

/// The answer that a row tells of.
fn reply_of(row: &Row, mono_ms: u64) -> StoreReply {
    let (server, epoch) = (row[at::SERVER], row[at::EPOCH]);
    StoreReply {
        tier: given(row[TIER]).unwrap_or(TierId::MAX),
        version: given(row[VERSION]).map_or(usize::MAX, |version| version as usize),
        now_ms: row[NOW] as u64,
        behind_ms: row[at::LAG] as u64,
        epoch: (server >= 0.0 && epoch >= 0.0)
            .then(|| Epoch::new(server as u16, epoch as u64))
            .flatten(),
        spent: std::array::from_fn(|limit| amount(row[SPENT + limit])),
        granted_milli: given(row[COST]),
        held_milli: row[at::HELD] as u64,
        lasts_ms: row[at::AHEAD] as i64,
        wait_ms: given(row[at::WAIT]),
        is_provisional: row[at::IS_PROVISIONAL] > 0.0,
        mono_ms,
        races: row[at::RACES] > 0.0,
    }
}

/// An instant of the monotonic clock, and the store's time then: as it is given, as it was heard, or the system's.
#[inline]
pub(crate) fn times(leases: &Leases, now_ms: Option<u64>, mono_ms: u64) -> Times {
    let store_ms = now_ms.unwrap_or_else(|| leases.store_ms(mono_ms).unwrap_or_else(system_ms));
    Times { store_ms, mono_ms }
}

/// The same by clocks that lag.
#[inline]
fn cheap_times(leases: &Leases, now_ms: Option<u64>) -> Times {
    let mono_ms = coarse_mono_ms();
    let store_ms = now_ms.unwrap_or_else(|| leases.store_ms(mono_ms).unwrap_or_else(coarse_ms));
    Times { store_ms, mono_ms }
}
