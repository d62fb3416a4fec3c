//! Deletes rows: flush to a cut, count, write what survives, one commit. Readers see all of it or
//! nothing; an interrupted delete has deleted nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{Field, Schema};
use model::{ColumnId, TableId, TableMode, TableSchema};
use parquet::arrow::ProjectionMask;

use crate::catalog::{Job, Replacement, ReplacementKind};
use crate::error::{Error, Result};
use crate::flush::table_folder;
use crate::jobs::Handle;
use crate::merge::{MergeError, Merging, merge, retyped};
use crate::store::Store;
use crate::view::{DataFile, Table, TableInfo};
use crate::{durable, failpoint, file, points};

/// What a filter says of a file by its statistics alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// No row of it is meant.
    Kept,
    /// Every row of it is meant.
    Whole,
    /// Its rows have to be read.
    Read,
}

/// Which rows of a table are meant.
pub trait RowFilter: Send + Sync {
    /// What the statistics of each file of `table` say, in the order of its files.
    ///
    /// # Errors
    /// The filter does not fit the table.
    fn judge(&self, table: &Arc<Table>) -> Result<Vec<Judged>>;

    /// The columns that [`RowFilter::mask`] reads.
    fn columns(&self) -> &[ColumnId];

    /// Whether continuous queries shall compute anew what they made of these rows.
    fn touches(&self) -> bool {
        true
    }

    /// Which rows of a batch of just these columns, with their stored types, are meant: those for
    /// which it is true, not those for which it is null.
    ///
    /// # Errors
    /// The filter cannot be evaluated on some row; nothing is deleted then.
    fn mask(&self, batch: &RecordBatch) -> Result<BooleanArray>;
}

/// What a delete did, or would do.
#[derive(Debug, Clone, Default)]
pub struct Deleted {
    pub rows: u64,
    /// Files that hold such rows, by their paths below the table's folder.
    pub files: Vec<String>,
    /// Of these, the files of which rows survived.
    pub rewritten: usize,
}

impl Store {
    /// Deletes the rows that `filter` means, of all that were acknowledged before the call. `allow`
    /// hears their number first and may refuse. With `dry_run` nothing changes.
    ///
    /// # Errors
    /// The table has ended, hot rows could not be flushed, `allow` refused, a file cannot be read.
    pub fn delete_rows(
        &self,
        table: TableId,
        filter: &dyn RowFilter,
        dry_run: bool,
        job: &Handle,
        allow: impl FnOnce(u64) -> Result<()>,
    ) -> Result<Deleted> {
        let acknowledged = self.view().published;
        let flushed = self.flush();
        let shared = self.shared();
        let held = match dry_run {
            true => None,
            false => Some(self.hold(&self.live(table)?.info, (i64::MIN, i64::MAX), &job.name)?),
        };
        let view = self.view();
        let table = view.tables.get(&table).ok_or_else(|| Error::Inconsistent(format!("table {table} has ended")))?;
        // another table that cannot be flushed stands in nobody's way
        let is_behind = table.hot.lsn_min().is_some_and(|lsn| lsn <= acknowledged);
        if is_behind || self.trouble().is_some() {
            flushed?;
        }
        if is_behind {
            return Err(Error::WritesUnavailable(format!("{} could not be flushed; try again", table.info.name)));
        }
        let folder = table_folder(shared, &view, &table.info)?;
        let mut meant = Vec::new();
        for unit in units(table, &filter.judge(table)?) {
            let (rows, of) = match unit.judged {
                Judged::Kept => continue,
                Judged::Whole => (unit.rows(), unit.rows()),
                Judged::Read => count(&folder, &unit.files, &table.info, filter)?,
            };
            if rows > 0 {
                meant.push(Meant { files: unit.files, rows, of });
            }
        }
        let deleted = Deleted {
            rows: meant.iter().map(|m| m.rows).sum(),
            files: meant.iter().flat_map(|m| &m.files).map(|file| file.path.to_string()).collect(),
            rewritten: meant.iter().filter(|m| m.rows < m.of).map(|m| m.files.len()).sum(),
        };
        allow(deleted.rows)?;
        let Some(held) = held.filter(|_| !meant.is_empty()) else { return Ok(deleted) };
        let mut written: Vec<PathBuf> = Vec::new();
        let mut outcome = self.replace(table, &folder, &meant, filter, job, held.token(), &mut written);
        // what survives needs room before what goes makes some
        if outcome.as_ref().is_err_and(|error| shared.give_up_ballast(error)) {
            durable::discard(&written);
            written.clear();
            outcome = self.replace(table, &folder, &meant, filter, job, held.token(), &mut written);
        }
        if outcome.is_err() {
            durable::discard(&written);
        }
        outcome?;
        held.spend();
        Ok(deleted)
    }

    #[expect(clippy::too_many_arguments, reason = "one caller; they are the delete's own")]
    fn replace(
        &self,
        table: &Table,
        folder: &Path,
        meant: &[Meant],
        filter: &dyn RowFilter,
        job: &Handle,
        token: u64,
        written: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let schema = &table.info.schema;
        let mut files = Vec::new();
        for (at, Meant { files: inputs, rows, of }) in meant.iter().enumerate() {
            job.step(at, meant.len())?;
            if rows == of {
                continue;
            }
            let survivors = |batch: &RecordBatch| Ok(complement(&filter.mask(&narrow(batch, schema, filter)?)?));
            let new = merge(folder, &file::name_after(inputs), schema, inputs, &[], Some(&survivors), table.info.mode)
                .map_err(|e| damaged(inputs, e))?;
            written.push(folder.join(&new.path));
            if new.rows + rows != *of {
                return Err(Error::Inconsistent(format!("file {}: the filter changed its mind", inputs[0].path)));
            }
            files.push(new);
            failpoint::hit("delete.rewritten");
        }
        let ended = meant.iter().flat_map(|m| &m.files).map(|file| file.id).collect();
        let rows = meant.iter().map(|m| m.rows).sum();
        let kind = ReplacementKind::Delete { rows, touches: filter.touches() };
        let (table, job) = (table.info.id, job.name.clone());
        let replacement = Replacement { table, ended, files, kind, columns: Vec::new(), also: None, token, job };
        failpoint::hit("delete.commit.before");
        self.committer.wait(|reply| Job::Replace { replacements: vec![replacement], reply })?;
        failpoint::hit("delete.commit.after");
        Ok(())
    }
}

/// Files that are judged and rewritten together.
struct Unit {
    files: Vec<Arc<DataFile>>,
    judged: Judged,
}

impl Unit {
    fn rows(&self) -> u64 {
        self.files.iter().map(|f| f.rows).sum()
    }
}

/// Files that hold rows that are meant: so many of so many.
struct Meant {
    files: Vec<Arc<DataFile>>,
    rows: u64,
    of: u64,
}

/// Each file by itself; of a `last` table those that overlap together, because a row is judged as the
/// point that its versions make.
fn units(table: &Table, judged: &[Judged]) -> Vec<Unit> {
    let of: HashMap<u64, Judged> = table.files.iter().map(|f| f.id).zip(judged.iter().copied()).collect();
    let groups = match table.info.mode {
        TableMode::Append => table.files.iter().map(|f| vec![Arc::clone(f)]).collect(),
        TableMode::Last => points::groups(&table.files),
    };
    let unit = |files: Vec<Arc<DataFile>>| {
        let judged = match files.as_slice() {
            [file] => of[&file.id],
            // statistics speak of versions: those of tags and time, which all share, are all there are
            _ if files.iter().all(|f| of[&f.id] == Judged::Kept) => Judged::Kept,
            _ => Judged::Read,
        };
        Unit { files, judged }
    };
    groups.into_iter().map(unit).collect()
}

pub(crate) fn damaged(inputs: &[Arc<DataFile>], error: MergeError) -> Error {
    match error {
        MergeError::Input(id, error) => {
            let path = inputs.iter().find(|f| f.id == id).map_or("", |f| &*f.path);
            Error::Inconsistent(format!("file {path} cannot be read: {error}"))
        }
        MergeError::Other(error) => error,
    }
}

/// How many rows of files the filter means, and of how many.
fn count(folder: &Path, files: &[Arc<DataFile>], info: &TableInfo, filter: &dyn RowFilter) -> Result<(u64, u64)> {
    let [file] = files else {
        let (mut rows, mut of) = (0, 0);
        let merging = Merging::open(folder, &info.schema, files, &[], info.mode).map_err(|e| damaged(files, e))?;
        let done = merging.each(|batch| {
            rows += filter.mask(&narrow(batch, &info.schema, filter)?)?.true_count() as u64;
            of += batch.num_rows() as u64;
            Ok(())
        });
        done.map_err(|e| damaged(files, e))?;
        return Ok((rows, of));
    };
    // only the filter's columns are read
    let path = folder.join(&*file.path);
    let builder = file::reader(&path)?;
    let wanted = builder.schema().fields().iter().enumerate();
    let wanted =
        wanted.filter(|(_, f)| file::column_id(f, &info.schema).is_some_and(|id| filter.columns().contains(&id)));
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.map(|(i, _)| i).collect::<Vec<_>>());
    let mut rows = 0;
    for batch in builder.with_projection(mask).build()? {
        let batch = batch.map_err(|e| damaged(files, MergeError::Input(file.id, e.into())))?;
        rows += filter.mask(&narrow(&batch, &info.schema, filter)?)?.true_count() as u64;
    }
    Ok((rows, file.rows))
}

/// The columns that the filter reads; what a file lacks is null.
fn narrow(batch: &RecordBatch, schema: &TableSchema, filter: &dyn RowFilter) -> Result<RecordBatch> {
    let held: Vec<Option<ColumnId>> = batch.schema().fields().iter().map(|f| file::column_id(f, schema)).collect();
    let mut fields = Vec::with_capacity(filter.columns().len());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(filter.columns().len());
    for id in filter.columns() {
        let column = schema.by_id(*id).ok_or_else(|| Error::Inconsistent(format!("column {id} has ended")))?;
        let ty = column.ty.arrow();
        arrays.push(match held.iter().position(|h| *h == Some(*id)) {
            Some(at) if *batch.column(at).data_type() == ty => Arc::clone(batch.column(at)),
            Some(at) => retyped(batch.column(at), column)?,
            None => new_null_array(&ty, batch.num_rows()),
        });
        fields.push(Field::new(model::fold(&column.name), ty, true));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?)
}

/// Rows for which the mask is not true.
fn complement(mask: &BooleanArray) -> BooleanArray {
    let meant = match mask.null_count() {
        0 => mask.values().clone(),
        _ => prep_null_mask_filter(mask).into_parts().0,
    };
    BooleanArray::new(!&meant, None)
}
