//! Continuous queries: which windows are due, and one run of a query over them. The rules are those
//! of the store's commit ([`store::continuous`]): a window's rows replace what was there, together
//! with the mark, so that a run that is cut or repeated leaves each window exactly once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options, concat_batches};
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};
use model::column::TIME;
use model::{Access, Batch, BatchColumn, DatabaseName, ItemName, Permission, Role, TableId, limits};
use parking_lot::Mutex;
use store::Store;
use store::continuous::{Continuous, Definition, Mark, Settled, Window, late_rows};
use store::jobs::Handle;

use crate::{Engine, Error, syntax};

/// 2000-01-03, a Monday: where `time_bucket` counts from, too.
const ORIGIN_US: i64 = 946_857_600_000_000;
const DAY_US: i64 = 86_400_000_000;
/// Shortest interval of a query.
const LEAST_INTERVAL_US: i64 = 10_000_000;
/// How far back the first run of a query begins.
const FIRST_RUN_US: i64 = 3_600_000_000;

/// What a run did.
#[derive(Debug, Clone)]
pub struct Done {
    pub name: String,
    /// First instant, and the first one after it (UTC microseconds).
    pub range: (i64, i64),
    pub rows: u64,
}

/// Runs continuous queries, one at a time.
#[derive(Debug)]
pub struct Continuum {
    store: Arc<Store>,
    engine: Arc<Engine>,
    /// Held by the one run: overlap is impossible.
    running: Mutex<()>,
    /// When to look at a query again (UTC microseconds), and how often it failed in a row.
    schedule: Mutex<HashMap<i64, (i64, u32)>>,
}

fn floor(us: i64, bucket_us: i64) -> i64 {
    us - (us - ORIGIN_US).rem_euclid(bucket_us)
}

fn ceil(us: i64, bucket_us: i64) -> i64 {
    floor(us + bucket_us - 1, bucket_us)
}

/// Aligned ranges without overlap that cover all of `touched` (both ends included) within `within`
/// (to the first instant after it).
fn windows(touched: &[(i64, i64)], within: (i64, i64), bucket_us: i64) -> Vec<(i64, i64)> {
    let mut aligned: Vec<(i64, i64)> = touched
        .iter()
        .map(|(from, to)| {
            (floor((*from).max(within.0), bucket_us), floor((*to).min(within.1 - 1), bucket_us) + bucket_us)
        })
        .filter(|(from, to)| from < to && *to > within.0)
        .collect();
    aligned.sort_unstable();
    let mut merged: Vec<(i64, i64)> = Vec::with_capacity(aligned.len());
    for (from, to) in aligned {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// A long range in pieces of about a day: each is one commit.
fn pieces((from, to): (i64, i64), bucket_us: i64) -> Vec<(i64, i64)> {
    let step = (DAY_US / bucket_us).max(1) * bucket_us;
    let starts = (0..).map(|n| from + n * step).take_while(|start| *start < to);
    starts.map(|start| (start, (start + step).min(to))).collect()
}

impl Continuum {
    pub fn new(store: Arc<Store>, engine: Arc<Engine>) -> Self {
        Self { store, engine, running: Mutex::default(), schedule: Mutex::default() }
    }

    /// Whether a definition can run with the rights of `access`: tables that it reads.
    ///
    /// # Errors
    /// What is wrong with it and what would be right.
    pub fn check(&self, definition: &Definition, access: &Arc<Access>) -> Result<Vec<TableId>, Error> {
        let refuse = |text: String| Err(Error::Invalid(text));
        if definition.name.trim().is_empty() || definition.name.len() > limits::ITEM_NAME_BYTES {
            return refuse(format!("name must have 1 to {} bytes", limits::ITEM_NAME_BYTES));
        }
        if definition.interval_us < LEAST_INTERVAL_US {
            return refuse(format!("interval {:?} is shorter than 10 seconds", definition.interval));
        }
        if definition.bucket_us < 1_000_000 {
            return refuse("bucket is shorter than a second".into());
        }
        let name = |what, text: &str| ItemName::new(what, text).map(drop).map_err(|e| Error::Invalid(e.to_string()));
        DatabaseName::new(&definition.database).map_err(|e| Error::Invalid(e.to_string()))?;
        name("destination_measurement", &definition.destination_measurement)?;
        name("source_measurement", &definition.source_measurement)?;
        for (field, days) in [
            ("retention_days", definition.retention_days),
            ("delete_source_after_days", definition.delete_source_after_days),
        ] {
            if days.is_some_and(|days| !(1..=365_250).contains(&days)) {
                return refuse(format!("{field} must be 1 to 365250"));
            }
        }
        let view = self.store.view();
        let may_read = |table: &str| access.may(Permission::Read, &definition.database, table);
        if !may_read(&definition.source_measurement) {
            let (database, table) = (definition.database.clone(), definition.source_measurement.clone());
            return Err(Error::Forbidden { database, table });
        }
        if view.table(&definition.database, &definition.source_measurement).is_none() {
            let (source, database) = (&definition.source_measurement, &definition.database);
            return refuse(format!("source_measurement {source:?} does not exist in {database:?}; write to it first"));
        }
        let sources = self.sources(definition)?;
        let destination = view.table(&definition.database, &definition.destination_measurement);
        if destination.is_some_and(|t| sources.contains(&t.info.id))
            || definition.destination_measurement.eq_ignore_ascii_case(&definition.source_measurement)
        {
            return refuse("the destination is one of the sources: a query must not read what it writes".into());
        }
        let needed_us = definition.look_back_us + definition.bucket_us;
        for policy in self.store.policies().list()? {
            let kept_us = (policy.settings.retention_days + policy.settings.buffer_days) * DAY_US;
            let is_of = |id: &TableId| {
                let table = view.tables.get(id);
                let database = table.and_then(|t| view.database_of(&t.info));
                table.zip(database).is_some_and(|(t, d)| policy.settings.covers_table(&d.name, &t.info.name))
            };
            if policy.settings.is_active && kept_us < needed_us && sources.iter().any(is_of) {
                let text = format!(
                    "retention policy {:?} keeps the source for {} days, less than look_back and bucket together; \
                     shorten look_back",
                    policy.settings.name,
                    kept_us / DAY_US
                );
                return refuse(text);
            }
        }
        // the planner knows whether tables, columns and functions exist and what comes out
        let (schema, _) = self.engine.collect_window(&definition.query, &definition.database, (0, 0), access)?;
        time_column(&schema)?;
        if let Some(missing) = definition.tag_columns.iter().find(|t| schema.field_with_name(t).is_err()) {
            return refuse(format!("tag column {missing:?} is not among the query's columns"));
        }
        Ok(sources)
    }

    fn sources(&self, definition: &Definition) -> Result<Vec<TableId>, Error> {
        let view = self.store.view();
        let named = syntax::tables_of_window(&definition.query)?;
        let mut found: Vec<TableId> = named
            .iter()
            .filter_map(|parts| match parts.as_slice() {
                [table] => view.table(&definition.database, table),
                [.., database, table] => view.table(database, table),
                [] => None,
            })
            .map(|t| t.info.id)
            .collect();
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The rows that a run over `range` would write.
    pub fn preview(&self, definition: &Definition, range: (i64, i64)) -> Result<(SchemaRef, Vec<RecordBatch>), Error> {
        self.engine.collect_window(&definition.query, &definition.database, range, &Arc::new(Access::full()))
    }

    /// `range`, or what a scheduled run would start with, in whole windows.
    ///
    /// # Errors
    /// The start is not before the end.
    pub fn range(
        &self,
        query: &Continuous,
        from_us: Option<i64>,
        to_us: Option<i64>,
        now_us: i64,
    ) -> Result<(i64, i64), Error> {
        let bucket = query.definition.bucket_us;
        let from = from_us.or(query.mark.map(|m| m.processed_us)).unwrap_or(now_us - FIRST_RUN_US);
        let to = to_us.unwrap_or(now_us);
        if from >= to {
            return Err(Error::Invalid("start_time must lie before end_time".into()));
        }
        Ok((floor(from, bucket), ceil(to, bucket)))
    }

    /// Runs every active query that is due and has something to do; a query that fails stops no
    /// other and is tried again after 1, 2, 4 … 60 s. Returns how many ran.
    ///
    /// # Errors
    /// The definitions cannot be read.
    pub fn run_due(&self, now_us: i64) -> Result<usize, Error> {
        let mut ran = 0;
        let all = self.store.continuous_queries()?;
        self.schedule.lock().retain(|id, _| all.iter().any(|q| q.id == *id));
        for query in all.into_iter().filter(|q| q.definition.is_active) {
            let interval_us = query.definition.interval_us;
            let (next_us, failures) = self.schedule.lock().get(&query.id).copied().unwrap_or((now_us, 0));
            // a clock that was set back must not put a query to sleep
            if (now_us..=now_us + interval_us.max(60_000_000)).contains(&(next_us - 1)) {
                continue;
            }
            let name = format!("cq-sched-{}", &store::random::uuid()[..8]);
            let next = match self.execute(query.id, None, &name, &Handle::of_server(&name)) {
                Ok(done) => {
                    ran += usize::from(done.is_some());
                    (now_us + interval_us, 0)
                }
                Err(error) => {
                    tracing::error!(query = query.definition.name, %error, "a continuous query failed; it is tried again");
                    (now_us + store::supervisor::backoff_us(failures + 1), failures + 1)
                }
            };
            self.schedule.lock().insert(query.id, next);
        }
        Ok(ran)
    }

    /// Forgets when a query was looked at: an edit takes effect at once.
    pub fn look_again(&self, query: i64) {
        self.schedule.lock().remove(&query);
    }

    /// Runs a query over the range that is `asked` for (whole windows), or over what is due: windows that are over and
    /// those that late rows or deletes have touched. `None` when nothing is due. The run is
    /// recorded under `name`.
    ///
    /// # Errors
    /// The query is gone or fails, or was cancelled; windows that were committed stand.
    pub fn execute(&self, id: i64, asked: Option<(i64, i64)>, name: &str, job: &Handle) -> Result<Option<Done>, Error> {
        let _running = self.running.lock();
        let query = self.store.continuous_query(id)?;
        let query = query.ok_or_else(|| Error::Invalid(format!("continuous query {id} does not exist")))?;
        let definition = &query.definition;
        let bucket = definition.bucket_us;
        let now_us = self.store.shared().clock.now_us();
        let sources = self.sources(definition)?;
        // whatever is published later is late to this run
        let view = self.store.view();
        let published = view.published;
        let begun = self.store.begin_window_run(id, sources.clone())?;
        let over_us = floor(now_us - definition.lag_us, bucket);
        let mark = begun.mark;
        let processed_us = mark.map_or(floor(now_us - FIRST_RUN_US, bucket), |m| m.processed_us);
        // (range, whether it moves the mark)
        let mut work: Vec<((i64, i64), bool)> = Vec::new();
        match asked {
            Some(range) => {
                let is_next = mark.is_none_or(|m| range.0 <= m.processed_us && range.1 > m.processed_us);
                work.extend(pieces(range, bucket).into_iter().map(|p| (p, is_next)));
            }
            None => {
                if let Some(mark) = mark {
                    let within = (floor(processed_us - definition.look_back_us, bucket), processed_us);
                    let mut touched = begun.touched.clone();
                    for table in sources.iter().filter_map(|t| view.tables.get(t)) {
                        touched.extend(late_rows(table, mark.processed_lsn, processed_us));
                    }
                    let touched = windows(&touched, within, bucket);
                    work.extend(touched.into_iter().flat_map(|r| pieces(r, bucket)).map(|p| (p, false)));
                }
                if over_us > processed_us {
                    work.extend(pieces((processed_us, over_us), bucket).into_iter().map(|p| (p, true)));
                }
            }
        }
        drop(view);
        let (Some(first), Some(last)) = (work.iter().map(|w| w.0.0).min(), work.iter().map(|w| w.0.1).max()) else {
            return Ok(None);
        };
        let done = Done { name: name.to_owned(), range: (first, last), rows: 0 };
        let execution = self.store.queries().begin(id, name, done.range, now_us)?;
        let began = Instant::now();
        let outcome = (|| {
            let mut rows = 0;
            let mut at = mark.unwrap_or(Mark { processed_us: work[0].0.0, processed_lsn: published });
            for (n, (range, moves)) in work.iter().enumerate() {
                job.step(n, work.len())?;
                if *moves {
                    at.processed_us = at.processed_us.max(range.1.min(over_us));
                }
                let mut settled = moves.then_some(Settled { mark: at, done: None });
                if asked.is_none() && n + 1 == work.len() {
                    let mark = Mark { processed_lsn: published, ..at };
                    settled = Some(Settled { mark, done: Some(begun.clone()) });
                }
                rows += self.window(&query, *range, settled, name)?;
            }
            Ok::<u64, Error>(rows)
        })();
        let told = match &outcome {
            Ok(rows) => Ok(*rows),
            Err(error) => Err((error.code() == model::Code::Cancelled, error.to_string())),
        };
        self.store.queries().end(execution, told, began.elapsed().as_secs_f64() * 1e3)?;
        self.store.forget_run(name)?;
        let rows = outcome?;
        if asked.is_some() || mark.is_none() {
            self.store.queries().computed(id, done.range)?;
        }
        self.delete_source(&query, job)?;
        Ok(Some(Done { rows, ..done }))
    }

    fn window(&self, query: &Continuous, range: (i64, i64), settled: Option<Settled>, run: &str) -> Result<u64, Error> {
        let _computing = self.store.shared().windows.read();
        let definition = &query.definition;
        let published = self.store.view().published;
        let (schema, batches) =
            self.engine.collect_window(&definition.query, &definition.database, range, &Arc::new(Access::full()))?;
        let database = DatabaseName::new(&definition.database).map_err(|e| Error::Invalid(e.to_string()))?;
        let is_tag = |column: &str| {
            let view = self.store.view();
            let source = view.table(&definition.database, &definition.source_measurement);
            match definition.tag_columns.as_slice() {
                [] => source.and_then(|t| t.info.schema.find(column)).is_some_and(|c| c.role == Role::Tag),
                named => named.iter().any(|t| t.eq_ignore_ascii_case(column)),
            }
        };
        let rows = match batches.iter().map(RecordBatch::num_rows).sum::<usize>() {
            0 => None,
            n if n > limits::CONTINUOUS_ROWS => {
                let text = format!("a window of the query gives {n} rows; at most {} fit", limits::CONTINUOUS_ROWS);
                return Err(Error::Invalid(text));
            }
            _ => {
                let whole =
                    concat_batches(&batches[0].schema(), &batches).map_err(|e| Error::Internal(e.to_string()))?;
                Some(output(&schema, &whole, &definition.destination_measurement, range, is_tag)?)
            }
        };
        Ok(self.store.replace_window(Window {
            query: query.id,
            database: &database,
            destination: &definition.destination_measurement,
            range,
            published,
            rows,
            settled,
            run,
        })?)
    }

    /// Source rows of final windows go after their days; rows that no window was made of stay.
    fn delete_source(&self, query: &Continuous, job: &Handle) -> Result<(), Error> {
        let definition = &query.definition;
        let Some(days) = definition.delete_source_after_days else { return Ok(()) };
        let Some(mark) = self.store.continuous_query(query.id)?.and_then(|q| q.mark) else { return Ok(()) };
        let Some(from_us) = self.store.queries().computed_from(query.id)? else { return Ok(()) };
        let view = self.store.view();
        let Some(table) = view.table(&definition.database, &definition.source_measurement) else { return Ok(()) };
        let now_us = self.store.shared().clock.now_us();
        let cutoff_us = (now_us - days * DAY_US).min(mark.processed_us - definition.look_back_us);
        let is_old = |min: i64, max: i64| min < cutoff_us && max >= from_us;
        if table.files.iter().any(|f| is_old(f.time_min, f.time_max))
            || table.hot.chunks().any(|c| is_old(c.time_min, c.time_max))
        {
            let rows = self.store.delete_between(table, (from_us, cutoff_us), job)?;
            tracing::info!(query = definition.name, rows, "source rows of final windows were deleted");
        }
        Ok(())
    }
}

/// Where the time of each row of a result stands.
fn time_column(schema: &SchemaRef) -> Result<usize, Error> {
    let is_time = |ty: &DataType| matches!(ty, DataType::Timestamp(..) | DataType::Date32);
    let fields = schema.fields();
    let named = fields.iter().position(|f| f.name().eq_ignore_ascii_case(TIME) && is_time(f.data_type()));
    let first = || fields.iter().position(|f| is_time(f.data_type()));
    named.or_else(first).ok_or_else(|| {
        let text = "no column of the query is a time: select one, such as time_bucket('5 minutes', time) AS time";
        Error::Invalid(text.into())
    })
}

/// The rows of a window as a write.
fn output(
    schema: &SchemaRef,
    rows: &RecordBatch,
    table: &str,
    range: (i64, i64),
    is_tag: impl Fn(&str) -> bool,
) -> Result<Batch, Error> {
    let internal = |e: datafusion::arrow::error::ArrowError| Error::Invalid(e.to_string());
    let at = time_column(schema)?;
    let times = cast(rows.column(at), &DataType::Timestamp(TimeUnit::Microsecond, None)).map_err(internal)?;
    let times = cast(&times, &DataType::Int64).map_err(internal)?;
    let times = times.as_primitive::<Int64Type>();
    let outside = |t: &i64| *t < range.0 || *t >= range.1;
    if times.null_count() > 0 || times.values().iter().any(outside) {
        let text = "the query gives a row whose time lies outside its window; \
                    set bucket to the width of its time_bucket";
        return Err(Error::Invalid(text.into()));
    }
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (field, array) in
        schema.fields().iter().zip(rows.columns()).enumerate().filter(|(i, _)| *i != at).map(|(_, c)| c)
    {
        let array = stored(array).map_err(internal)?;
        let role = if is_tag(field.name()) { Role::Tag } else { Role::Field };
        columns.push(BatchColumn { name: field.name().as_str().into(), role, array });
    }
    Ok(Batch { table: table.into(), time: times.values().clone(), time_ns: None, columns, origin: Vec::new() })
}

/// A column of a result as the store takes it; sums of integers stay integers where they fit.
fn stored(array: &ArrayRef) -> Result<ArrayRef, datafusion::arrow::error::ArrowError> {
    use DataType as T;
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let text = T::Dictionary(Box::new(T::UInt32), Box::new(T::Utf8));
    match array.data_type() {
        T::Null | T::Boolean | T::Int64 | T::UInt64 | T::Float64 => Ok(Arc::clone(array)),
        T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16 | T::UInt32 => cast(array, &T::Int64),
        T::Float16 | T::Float32 => cast(array, &T::Float64),
        T::Decimal128(_, 0) | T::Decimal256(_, 0) => {
            cast_with_options(array, &T::Int64, &exact).or_else(|_| cast(array, &T::Float64))
        }
        T::Decimal128(..) | T::Decimal256(..) => cast(array, &T::Float64),
        _ => cast(&cast(array, &T::Utf8)?, &text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: i64 = 60_000_000;

    #[test]
    fn windows_are_whole_do_not_overlap_and_cover_what_was_touched() {
        let within = (0, 100 * M);
        assert_eq!(windows(&[(5 * M, 5 * M), (6 * M - 1, 7 * M)], within, M), [(5 * M, 8 * M)]);
        assert_eq!(windows(&[(90 * M, 500 * M), (-5 * M, M)], within, 10 * M), [(0, 10 * M), (90 * M, 100 * M)]);
        assert_eq!(windows(&[(200 * M, 300 * M), (-9 * M, -M)], within, M), []);
        assert_eq!(ORIGIN_US % DAY_US, 0);
        assert_eq!((floor(-1, M), ceil(1, M), ceil(M, M)), (-M, M, M));
    }

    #[test]
    fn a_long_range_is_computed_in_pieces_of_whole_windows() {
        let week = pieces((0, 7 * DAY_US), 7 * 60 * M);
        assert_eq!((week[0].0, week.last().unwrap().1), (0, 7 * DAY_US));
        assert!(week.windows(2).all(|w| w[0].1 == w[1].0 && (w[0].1 - w[0].0) % (7 * 60 * M) == 0));
        assert_eq!(pieces((0, 30 * DAY_US), 30 * DAY_US), [(0, 30 * DAY_US)]);
    }
}
