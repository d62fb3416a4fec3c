//! Answers that are kept. An answer's key is its statement and the rows that it read: the files and hot chunks
//! left after pruning, from the View that the query ran on. Files and rows never change under their ids, so an
//! answer that is found is the answer that would be computed; what is written later makes another key.
//!
//! Two steps find an answer: by the tables' whole state, before anything is planned, and by what pruning left,
//! after planning, so that a query over closed hours is found while others are written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::{Array, ArrayData, ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use model::lru::{Counts, Lru};
use model::{Access, Lsn, TableId};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use store::View;
use store::hot::Chunk;
use store::view::{DataFile, Table};
use tokio::sync::watch;

use crate::engine::ReadMode;

/// SHA-256: two things with one key are one thing.
pub type Key = [u8; 32];

/// Statements whose tables are remembered, and those that were asked once.
const STATEMENTS: usize = 10_000;
/// What an entry costs beside its batches: keys, links, the places in two maps.
const ENTRY_BYTES: usize = 256;

/// A finished answer.
#[derive(Debug)]
pub struct Answer {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    pub rows: usize,
    bytes: usize,
}

impl Answer {
    /// Copies the rows into buffers of their own: a slice must not keep alive what it was cut from.
    ///
    /// # Errors
    /// Arrow cannot join the batches.
    pub fn new(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let plain = |ty: &DataType| match ty {
            DataType::Utf8View => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            other => other.clone(),
        };
        let fields = schema.fields().iter().map(|f| Field::new(f.name(), plain(f.data_type()), f.is_nullable()));
        let kept: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let column = |(at, field): (usize, &Arc<Field>)| -> Result<ArrayRef, ArrowError> {
            let mut parts: Vec<ArrayRef> =
                batches.iter().map(|b| cast(b.column(at), field.data_type())).collect::<Result<_, _>>()?;
            // one array alone would be shared, not copied
            let empty = parts.first().map(|p| p.slice(0, 0));
            parts.extend(empty);
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            if parts.is_empty() {
                Ok(datafusion::arrow::array::new_empty_array(field.data_type()))
            } else {
                concat(&parts)
            }
        };
        let columns = kept.fields().iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&kept), columns, &options)?;
        let bytes = bytes_of(&batch) + schema_bytes(&kept) + ENTRY_BYTES;
        Ok(Self { schema: kept, batches: vec![batch], rows, bytes })
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Bytes of a batch: each distinct buffer once, at its capacity, and the arrays themselves.
pub fn bytes_of(batch: &RecordBatch) -> usize {
    fn buffers(data: &ArrayData, seen: &mut HashSet<*const u8>) -> usize {
        let nulls = data.nulls().map(|n| n.buffer());
        let own = data.buffers().iter().chain(nulls);
        let own: usize = own.filter(|b| seen.insert(b.data_ptr().as_ptr().cast_const())).map(|b| b.capacity()).sum();
        own + data.child_data().iter().map(|child| buffers(child, seen)).sum::<usize>()
    }
    let mut seen = HashSet::new();
    let array = |a: &ArrayRef| {
        let itself = a.get_array_memory_size() - a.get_buffer_memory_size();
        buffers(&a.to_data(), &mut seen) + itself
    };
    size_of::<RecordBatch>() + batch.columns().iter().map(array).sum::<usize>()
}

fn schema_bytes(schema: &Schema) -> usize {
    let field = |f: &Arc<Field>| size_of::<Field>() + f.name().len() + 2 * size_of::<usize>();
    size_of::<Schema>() + schema.fields().iter().map(field).sum::<usize>()
}

/// The key of a statement, whatever it reads.
pub fn statement_key(
    text: &str,
    aliases: &HashMap<String, String>,
    database: &str,
    mode: ReadMode,
    access: &Access,
) -> Key {
    let mut aliases: Vec<_> = aliases.iter().collect();
    aliases.sort();
    hash(&[text, &format!("{aliases:?}"), &model::fold(database), &format!("{mode:?}"), &format!("{access:?}")])
}

fn hash(parts: &[&str]) -> Key {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// What a scan of a table reads: its shape, and the files and hot chunks that are left.
pub fn rows_key<'a>(
    table: &Table,
    files: impl Iterator<Item = &'a Arc<DataFile>>,
    chunks: impl Iterator<Item = &'a Arc<Chunk>>,
) -> Key {
    let mut hasher = Sha256::new();
    let mut number = |n: u64| hasher.update(n.to_le_bytes());
    number(table.info.id.0);
    number(table.info.epoch);
    number(table.info.mode as u64);
    table.info.schema.columns().iter().for_each(|c| number(c.id.0));
    number(u64::MAX);
    files.for_each(|f| number(f.id));
    number(u64::MAX);
    for chunk in chunks {
        let (Lsn(first), Lsn(last)) = (chunk.lsn_min, chunk.lsn_max);
        [first, last, chunk.rows as u64].into_iter().for_each(&mut number);
    }
    hasher.finalize().into()
}

/// All that a table holds, for who reads it in this mode.
fn whole_key(table: &Table, mode: ReadMode) -> Key {
    let chunks = table.hot.chunks().filter(|_| mode == ReadMode::Newest);
    rows_key(table, table.files.iter(), chunks)
}

/// What the scans of one plan read, gathered while it is made.
#[derive(Debug, Default)]
pub struct Reads {
    rows: Mutex<Vec<(TableId, Key)>>,
    bytes: AtomicU64,
}

impl Reads {
    /// A scan that reads these rows, of files of so many bytes.
    pub fn add(&self, table: TableId, rows: Key, bytes: u64) {
        self.rows.lock().push((table, rows));
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of files.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What is known of a planned statement's answer.
#[derive(Debug, Clone)]
pub struct Identity {
    statement: Key,
    /// Database and name of each table, and the key of all that they hold together.
    tables: Vec<(String, String)>,
    whole: Key,
    /// The key of the answer.
    pub answer: Key,
}

impl Identity {
    /// `reads` is what the scans left; without it the tables count as read in whole.
    pub fn new(
        statement: Key,
        tables: Vec<(String, String)>,
        view: &View,
        mode: ReadMode,
        reads: Option<&Reads>,
    ) -> Option<Self> {
        let whole = whole(&tables, view, mode)?;
        let mut hasher = Sha256::new_with_prefix(statement);
        match reads {
            Some(reads) => {
                let mut reads = reads.rows.lock().clone();
                reads.sort_unstable_by_key(|(table, rows)| (table.0, *rows));
                for (table, rows) in reads {
                    hasher.update(table.0.to_le_bytes());
                    hasher.update(rows);
                }
            }
            None => hasher.update(whole),
        }
        Some(Self { statement, tables, whole, answer: hasher.finalize().into() })
    }
}

/// None when one of the tables is not there.
fn whole(tables: &[(String, String)], view: &View, mode: ReadMode) -> Option<Key> {
    let mut hasher = Sha256::new();
    for (database, table) in tables {
        hasher.update(whole_key(view.table(database, table)?, mode));
    }
    Some(hasher.finalize().into())
}

/// How a query met the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    Hit,
    Miss,
    /// It asks for something that changes by itself, or the cache is off.
    Bypass,
}

impl Met {
    pub const fn as_str(self) -> &'static str {
        match self {
            Met::Hit => "hit",
            Met::Miss => "miss",
            Met::Bypass => "bypass",
        }
    }
}

/// What the cache has done and holds.
#[derive(Debug, Clone)]
pub struct Stats {
    pub hits: u64,
    pub misses: u64,
    pub bypasses: u64,
    pub evictions: u64,
    /// Answers that were not let in: too large, or asked once while the cache was full.
    pub turned_away: u64,
    pub entries: usize,
    pub bytes: usize,
    pub max_bytes: usize,
    pub max_result_bytes: usize,
}

#[derive(Debug)]
struct Inner {
    answers: Lru<Key, Arc<Answer>>,
    /// What each statement read when it was planned last.
    statements: Lru<Key, Identity>,
    /// Keys that were asked for before: with a full cache only those may push others out.
    asked: Lru<Key, ()>,
    flights: HashMap<Key, watch::Receiver<bool>>,
    hits: u64,
    misses: u64,
    bypasses: u64,
    turned_away: u64,
}

/// Answers within a bound of bytes.
#[derive(Debug)]
pub struct Cache {
    inner: Mutex<Inner>,
    max_result_bytes: usize,
}

/// One computation of an answer that others wait for.
#[derive(Debug)]
pub struct Flight {
    cache: Arc<Cache>,
    key: Key,
    /// None once it was released.
    landed: Option<watch::Sender<bool>>,
}

impl Flight {
    /// Lets those who wait go on by themselves.
    pub fn release(&mut self) {
        // a released flight must not take away the one that came after it
        let Some(landed) = self.landed.take() else { return };
        self.cache.inner.lock().flights.remove(&self.key);
        drop(landed);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.release();
    }
}

/// What to do about an answer.
#[derive(Debug)]
pub enum Turn {
    Found(Arc<Answer>),
    /// Compute it; others wait for the flight.
    Compute(Flight),
    /// Somebody computes it already.
    Wait(watch::Receiver<bool>),
}

impl Cache {
    /// Zero bytes: it is off.
    pub fn new(max_bytes: usize, max_result_bytes: usize) -> Self {
        let inner = Inner {
            answers: Lru::new(max_bytes),
            statements: Lru::new(STATEMENTS),
            asked: Lru::new(STATEMENTS),
            flights: HashMap::new(),
            hits: 0,
            misses: 0,
            bypasses: 0,
            turned_away: 0,
        };
        Self { inner: Mutex::new(inner), max_result_bytes: max_result_bytes.min(max_bytes) }
    }

    pub fn is_on(&self) -> bool {
        self.max_result_bytes > 0
    }

    /// Bytes above which an answer is not kept.
    pub fn max_result_bytes(&self) -> usize {
        self.max_result_bytes
    }

    /// The answer of a statement whose tables are as they were when it was planned last, with how many of their
    /// rows no file holds.
    pub fn find(&self, statement: &Key, view: &View, mode: ReadMode) -> Option<(Arc<Answer>, usize)> {
        let mut inner = self.inner.lock();
        let known = inner.statements.get(statement, 0)?;
        if whole(&known.tables, view, mode)? != known.whole {
            return None;
        }
        let tables = known.tables.iter().filter_map(|(database, table)| view.table(database, table));
        let hot_rows = if mode == ReadMode::Newest { tables.map(|t| t.hot.rows()).sum() } else { 0 };
        let key = known.answer;
        let answer = Arc::clone(inner.answers.get(&key, 0)?);
        inner.hits += 1;
        Some((answer, hot_rows))
    }

    /// Whether the answer of a planned statement is there, or on its way.
    pub fn turn(self: &Arc<Self>, identity: &Identity) -> Turn {
        let mut inner = self.inner.lock();
        inner.statements.insert(identity.statement, identity.clone(), 1, i64::MAX);
        if let Some(answer) = inner.answers.get(&identity.answer, 0) {
            let answer = Arc::clone(answer);
            inner.hits += 1;
            return Turn::Found(answer);
        }
        if let Some(flight) = inner.flights.get(&identity.answer) {
            return Turn::Wait(flight.clone());
        }
        inner.misses += 1;
        let (landed, receiver) = watch::channel(false);
        inner.flights.insert(identity.answer, receiver);
        Turn::Compute(Flight { cache: Arc::clone(self), key: identity.answer, landed: Some(landed) })
    }

    pub fn bypassed(&self) {
        self.inner.lock().bypasses += 1;
    }

    /// Keeps what a flight brought, if it fits.
    pub fn keep(&self, flight: Flight, answer: Answer) {
        let key = flight.key;
        {
            let mut inner = self.inner.lock();
            let bytes = answer.bytes();
            let is_full = inner.answers.weight() + bytes > inner.answers.max_weight();
            let was_asked = inner.asked.get(&key, 0).is_some();
            inner.asked.insert(key, (), 1, i64::MAX);
            if bytes > self.max_result_bytes || (is_full && !was_asked) {
                inner.turned_away += 1;
                return;
            }
            inner.answers.insert(key, Arc::new(answer), bytes, i64::MAX);
        }
        if let Some(landed) = &flight.landed {
            let _ = landed.send(true);
        }
    }

    /// How many answers were there.
    pub fn clear(&self) -> usize {
        let mut inner = self.inner.lock();
        inner.statements.clear();
        inner.asked.clear();
        inner.answers.clear()
    }

    pub fn stats(&self) -> Stats {
        let inner = self.inner.lock();
        let Counts { evictions, .. } = inner.answers.counts();
        Stats {
            hits: inner.hits,
            misses: inner.misses,
            bypasses: inner.bypasses,
            evictions,
            turned_away: inner.turned_away,
            entries: inner.answers.len(),
            bytes: inner.answers.weight(),
            max_bytes: inner.answers.max_weight(),
            max_result_bytes: self.max_result_bytes,
        }
    }

    /// The most recently used answers: key in hexadecimal, rows, columns, bytes.
    pub fn recent(&self, limit: usize) -> Vec<(String, usize, usize, usize)> {
        let inner = self.inner.lock();
        let describe = |(key, answer, _): (&Key, &Arc<Answer>, i64)| {
            let text = key[..8].iter().map(|b| format!("{b:02x}")).collect();
            (text, answer.rows, answer.schema.fields().len(), answer.bytes())
        };
        inner.answers.iter().rev().take(limit).map(describe).collect()
    }
}

#[cfg(test)]
#[path = "cache/tests.rs"]
mod tests;
