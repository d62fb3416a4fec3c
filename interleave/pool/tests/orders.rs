//! Every order in which queries enter the pool, leave it and give up.

#[path = "../../orders.rs"]
mod orders;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::{FutureExt, poll_immediate};
use interleave_pool::Error;
use interleave_pool::pool::{Ended, Pool, Priority};
use orders::{every_order, some_orders};
use shuttle::future::block_on;
use shuttle::thread;

fn empty(pool: &Pool) {
    assert_eq!((pool.running(), pool.waiting()), (0, 0), "every slot is back and nobody waits");
    assert!(pool.slots().iter().all(|slot| slot.current.is_none()));
}

#[test]
fn two_queries_share_a_slot() {
    every_order("admission: two queries, one slot", || {
        let pool = Arc::new(Pool::new(1, 2));
        let inside = Arc::new(AtomicUsize::new(0));
        let queries: Vec<_> = (0..2)
            .map(|owner| {
                let (pool, inside) = (Arc::clone(&pool), Arc::clone(&inside));
                thread::spawn(move || {
                    let mut slot = block_on(pool.enter(owner, Priority::Interactive, "q")).expect("the queue has room");
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                    inside.fetch_sub(1, Ordering::SeqCst);
                    slot.ended(Ended::Well);
                })
            })
            .collect();
        queries.into_iter().for_each(|query| query.join().expect("it runs"));
        empty(&pool);
        assert_eq!(pool.totals().executed, 2);
    });
}

#[test]
fn a_query_gives_up_while_its_slot_comes_free() {
    every_order("admission: one leaves while one gives up", || {
        let pool = Arc::new(Pool::new(1, 2));
        let held = block_on(pool.enter(0, Priority::Interactive, "held")).expect("a free slot");
        let leaver = thread::spawn(move || drop(held));
        // asked once, then dropped: with a slot in its hand or without
        drop(block_on(poll_immediate(pool.enter(1, Priority::Interactive, "quits").boxed())));
        leaver.join().expect("it leaves");
        empty(&pool);
        drop(block_on(pool.enter(2, Priority::Background, "next")).expect("a free slot"));
    });
}

#[test]
fn a_full_queue_refuses_and_loses_nobody() {
    some_orders("admission: a slot, a place to wait, three queries", 1, || {
        let pool = Arc::new(Pool::new(1, 1));
        let (ran, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let query = |owner: i64| {
            let (pool, ran, refused) = (Arc::clone(&pool), Arc::clone(&ran), Arc::clone(&refused));
            move || match block_on(pool.enter(owner, Priority::Interactive, "q")) {
                Ok(slot) => {
                    ran.fetch_add(1, Ordering::SeqCst);
                    drop(slot);
                }
                Err(Error::QueueFull) => drop(refused.fetch_add(1, Ordering::SeqCst)),
                Err(Error::Internal(error)) => panic!("{error}"),
            }
        };
        let others = [thread::spawn(query(0)), thread::spawn(query(1))];
        query(2)();
        others.into_iter().for_each(|other| other.join().expect("it ends"));
        assert_eq!(ran.load(Ordering::SeqCst) + refused.load(Ordering::SeqCst), 3);
        assert!(ran.load(Ordering::SeqCst) >= 2, "a slot and a place to wait serve two");
        empty(&pool);
    });
}
