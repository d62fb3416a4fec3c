//! Orders of the store's steps: all of them where they can be counted, else so many by chance.

use shuttle::scheduler::DfsScheduler;
use shuttle::{Config, Runner};

fn config() -> Config {
    let mut config = Config::default();
    // SQLite and Arrow need more than a stack of 32 KiB
    config.stack_size = 1 << 20;
    config
}

fn every_order(what: &str, scenario: impl Fn() + Send + Sync + 'static) {
    let orders = Runner::new(DfsScheduler::new(None, false), config()).run(scenario);
    println!("{what}: all {orders} orders");
}

/// By chance with few changes of thread (PCT, Burckhardt et al., "A randomized scheduler with probabilistic guarantees
/// of finding bugs", 2010).
fn some_orders(what: &str, one_in: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let orders = std::env::var("TW_AMOUNT").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000) / one_in;
    Runner::new(shuttle::scheduler::PctScheduler::new(3, orders), config()).run(scenario);
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
