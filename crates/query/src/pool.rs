//! The slots in which queries run, and the queue before them. Waiting costs no thread: a waiter sleeps until a
//! slot is handed to it, and leaves the queue however its wait ends.
//!
//! Interactive waiters come before background ones; one of these that has waited long goes first, at most once
//! in a while. Within a class the owner that has had the least slot time goes first (start-time fair queueing).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::Error;

/// A background query that has waited so long goes before interactive ones.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often one does, at most.
const AGED_EVERY: Duration = Duration::from_millis(500);
/// What a running query counts for at least, so that slots that come free together are shared too.
const LEAST_SERVED: Duration = Duration::from_millis(1);

/// Which queries go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Priority {
    Interactive,
    Background,
}

impl Priority {
    pub const fn as_str(self) -> &'static str {
        match self {
            Priority::Interactive => "interactive",
            Priority::Background => "background",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Priority::Interactive, Priority::Background].into_iter().find(|p| p.as_str() == text)
    }
}

/// How a query in a slot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Well,
    /// The query's own fault.
    Refused,
    /// Ours: what the slot held may be broken.
    Broken,
}

/// What the pool has done since the start; all only rise.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    pub executed: u64,
    pub queued: u64,
    pub failed: u64,
    pub timed_out: u64,
    /// Refused because the queue was full.
    pub turned_away: u64,
    pub replaced: u64,
    pub waited: Duration,
    pub ran: Duration,
}

/// One slot as statistics show it.
#[derive(Debug, Clone)]
pub struct SlotStatus {
    /// A replaced slot gets a new one.
    pub id: u64,
    pub queries: u64,
    pub failures: u64,
    pub ran: Duration,
    /// How long ago its last query ended.
    pub idle: Option<Duration>,
    /// The id of the query in it.
    pub current: Option<String>,
}

#[derive(Debug)]
struct State {
    id: u64,
    queries: u64,
    failures: u64,
    ran: Duration,
    ended: Option<Instant>,
    /// Its query, since when, and whose.
    running: Option<(String, Instant, i64)>,
}

impl State {
    fn new(id: u64) -> Self {
        Self { id, queries: 0, failures: 0, ran: Duration::ZERO, ended: None, running: None }
    }
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    owner: i64,
    priority: Priority,
    query: String,
    since: Instant,
    hand: oneshot::Sender<Slot>,
}

#[derive(Debug)]
struct Inner {
    slots: Vec<State>,
    free: Vec<usize>,
    /// In the order of their arrival.
    waiting: VecDeque<Waiter>,
    tickets: u64,
    slot_ids: u64,
    /// Slot time of owners that wait or run.
    served: HashMap<i64, Duration>,
    /// Slot time that an owner who comes back begins with: idling saves up nothing.
    floor: Duration,
    last_aged: Option<Instant>,
    totals: Totals,
}

/// N slots and a bounded queue.
#[derive(Debug)]
pub struct Pool {
    inner: Mutex<Inner>,
    size: usize,
    queue: usize,
}

impl Pool {
    pub fn new(size: usize, queue: usize) -> Self {
        let inner = Inner {
            slots: (0..size as u64).map(State::new).collect(),
            free: (0..size).rev().collect(),
            waiting: VecDeque::new(),
            tickets: 0,
            slot_ids: size as u64,
            served: HashMap::new(),
            floor: Duration::ZERO,
            last_aged: None,
            totals: Totals::default(),
        };
        Self { inner: Mutex::new(inner), size, queue }
    }

    /// Waits for a slot without a bound in time: dropping the future leaves the queue.
    ///
    /// # Errors
    /// The queue is full.
    pub async fn enter(self: &Arc<Self>, owner: i64, priority: Priority, query: &str) -> Result<Slot, Error> {
        let (receiver, ticket) = {
            let mut inner = self.inner.lock();
            if inner.waiting.is_empty()
                && let Some(index) = inner.free.pop()
            {
                inner.occupy(index, owner, query.to_owned());
                return Ok(Slot { pool: Arc::clone(self), index, ended: Ended::Refused });
            }
            if inner.waiting.len() >= self.queue {
                inner.totals.turned_away += 1;
                return Err(Error::QueueFull);
            }
            let (hand, receiver) = oneshot::channel();
            let ticket = inner.tickets;
            inner.tickets += 1;
            inner.totals.queued += 1;
            let (query, since) = (query.to_owned(), Instant::now());
            inner.waiting.push_back(Waiter { ticket, owner, priority, query, since, hand });
            (receiver, ticket)
        };
        let _leave = Leave { pool: self, ticket };
        receiver.await.map_err(|_| Error::Internal("the query pool has ended".into()))
    }

    /// Counts a query that its deadline ended.
    pub fn timed_out(&self) {
        self.inner.lock().totals.timed_out += 1;
    }

    pub fn size(&self) -> usize {
        self.size
    }

    pub fn waiting(&self) -> usize {
        self.inner.lock().waiting.len()
    }

    pub fn running(&self) -> usize {
        self.size - self.inner.lock().free.len()
    }

    pub fn totals(&self) -> Totals {
        self.inner.lock().totals
    }

    pub fn slots(&self) -> Vec<SlotStatus> {
        let status = |s: &State| SlotStatus {
            id: s.id,
            queries: s.queries,
            failures: s.failures,
            ran: s.ran,
            idle: s.ended.map(|at| at.elapsed()),
            current: s.running.as_ref().map(|(query, _, _)| query.clone()),
        };
        self.inner.lock().slots.iter().map(status).collect()
    }

    /// Hands free slots to those whose turn it is.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let (hand, slot) = {
                let mut inner = self.inner.lock();
                let Some(at) = inner.next(Instant::now()) else { return };
                let Some(index) = inner.free.pop() else { return };
                let Some(waiter) = inner.waiting.remove(at) else { return };
                inner.totals.waited += waiter.since.elapsed();
                inner.occupy(index, waiter.owner, waiter.query);
                (waiter.hand, Slot { pool: Arc::clone(self), index, ended: Ended::Refused })
            };
            // a waiter that has just left gives the slot back, which hands it out again
            drop(hand.send(slot));
        }
    }
}

impl Inner {
    fn occupy(&mut self, index: usize, owner: i64, query: String) {
        let floor = self.floor;
        let served = self.served.entry(owner).or_insert(floor);
        *served = (*served).max(floor);
        self.slots[index].running = Some((query, Instant::now(), owner));
    }

    /// Slot time of an owner, that of its running queries included.
    fn served(&self, owner: i64, now: Instant) -> Duration {
        let running = self.slots.iter().filter_map(|s| s.running.as_ref()).filter(|(_, _, o)| *o == owner);
        let running: Duration = running.map(|(_, since, _)| LEAST_SERVED + now.duration_since(*since)).sum();
        self.served.get(&owner).copied().unwrap_or(self.floor) + running
    }

    /// The place in the queue of the waiter whose turn it is.
    fn next(&mut self, now: Instant) -> Option<usize> {
        let old = |w: &Waiter| w.priority == Priority::Background && now.duration_since(w.since) >= PATIENCE;
        if self.last_aged.is_none_or(|at| now.duration_since(at) >= AGED_EVERY)
            && let Some(at) = self.waiting.iter().position(old)
        {
            self.last_aged = Some(now);
            return Some(at);
        }
        let first = self.waiting.iter().map(|w| w.priority as u8).min()?;
        let mut served: HashMap<i64, Duration> = HashMap::new();
        let mut best: Option<(Duration, usize)> = None;
        for (at, waiter) in self.waiting.iter().enumerate().filter(|(_, w)| w.priority as u8 == first) {
            let had = *served.entry(waiter.owner).or_insert_with(|| self.served(waiter.owner, now));
            if best.is_none_or(|(least, _)| had < least) {
                best = Some((had, at));
            }
        }
        best.map(|(_, at)| at)
    }

    fn vacate(&mut self, index: usize, ended: Ended) {
        let Some((_, since, owner)) = self.slots[index].running.take() else { return };
        let ran = since.elapsed();
        let slot = &mut self.slots[index];
        slot.queries += 1;
        slot.ran += ran;
        slot.ended = Some(Instant::now());
        self.totals.executed += 1;
        self.totals.ran += ran;
        if ended != Ended::Well {
            slot.failures += 1;
            self.totals.failed += 1;
        }
        if ended == Ended::Broken {
            self.totals.replaced += 1;
            self.slots[index] = State::new(self.slot_ids);
            self.slot_ids += 1;
        }
        let served = self.served.entry(owner).or_default();
        *served += ran + LEAST_SERVED;
        let is_active = self.waiting.iter().any(|w| w.owner == owner)
            || self.slots.iter().any(|s| s.running.as_ref().is_some_and(|(_, _, o)| *o == owner));
        if !is_active {
            self.served.remove(&owner);
        }
        // the least of those who are here is where newcomers begin
        self.floor = self.served.values().min().copied().unwrap_or(Duration::ZERO).max(self.floor);
        if self.served.is_empty() {
            self.floor = Duration::ZERO;
        }
        self.free.push(index);
    }
}

/// Leaves the queue however the wait ends.
struct Leave<'a> {
    pool: &'a Pool,
    ticket: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut inner = self.pool.inner.lock();
        if let Some(at) = inner.waiting.iter().position(|w| w.ticket == self.ticket) {
            inner.waiting.remove(at);
        }
    }
}

/// A place to run one query in; it goes back when it is dropped.
#[derive(Debug)]
pub struct Slot {
    pool: Arc<Pool>,
    index: usize,
    ended: Ended,
}

impl Slot {
    /// Says how the query ended; one that is dropped without a word was cut.
    pub fn ended(&mut self, how: Ended) {
        self.ended = how;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let ended = if std::thread::panicking() { Ended::Broken } else { self.ended };
        self.pool.inner.lock().vacate(self.index, ended);
        self.pool.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
    }

    /// A waiter that says its name when it gets its slot, which it keeps for so long.
    fn waiter(
        runtime: &tokio::runtime::Runtime,
        pool: &Arc<Pool>,
        owner: i64,
        priority: Priority,
        keeps: Duration,
    ) -> tokio::task::JoinHandle<Instant> {
        let (pool, before) = (Arc::clone(pool), pool.waiting());
        let seen = Arc::clone(&pool);
        let task = runtime.spawn(async move {
            let _slot = pool.enter(owner, priority, "q").await.unwrap();
            let at = Instant::now();
            tokio::time::sleep(keeps).await;
            at
        });
        while seen.waiting() == before && !task.is_finished() {
            std::thread::yield_now();
        }
        task
    }

    #[test]
    fn q3_ten_thousand_that_give_up_leave_an_empty_queue() {
        let runtime = runtime();
        let pool = Arc::new(Pool::new(1, 1_000));
        let held = runtime.block_on(pool.enter(1, Priority::Interactive, "held")).unwrap();
        runtime.block_on(async {
            for round in 0..10 {
                let waits = (0..1_000).map(|n| {
                    let pool = Arc::clone(&pool);
                    async move {
                        let wait = pool.enter(n, Priority::Background, "q");
                        tokio::time::timeout(Duration::from_millis(1 + round), wait).await.is_err()
                    }
                });
                assert!(futures::future::join_all(waits).await.into_iter().all(|expired| expired));
                assert_eq!(pool.waiting(), 0, "round {round}");
            }
        });
        assert_eq!((pool.totals().queued, pool.running()), (10_000, 1));
        drop(held);
        assert_eq!(pool.running(), 0);
        drop(runtime.block_on(pool.enter(1, Priority::Interactive, "next")).unwrap());
    }

    #[test]
    fn q1_a_full_queue_refuses_at_once_and_only_while_it_is_full() {
        let runtime = runtime();
        let pool = Arc::new(Pool::new(1, 2));
        let held = runtime.block_on(pool.enter(1, Priority::Interactive, "held")).unwrap();
        let short = Duration::ZERO;
        let waiters: Vec<_> = (0..2).map(|n| waiter(&runtime, &pool, n, Priority::Interactive, short)).collect();
        let refused = runtime.block_on(pool.enter(9, Priority::Interactive, "one too many"));
        assert!(matches!(refused, Err(Error::QueueFull)));
        drop(held);
        for waiter in waiters {
            runtime.block_on(waiter).unwrap();
        }
        drop(runtime.block_on(pool.enter(9, Priority::Interactive, "now")).unwrap());
        assert_eq!(pool.totals().turned_away, 1);
    }

    #[test]
    fn q2_interactive_queries_pass_two_hundred_of_the_background() {
        let runtime = runtime();
        let pool = Arc::new(Pool::new(1, 300));
        let held = runtime.block_on(pool.enter(1, Priority::Background, "held")).unwrap();
        let keeps = Duration::from_millis(1);
        let background: Vec<_> = (0..200).map(|_| waiter(&runtime, &pool, 1, Priority::Background, keeps)).collect();
        let interactive = waiter(&runtime, &pool, 1, Priority::Interactive, keeps);
        drop(held);
        let first = runtime.block_on(interactive).unwrap();
        let others = background.into_iter().map(|b| runtime.block_on(b).unwrap());
        assert!(others.into_iter().all(|at| at > first));
    }

    #[test]
    fn q2_a_background_query_that_has_waited_long_goes_first() {
        let pool = Arc::new(Pool::new(1, 10));
        let mut inner = pool.inner.lock();
        let now = Instant::now() + Duration::from_secs(60);
        let mut push = |ticket: u64, priority: Priority, waited: u64| {
            let since = now - Duration::from_secs(waited);
            let (hand, _) = oneshot::channel();
            inner.waiting.push_back(Waiter { ticket, owner: 1, priority, query: String::new(), since, hand });
        };
        push(0, Priority::Interactive, 25);
        push(1, Priority::Background, 19);
        push(2, Priority::Background, 21);
        push(3, Priority::Background, 22);
        assert_eq!(inner.next(now), Some(2));
        // not all at once: interactive ones stay alive
        assert_eq!(inner.next(now), Some(0));
        assert_eq!(inner.next(now + AGED_EVERY), Some(2));
    }

    #[test]
    fn q2_two_owners_share_slot_time_whatever_they_demand() {
        let runtime = runtime();
        let pool = Arc::new(Pool::new(2, 200));
        let until = Instant::now() + Duration::from_millis(1_500);
        // ten times as many callers of owner 1, each asking again and again
        let tasks: Vec<_> = (0..44)
            .map(|n| {
                let (pool, owner) = (Arc::clone(&pool), if n < 40 { 1 } else { 2 });
                runtime.spawn(async move {
                    let mut had = Duration::ZERO;
                    while Instant::now() < until {
                        let _slot = pool.enter(owner, Priority::Interactive, "q").await.unwrap();
                        let began = Instant::now();
                        tokio::time::sleep(Duration::from_millis(4)).await;
                        had += began.elapsed();
                    }
                    (owner, had)
                })
            })
            .collect();
        let mut had: HashMap<i64, f64> = HashMap::new();
        for task in tasks {
            let (owner, time) = runtime.block_on(task).unwrap();
            *had.entry(owner).or_default() += time.as_secs_f64();
        }
        let share = had[&2] / (had[&1] + had[&2]);
        assert!((0.4..0.6).contains(&share), "the quiet owner had {share}");
        let inner = pool.inner.lock();
        assert!(inner.served.is_empty() && inner.waiting.is_empty());
    }

    #[test]
    fn q4_a_slot_whose_query_broke_is_replaced() {
        let runtime = runtime();
        let pool = Arc::new(Pool::new(1, 1));
        for ended in [Ended::Well, Ended::Refused, Ended::Broken] {
            let mut slot = runtime.block_on(pool.enter(1, Priority::Interactive, "q")).unwrap();
            assert_eq!(pool.slots()[0].current.as_deref(), Some("q"));
            slot.ended(ended);
        }
        let slot = &pool.slots()[0];
        assert_eq!((slot.id, slot.queries, slot.current.as_deref()), (1, 0, None));
        let totals = pool.totals();
        assert_eq!((totals.executed, totals.failed, totals.replaced), (3, 2, 1));
    }
}
