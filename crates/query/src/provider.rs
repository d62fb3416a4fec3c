use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray, UInt64Array,
    new_null_array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::{TableType, source_as_provider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableScan as LogicalScan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use model::column::{Role, TIME, TIME_NS};
use model::{ColumnType, TableMode, fold};
use object_store::ObjectMeta;
use object_store::path::Path;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY as FIELD_ID;
use store::hot::Chunk;
use store::points;
use store::view::{DataFile, Table};

use crate::adapter::ByFieldId;
use crate::cache::{Reads, rows_key};
use crate::checked::Files;
use crate::hot::HotExec;
use crate::points::{PointOrder, PointsExec};

/// Where plans say that files are; the runtime maps it to the store's folder.
pub const STORE_URL: &str = "tidewater://store/";

/// One table of a View: its files and, unless only committed rows are asked for, its hot rows.
#[derive(Debug)]
pub struct TableScan {
    table: Arc<Table>,
    /// Folder of the table below the data root.
    folder: String,
    schema: SchemaRef,
    with_hot: bool,
    /// Where scans say what they read, and what reads files; none: only the table's shape is asked for.
    reading: Option<(Arc<Reads>, Arc<Files>)>,
}

impl TableScan {
    /// As [`TableScan::new`], for a plan whose answer may be kept.
    pub fn recorded(table: Arc<Table>, folder: String, with_hot: bool, reads: Arc<Reads>, files: Arc<Files>) -> Self {
        Self { reading: Some((reads, files)), ..Self::new(table, folder, with_hot) }
    }

    pub fn new(table: Arc<Table>, folder: String, with_hot: bool) -> Self {
        let fields: Vec<Field> = table
            .info
            .schema
            .columns()
            .iter()
            .map(|c| {
                let id = HashMap::from([(FIELD_ID.to_owned(), c.id.to_string())]);
                Field::new(fold(&c.name), engine_type(c.ty), true).with_metadata(id)
            })
            .collect();
        Self { table, folder, schema: Arc::new(Schema::new(fields)), with_hot, reading: None }
    }

    /// The files that may hold rows for which `predicate` is true, by the catalog's bounds.
    pub fn prune(&self, predicate: Option<&Arc<dyn PhysicalExpr>>) -> Result<Vec<Arc<DataFile>>> {
        let files: Vec<Arc<DataFile>> = self.table.files.iter().cloned().collect();
        let Some(predicate) = predicate else { return Ok(files) };
        let bounds = FileBounds { files: &files, table: &self.table };
        // an expression it cannot judge prunes nothing
        let pruning =
            PruningPredicateBuilder::new().with_file_schema(Arc::clone(&self.schema)).build(Arc::clone(predicate));
        let Some(pruning) = pruning else { return Ok(files) };
        let keep = pruning.prune(&bounds)?;
        Ok(files.iter().zip(keep).filter(|(_, keep)| *keep).map(|(f, _)| Arc::clone(f)).collect())
    }

    /// Whether a point may have several versions, of which queries see one row.
    pub fn has_versions(&self) -> bool {
        self.table.info.mode == TableMode::Last
            && (self.has_hot() || points::groups(&self.table.files).len() < self.table.files.len())
    }

    fn order(&self) -> PointOrder {
        let columns = self.table.info.schema.columns();
        let tags = columns.iter().filter(|c| c.role == Role::Tag && c.ty == ColumnType::Utf8);
        PointOrder {
            tags: tags.map(|c| fold(&c.name)).collect(),
            has_ns: self.schema.column_with_name(TIME_NS).is_some(),
        }
    }

    /// Rows of a `last` table: files that overlap no other are read as they are, the others and the hot
    /// rows merged to one row a point. `keys` are those predicates that speak of tags and time alone.
    fn points_plan(
        &self,
        predicate: Option<Arc<dyn PhysicalExpr>>,
        keys: Option<Arc<dyn PhysicalExpr>>,
        projection: Option<&Vec<usize>>,
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.prune(keys.as_ref())?;
        self.record(&files, &self.hot_chunks(None)?);
        let chunks = || self.table.hot.chunks().filter(|_| self.with_hot);
        let hot = chunks().map(|c| (c.time_min, c.time_max)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (mut single, mut merged, mut beside_hot) = (Vec::new(), Vec::new(), Vec::new());
        for group in points::groups(&files) {
            let is_beside_hot =
                |f: &Arc<DataFile>| hot.is_some_and(|(from, to)| f.time_min <= to && f.time_max >= from);
            match group.as_slice() {
                _ if group.iter().any(is_beside_hot) => beside_hot.extend(group),
                [_] => single.extend(group),
                _ => merged.push(group),
            }
        }
        let order = self.order();
        let output: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let is_key = |name: &str| name == TIME || name == TIME_NS || order.tags.iter().any(|t| t == name);
        let fields = self.schema.fields().iter().enumerate();
        let wanted: Vec<usize> =
            fields.filter(|(i, f)| output.contains(i) || is_key(f.name())).map(|(i, _)| i).collect();
        let file_run = |file: &Arc<DataFile>| {
            let rows = self.file_plan(std::slice::from_ref(file), keys.clone(), Some(&wanted), None, 1)?;
            order.file(rows, self.is_in_order(file))
        };
        let mut groups = Vec::new();
        for group in &merged {
            groups.push(order.merged(group.iter().map(file_run).collect::<Result<Vec<_>>>()?)?);
        }
        if hot.is_some() {
            beside_hot.sort_by_key(|f| (f.lsn_max, f.id));
            let mut runs = beside_hot.iter().map(file_run).collect::<Result<Vec<_>>>()?;
            let schema = Arc::new(self.schema.project(&wanted)?);
            let batches = chunks().map(|chunk| self.hot_batch(chunk, &wanted, &schema)).collect::<Result<Vec<_>>>()?;
            runs.push(order.hot(batches, &schema, keys.as_ref())?);
            groups.push(order.merged(runs)?);
        }
        let mut inputs = Vec::with_capacity(2);
        if !single.is_empty() {
            inputs.push(self.file_plan(&single, predicate, projection, None, partitions)?);
        }
        if !groups.is_empty() {
            let position = |column: &usize| wanted.iter().position(|w| w == column);
            let output = output.iter().filter_map(position).collect();
            inputs.push(Arc::new(PointsExec::try_new(order, groups, output, partitions)?));
        }
        if inputs.is_empty() { self.empty_plan(projection) } else { union(inputs) }
    }

    /// Whether a file stands in the order of points. A tag that its sort key lacks may have been a field
    /// when it was written.
    fn is_in_order(&self, file: &DataFile) -> bool {
        let schema = &self.table.info.schema;
        let id = |name: &str| schema.find(name).map(|c| c.id);
        let tags = schema.columns().iter().filter(|c| c.role == Role::Tag && c.ty == ColumnType::Utf8).map(|c| c.id);
        let expected: Vec<_> = tags.chain(id(TIME)).collect();
        let ns = id(TIME_NS);
        file.sort_key.iter().copied().filter(|key| Some(*key) != ns).eq(expected)
    }

    /// The hot chunks that may hold rows for which `predicate` is true, by their bounds of time.
    pub fn hot_chunks(&self, predicate: Option<&Arc<dyn PhysicalExpr>>) -> Result<Vec<Arc<Chunk>>> {
        let chunks: Vec<Arc<Chunk>> = self.table.hot.chunks().filter(|_| self.with_hot).cloned().collect();
        let pruning = predicate.and_then(|predicate| {
            PruningPredicateBuilder::new().with_file_schema(Arc::clone(&self.schema)).build(Arc::clone(predicate))
        });
        let Some(pruning) = pruning.filter(|_| !chunks.is_empty()) else { return Ok(chunks) };
        let keep = pruning.prune(&ChunkBounds(&chunks))?;
        Ok(chunks.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(c, _)| c).collect())
    }

    /// Says what is read, to whom wants to know.
    pub fn record(&self, files: &[Arc<DataFile>], chunks: &[Arc<Chunk>]) {
        if let Some((reads, _)) = &self.reading {
            let bytes = files.iter().map(|f| f.bytes).sum();
            reads.add(self.table.info.id, rows_key(&self.table, files.iter(), chunks.iter()), bytes);
        }
    }

    /// Whether a column is text of which the rows tell all values: of a field that has versions they would tell too many.
    pub fn is_text_of_rows(&self, column: usize) -> bool {
        let column = &self.table.info.schema.columns()[column];
        column.ty == ColumnType::Utf8 && (column.role == Role::Tag || !self.has_versions())
    }

    /// The id of a column.
    pub fn column_id(&self, column: usize) -> u64 {
        self.table.info.schema.columns()[column].id.0
    }

    /// What reads files, their bytes compared with their checksums.
    pub fn files(&self) -> Option<&Files> {
        self.reading.as_ref().map(|(_, files)| files.as_ref())
    }

    /// A file as the store of objects knows it.
    pub fn object_of(&self, file: &DataFile) -> Result<ObjectMeta> {
        Ok(partitioned(&format!("{}{}", self.folder, file.path), file.bytes)?.object_meta)
    }

    /// The rows of `files` and of these hot chunks.
    pub fn rows_plan(
        &self,
        files: &[Arc<DataFile>],
        hot: &[Arc<Chunk>],
        predicate: Option<Arc<dyn PhysicalExpr>>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut inputs = Vec::with_capacity(2);
        if !files.is_empty() {
            inputs.push(self.file_plan(files, predicate, projection, limit, partitions)?);
        }
        inputs.extend(self.hot_plan(hot, projection)?);
        if inputs.is_empty() { self.empty_plan(projection) } else { union(inputs) }
    }

    fn file_plan(
        &self,
        files: &[Arc<DataFile>],
        predicate: Option<Arc<dyn PhysicalExpr>>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut source =
            ParquetSource::new(Arc::clone(&self.schema)).with_pushdown_filters(true).with_reorder_filters(true);
        if let Some(predicate) = predicate {
            source = source.with_predicate(predicate);
        }
        if let Some((_, reading)) = &self.reading {
            let named = files.iter().map(|file| Ok((self.object_of(file)?.location, Arc::clone(file))));
            source = source
                .with_parquet_file_reader_factory(reading.readers(named.collect::<Result<Vec<_>>>()?.into_iter()));
        }
        let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); partitions.clamp(1, files.len().max(1))];
        let count = groups.len();
        for (i, file) in files.iter().enumerate() {
            let path = format!("{}{}", self.folder, file.path);
            let statistics = Arc::new(self.statistics_of(std::slice::from_ref(file)));
            groups[i % count].push(partitioned(&path, file.bytes)?.with_statistics(statistics));
        }
        let url = ObjectStoreUrl::parse(STORE_URL)?;
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_statistics(self.statistics_of(files))
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(ByFieldId)))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Exact row counts and bounds of time: they answer `count(*)` and `min/max(time)` alone.
    fn statistics_of(&self, files: &[Arc<DataFile>]) -> Statistics {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(files.iter().map(|f| f.rows as usize).sum());
        statistics.total_byte_size = Precision::Inexact(files.iter().map(|f| f.bytes as usize).sum());
        let bounds = files.iter().map(|f| (f.time_min, f.time_max)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        if let (Some((min, max)), Some((at, _))) = (bounds, self.schema.column_with_name(TIME)) {
            statistics.column_statistics[at] = time_statistics(min, max);
        }
        statistics
    }

    fn hot_plan(
        &self,
        chunks: &[Arc<Chunk>],
        projection: Option<&Vec<usize>>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if chunks.is_empty() {
            return Ok(None);
        }
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(wanted)?);
        let batches = chunks.iter().map(|chunk| self.hot_batch(chunk, wanted, &schema)).collect::<Result<Vec<_>>>()?;
        let mut statistics = Statistics::new_unknown(&schema);
        statistics.num_rows = Precision::Exact(chunks.iter().map(|c| c.rows).sum());
        let bounds = chunks.iter().map(|c| (c.time_min, c.time_max)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        if let (Some((min, max)), Some((at, _))) = (bounds, schema.column_with_name(TIME)) {
            statistics.column_statistics[at] = time_statistics(min, max);
        }
        let rows = MemorySourceConfig::try_new_exec(&[batches], schema, None)?;
        Ok(Some(Arc::new(HotExec::new(rows, statistics))))
    }

    pub fn has_hot(&self) -> bool {
        self.with_hot && self.table.hot.rows() > 0
    }

    fn empty_plan(&self, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(wanted) => Arc::new(self.schema.project(wanted)?),
            None => Arc::clone(&self.schema),
        };
        Ok(Arc::new(EmptyExec::new(schema)))
    }

    fn hot_batch(&self, chunk: &Chunk, wanted: &[usize], schema: &SchemaRef) -> Result<RecordBatch> {
        let columns = self.table.info.schema.columns();
        let arrays = wanted
            .iter()
            .map(|i| match chunk.columns.get(&columns[*i].id) {
                Some(column) => column.to_array().map_err(|e| DataFusionError::External(e.into())),
                None => Ok(new_null_array(&engine_type(columns[*i].ty), chunk.rows)),
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(chunk.rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
    }
}

/// The rows of all plans, of which there is one at least.
pub fn union(mut plans: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    if plans.len() == 1 { Ok(plans.remove(0)) } else { UnionExec::try_new(plans) }
}

/// The table that a node of a plan scans, if it is one of ours.
pub fn table_of(scan: &LogicalScan) -> Option<Arc<TableScan>> {
    Arc::downcast(source_as_provider(&scan.source).ok()?).ok()
}

/// A file by the path it has: names are percent-encoded already, once.
fn partitioned(path: &str, bytes: u64) -> Result<PartitionedFile> {
    let location = Path::parse(path).map_err(|e| DataFusionError::External(e.into()))?;
    // files never change under their name, so their age says nothing
    let last_modified = DateTime::<Utc>::UNIX_EPOCH;
    Ok(PartitionedFile::new_from_meta(ObjectMeta { location, last_modified, size: bytes, e_tag: None, version: None }))
}

fn time_statistics(min: i64, max: i64) -> ColumnStatistics {
    let scalar = |us| ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into()));
    ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: Precision::Exact(scalar(min)),
        max_value: Precision::Exact(scalar(max)),
        ..ColumnStatistics::new_unknown()
    }
}

/// The type inside the engine: strings are views.
pub fn engine_type(ty: ColumnType) -> DataType {
    match ty {
        ColumnType::Utf8 => DataType::Utf8View,
        other => other.arrow(),
    }
}

#[async_trait]
impl TableProvider for TableScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
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
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let physical = |filters: &mut dyn Iterator<Item = &Expr>| {
            conjunction(filters.cloned()).map(|expr| state.create_physical_expr(expr, &schema)).transpose()
        };
        let predicate = physical(&mut filters.iter())?;
        let partitions = state.config().target_partitions();
        if self.has_versions() {
            let order = self.order();
            let is_key = |c: &Column| [TIME, TIME_NS].contains(&c.name()) || order.tags.iter().any(|t| t == c.name());
            let keys = physical(&mut filters.iter().filter(|f| f.column_refs().iter().all(|c| is_key(c))))?;
            return self.points_plan(predicate, keys, projection, partitions);
        }
        let files = self.prune(predicate.as_ref())?;
        let hot = self.hot_chunks(predicate.as_ref())?;
        self.record(&files, &hot);
        let limit = if predicate.is_some() { None } else { limit };
        self.rows_plan(&files, &hot, predicate, projection, limit, partitions)
    }
}

/// The catalog's bounds of each file, as the pruning predicate asks for them.
struct FileBounds<'a> {
    files: &'a [Arc<DataFile>],
    table: &'a Table,
}

impl FileBounds<'_> {
    fn bounds(
        &self,
        column: &Column,
        pick: impl Fn(i64, i64) -> i64,
        text: impl Fn(&(String, String)) -> String,
    ) -> Option<ArrayRef> {
        if column.name == TIME {
            let values: Vec<i64> = self.files.iter().map(|f| pick(f.time_min, f.time_max)).collect();
            return Some(Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")));
        }
        let known = self.table.info.schema.find(&column.name).filter(|c| c.ty == ColumnType::Utf8)?;
        let values: StringArray = self
            .files
            .iter()
            .map(|f| f.bounds.iter().find(|b| b.column == known.id)?.min_max.as_ref().map(&text))
            .collect();
        let views = datafusion::arrow::compute::cast(&values, &DataType::Utf8View).ok()?;
        Some(views)
    }
}

impl PruningStatistics for FileBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |min, _| min, |(min, _)| min.clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |_, max| max, |(_, max)| max.clone())
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        if column.name == TIME {
            return Some(Arc::new(UInt64Array::from(vec![0; self.files.len()])));
        }
        let known = self.table.info.schema.find(&column.name)?;
        let nulls: UInt64Array =
            self.files.iter().map(|f| f.bounds.iter().find(|b| b.column == known.id).map(|b| b.nulls)).collect();
        Some(Arc::new(nulls))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|f| Some(f.rows)).collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &std::collections::HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// The bounds of time of hot chunks, as the pruning predicate asks for them.
struct ChunkBounds<'a>(&'a [Arc<Chunk>]);

impl ChunkBounds<'_> {
    fn time(&self, column: &Column, pick: impl Fn(&Chunk) -> i64) -> Option<ArrayRef> {
        let values: Vec<i64> = self.0.iter().map(|c| pick(c)).collect();
        (column.name == TIME)
            .then(|| Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) as ArrayRef)
    }
}

impl PruningStatistics for ChunkBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.time(column, |c| c.time_min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.time(column, |c| c.time_max)
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        (column.name == TIME).then(|| Arc::new(UInt64Array::from(vec![0; self.0.len()])) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.0.iter().map(|c| Some(c.rows as u64)).collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &std::collections::HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
