//! Verified tokens, so that most requests ask no database. The generation number makes an edit hold at once:
//! what was read before it is never kept after it.

use std::collections::HashMap;
use std::sync::Arc;

use model::lru::{Counts, Lru};

use super::tokens::{Hash, Token};

/// What is known of a token's text.
#[derive(Debug)]
pub enum Known {
    Good(Arc<Token>),
    Wrong,
    /// Nobody knows; what is read now may be kept under this generation only.
    Not(u64),
}

/// Tokens found good and texts found wrong, each bounded.
#[derive(Debug)]
pub struct Cache {
    good: Lru<Hash, Arc<Token>>,
    wrong: Lru<Hash, ()>,
    ttl_us: i64,
    generation: u64,
    /// When tokens were used last (UTC microseconds), not yet written.
    used: HashMap<i64, i64>,
}

impl Cache {
    pub fn new(max: usize, ttl_us: i64) -> Self {
        Self { good: Lru::new(max), wrong: Lru::new(max), ttl_us, generation: 0, used: HashMap::new() }
    }

    pub fn get(&mut self, hash: &Hash, now_us: i64) -> Known {
        if let Some(token) = self.good.get(hash, now_us) {
            let token = Arc::clone(token);
            self.used.insert(token.id, now_us);
            return Known::Good(token);
        }
        match self.wrong.get(hash, now_us) {
            Some(()) => Known::Wrong,
            None => Known::Not(self.generation),
        }
    }

    /// Keeps what was read; false when a token was edited meanwhile: read again.
    pub fn keep(&mut self, hash: Hash, found: Option<(Arc<Token>, i64)>, generation: u64, now_us: i64) -> bool {
        if generation != self.generation {
            return false;
        }
        match found {
            Some((token, until_us)) => {
                self.used.insert(token.id, now_us);
                self.good.insert(hash, token, 1, until_us.min(now_us + self.ttl_us));
            }
            None => self.wrong.insert(hash, (), 1, now_us + self.ttl_us),
        }
        true
    }

    /// A token is not what it was: its entries go, those of others stay.
    pub fn forget(&mut self, id: i64) {
        self.generation += 1;
        let stale: Vec<Hash> = self.good.iter().filter(|(_, t, _)| t.id == id).map(|(hash, _, _)| *hash).collect();
        for hash in stale {
            self.good.remove(&hash);
        }
        self.wrong.clear();
    }

    pub fn clear(&mut self) -> usize {
        self.generation += 1;
        self.wrong.clear();
        self.good.clear()
    }

    pub fn take_used(&mut self) -> Vec<(i64, i64)> {
        self.used.drain().collect()
    }

    /// Entries, the most there may be, and what was done.
    pub fn stats(&self) -> (usize, usize, Counts) {
        (self.good.len(), self.good.max_weight(), self.good.counts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Access;

    fn token(id: i64) -> Arc<Token> {
        Arc::new(Token {
            id,
            name: format!("t{id}").into(),
            description: None,
            access: Arc::new(Access::full()),
            permissions: Vec::new(),
            scopes: Vec::new(),
            created_us: 0,
            last_used_us: None,
            expires_us: None,
            enabled: true,
        })
    }

    fn generation(cache: &mut Cache, hash: u8) -> u64 {
        match cache.get(&[hash; 32], 0) {
            Known::Not(generation) => generation,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a4_what_was_read_before_an_edit_is_not_kept_after_it() {
        let mut cache = Cache::new(10, 1_000);
        let before = generation(&mut cache, 1);
        cache.forget(1);
        assert!(!cache.keep([1; 32], Some((token(1), i64::MAX)), before, 0));
        assert!(matches!(cache.get(&[1; 32], 0), Known::Not(_)));
    }

    #[test]
    fn a5_an_edit_forgets_one_token_alone() {
        let mut cache = Cache::new(10, 1_000);
        for id in 1..=3 {
            let seen = generation(&mut cache, id);
            assert!(cache.keep([id; 32], Some((token(i64::from(id)), i64::MAX)), seen, 0));
        }
        cache.forget(2);
        assert!(matches!(cache.get(&[1; 32], 0), Known::Good(_)) && matches!(cache.get(&[3; 32], 0), Known::Good(_)));
        assert!(matches!(cache.get(&[2; 32], 0), Known::Not(_)));
    }

    #[test]
    fn a3_an_entry_ends_with_its_token() {
        let mut cache = Cache::new(10, 1_000);
        let seen = generation(&mut cache, 1);
        cache.keep([1; 32], Some((token(1), 50)), seen, 0);
        assert!(matches!(cache.get(&[1; 32], 49), Known::Good(_)));
        assert!(matches!(cache.get(&[1; 32], 50), Known::Not(_)));
    }

    #[test]
    fn a2_wrong_texts_are_remembered_up_to_a_bound() {
        let mut cache = Cache::new(10, 1_000);
        for n in 0..100 {
            let seen = generation(&mut cache, n);
            cache.keep([n; 32], None, seen, 0);
        }
        assert!(matches!(cache.get(&[99; 32], 999), Known::Wrong) && matches!(cache.get(&[0; 32], 999), Known::Not(_)));
        assert!(matches!(cache.get(&[99; 32], 1_000), Known::Not(_)));
        assert_eq!(cache.wrong.len(), 9);
    }
}
