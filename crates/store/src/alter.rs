//! Changes of what a table is: its end, its name, the type of a column.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use model::column::{TIME, TIME_NS};
use model::{Column, ColumnType, DatabaseId, ItemName, Role, TableId, TableMode, limits};

use crate::catalog::{Conversion, Job, Target};
use crate::error::{Error, Result};
use crate::flush::table_folder;
use crate::jobs::{Asked, Handle};
use crate::merge::{Merging, merge};
use crate::rewrite::damaged;
use crate::store::Store;
use crate::view::DataFile;
use crate::{durable, failpoint, file, points};

/// What a change of type did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retyped {
    pub files: usize,
    pub rows: u64,
}

impl Store {
    /// Ends a database with its tables: their rows leave every new View at once, their ids are never
    /// used again, and a later database of the name is another.
    pub fn drop_database(&self, database: DatabaseId) -> Result<()> {
        self.committer.wait(|reply| Job::DropDatabase { database, reply })
    }

    /// Gives a table another name; its rows stay where they are.
    ///
    /// # Errors
    /// The name is taken, or the table has ended.
    pub fn rename_table(&self, table: TableId, name: ItemName) -> Result<()> {
        self.committer.wait(|reply| Job::RenameTable { table, name, reply })
    }

    /// Changes the type of a column under running writes: files are rewritten while writes go on, one
    /// commit puts them in place, and hot rows follow in it.
    ///
    /// # Errors
    /// The column is not there, or its type cannot become `ty`: only int64 → float64 and anything →
    /// string can. Nothing is changed by a failure.
    pub fn retype(&self, table: TableId, column: &str, ty: ColumnType, job: &Handle) -> Result<Retyped> {
        let info = Arc::clone(&self.live(table)?.info);
        let old = info
            .schema
            .find(column)
            .cloned()
            .ok_or_else(|| Error::Parameter(format!("measurement {:?} has no column {column:?}", &*info.name)))?;
        let is_allowed = matches!((old.ty, ty), (ColumnType::Int64, ColumnType::Float64))
            || (ty == ColumnType::Utf8 && old.ty != ColumnType::Utf8);
        if !is_allowed || old.role == Role::Tag || [TIME, TIME_NS].contains(&&*old.name) {
            let (from, to) = (old.ty.ducklake(), ty.ducklake());
            return Err(Error::Parameter(format!(
                "column {column:?} is {from} and cannot become {to}: int64 can become float64, any field a string"
            )));
        }
        let held = self.hold(&info, (i64::MIN, i64::MAX), &job.name)?;
        let id = self.committer.aside(move |lake| lake.reserve_column(table))?;
        let new = Column { id, ty, provisional: false, persisted: true, ..old.clone() };
        let mut columns: Vec<Column> = info.schema.columns().iter().filter(|c| c.id != old.id).cloned().collect();
        columns.push(new.clone());
        let (mut ended, mut files, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        let mut written: Vec<PathBuf> = Vec::new();
        let mut done = Retyped::default();
        let outcome = (|| {
            for _ in 0..limits::RESOLVE_ATTEMPTS {
                self.flush().or_else(|error| if self.trouble().is_some() { Err(error) } else { Ok(()) })?;
                let live = self.live(table)?;
                let folder = table_folder(self.shared(), &self.view(), &live.info)?;
                // columns that came since the start are written as they are
                let mut wanted = columns.clone();
                let came = live.info.schema.columns().iter().filter(|c| c.id != old.id);
                wanted.extend(came.filter(|c| columns.iter().all(|known| known.id != c.id)).cloned());
                wanted.sort_by_key(|c| c.id);
                let schema = model::TableSchema::new(wanted);
                let left: Vec<_> = live.files.iter().filter(|f| !seen.contains(&f.id)).cloned().collect();
                for (at, live_file) in left.iter().enumerate() {
                    job.step(at, left.len())?;
                    seen.insert(live_file.id);
                    let reader = file::reader(&folder.join(&*live_file.path))?;
                    let columns = reader.schema().fields();
                    if !columns.iter().any(|f| file::column_id(f, &live.info.schema) == Some(old.id)) {
                        continue;
                    }
                    let inputs = [Arc::clone(live_file)];
                    let moved = [(old.id, id)];
                    let new =
                        merge(&folder, &file::name_after(&inputs), &schema, &inputs, &moved, None, live.info.mode)
                            .map_err(|e| damaged(&inputs, e))?;
                    failpoint::hit("retype.rewritten");
                    written.push(folder.join(&new.path));
                    done.files += 1;
                    done.rows += new.rows;
                    ended.push(live_file.id);
                    files.push(new);
                }
                let conversion = Conversion {
                    table,
                    target: Target::Type { from: old.id, to: new.clone() },
                    ended: ended.clone(),
                    files: files.clone(),
                    seen: seen.clone(),
                    token: held.token(),
                };
                failpoint::hit("retype.commit.before");
                match self.committer.wait(|reply| Job::Convert { conversion, reply }) {
                    Err(Error::Churn(_)) => {} // a flush came between
                    other => return other,
                }
            }
            Err(Error::Churn(info.name.to_string()))
        })();
        if let Err(error) = outcome {
            durable::discard(&written);
            return Err(error);
        }
        held.spend();
        failpoint::hit("retype.commit.after");
        Ok(done)
    }

    /// Makes an int64 column float64 because a write brought a fraction: [`Store::retype`] as a job of the
    /// server, once however many writes ask.
    ///
    /// # Errors
    /// As [`Store::retype`]; or an integer of the column has no exact float.
    pub fn widen(&self, table: TableId, column: &str) -> Result<()> {
        let mut refused = self.unwidened.lock();
        let live = self.live(table)?;
        let Some(found) = live.info.schema.find(column).filter(|c| c.ty == ColumnType::Int64) else {
            return Ok(()); // another write was first
        };
        if let Some(reason) = refused.get(&(table, found.id)) {
            return Err(Error::Parameter(reason.clone()));
        }
        let database = self.view().database_of(&live.info).map(|d| d.name.to_string());
        let asked = Asked {
            kind: "retype",
            database,
            measurement: Some(live.info.name.to_string()),
            detail: serde_json::json!({"column": column, "type": "float64", "reason": "a write brought a fraction"}),
            owner: "server".into(),
        };
        let job = self.jobs().begin(&asked, self.shared().clock.now_us())?;
        let outcome = self.retype(table, column, ColumnType::Float64, &job);
        let told = outcome.as_ref().map(|d| serde_json::json!({"rewritten_files": d.files, "rewritten_rows": d.rows}));
        self.end_job(&job, told.map_err(|e| (false, e.to_string())))?;
        if let Err(Error::Parameter(reason)) = &outcome {
            refused.insert((table, found.id), reason.clone());
        }
        outcome.map(drop)
    }

    /// Makes a table keep one row a point, or every row. Versions that a table of points has become the
    /// point first, so that no answer changes.
    ///
    /// # Errors
    /// Continuous queries write to the table, or it is never quiet for long enough.
    pub fn set_mode(&self, table: TableId, mode: TableMode, job: &Handle) -> Result<Retyped> {
        let info = Arc::clone(&self.live(table)?.info);
        if info.mode == mode {
            return Ok(Retyped::default());
        }
        let held = self.hold(&info, (i64::MIN, i64::MAX), &job.name)?;
        for _ in 0..limits::RESOLVE_ATTEMPTS {
            let mut written: Vec<PathBuf> = Vec::new();
            let outcome = self.restate(table, mode, job, held.token(), &mut written);
            if outcome.is_err() {
                durable::discard(&written);
            }
            match outcome {
                Err(Error::Churn(_)) => {} // rows came between
                Ok(done) => {
                    held.spend();
                    return Ok(done);
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Churn(info.name.to_string()))
    }

    fn restate(
        &self,
        table: TableId,
        mode: TableMode,
        job: &Handle,
        token: u64,
        written: &mut Vec<PathBuf>,
    ) -> Result<Retyped> {
        self.flush().or_else(|error| if self.trouble().is_some() { Err(error) } else { Ok(()) })?;
        let live = self.live(table)?;
        if live.files.iter().any(|f| f.producer != 0) {
            return Err(Error::Parameter(format!(
                "continuous queries write to measurement {:?}: it keeps every row",
                &*live.info.name
            )));
        }
        let folder = table_folder(self.shared(), &self.view(), &live.info)?;
        let units: Vec<Vec<Arc<DataFile>>> = match mode {
            // queries join the versions of several files
            TableMode::Last => live.files.iter().map(|f| vec![Arc::clone(f)]).collect(),
            TableMode::Append => points::groups(&live.files).into_iter().filter(|g| g.len() > 1).collect(),
        };
        let schema = &live.info.schema;
        let mut done = Retyped::default();
        let (mut ended, mut files) = (Vec::new(), Vec::new());
        for (at, unit) in units.iter().enumerate() {
            job.step(at, units.len())?;
            let failed = |e| damaged(unit, e);
            let (before, mut after) = (unit.iter().map(|f| f.rows).sum::<u64>(), 0);
            let merging = Merging::open(&folder, schema, unit, &[], TableMode::Last).map_err(failed)?;
            merging
                .each(|batch| {
                    after += batch.num_rows() as u64;
                    Ok(())
                })
                .map_err(failed)?;
            if before == after {
                continue; // no point has two versions here
            }
            let new =
                merge(&folder, &file::name_after(unit), schema, unit, &[], None, TableMode::Last).map_err(failed)?;
            written.push(folder.join(&new.path));
            done.files += unit.len();
            done.rows += before;
            ended.extend(unit.iter().map(|f| f.id));
            files.push(new);
        }
        let seen = live.files.iter().map(|f| f.id).collect();
        let conversion = Conversion { table, target: Target::Mode(mode), ended, files, seen, token };
        self.committer.wait(|reply| Job::Convert { conversion, reply })?;
        Ok(done)
    }
}
