//! Runs a test in very many orders of its threads' steps.

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

/// So many orders are tried at random, and as many by a scheduler that looks for rare ones.
pub fn rounds() -> usize {
    std::env::var("SHUTTLE_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2_000)
}

/// With room on each thread's stack for what a rule set takes to be made.
pub fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config
}

pub fn explore(test: impl Fn() + Send + Sync + Clone + 'static) {
    Runner::new(RandomScheduler::new(rounds()), config()).run(test.clone());
    Runner::new(PctScheduler::new(3, rounds()), config()).run(test);
}
