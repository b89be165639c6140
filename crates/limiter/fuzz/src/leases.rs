//! Any sequence of operations on a table of leases, beside a model that keeps each key plainly.
//!
//! The bytes are read as a size of the table, clocks, tiers, and then operations and answers of a store. The model has an
//! entry for each key (`entry`). A run fails, by a panic, where the two disagree:
//!
//! - a decision: its verdict, its numbers, whether more is to be asked for ahead, what goes back (`run`);
//! - what a take would say, and how an answer is taken in;
//! - what waits to be given back, by key, instant and rules, and what is known of each key in the end;
//! - a key that is forgotten while it holds something, believes something, or is being asked about;
//! - what is counted;
//! - the sum of all tokens, without the model: what was granted was spent, given back or forgotten.

mod entry;
mod run;

use crate::input::Input;
use run::Run;

const MAX_STEPS: usize = 400;

/// Runs the operations that the bytes stand for, and panics where the table and the model disagree.
pub fn leases(bytes: &[u8]) {
    let mut input = Input::new(bytes);
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
