//! The View: one immutable value that holds everything a query may read.

use std::sync::Arc;

use imbl::{HashMap, OrdMap, Vector};
use model::{ColumnId, ColumnType, DatabaseId, Lsn, TableId, TableMode, TableSchema, fold};

use crate::blocks::Blocks;
use crate::hot::Hot;

/// A database of the catalog.
#[derive(Debug, Clone)]
pub struct Database {
    pub id: DatabaseId,
    /// The spelling of its first use.
    pub name: Arc<str>,
    /// Folder below `data/`, ending in `/`.
    pub path: Arc<str>,
    /// UTC microseconds.
    pub created_us: i64,
    /// Folded table name → table.
    pub tables: OrdMap<Arc<str>, TableId>,
}

/// What a table is, apart from its rows.
#[derive(Debug, Clone)]
pub struct TableInfo {
    pub id: TableId,
    pub database: DatabaseId,
    pub name: Arc<str>,
    /// Folder below the database's, ending in `/`.
    pub path: Arc<str>,
    pub mode: TableMode,
    pub schema: Arc<TableSchema>,
    /// Columns that another of the same name took over: old → (new, its type).
    pub casts: Arc<Vec<(ColumnId, ColumnId, ColumnType)>>,
    /// Rises with every change after which an already resolved batch would be wrong.
    pub epoch: u64,
}

impl TableInfo {
    /// The table with the types of some columns fixed: a file holds them, or will.
    pub(crate) fn with_persisted(&self, held: &[ColumnId]) -> TableInfo {
        let mut columns = self.schema.columns().to_vec();
        columns.iter_mut().filter(|c| held.contains(&c.id)).for_each(|c| c.persisted = true);
        TableInfo { schema: Arc::new(TableSchema::new(columns)), ..self.clone() }
    }
}

/// One live Parquet file.
#[derive(Debug, Clone)]
pub struct DataFile {
    pub id: u64,
    /// Below the table's folder.
    pub path: Arc<str>,
    pub rows: u64,
    pub bytes: u64,
    pub crc32c: u32,
    /// None of a file of a format that had none.
    pub blocks: Option<Blocks>,
    pub lsn_min: Lsn,
    pub lsn_max: Lsn,
    /// Key-disjoint files made by one merge share it.
    pub run: u64,
    /// 0: clients.
    pub producer: u64,
    /// UTC microseconds of its rows.
    pub time_min: i64,
    pub time_max: i64,
    /// Column ids its rows are sorted by, `time_ns` and `time` last.
    pub sort_key: Vec<ColumnId>,
    /// Bounds of string columns for pruning.
    pub bounds: Vec<StringBounds>,
}

/// Exact least and greatest value of a string column in one file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StringBounds {
    pub column: ColumnId,
    pub nulls: u64,
    /// Absent when every value is null or the values are long.
    pub min_max: Option<(String, String)>,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub info: Arc<TableInfo>,
    pub files: Vector<Arc<DataFile>>,
    pub file_rows: u64,
    pub hot: Hot,
    /// Every row with an LSN up to here is in a file.
    pub flushed: Lsn,
}

/// Everything a query may read, at one instant. Taking, cloning and changing one costs the same
/// however many tables there are. INV-1: a row is in exactly one of hot or files of a View.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The catalog snapshot that the file lists equal.
    pub snapshot: u64,
    /// Every record up to here is applied.
    pub published: Lsn,
    /// Folded name → database.
    pub databases: OrdMap<Arc<str>, Arc<Database>>,
    pub tables: HashMap<TableId, Arc<Table>>,
}

impl View {
    pub fn database(&self, name: &str) -> Option<&Arc<Database>> {
        self.databases.get(fold(name).as_str())
    }

    pub fn table(&self, database: &str, table: &str) -> Option<&Arc<Table>> {
        let id = self.database(database)?.tables.get(fold(table).as_str())?;
        self.tables.get(id)
    }

    /// Changes one table in place; `None` when it has ended.
    pub(crate) fn edit(&mut self, id: TableId) -> Option<&mut Table> {
        self.tables.get_mut(&id).map(Arc::make_mut)
    }

    /// Changes one database in place; `None` when it has ended.
    pub(crate) fn edit_database(&mut self, id: DatabaseId) -> Option<&mut Database> {
        let key = self.databases.iter().find(|(_, d)| d.id == id).map(|(key, _)| Arc::clone(key))?;
        self.databases.get_mut(&key).map(Arc::make_mut)
    }

    /// The database that a table belongs to.
    pub fn database_of(&self, table: &TableInfo) -> Option<&Arc<Database>> {
        self.databases.values().find(|d| d.id == table.database)
    }
}
