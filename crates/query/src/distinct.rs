//! The values of a tag from the dictionaries of the files, without reading a row.
//!
//! `SELECT DISTINCT host FROM cpu`, and `count(DISTINCT host)`, which the optimizer makes of it, group by one column of
//! text and look at nothing else. [`Distinct`] puts a [`DistinctScan`] in place of the table below: it yields each value
//! at least once. What stood above stays as it was, so an answer never depends on how often that is.
//!
//! A file of our making has in the dictionary of a column exactly the values that its rows have, and its statistics
//! tell whether one of them is NULL. Where a part of a column is not written through its dictionary, which happens when
//! that grows beyond a bound, and in files that others wrote, the rows are read.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use datafusion::arrow::array::{RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, TableProviderFilterPushDown, TableScan as Scan};
use datafusion::optimizer::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use store::view::DataFile;

use crate::provider::{TableScan, table_of, union};

/// Bytes of values that are held at most; a table of more is read as usual.
const MOST_BYTES: usize = 64 << 20;
/// Files that are looked at at once.
const AT_ONCE: usize = 8;

/// Puts a [`DistinctScan`] below what asks only for the values of one column of text.
#[derive(Debug)]
pub struct Distinct;

impl OptimizerRule for Distinct {
    fn name(&self) -> &str {
        "distinct"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
        let ([group], []) = (group_expr.as_slice(), aggr_expr.as_slice()) else { return Ok(Transformed::no(plan)) };
        let Expr::Column(column) = group.clone().unalias() else { return Ok(Transformed::no(plan)) };
        let Some(input) = replaced(input, &column)? else { return Ok(Transformed::no(plan)) };
        let (groups, schema) = (group_expr.clone(), Arc::clone(schema));
        let aggregate = Aggregate::try_new_with_schema(Arc::new(input), groups, Vec::new(), schema)?;
        Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
    }
}

/// The plan with the table below replaced; none where something between changes which rows or values there are.
fn replaced(plan: &LogicalPlan, column: &Column) -> Result<Option<LogicalPlan>> {
    let input = match plan {
        LogicalPlan::Projection(projection) => {
            let made = projection.expr[projection.schema.index_of_column(column)?].clone().unalias();
            let Expr::Column(below) = made else { return Ok(None) };
            replaced(&projection.input, &below)?
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let at = alias.schema.index_of_column(column)?;
            replaced(&alias.input, &Column::from(alias.input.schema().qualified_field(at)))?
        }
        LogicalPlan::TableScan(scan) => return replaced_table(scan, column),
        _ => None,
    };
    input.map(|input| plan.with_new_exprs(plan.expressions(), vec![input])).transpose()
}

fn replaced_table(scan: &Scan, column: &Column) -> Result<Option<LogicalPlan>> {
    let Some(table) = table_of(scan) else { return Ok(None) };
    let Ok(at) = TableProvider::schema(table.as_ref()).index_of(&column.name) else { return Ok(None) };
    if scan.fetch.is_some() || !scan.filters.is_empty() || !table.is_text_of_rows(at) {
        return Ok(None);
    }
    let source = provider_as_source(Arc::new(DistinctScan { table, column: at }));
    Ok(Some(LogicalPlan::TableScan(Scan { source, ..scan.clone() })))
}

/// A table of which a query asks only for the values of one column.
#[derive(Debug)]
struct DistinctScan {
    table: Arc<TableScan>,
    column: usize,
}

#[async_trait]
impl TableProvider for DistinctScan {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if projection.is_none_or(|columns| *columns != [self.column]) || !filters.is_empty() {
            return self.table.scan(state, projection, filters, limit).await;
        }
        let (files, hot) = (self.table.prune(None)?, self.table.hot_chunks(None)?);
        self.table.record(&files, &hot);
        let partitions = state.config().target_partitions();
        let looked = stream::iter(files.iter().cloned()).map(|file| async move {
            let values = values_of(&self.table, &file, self.column).await?;
            Ok::<_, DataFusionError>((file, values))
        });
        let mut looked = looked.buffered(AT_ONCE);
        let (mut values, mut bytes, mut rest) = (HashSet::new(), 0, Vec::<Arc<DataFile>>::new());
        while let Some((file, found)) = looked.try_next().await? {
            let Some(found) = found else {
                rest.push(file);
                continue;
            };
            for value in found {
                let length = value.as_ref().map_or(0, String::len);
                bytes += if values.insert(value) { length + 32 } else { 0 };
            }
            if bytes > MOST_BYTES {
                return self.table.rows_plan(&files, &hot, None, projection, None, partitions);
            }
        }
        let mut plans = Vec::with_capacity(2);
        if !values.is_empty() {
            let schema = Arc::new(self.schema().project(&[self.column])?);
            let column: StringViewArray = values.into_iter().collect();
            let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(column)])?;
            plans.push(MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None)? as Arc<dyn ExecutionPlan>);
        }
        if plans.is_empty() || !rest.is_empty() || !hot.is_empty() {
            plans.push(self.table.rows_plan(&rest, &hot, None, projection, None, partitions)?);
        }
        union(plans)
    }
}

/// The values that a column of text has in a file, by its dictionaries; none where they do not tell all.
///
/// # Errors
/// The file cannot be read.
pub async fn values_of(
    table: &TableScan,
    file: &Arc<DataFile>,
    column: usize,
) -> Result<Option<HashSet<Option<String>>>> {
    let Some(files) = table.files() else { return Ok(None) };
    let meta = table.object_of(file)?;
    let store = files.checked(std::iter::once((meta.location.clone(), Arc::clone(file))));
    let cache = Arc::clone(&files.cache);
    let reader = DFParquetMetadata::new(store.as_ref(), &meta).with_file_metadata_cache(Some(cache));
    let metadata = reader.fetch_metadata().await?;
    dictionaries(store.as_ref(), &meta, &metadata, table.column_id(column)).await
}

async fn dictionaries(
    store: &dyn ObjectStore,
    file: &ObjectMeta,
    metadata: &ParquetMetaData,
    id: u64,
) -> Result<Option<HashSet<Option<String>>>> {
    let schema = metadata.file_metadata().schema_descr();
    let is_it = |at: &usize| {
        let column = schema.column(*at);
        let info = column.self_type().get_basic_info();
        info.has_id() && u64::try_from(info.id()) == Ok(id)
    };
    let Some(at) = (0..schema.num_columns()).find(is_it) else {
        // a column that came later is NULL here; a file without ids says nothing
        let has_ids = (0..schema.num_columns()).all(|at| schema.column(at).self_type().get_basic_info().has_id());
        return Ok(has_ids.then(|| HashSet::from([None])));
    };
    let mut values = HashSet::new();
    for group in metadata.row_groups().iter().filter(|group| group.num_rows() > 0) {
        let chunk = group.column(at);
        let Some(nulls) = chunk.statistics().and_then(|s| s.null_count_opt()) else { return Ok(None) };
        if nulls > 0 {
            values.insert(None);
        }
        if nulls == group.num_rows() as u64 {
            continue;
        }
        let Some(page) = dictionary_of(chunk) else { return Ok(None) };
        let bytes = store.get_range(&file.location, page.clone()).await?;
        let page = Placed { offset: page.start, bytes };
        let mut pages = SerializedPageReader::new(Arc::new(page), chunk, group.num_rows() as usize, None)?;
        let Some(Page::DictionaryPage { buf, num_values, .. }) = pages.get_next_page()? else { return Ok(None) };
        let Some(texts) = plain_texts(buf, num_values) else { return Ok(None) };
        values.extend(texts.into_iter().map(Some));
    }
    Ok(Some(values))
}

/// Where the dictionary of a chunk lies, if every row went through it.
fn dictionary_of(chunk: &ColumnChunkMetaData) -> Option<std::ops::Range<u64>> {
    let encodings = chunk.page_encoding_stats_mask()?;
    let all = encodings.is_only(Encoding::PLAIN_DICTIONARY) || encodings.is_only(Encoding::RLE_DICTIONARY);
    let (from, to) = (chunk.dictionary_page_offset()?, chunk.data_page_offset());
    (all && from < to).then_some(u64::try_from(from).ok()?..u64::try_from(to).ok()?)
}

/// Texts as the PLAIN encoding has them: length, bytes.
fn plain_texts(mut bytes: Bytes, count: u32) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let length = bytes.try_get_u32_le().ok()? as usize;
        if bytes.remaining() < length {
            return None;
        }
        texts.push(String::from_utf8(bytes.split_to(length).into()).ok()?);
    }
    Some(texts)
}

/// A part of a file at its place.
struct Placed {
    offset: u64,
    bytes: Bytes,
}

impl Length for Placed {
    fn len(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl ChunkReader for Placed {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let from = start.saturating_sub(self.offset).min(self.bytes.len() as u64);
        Ok(self.bytes.slice(from as usize..).reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let end = || parquet::errors::ParquetError::EOF("the dictionary ends before its page".into());
        let from = start.checked_sub(self.offset).ok_or_else(end)? as usize;
        let to = from.checked_add(length).filter(|to| *to <= self.bytes.len()).ok_or_else(end)?;
        Ok(self.bytes.slice(from..to))
    }
}
