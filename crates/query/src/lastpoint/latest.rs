use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{partition, prep_null_mask_filter, take_record_batch};
use datafusion::arrow::datatypes::{Schema, TimestampMicrosecondType};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::cast::as_boolean_array;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use hashbrown::HashMap;

/// What stands for "no row yet": earlier than every time.
const NEVER: i64 = i64::MIN;
/// Superseded rows that may wait to be dropped, beside as many as there are groups.
const SLACK_ROWS: usize = 16_384;

/// A boxed key and its place in the map, beside its bytes.
const KEY_OVERHEAD_BYTES: usize = 40;

/// What the rows are asked for; positions are columns of the batches.
#[derive(Debug, Clone)]
pub struct Question {
    pub keys: Vec<usize>,
    pub time: usize,
    /// The latest row is wanted for which each of these holds; at most 64.
    pub needs: Vec<Option<Arc<dyn PhysicalExpr>>>,
}

/// The rows of greatest time of each group so far, ties included.
pub struct Latest {
    question: Question,
    converter: RowConverter,
    groups: HashMap<Box<[u8]>, u32, ahash::RandomState>,
    /// Greatest time per group and need, groups outermost.
    best: Vec<i64>,
    kept: Vec<Kept>,
    kept_rows: usize,
    kept_bytes: usize,
    key_bytes: usize,
}

struct Kept {
    batch: RecordBatch,
    rows: Vec<Candidate>,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.batch.get_array_memory_size() + self.rows.len() * size_of::<Candidate>()
    }
}

/// A row that was latest when it was met, for the needs whose bits are set.
struct Candidate {
    row: u32,
    group: u32,
    time: i64,
    bits: u64,
}

impl Latest {
    pub fn new(question: Question, schema: &Schema) -> Result<Self> {
        let fields = question.keys.iter().map(|k| SortField::new(schema.field(*k).data_type().clone())).collect();
        Ok(Self {
            question,
            converter: RowConverter::new(fields)?,
            groups: HashMap::default(),
            best: Vec::new(),
            kept: Vec::new(),
            kept_rows: 0,
            kept_bytes: 0,
            key_bytes: 0,
        })
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.kept_bytes + self.key_bytes + self.best.len() * 8
    }

    /// The least of the greatest times of all groups: an older row matters only to a new group.
    /// None while nothing is known or some group has no row for some need.
    pub fn horizon(&self) -> Option<i64> {
        self.best.iter().copied().min().filter(|t| *t != NEVER)
    }

    /// Whether a row of `batch`, which holds the key columns alone, belongs to a group not met yet.
    pub fn has_new_group(&self, batch: &RecordBatch) -> Result<bool> {
        let keys = batch.columns();
        if keys.is_empty() {
            return Ok(self.groups.is_empty() && batch.num_rows() > 0);
        }
        let (starts, _) = runs(keys, batch.num_rows())?;
        let rows = self.converter.convert_columns(&taken(keys, &starts)?)?;
        Ok(rows.iter().any(|row| !self.groups.contains_key(row.as_ref())))
    }

    /// Takes in the rows of a batch.
    pub fn absorb(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let keys: Vec<ArrayRef> = self.question.keys.iter().map(|k| Arc::clone(batch.column(*k))).collect();
        let (starts, ends) = runs(&keys, batch.num_rows())?;
        let groups = self.groups_of(&keys, &starts)?;
        let masks = self.masks(batch)?;
        let times = batch.column(self.question.time).as_primitive::<TimestampMicrosecondType>().values();
        let mut found = Vec::new();
        for ((start, end), group) in starts.iter().zip(&ends).zip(&groups) {
            self.absorb_run(*start as usize..*end as usize, *group, times, &masks, &mut found);
        }
        if found.is_empty() {
            return Ok(());
        }
        let rows: UInt32Array = found.iter().map(|c| c.row).collect();
        self.kept_rows += found.len();
        let kept = Kept { batch: take_record_batch(batch, &rows)?, rows: found };
        self.kept_bytes += kept.bytes();
        self.kept.push(kept);
        if self.kept_rows > 2 * self.best.len() + SLACK_ROWS {
            self.compact()?;
        }
        Ok(())
    }

    /// One run of rows of one group.
    fn absorb_run(
        &mut self,
        rows: std::ops::Range<usize>,
        group: u32,
        times: &[i64],
        masks: &[Option<BooleanArray>],
        found: &mut Vec<Candidate>,
    ) {
        let best = &mut self.best[group as usize * masks.len()..][..masks.len()];
        let mut wanted = 0u64;
        for (need, mask) in masks.iter().enumerate() {
            let greatest = match mask {
                None => times[rows.clone()].iter().copied().max(),
                Some(mask) => rows.clone().filter(|r| mask.value(*r)).map(|r| times[r]).max(),
            };
            if let Some(greatest) = greatest.filter(|t| *t >= best[need]) {
                best[need] = greatest;
                wanted |= 1 << need;
            }
        }
        if wanted == 0 {
            return;
        }
        for row in rows {
            let mut bits = 0;
            for (need, mask) in masks.iter().enumerate() {
                let holds = mask.as_ref().is_none_or(|m| m.value(row));
                if wanted >> need & 1 == 1 && holds && times[row] == best[need] {
                    bits |= 1 << need;
                }
            }
            if bits != 0 {
                found.push(Candidate { row: row as u32, group, time: times[row], bits });
            }
        }
    }

    fn groups_of(&mut self, keys: &[ArrayRef], starts: &[u32]) -> Result<Vec<u32>> {
        let needs = self.question.needs.len();
        if keys.is_empty() {
            self.groups.entry(Box::default()).or_insert(0);
            self.best.resize(needs, NEVER);
            return Ok(vec![0; starts.len()]);
        }
        let rows = self.converter.convert_columns(&taken(keys, starts)?)?;
        let mut numbers = Vec::with_capacity(starts.len());
        for row in &rows {
            let next = self.groups.len() as u32;
            let number = match self.groups.get(row.as_ref()) {
                Some(number) => *number,
                None => {
                    self.groups.insert(row.as_ref().into(), next);
                    self.key_bytes += row.as_ref().len() + KEY_OVERHEAD_BYTES;
                    next
                }
            };
            numbers.push(number);
        }
        self.best.resize(self.groups.len() * needs, NEVER);
        Ok(numbers)
    }

    fn masks(&self, batch: &RecordBatch) -> Result<Vec<Option<BooleanArray>>> {
        let mask = |need: &Option<Arc<dyn PhysicalExpr>>| match need {
            None => Ok(None),
            Some(need) => Ok(Some(true_rows(need, batch)?)),
        };
        self.question.needs.iter().map(mask).collect()
    }

    /// Drops rows that later ones superseded.
    fn compact(&mut self) -> Result<()> {
        let needs = self.question.needs.len();
        let mut left = Vec::new();
        for mut kept in std::mem::take(&mut self.kept) {
            let holds = |c: &Candidate| {
                (0..needs).any(|n| c.bits >> n & 1 == 1 && self.best[c.group as usize * needs + n] == c.time)
            };
            let rows: UInt32Array = (0u32..).zip(&kept.rows).filter(|(_, c)| holds(c)).map(|(at, _)| at).collect();
            if rows.is_empty() {
                continue;
            }
            kept.rows.retain(holds);
            left.push(Kept { batch: take_record_batch(&kept.batch, &rows)?, rows: kept.rows });
        }
        self.kept_rows = left.iter().map(|k| k.rows.len()).sum();
        self.kept_bytes = left.iter().map(Kept::bytes).sum();
        self.kept = left;
        Ok(())
    }

    /// The rows that are still latest.
    pub fn finish(mut self) -> Result<Vec<RecordBatch>> {
        self.compact()?;
        Ok(self.kept.into_iter().map(|k| k.batch).collect())
    }
}

/// Rows for which the predicate is true, not null.
pub fn true_rows(predicate: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let array = predicate.evaluate(batch)?.into_array(batch.num_rows())?;
    let values = as_boolean_array(&array)?;
    Ok(if values.null_count() == 0 { values.clone() } else { prep_null_mask_filter(values) })
}

/// Starts and ends of runs of equal keys: files are sorted by tags, so that runs are long.
fn runs(keys: &[ArrayRef], rows: usize) -> Result<(Vec<u32>, Vec<u32>)> {
    if keys.is_empty() || rows == 0 {
        return Ok(if rows == 0 { (Vec::new(), Vec::new()) } else { (vec![0], vec![rows as u32]) });
    }
    Ok(partition(keys)?.ranges().into_iter().map(|r| (r.start as u32, r.end as u32)).unzip())
}

fn taken(keys: &[ArrayRef], rows: &[u32]) -> Result<Vec<ArrayRef>> {
    let rows = UInt32Array::from(rows.to_vec());
    keys.iter().map(|k| Ok(datafusion::arrow::compute::take(k, &rows, None)?)).collect()
}
