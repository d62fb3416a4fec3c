use std::hash::Hash;

use hashlink::LinkedHashMap;

/// What a cache has done since it was made; all only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub hits: u64,
    pub misses: u64,
    /// Entries that gave way to others.
    pub evictions: u64,
    /// Entries found past their time.
    pub expirations: u64,
}

impl Counts {
    /// Share of lookups that found their entry, in percent.
    pub fn hit_rate_percent(&self) -> f64 {
        let asked = self.hits + self.misses;
        if asked == 0 { 0.0 } else { self.hits as f64 * 100.0 / asked as f64 }
    }
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: usize,
    until_us: i64,
}

/// A cache of bounded weight whose least recently used entry leaves first. Every operation takes constant time.
#[derive(Debug)]
pub struct Lru<K, V> {
    entries: LinkedHashMap<K, Entry<V>>,
    weight: usize,
    max_weight: usize,
    counts: Counts,
}

impl<K: Hash + Eq + Clone, V> Lru<K, V> {
    /// Zero keeps nothing.
    pub fn new(max_weight: usize) -> Self {
        Self { entries: LinkedHashMap::new(), weight: 0, max_weight, counts: Counts::default() }
    }

    /// The entry, unless its time has passed; it becomes the most recently used one.
    pub fn get(&mut self, key: &K, now_us: i64) -> Option<&V> {
        if self.entries.get(key).is_some_and(|e| e.until_us <= now_us) {
            self.counts.expirations += 1;
            self.remove(key);
        }
        match self.entries.to_back(key) {
            Some(entry) => {
                self.counts.hits += 1;
                Some(&entry.value)
            }
            None => {
                self.counts.misses += 1;
                None
            }
        }
    }

    /// Keeps a value until `until_us`; the least recently used ones give way. One that alone is too heavy is
    /// not kept.
    pub fn insert(&mut self, key: K, value: V, weight: usize, until_us: i64) {
        self.remove(&key);
        if weight > self.max_weight {
            return;
        }
        while self.weight + weight > self.max_weight {
            let Some((_, evicted)) = self.entries.pop_front() else { break };
            self.weight -= evicted.weight;
            self.counts.evictions += 1;
        }
        self.weight += weight;
        self.entries.insert(key, Entry { value, weight, until_us });
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let removed = self.entries.remove(key)?;
        self.weight -= removed.weight;
        Some(removed.value)
    }

    /// How many were there.
    pub fn clear(&mut self) -> usize {
        let cleared = self.entries.len();
        self.entries.clear();
        self.weight = 0;
        cleared
    }

    /// The entry that would leave next.
    pub fn oldest(&self) -> Option<&K> {
        self.entries.front().map(|(key, _)| key)
    }

    /// From the least to the most recently used, with the end of their time (UTC microseconds).
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V, i64)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value, entry.until_us))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn weight(&self) -> usize {
        self.weight
    }

    pub fn max_weight(&self) -> usize {
        self.max_weight
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, ManualClock};

    /// The same cache, written to be obviously right: a list, least recently used first.
    #[derive(Default)]
    struct Reference {
        list: Vec<(u8, u32, usize, i64)>,
        counts: Counts,
    }

    impl Reference {
        fn take(&mut self, key: u8) -> Option<(u8, u32, usize, i64)> {
            self.list.iter().position(|e| e.0 == key).map(|at| self.list.remove(at))
        }

        fn get(&mut self, key: u8, now_us: i64) -> Option<u32> {
            match self.take(key) {
                Some(entry) if entry.3 > now_us => {
                    self.list.push(entry);
                    self.counts.hits += 1;
                    return Some(entry.1);
                }
                Some(_) => self.counts.expirations += 1,
                None => {}
            }
            self.counts.misses += 1;
            None
        }

        fn insert(&mut self, entry: (u8, u32, usize, i64), max: usize) {
            self.take(entry.0);
            if entry.2 > max {
                return;
            }
            while self.list.iter().map(|e| e.2).sum::<usize>() + entry.2 > max {
                self.list.remove(0);
                self.counts.evictions += 1;
            }
            self.list.push(entry);
        }
    }

    #[test]
    fn a1_equal_to_a_reference_over_100_000_random_operations() {
        const MAX: usize = 40;
        let clock = ManualClock::at(0);
        let (mut lru, mut reference) = (Lru::new(MAX), Reference::default());
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        for operation in 0..100_000u32 {
            let key = random(60) as u8;
            match random(20) {
                0..=9 => {
                    let now_us = clock.now_us();
                    assert_eq!(lru.get(&key, now_us).copied(), reference.get(key, now_us), "operation {operation}");
                }
                10..=16 => {
                    let (weight, until_us) =
                        (random(5) as usize + 40 * usize::from(random(50) == 0), clock.now_us() + random(2_000) as i64);
                    lru.insert(key, operation, weight, until_us);
                    reference.insert((key, operation, weight, until_us), MAX);
                }
                17 => assert_eq!(lru.remove(&key), reference.take(key).map(|e| e.1)),
                18 => clock.advance_us(random(30) as i64),
                _ if random(500) == 0 => {
                    assert_eq!(lru.clear(), reference.list.len());
                    reference.list.clear();
                }
                _ => {}
            }
            assert_eq!(lru.oldest(), reference.list.first().map(|e| &e.0), "the victim, operation {operation}");
            assert_eq!(lru.weight(), reference.list.iter().map(|e| e.2).sum::<usize>());
            assert_eq!((lru.len(), lru.counts()), (reference.list.len(), reference.counts));
            assert!(lru.weight() <= MAX);
        }
        let counts = lru.counts();
        assert!(counts.hits > 1_000 && counts.evictions > 1_000 && counts.expirations > 100, "{counts:?}");
    }

    #[test]
    fn a_cache_of_no_size_keeps_nothing() {
        let mut lru = Lru::new(0);
        lru.insert(1, 1, 1, i64::MAX);
        assert_eq!((lru.get(&1, 0).copied(), lru.len()), (None, 0));
    }
}
