//! Orders of the store's steps: all of them where they can be counted, else so many by chance.

#[path = "../../orders.rs"]
mod orders;

use orders::{every_order, some_orders};

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
