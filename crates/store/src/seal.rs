//! The order and the division of a sealed generation's rows.
//!
//! Rows are sorted by (tags…, time, time_ns), stably in log order. Interned numbers are arrival
//! order, so each dictionary is ranked by bytes first (NULL lowest) and rows are then sorted by
//! integers: a comparison sort of strings would cost more than everything else of a flush together.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef, AsArray, Int16Array, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, Datelike, TimeZone, Utc};
use model::column::{ColumnType, Role, TIME, TIME_NS};
use model::time::HOUR_US;
use model::{ColumnId, TableMode, TableSchema, limits};

use crate::error::{Error, Result};
use crate::hot::{Generation, HotColumn};

/// A string column with its rows as ranks: 0 is NULL, 1 the least value.
#[derive(Debug)]
pub struct Ranked {
    pub column: ColumnId,
    ranks: Vec<u32>,
    /// Distinct values by rank − 1.
    sorted: Vec<String>,
}

impl Ranked {
    fn new(column: ColumnId, data: &HotColumn) -> Result<Self> {
        let (values, keys): (StringArray, Vec<u32>) = match data {
            HotColumn::Sparse(_) => return Self::new(column, &data.dense()?),
            HotColumn::Keys(keys, dictionary) => {
                // one above the number, so that 0 is NULL
                let numbers = (0..keys.len()).map(|i| if keys.is_valid(i) { keys.value(i) + 1 } else { 0 });
                (dictionary.values(), numbers.collect())
            }
            HotColumn::Plain(array) => {
                let strings =
                    array.as_string_opt::<i32>().ok_or_else(|| Error::Inconsistent("a tag is no string".into()))?;
                let mut interner = model::intern::Interner::new();
                let keys = strings.iter().map(|v| v.map_or(0, |v| interner.intern(v) + 1)).collect();
                (interner.values(), keys)
            }
        };
        let mut order: Vec<u32> = (0..values.len() as u32).collect();
        order.sort_unstable_by_key(|i| values.value(*i as usize).as_bytes());
        let mut rank = vec![0u32; values.len() + 1];
        for (position, number) in order.iter().enumerate() {
            rank[*number as usize + 1] = position as u32 + 1;
        }
        let sorted = order.iter().map(|i| values.value(*i as usize).to_owned()).collect();
        Ok(Self { column, ranks: keys.iter().map(|k| rank[*k as usize]).collect(), sorted })
    }

    /// Nulls, least and greatest value among `rows`.
    pub fn bounds(&self, rows: &[u32]) -> (u64, Option<(&str, &str)>) {
        let (mut nulls, mut min, mut max) = (0, u32::MAX, 0);
        for row in rows {
            match self.ranks[*row as usize] {
                0 => nulls += 1,
                rank => (min, max) = (min.min(rank), max.max(rank)),
            }
        }
        let value = |rank: u32| self.sorted[rank as usize - 1].as_str();
        (nulls, (max > 0).then(|| (value(min), value(max))))
    }

    /// Stable counting sort of `order` by rank.
    fn sort(&self, order: Vec<u32>) -> Vec<u32> {
        let mut starts = vec![0u32; self.sorted.len() + 2];
        for row in &order {
            starts[self.ranks[*row as usize] as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut out = vec![0u32; order.len()];
        for row in order {
            let start = &mut starts[self.ranks[row as usize] as usize];
            out[*start as usize] = row;
            *start += 1;
        }
        out
    }
}

/// A sealed generation, laid out for writing.
#[derive(Debug)]
pub struct Sorted {
    pub columns: BTreeMap<ColumnId, HotColumn>,
    pub keys: Vec<Ranked>,
    /// Ids of the sort key: string columns, then `time`, then `time_ns` where it exists.
    pub sort_key: Vec<ColumnId>,
    pub time: ArrayRef,
    pub files: Vec<FileRows>,
}

/// The rows of one file in their final order.
#[derive(Debug)]
pub struct FileRows {
    pub rows: Vec<u32>,
    pub interval: Interval,
}

/// The span of event time that a file is for; `None` has no bound.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interval {
    Hour(i64),
    Day(i64),
    Month(i32, u32),
    Year(i32),
    Any,
}

impl Interval {
    pub fn hour(us: i64) -> Self {
        Interval::Hour(us.div_euclid(HOUR_US))
    }

    pub fn day(us: i64) -> Self {
        Interval::Day(us.div_euclid(24 * HOUR_US))
    }

    pub fn month(us: i64) -> Self {
        let d = instant(us);
        Interval::Month(d.year(), d.month())
    }

    pub fn year(us: i64) -> Self {
        Interval::Year(instant(us).year())
    }

    /// The first instant behind it, UTC microseconds.
    pub fn end_us(&self) -> i64 {
        let first_of = |year: i32, month: u32| Utc.with_ymd_and_hms(year, month, 1, 0, 0, 0).single();
        let end = match *self {
            Interval::Hour(hour) => return hour.saturating_add(1).saturating_mul(HOUR_US),
            Interval::Day(day) => return day.saturating_add(1).saturating_mul(24 * HOUR_US),
            Interval::Month(year, 12) | Interval::Year(year) => first_of(year + 1, 1),
            Interval::Month(year, month) => first_of(year, month + 1),
            Interval::Any => None,
        };
        end.map_or(i64::MAX, |d| d.timestamp_micros())
    }

    /// Folder below the table's, ending in `/`: the wider the interval, the shorter.
    pub fn folder(&self) -> String {
        let day = |d: &DateTime<Utc>| format!("{:04}/{:02}/{:02}/", d.year(), d.month(), d.day());
        match self {
            Interval::Hour(hour) => {
                let d = instant(hour * HOUR_US);
                format!("{}{:02}/", day(&d), chrono::Timelike::hour(&d))
            }
            Interval::Day(number) => day(&instant(number * 24 * HOUR_US)),
            Interval::Month(year, month) => format!("{year:04}/{month:02}/"),
            Interval::Year(year) => format!("{year:04}/"),
            Interval::Any => "any/".into(),
        }
    }
}

fn instant(us: i64) -> DateTime<Utc> {
    Utc.timestamp_micros(us).single().unwrap_or_default()
}

/// Sorts a generation and divides it into files; of a `last` table one row a point is left.
pub fn sort(generation: &Generation, schema: &TableSchema, mode: TableMode) -> Result<Sorted> {
    let mut columns = BTreeMap::new();
    for id in generation.columns() {
        if let Some(column) = generation.whole_column(id)? {
            columns.insert(id, column);
        }
    }
    let missing = || Error::Inconsistent("hot rows have no time column".into());
    let time_id = schema.find(TIME).ok_or_else(missing)?.id;
    let Some(HotColumn::Plain(time)) = columns.get(&time_id).cloned() else {
        return Err(missing());
    };
    let ns_id = schema.find(TIME_NS).map(|c| c.id).filter(|id| columns.contains_key(id));
    let key_columns = sort_columns(schema, &columns, mode);
    let mut keys = Vec::with_capacity(key_columns.len());
    for id in &key_columns {
        keys.push(Ranked::new(*id, &columns[id])?);
    }
    let times = time.as_primitive::<TimestampMicrosecondType>().values();
    let ns = ns_id.map(|id| columns[&id].dense()).transpose()?;
    let mut order = time_order(times, ns.as_ref().and_then(ns_values));
    for key in keys.iter().rev() {
        order = key.sort(order);
    }
    if mode == TableMode::Last {
        let ns = ns.as_ref().and_then(ns_values);
        let ns = |row: u32| ns.map_or(0, |ns| if ns.is_valid(row as usize) { ns.value(row as usize) } else { 0 });
        let is_same = |a: &u32, b: &u32| {
            times[*a as usize] == times[*b as usize]
                && ns(*a) == ns(*b)
                && keys.iter().all(|key| key.ranks[*a as usize] == key.ranks[*b as usize])
        };
        order = newest(order, is_same, &mut columns)?;
    }
    let files = divide(times, order);
    let mut sort_key = key_columns;
    sort_key.push(time_id);
    sort_key.extend(ns_id);
    Ok(Sorted { columns, keys, sort_key, time, files })
}

/// The last row of each point, with the last value of each column that is not null.
fn newest(
    order: Vec<u32>,
    is_same: impl Fn(&u32, &u32) -> bool,
    columns: &mut BTreeMap<ColumnId, HotColumn>,
) -> Result<Vec<u32>> {
    let points: Vec<&[u32]> = order.chunk_by(is_same).collect();
    if points.len() == order.len() {
        return Ok(order);
    }
    for column in columns.values_mut() {
        let taken = |versions: &&[u32]| {
            let is_there = |row: &&u32| column.is_valid(**row as usize);
            let last = versions.last().filter(|_| versions.len() > 1).filter(|row| !is_there(row))?;
            Some((*last, *versions.iter().rev().find(is_there)?))
        };
        let taken: Vec<(u32, u32)> = points.iter().filter_map(taken).collect();
        if !taken.is_empty() {
            *column = column.with_taken(&taken, order.len())?;
        }
    }
    Ok(points.iter().filter_map(|versions| versions.last().copied()).collect())
}

/// The tags in id order; where there are none, the dictionary columns that have no role, unless the
/// order has to be that of points.
fn sort_columns(schema: &TableSchema, columns: &BTreeMap<ColumnId, HotColumn>, mode: TableMode) -> Vec<ColumnId> {
    let strings =
        |role: Role| schema.columns().iter().filter(move |c| c.role == role && c.ty == ColumnType::Utf8).map(|c| c.id);
    let tags: Vec<ColumnId> = strings(Role::Tag).filter(|id| columns.contains_key(id)).collect();
    if !tags.is_empty() || mode == TableMode::Last {
        return tags;
    }
    strings(Role::None).filter(|id| matches!(columns.get(id), Some(HotColumn::Keys(..)))).collect()
}

fn ns_values(column: &HotColumn) -> Option<&Int16Array> {
    match column {
        HotColumn::Plain(array) => array.as_any().downcast_ref(),
        _ => None,
    }
}

/// Row numbers in order of time; the sort finds runs that are in order already.
fn time_order(times: &[i64], ns: Option<&Int16Array>) -> Vec<u32> {
    let mut order: Vec<u32> = (0..times.len() as u32).collect();
    match ns {
        None if times.is_sorted() => {}
        // keys beside their rows: looking each time up by its row would miss the cache each time
        None => order.sort_by_cached_key(|i| times[*i as usize]),
        Some(ns) => order.sort_by_cached_key(|i| {
            let i = *i as usize;
            (times[i], if ns.is_valid(i) { ns.value(i) } else { 0 })
        }),
    }
    order
}

/// The ≤ 12 fullest hours get a file each; the rest goes into the narrowest of day, month or year
/// that makes ≤ 4 more, and what is left into one without bound.
fn divide(times: &[i64], order: Vec<u32>) -> Vec<FileRows> {
    let mut hours: HashMap<i64, usize> = HashMap::new();
    let mut last = (i64::MIN, 0usize);
    for time in times {
        let hour = time.div_euclid(HOUR_US);
        if hour != last.0 {
            if last.1 > 0 {
                *hours.entry(last.0).or_default() += last.1;
            }
            last = (hour, 0);
        }
        last.1 += 1;
    }
    *hours.entry(last.0).or_default() += last.1;
    let intervals = intervals_of(hours);
    if intervals.len() == 1 {
        let interval = intervals.into_values().next().expect("there is one");
        return vec![FileRows { rows: order, interval }];
    }
    let mut files: BTreeMap<Interval, Vec<u32>> = BTreeMap::new();
    for row in order {
        let interval = &intervals[&times[row as usize].div_euclid(HOUR_US)];
        match files.get_mut(interval) {
            Some(rows) => rows.push(row),
            None => {
                files.insert(interval.clone(), vec![row]);
            }
        }
    }
    files.into_iter().map(|(interval, rows)| FileRows { rows, interval }).collect()
}

/// Hour number → the interval of its file.
fn intervals_of(hours: HashMap<i64, usize>) -> HashMap<i64, Interval> {
    let mut fullest: Vec<(i64, usize)> = hours.into_iter().collect();
    fullest.sort_unstable_by_key(|(hour, rows)| (std::cmp::Reverse(*rows), *hour));
    let rest = fullest.split_off(fullest.len().min(limits::FLUSH_HOUR_FILES));
    let mut out: HashMap<i64, Interval> = fullest.into_iter().map(|(h, _)| (h, Interval::Hour(h))).collect();
    let widths: [fn(i64) -> Interval; 3] = [
        |hour| Interval::day(hour * HOUR_US),
        |hour| Interval::month(hour * HOUR_US),
        |hour| Interval::year(hour * HOUR_US),
    ];
    let distinct = |width: fn(i64) -> Interval| -> Vec<Interval> {
        let mut found: HashMap<Interval, usize> = HashMap::new();
        for (hour, rows) in &rest {
            *found.entry(width(*hour)).or_default() += rows;
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        found.into_iter().map(|(i, _)| i).collect()
    };
    let width = widths.into_iter().find(|w| distinct(*w).len() <= limits::FLUSH_WIDE_FILES).unwrap_or(widths[2]);
    let kept: Vec<Interval> = distinct(width).into_iter().take(limits::FLUSH_WIDE_FILES).collect();
    for (hour, _) in &rest {
        let interval = width(*hour);
        out.insert(*hour, if kept.contains(&interval) { interval } else { Interval::Any });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(list: impl IntoIterator<Item = (i64, usize)>) -> Vec<Interval> {
        let mut found: Vec<Interval> = intervals_of(list.into_iter().collect()).into_values().collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn a_flush_makes_at_most_seventeen_files() {
        let ten_years = (0..87_600).map(|h| (h, 1 + (h % 7) as usize));
        assert!(hours(ten_years).len() <= 17);
        assert_eq!(hours([(5, 10)]), [Interval::Hour(5)]);
    }

    #[test]
    fn late_rows_do_not_widen_the_hot_hours_file() {
        let found = hours((0..12).map(|h| (400_000 + h, 1000)).chain([(399_000, 1), (399_001, 1), (398_000, 1)]));
        assert_eq!(found.iter().filter(|i| matches!(i, Interval::Hour(_))).count(), 12);
        assert_eq!(found.iter().filter(|i| matches!(i, Interval::Day(_))).count(), 2);
    }

    #[test]
    fn folders_follow_the_width() {
        let hour = 1_767_258_000_000_000 / HOUR_US; // 2026-01-01T09:00Z
        assert_eq!(Interval::Hour(hour).folder(), "2026/01/01/09/");
        assert_eq!(Interval::Day(hour.div_euclid(24)).folder(), "2026/01/01/");
        assert_eq!(Interval::Month(2026, 1).folder(), "2026/01/");
        assert_eq!(Interval::Hour(-1).folder(), "1969/12/31/23/");
    }
}
