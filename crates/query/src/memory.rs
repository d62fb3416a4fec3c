//! Memory of queries. Half of it is shared out: a part for each slot, which no other query can take, so that
//! nobody fails by a neighbour's hunger. The other half is for whoever comes first; a query that gets no more
//! spills, or fails alone.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::resources_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// What all queries share.
#[derive(Debug)]
pub struct Common {
    /// Bytes that each query has for itself.
    own: usize,
    /// Bytes beyond those, for all together.
    bytes: usize,
    used: AtomicUsize,
}

impl Common {
    pub fn new(bytes: usize, slots: usize) -> Arc<Self> {
        let own = bytes / 2 / slots.max(1);
        Arc::new(Self { own, bytes: bytes - own * slots.max(1), used: AtomicUsize::new(0) })
    }

    /// The memory of one query.
    pub fn query(self: &Arc<Self>) -> Arc<QueryMemory> {
        let most = self.own + self.bytes;
        // within the query, operators that can spill share fairly
        Arc::new(QueryMemory {
            inner: FairSpillPool::new(most),
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            common: Arc::clone(self),
        })
    }

    /// Bytes beyond the own parts that are in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let take = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.bytes);
        bytes == 0 || self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// The memory of one query.
pub struct QueryMemory {
    inner: FairSpillPool,
    used: AtomicUsize,
    peak: AtomicUsize,
    common: Arc<Common>,
}

impl fmt::Debug for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryMemory").field("used", &self.used).finish_non_exhaustive()
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query memory ({} bytes used)", self.used.load(Ordering::Relaxed))
    }
}

impl QueryMemory {
    /// The most bytes that were reserved at once.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// What of `used` bytes lies beyond the query's own part.
    fn beyond(&self, used: usize) -> usize {
        used.saturating_sub(self.common.own)
    }

    fn grown(&self, before: usize, by: usize) {
        self.peak.fetch_max(before + by, Ordering::Relaxed);
    }
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
        let before = self.used.fetch_add(additional, Ordering::Relaxed);
        let more = self.beyond(before + additional) - self.beyond(before);
        self.common.used.fetch_add(more, Ordering::Relaxed);
        self.grown(before, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
        let before = self.used.fetch_sub(shrink, Ordering::Relaxed);
        let less = self.beyond(before) - self.beyond(before.saturating_sub(shrink));
        self.common.used.fetch_sub(less, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.inner.try_grow(reservation, additional)?;
        let before = self.used.fetch_add(additional, Ordering::Relaxed);
        let more = self.beyond(before + additional) - self.beyond(before);
        if self.common.take(more) {
            self.grown(before, additional);
            return Ok(());
        }
        self.used.fetch_sub(additional, Ordering::Relaxed);
        self.inner.shrink(reservation, additional);
        Err(resources_datafusion_err!(
            "{} asks for {additional} bytes more; the query has {before}, {} of them its own, and other queries hold the rest",
            reservation.consumer().name(),
            self.common.own
        ))
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.common.own + self.common.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t42_no_query_takes_what_belongs_to_another() {
        // 1 000 bytes, 4 slots: 125 each, 500 for all
        let common = Common::new(1_000, 4);
        let reservation = |query: &Arc<QueryMemory>| {
            let pool: Arc<dyn MemoryPool> = Arc::clone(query) as _;
            MemoryConsumer::new("test").register(&pool)
        };
        let (greedy, modest) = (common.query(), common.query());
        let (hungry, small) = (reservation(&greedy), reservation(&modest));
        hungry.try_grow(625).unwrap();
        assert!(hungry.try_grow(1).is_err());
        assert_eq!((greedy.reserved(), common.used()), (625, 500));
        small.try_grow(125).unwrap();
        assert!(small.try_grow(1).is_err());
        hungry.shrink(300);
        assert_eq!(common.used(), 200);
        small.try_grow(300).unwrap();
        assert_eq!((common.used(), modest.peak()), (500, 425));
        drop((hungry, small));
        assert_eq!((common.used(), greedy.reserved(), modest.reserved(), greedy.peak()), (0, 0, 0, 625));
    }
}
