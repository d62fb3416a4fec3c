//! A request's way to the log: resolve and convert, reserve memory, define what is missing, submit.

use std::sync::mpsc::sync_channel;

use model::schema::{Change, Fit, Fitted};
use model::{Batch, ColumnType, DatabaseName, FitError, ItemName, Lsn, TableId, TableMode, limits};

use crate::catalog::{Job, Want};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::record::{self, IdempotencyKey, Part, PartColumn};
use crate::sequencer::{Outcome, Pending};
use crate::store::Store;
use crate::view::Table;

/// What a client sent, decoded.
#[derive(Debug)]
pub struct WriteRequest {
    pub database: DatabaseName,
    /// For tables that do not exist yet.
    pub mode: TableMode,
    pub batches: Vec<Batch>,
    /// Keep the rows that fit and report the others (line protocol), or refuse all (MessagePack).
    pub partial: bool,
    pub durability: Option<Durability>,
    pub key: Option<IdempotencyKey>,
}

/// A row that did not fit its table, by the client's number of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    pub number: u32,
    pub reason: String,
    pub code: model::Code,
}

/// A request whose rows all have a place.
#[derive(Debug)]
pub struct Resolved {
    pub(crate) epochs: Vec<(model::TableId, u64)>,
    pub(crate) parts: Vec<Part>,
    pub rows: usize,
}

/// The outcome of one attempt to resolve.
#[derive(Debug)]
pub enum Resolution {
    Ready(Resolved),
    /// Call [`Store::define`], which blocks, and resolve again.
    Needs(Vec<Want>),
    /// Call [`Store::widen`], which blocks, and resolve again.
    Widens {
        table: TableId,
        column: String,
    },
}

/// What an accepted request is told.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub lsn: Lsn,
    pub durability: Durability,
    pub rows: usize,
    pub refused: Vec<RefusedRow>,
}

impl Store {
    /// Fits every batch to its table as the newest View knows it. With `partial`, rows that do not
    /// fit leave `request` and are added to `refused`.
    pub fn resolve(&self, request: &mut WriteRequest, refused: &mut Vec<RefusedRow>) -> Result<Resolution> {
        let view = self.view();
        let mut wants: Vec<Want> = Vec::new();
        let mut resolved = Resolved { epochs: Vec::new(), parts: Vec::new(), rows: 0 };
        let mut kept = Vec::with_capacity(request.batches.len());
        let mut batches = std::mem::take(&mut request.batches).into_iter();
        while let Some(mut batch) = batches.next() {
            let name = ItemName::new("table", &batch.table)?;
            let table = view.table(request.database.as_str(), name.as_str());
            let empty;
            let schema = match table {
                Some(table) => &*table.info.schema,
                None => {
                    empty = planned(&wants, &name);
                    &empty
                }
            };
            let fit = loop {
                match schema.fit(&batch) {
                    Ok(fit) => break Some(fit),
                    Err((rows, error)) => {
                        if let Some((table, column)) = table.and_then(|t| widened_by(t, &error)) {
                            kept.push(batch);
                            kept.extend(batches);
                            request.batches = kept;
                            return Ok(Resolution::Widens { table, column });
                        }
                        if !request.partial {
                            return Err(Error::Fit { table: name.to_string(), rows, error: Box::new(error) });
                        }
                        if !drop_rows(&mut batch, &rows, &error, refused) {
                            break None;
                        }
                    }
                }
            };
            match fit {
                None => continue,
                Some(Fit::Needs(changes)) => want(&mut wants, name, request.mode, changes),
                Some(Fit::Ready(fitted)) => {
                    if let Some(table) = table {
                        resolved.add(table.info.id, table.info.epoch, fitted);
                    }
                }
            }
            kept.push(batch);
        }
        request.batches = kept;
        Ok(if wants.is_empty() { Resolution::Ready(resolved) } else { Resolution::Needs(wants) })
    }

    /// Creates missing databases, tables and columns in one commit shared with whoever waits; blocks.
    pub fn define(&self, database: &DatabaseName, wants: Vec<Want>) -> Result<()> {
        let database = database.clone();
        self.committer.wait(|reply| Job::Define { database, wants, reply })
    }

    /// Resolves a request of which every row must fit, creating what is missing; blocks.
    pub(crate) fn resolve_fully(&self, mut request: WriteRequest) -> Result<Resolved> {
        for _ in 0..limits::RESOLVE_ATTEMPTS {
            match self.resolve(&mut request, &mut Vec::new())? {
                Resolution::Ready(resolved) => return Ok(resolved),
                Resolution::Needs(wants) => self.define(&request.database, wants)?,
                Resolution::Widens { table, column } => self.widen(table, &column)?,
            }
        }
        Err(Error::Churn(request.batches.first().map(|b| b.table.to_string()).unwrap_or_default()))
    }

    /// Hands a resolved request to the log; `done` hears its outcome on a storage thread.
    ///
    /// # Errors
    /// Nothing was queued: no memory, no disk, or writes are not running.
    pub fn submit(
        &self,
        resolved: Resolved,
        durability: Option<Durability>,
        key: Option<&IdempotencyKey>,
        done: impl FnOnce(Outcome) + Send + 'static,
    ) -> Result<()> {
        self.check_writable()?;
        let body = record::encode(&resolved.parts, key);
        // what the rows will take when they are hot: their arrays and a chunk's own bytes
        let bytes: usize = resolved.parts.iter().map(Part::bytes).sum();
        let shared = self.shared();
        shared.check_tables(resolved.epochs.iter().map(|(table, _)| *table))?;
        shared.reserve(bytes)?;
        let returning = std::sync::Arc::clone(shared);
        let pending = Pending {
            epochs: resolved.epochs,
            parts: resolved.parts,
            body,
            bytes,
            durability: durability.unwrap_or(shared.config.durability),
            submitted: std::time::Instant::now(),
            done: Box::new(move |outcome| {
                if !matches!(outcome, Outcome::Accepted { .. }) {
                    returning.release(bytes);
                }
                done(outcome);
            }),
        };
        match &*self.sequencer.lock() {
            Some(sequencer) => sequencer.submit(pending),
            None => (pending.done)(Outcome::Failed(Error::WritesUnavailable("the log is not open".into()))),
        }
        Ok(())
    }

    /// Resolves, defines, submits and waits; blocks. The HTTP server does the same without blocking.
    pub fn write(&self, mut request: WriteRequest) -> Result<Accepted> {
        let mut refused = Vec::new();
        for _ in 0..limits::RESOLVE_ATTEMPTS {
            let resolved = match self.resolve(&mut request, &mut refused)? {
                Resolution::Ready(resolved) => resolved,
                Resolution::Needs(wants) => {
                    self.define(&request.database, wants)?;
                    continue;
                }
                Resolution::Widens { table, column } => {
                    self.widen(table, &column)?;
                    continue;
                }
            };
            let rows = resolved.rows;
            let (send, outcome) = sync_channel(1);
            self.submit(resolved, request.durability, request.key.as_ref(), move |o| {
                let _ = send.send(o);
            })?;
            match outcome.recv().map_err(|_| Error::WritesUnavailable("the log thread has ended".into()))? {
                Outcome::Accepted { lsn, durability } => return Ok(Accepted { lsn, durability, rows, refused }),
                Outcome::Stale => {}
                Outcome::Failed(error) => return Err(error),
            }
        }
        Err(Error::Churn(request.batches.first().map(|b| b.table.to_string()).unwrap_or_default()))
    }
}

impl Resolved {
    fn add(&mut self, table: model::TableId, epoch: u64, fitted: Fitted) {
        if !self.epochs.contains(&(table, epoch)) {
            self.epochs.push((table, epoch));
        }
        self.rows += fitted.rows;
        self.parts.push(Part {
            table,
            rows: fitted.rows,
            time_min: fitted.time_min,
            time_max: fitted.time_max,
            columns: fitted.columns.into_iter().map(|(id, array)| (id, PartColumn::new(array))).collect(),
        });
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// The column that must become a float for a batch to fit, where its table is small enough to be rewritten
/// meanwhile.
fn widened_by(table: &Table, error: &FitError) -> Option<(TableId, String)> {
    let FitError::Type { column, stored, given, .. } = error else { return None };
    let is_widening = *stored == ColumnType::Int64.as_str() && *given == ColumnType::Float64.as_str();
    let bytes: u64 = table.files.iter().map(|f| f.bytes).sum();
    (is_widening && bytes <= limits::WIDENED_BYTES).then(|| (table.info.id, column.clone()))
}

/// Takes the rows at fault out of `batch`; false when nothing is left of it.
fn drop_rows(batch: &mut Batch, rows: &[usize], error: &model::FitError, refused: &mut Vec<RefusedRow>) -> bool {
    let all = rows.is_empty();
    let mut drop = vec![all; batch.rows()];
    rows.iter().for_each(|r| drop[*r] = true);
    for (row, _) in drop.iter().enumerate().filter(|(_, d)| **d) {
        let number = batch.origin.get(row).copied().unwrap_or(row as u32 + 1);
        refused.push(RefusedRow { number, reason: error.to_string(), code: error.code() });
    }
    *batch = batch.without_rows(&drop);
    batch.rows() > 0
}

/// A schema for a table that an earlier batch of the same request is about to create.
fn planned(wants: &[Want], name: &ItemName) -> model::TableSchema {
    let changes = wants.iter().find(|w| w.table.as_str().eq_ignore_ascii_case(name.as_str())).map(|w| &w.changes[..]);
    let columns = changes.unwrap_or_default().iter().enumerate().filter_map(|(i, change)| match change {
        Change::Add { name, ty, role, provisional } => Some(model::Column {
            id: model::ColumnId(i as u64 + 1),
            name: std::sync::Arc::clone(name),
            ty: *ty,
            role: *role,
            provisional: *provisional,
            persisted: false,
        }),
        _ => None,
    });
    model::TableSchema::new(columns.collect())
}

fn want(wants: &mut Vec<Want>, table: ItemName, mode: TableMode, changes: Vec<Change>) {
    match wants.iter_mut().find(|w| w.table.as_str().eq_ignore_ascii_case(table.as_str())) {
        // what two batches both need is needed once
        Some(known) => {
            for change in changes {
                let again = matches!((&change, &known.changes), (Change::Add { name, .. }, all)
                    if all.iter().any(|c| matches!(c, Change::Add { name: n, .. } if n.eq_ignore_ascii_case(name))));
                if !again {
                    known.changes.push(change);
                }
            }
        }
        None => wants.push(Want { table, mode, changes }),
    }
    debug_assert!(wants.iter().all(|w| !w.changes.is_empty()), "a want says what is missing");
}
