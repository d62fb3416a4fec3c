//! Deletes rows: flush to a cut, count, write what survives, one commit. Readers see all of it or
//! nothing; an interrupted delete has deleted nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{Field, Schema};
use model::{ColumnId, TableId, TableSchema};
use parquet::arrow::ProjectionMask;

use crate::catalog::{Job, Replacement, ReplacementKind};
use crate::error::{Error, Result};
use crate::flush::table_folder;
use crate::jobs::Handle;
use crate::merge::{MergeError, merge};
use crate::store::Store;
use crate::view::{DataFile, Table};
use crate::{failpoint, random};

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
        let folder = table_folder(shared, &view, &table.info)?;
        let schema = &table.info.schema;
        let mut meant: Vec<(&Arc<DataFile>, u64)> = Vec::new();
        for (file, judged) in table.files.iter().zip(filter.judge(table)?) {
            let rows = match judged {
                Judged::Kept => 0,
                Judged::Whole => file.rows,
                Judged::Read => count(&folder, file, schema, filter)?,
            };
            if rows > 0 {
                meant.push((file, rows));
            }
        }
        let deleted = Deleted {
            rows: meant.iter().map(|(_, rows)| rows).sum(),
            files: meant.iter().map(|(file, _)| file.path.to_string()).collect(),
            rewritten: meant.iter().filter(|(file, rows)| *rows < file.rows).count(),
        };
        allow(deleted.rows)?;
        let Some(held) = held.filter(|_| !meant.is_empty()) else { return Ok(deleted) };
        let mut written: Vec<PathBuf> = Vec::new();
        let outcome = self.replace(table, &folder, &meant, filter, job, held.token(), &mut written);
        if outcome.is_err() {
            for path in &written {
                let _ = std::fs::remove_file(path);
            }
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
        meant: &[(&Arc<DataFile>, u64)],
        filter: &dyn RowFilter,
        job: &Handle,
        token: u64,
        written: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let schema = &table.info.schema;
        let mut files = Vec::new();
        for (at, (file, rows)) in meant.iter().enumerate() {
            job.step(at, meant.len())?;
            if *rows == file.rows {
                continue;
            }
            let name = format!("{:016x}-{}", file.lsn_max.0, &random::uuid()[..8]);
            let below = file.path.rfind('/').map_or("", |slash| &file.path[..=slash]);
            let survivors = |batch: &RecordBatch| Ok(complement(&filter.mask(&narrow(batch, schema, filter)?)?));
            let inputs = [Arc::clone(file)];
            let new = merge(folder, &format!("{below}{name}"), schema, &inputs, &[], Some(&survivors))
                .map_err(|e| damaged(file, e))?;
            written.push(folder.join(&new.path));
            if new.rows + rows != file.rows {
                return Err(Error::Inconsistent(format!("file {}: the filter changed its mind", file.path)));
            }
            files.push(new);
            failpoint::hit("delete.rewritten");
        }
        let ended = meant.iter().map(|(file, _)| file.id).collect();
        let rows = meant.iter().map(|(_, rows)| rows).sum();
        let kind = ReplacementKind::Delete { rows, touches: filter.touches() };
        let (table, job) = (table.info.id, job.name.clone());
        let replacement = Replacement { table, ended, files, kind, columns: Vec::new(), also: None, token, job };
        failpoint::hit("delete.commit.before");
        self.committer.wait(|reply| Job::Replace { replacement, reply })?;
        failpoint::hit("delete.commit.after");
        Ok(())
    }
}

pub(crate) fn damaged(file: &DataFile, error: MergeError) -> Error {
    match error {
        MergeError::Input(_, error) => Error::Inconsistent(format!("file {} cannot be read: {error}", file.path)),
        MergeError::Other(error) => error,
    }
}

/// Rows of a file that the filter means; only its columns are read.
fn count(folder: &Path, file: &DataFile, schema: &TableSchema, filter: &dyn RowFilter) -> Result<u64> {
    let path = folder.join(&*file.path);
    let builder = crate::file::reader(&path)?;
    let wanted = builder.schema().fields().iter().enumerate();
    let wanted = wanted.filter(|(_, f)| crate::file::column_id(f).is_some_and(|id| filter.columns().contains(&id)));
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.map(|(i, _)| i).collect::<Vec<_>>());
    let mut rows = 0;
    for batch in builder.with_projection(mask).build()? {
        let batch = batch.map_err(|e| damaged(file, MergeError::Input(file.id, e.into())))?;
        let mask = filter.mask(&narrow(&batch, schema, filter)?)?;
        rows += mask.true_count() as u64;
    }
    Ok(rows)
}

/// The columns that the filter reads; what a file lacks is null.
fn narrow(batch: &RecordBatch, schema: &TableSchema, filter: &dyn RowFilter) -> Result<RecordBatch> {
    let held: Vec<Option<ColumnId>> = batch.schema().fields().iter().map(crate::file::column_id).collect();
    let mut fields = Vec::with_capacity(filter.columns().len());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(filter.columns().len());
    for id in filter.columns() {
        let column = schema.by_id(*id).ok_or_else(|| Error::Inconsistent(format!("column {id} has ended")))?;
        let ty = column.ty.arrow();
        arrays.push(match held.iter().position(|h| *h == Some(*id)) {
            Some(at) => Arc::clone(batch.column(at)),
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
