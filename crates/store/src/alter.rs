//! Changes of what a table is: its end, its name, the type of a column.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use model::column::{TIME, TIME_NS};
use model::{Column, ColumnType, DatabaseId, ItemName, Role, TableId, limits};

use crate::catalog::{Job, Retype};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::flush::table_folder;
use crate::jobs::Handle;
use crate::merge::merge;
use crate::random;
use crate::store::Store;

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
                for (at, file) in left.iter().enumerate() {
                    job.step(at, left.len())?;
                    seen.insert(file.id);
                    let reader = crate::file::reader(&folder.join(&*file.path))?;
                    let holds = |f: &Arc<arrow::datatypes::Field>| crate::file::column_id(f) == Some(old.id);
                    if !reader.schema().fields().iter().any(holds) {
                        continue;
                    }
                    let below = file.path.rfind('/').map_or("", |slash| &file.path[..=slash]);
                    let name = format!("{below}{:016x}-{}", file.lsn_max.0, &random::uuid()[..8]);
                    let inputs = [Arc::clone(file)];
                    let moved = [(old.id, id)];
                    let new = merge(&folder, &name, &schema, &inputs, &moved, None)
                        .map_err(|e| crate::rewrite::damaged(file, e))?;
                    failpoint::hit("retype.rewritten");
                    written.push(folder.join(&new.path));
                    done.files += 1;
                    done.rows += new.rows;
                    ended.push(file.id);
                    files.push(new);
                }
                let retype = Retype {
                    table,
                    from: old.id,
                    column: new.clone(),
                    ended: ended.clone(),
                    files: files.clone(),
                    seen: seen.clone(),
                    token: held.token(),
                };
                failpoint::hit("retype.commit.before");
                match self.committer.wait(|reply| Job::Retype { retype, reply }) {
                    Err(Error::Churn(_)) => {} // a flush came between
                    other => return other,
                }
            }
            Err(Error::Churn(info.name.to_string()))
        })();
        if let Err(error) = outcome {
            for path in &written {
                let _ = std::fs::remove_file(path);
            }
            return Err(error);
        }
        held.spend();
        failpoint::hit("retype.commit.after");
        Ok(done)
    }
}
