//! How the scenarios of both packages are run.

use shuttle::scheduler::{DfsScheduler, PctScheduler};
use shuttle::{Config, Runner};

fn config() -> Config {
    let mut config = Config::default();
    // SQLite and Arrow need more than a stack of 32 KiB
    config.stack_size = 1 << 20;
    config
}

/// Orders by chance of each scenario that has too many.
fn amount() -> usize {
    std::env::var("TW_AMOUNT").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

/// From so many on every scenario that can be gone through is; below it, so many of its orders.
const FULL: usize = 20_000;

/// Runs a scenario in every order, and says how many there are.
pub fn every_order(what: &str, scenario: impl Fn() + Send + Sync + 'static) {
    let bound = (amount() < FULL).then_some(FULL);
    let orders = Runner::new(DfsScheduler::new(bound, false), config()).run(scenario);
    let which = if bound == Some(orders) { "the first" } else { "all" };
    println!("{what}: {which} {orders} orders");
}

/// One in so many of the orders that are asked for, by chance with few changes of thread (PCT, Burckhardt et al., "A
/// randomized scheduler with probabilistic guarantees of finding bugs", 2010).
pub fn some_orders(what: &str, one_in: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let orders = amount() / one_in;
    Runner::new(PctScheduler::new(3, orders), config()).run(scenario);
    println!("{what}: {orders} orders by chance");
}
