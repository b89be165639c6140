//! Any sequence of operations on a limiter, or on a table of leases (`leases`), beside a model that counts plainly.
//!
//! The bytes are read as a size of the table, an instant, tiers, and then operations (`input`, `run`). The model has a
//! place for each key and each limit (`table`, `key`, `slot`). A run fails, by a panic, where the two disagree:
//!
//! - a decision's verdict, its wait, and what it reports of each limit, to the thousandth of a token and to the
//!   millisecond; within one of each where a change of tier has rounded (`expected`);
//! - a call that is refused, and which key shares the overflow bucket of its tier (`run/decisions`);
//! - a refund or a settlement, of whichever version of the tiers the call was under (`run/corrections`, `tier_versions`);
//! - a key that is forgotten before it is idle, and one that is stored without being known (`run/storage`);
//! - another limiter, made from what is stored: it says the same of every key (`run/storage`);
//! - the number of keys and of decisions that the limiter counts (`run`);
//! - the sum of what was admitted: in any time at most a full bucket and what flows in, in a period at most the quota.
//!   This is counted without the model (`history`).

mod charge;
mod cost;
mod expected;
mod history;
mod input;
mod key;
mod leases;
mod run;
mod running;
mod slot;
mod table;
mod tier_versions;

use input::Input;
pub use leases::leases;
use run::Run;

const MAX_STEPS: usize = 400;

/// Runs the operations that the bytes stand for, and panics where the limiter and the model disagree.
pub fn operations(bytes: &[u8]) {
    let mut input = Input::new(bytes).with_places();
    let Some(mut run) = Run::begin(&mut input) else {
        return;
    };
    let mut steps = 0;
    while !input.is_empty() && steps < MAX_STEPS {
        run.step(&mut input);
        steps += 1;
    }
    run.end();
}
