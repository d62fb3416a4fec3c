//! Orders of the store's steps: all of them where they can be counted, else so many by chance.

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

fn every_order(what: &str, scenario: impl Fn() + Send + Sync + 'static) {
    let bound = (amount() < FULL).then_some(FULL);
    let orders = Runner::new(DfsScheduler::new(bound, false), config()).run(scenario);
    let which = if bound == Some(orders) { "the first" } else { "all" };
    println!("{what}: {which} {orders} orders");
}

/// By chance with few changes of thread (PCT, Burckhardt et al., "A randomized scheduler with probabilistic guarantees
/// of finding bugs", 2010).
fn some_orders(what: &str, one_in: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let orders = amount() / one_in;
    Runner::new(PctScheduler::new(3, orders), config()).run(scenario);
    println!("{what}: {orders} orders by chance");
}

#[test]
fn the_view_is_swapped() {
    some_orders("view swap: three records, a flush, a reader", 1, || store::interleave::view_swap(3));
    every_order("view swap: a record, a flush, a reader", || store::interleave::view_swap(1));
}

#[test]
fn groups_are_committed() {
    // each has a log of its own on the disk
    some_orders("group commit: three writers and a change of type", 10, || store::interleave::group_commit(3));
}

#[test]
fn ranges_are_locked() {
    some_orders("lock table: four jobs, one expires", 1, || store::interleave::lock_table(4));
    every_order("lock table: two jobs, one expires", || store::interleave::lock_table(2));
}
