use std::collections::HashMap;
use std::sync::Arc;

use model::{Column, ColumnId, ColumnType, DatabaseId, Lsn, Role, TableId, TableMode, TableSchema, fold};
use rusqlite::Connection;

use crate::blocks::Blocks;
use crate::error::{Error, Result};
use crate::hot::Hot;
use crate::log::LogId;
use crate::view::{DataFile, Database, Table, TableInfo, View};

/// Everything the catalog holds, as a View without hot rows.
#[derive(Debug)]
pub struct Loaded {
    pub view: View,
    pub log_id: LogId,
    /// The greatest LSN that any file or watermark names.
    pub last_lsn: u64,
    /// Paths of every file row below `data/`, ended ones too.
    pub files: Vec<String>,
}

pub(super) fn load(connection: &Connection) -> Result<Loaded> {
    let log_id = super::log_id(connection)?;
    let mut view = View {
        snapshot: connection.query_row("SELECT max(snapshot_id) FROM ducklake_snapshot", [], |r| r.get(0))?,
        ..View::default()
    };
    let mut databases = databases(connection)?;
    let mut columns = columns(connection)?;
    let mut casts = casts(connection, &columns)?;
    let flushed = watermarks(connection, &super::hex(&log_id))?;
    let mut last_lsn = flushed.values().map(|l| l.0).max().unwrap_or(0);
    let mut statement = connection.prepare(
        "SELECT t.table_id, t.schema_id, t.table_name, t.path, w.mode FROM ducklake_table t
         JOIN tw_table w USING (table_id) WHERE t.end_snapshot IS NULL",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = TableId(row.get(0)?);
        let database = DatabaseId(row.get(1)?);
        let name: Arc<str> = row.get::<_, String>(2)?.into();
        let mode = match row.get::<_, String>(4)?.as_str() {
            "last" => TableMode::Last,
            _ => TableMode::Append,
        };
        let info = TableInfo {
            id,
            database,
            name: Arc::clone(&name),
            path: row.get::<_, String>(3)?.into(),
            mode,
            schema: Arc::new(TableSchema::new(columns.remove(&id).unwrap_or_default())),
            casts: Arc::new(casts.remove(&id).unwrap_or_default()),
            epoch: 0,
        };
        let owner = databases
            .get_mut(&database)
            .ok_or_else(|| Error::Inconsistent(format!("table {id} belongs to no live database")))?;
        owner.tables.insert(fold(&name).into(), id);
        view.tables.insert(
            id,
            Arc::new(Table {
                info: Arc::new(info),
                files: imbl::Vector::new(),
                file_rows: 0,
                hot: Hot::default(),
                flushed: flushed.get(&id).copied().unwrap_or(Lsn(0)),
            }),
        );
    }
    for database in databases.into_values() {
        view.databases.insert(fold(&database.name).into(), Arc::new(database));
    }
    last_lsn = last_lsn.max(files(connection, &mut view)?);
    // rows of later numbers are news to continuous queries
    let marked = "SELECT coalesce(max(processed_lsn), 0) FROM tw_mark";
    last_lsn = last_lsn.max(connection.query_row(marked, [], |r| r.get(0))?);
    Ok(Loaded { view, log_id, last_lsn, files: all_paths(connection)? })
}

fn databases(connection: &Connection) -> Result<HashMap<DatabaseId, Database>> {
    let mut statement = connection.prepare(
        "SELECT s.schema_id, s.schema_name, s.path, d.created_us FROM ducklake_schema s
         JOIN tw_database d ON d.database_id = s.schema_id WHERE s.end_snapshot IS NULL",
    )?;
    let found = statement.query_map([], |r| {
        let id = DatabaseId(r.get(0)?);
        Ok((
            id,
            Database {
                id,
                name: r.get::<_, String>(1)?.into(),
                path: r.get::<_, String>(2)?.into(),
                created_us: r.get(3)?,
                tables: imbl::OrdMap::new(),
            },
        ))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn columns(connection: &Connection) -> Result<HashMap<TableId, Vec<Column>>> {
    let mut statement = connection.prepare(
        "SELECT c.table_id, c.column_id, c.column_name, c.column_type, w.role, w.provisional, w.persisted
         FROM ducklake_column c JOIN tw_column w USING (table_id, column_id)
         WHERE c.end_snapshot IS NULL ORDER BY c.table_id, c.column_id",
    )?;
    let mut out: HashMap<TableId, Vec<Column>> = HashMap::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let ty: String = row.get(3)?;
        let role: String = row.get(4)?;
        let unknown = |what: &str| Error::Inconsistent(format!("column {what:?} is unknown to this version"));
        out.entry(TableId(row.get(0)?)).or_default().push(Column {
            id: ColumnId(row.get(1)?),
            name: row.get::<_, String>(2)?.into(),
            ty: ColumnType::from_ducklake(&ty).ok_or_else(|| unknown(&ty))?,
            role: Role::parse(&role).ok_or_else(|| unknown(&role))?,
            provisional: row.get(5)?,
            persisted: row.get(6)?,
        });
    }
    Ok(out)
}

type Casts = HashMap<TableId, Vec<(ColumnId, ColumnId, ColumnType)>>;

fn casts(connection: &Connection, columns: &HashMap<TableId, Vec<Column>>) -> Result<Casts> {
    let mut statement = connection.prepare("SELECT table_id, from_column, to_column FROM tw_cast ORDER BY 1, 2")?;
    let mut out: Casts = HashMap::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let table = TableId(row.get(0)?);
        let (from, to) = (ColumnId(row.get(1)?), ColumnId(row.get(2)?));
        // a cast into a column that itself gave way says nothing about types
        let ty = columns.get(&table).and_then(|c| c.iter().find(|c| c.id == to)).map_or(ColumnType::Float64, |c| c.ty);
        out.entry(table).or_default().push((from, to, ty));
    }
    Ok(out)
}

fn watermarks(connection: &Connection, log_id: &str) -> Result<HashMap<TableId, Lsn>> {
    let mut statement = connection.prepare("SELECT table_id, lsn FROM tw_flushed WHERE log_id = ?")?;
    let found = statement.query_map([log_id], |r| Ok((TableId(r.get(0)?), Lsn(r.get(1)?))))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn files(connection: &Connection, view: &mut View) -> Result<u64> {
    let mut statement = connection.prepare(
        "SELECT f.table_id, f.data_file_id, f.path, f.record_count, f.file_size_bytes, w.run_id, w.producer,
                w.lsn_min, w.lsn_max, w.crc32c, w.time_min, w.time_max, w.sort_key, w.bounds, w.blocks
         FROM ducklake_data_file f JOIN tw_file w USING (data_file_id)
         WHERE f.end_snapshot IS NULL ORDER BY f.table_id, f.data_file_id",
    )?;
    let mut last_lsn = 0;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let json = |i: usize| -> Result<String> { Ok(row.get(i)?) };
        let bad = |e: serde_json::Error| Error::Inconsistent(format!("tw_file: {e}"));
        let bytes = row.get(4)?;
        let blocks: Option<Vec<u8>> = row.get(14)?;
        let short = || Error::Inconsistent("tw_file: a file has another length than its checksums".into());
        let blocks = blocks.map(|kept| Blocks::from_bytes(&kept, bytes).ok_or_else(short)).transpose()?;
        let file = DataFile {
            id: row.get(1)?,
            path: row.get::<_, String>(2)?.into(),
            rows: row.get(3)?,
            bytes,
            blocks,
            run: row.get(5)?,
            producer: row.get(6)?,
            lsn_min: Lsn(row.get(7)?),
            lsn_max: Lsn(row.get(8)?),
            crc32c: row.get(9)?,
            time_min: row.get(10)?,
            time_max: row.get(11)?,
            sort_key: serde_json::from_str(&json(12)?).map_err(bad)?,
            bounds: serde_json::from_str(&json(13)?).map_err(bad)?,
        };
        last_lsn = last_lsn.max(file.lsn_max.0);
        if let Some(table) = view.edit(TableId(row.get(0)?)) {
            table.file_rows += file.rows;
            table.files.push_back(Arc::new(file));
        }
    }
    Ok(last_lsn)
}

fn all_paths(connection: &Connection) -> Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT s.path || t.path || f.path FROM ducklake_data_file f
         JOIN (SELECT DISTINCT table_id, schema_id, path FROM ducklake_table) t USING (table_id)
         JOIN (SELECT DISTINCT schema_id, path FROM ducklake_schema) s USING (schema_id)
         UNION ALL SELECT path FROM ducklake_files_scheduled_for_deletion",
    )?;
    let found = statement.query_map([], |r| r.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}
