use std::collections::BTreeSet;

use chrono::{TimeZone, Utc};
use model::{ColumnId, DatabaseId, Lsn, TableId, limits};
use rusqlite::{Connection, OptionalExtension, params};

use super::committer::ReplacementKind;
use super::mark::Mark;
use crate::error::{Error, Result};
use crate::file::NewDataFile;
use crate::layout::Layout;
use crate::random;
use crate::view::Database;

/// The catalog's only connection that writes.
#[derive(Debug)]
pub struct Lake {
    pub(crate) connection: Connection,
    reached: Mark,
}

/// Text of a DuckLake timestamp.
pub(super) fn timestamp(us: i64) -> String {
    Utc.timestamp_micros(us).single().unwrap_or_default().format("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

/// The counters of the newest snapshot and what the snapshot in the making changes.
/// They are read inside the transaction, never remembered.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub snapshot: u64,
    pub schema_version: u64,
    next_catalog_id: u64,
    next_file_id: u64,
    after: String,
    changes: BTreeSet<String>,
    altered: BTreeSet<u64>,
    is_ddl: bool,
}

impl Draft {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn catalog_id(&mut self) -> u64 {
        self.next_catalog_id += 1;
        self.next_catalog_id - 1
    }

    fn file_id(&mut self) -> u64 {
        self.next_file_id += 1;
        self.next_file_id - 1
    }

    fn alter(&mut self, table: TableId, change: String) {
        self.is_ddl = true;
        self.altered.insert(table.0);
        self.changes.insert(change);
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Lake {
    pub(super) fn new(connection: Connection, layout: &Layout) -> Result<Self> {
        connection.set_prepared_statement_cache_capacity(64);
        let reached = Mark::open(layout, super::instance(&connection)?)?;
        Ok(Self { connection, reached })
    }

    /// Notes that the snapshot of a draft is committed.
    pub(super) fn note_reached(&self, draft: &Draft) {
        self.reached.set(draft.snapshot);
    }

    pub(super) fn begin(&self) -> Result<Draft> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let newest = self.connection.query_row(
            "SELECT snapshot_id, schema_version, next_catalog_id, next_file_id, snapshot_time
             FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1",
            [],
            |r| {
                Ok(Draft {
                    snapshot: r.get::<_, u64>(0)? + 1,
                    schema_version: r.get(1)?,
                    next_catalog_id: r.get(2)?,
                    next_file_id: r.get(3)?,
                    after: r.get(4)?,
                    changes: BTreeSet::new(),
                    altered: BTreeSet::new(),
                    is_ddl: false,
                })
            },
        );
        if newest.is_err() {
            // else no later one could begin
            let _ = self.execute_batch("ROLLBACK");
        }
        Ok(newest?)
    }

    pub(super) fn execute_batch(&self, sql: &str) -> Result<()> {
        Ok(self.connection.execute_batch(sql)?)
    }

    /// Writes the snapshot rows; COMMIT is the caller's.
    pub(super) fn finish(&self, draft: &Draft, now_us: i64) -> Result<()> {
        let version = draft.schema_version + u64::from(draft.is_ddl);
        // snapshot times rise strictly, whatever the clock does
        let now = timestamp(now_us);
        let now = if now > draft.after { now } else { self.just_after(&draft.after)? };
        self.run(
            "INSERT INTO ducklake_snapshot VALUES (?, ?, ?, ?, ?)",
            params![draft.snapshot, now, version, draft.next_catalog_id, draft.next_file_id],
        )?;
        let changes = draft.changes.iter().cloned().collect::<Vec<_>>().join(",");
        self.run(
            "INSERT INTO ducklake_snapshot_changes VALUES (?, ?, NULL, NULL, NULL)",
            params![draft.snapshot, changes],
        )?;
        for table in &draft.altered {
            self.run("INSERT INTO ducklake_schema_versions VALUES (?, ?, ?)", params![draft.snapshot, version, table])?;
        }
        Ok(())
    }

    fn just_after(&self, text: &str) -> Result<String> {
        let parsed = chrono::DateTime::parse_from_str(&format!("{text}00"), "%Y-%m-%d %H:%M:%S%.f%z")
            .map_err(|e| Error::Inconsistent(format!("snapshot time {text:?}: {e}")))?;
        Ok(timestamp(parsed.timestamp_micros() + 1))
    }

    fn run(&self, sql: &str, values: impl rusqlite::Params) -> Result<usize> {
        Ok(self.connection.prepare_cached(sql)?.execute(values)?)
    }

    pub(super) fn create_database(&self, draft: &mut Draft, name: &str, now_us: i64) -> Result<Database> {
        let id = draft.catalog_id();
        let path = format!("{}-{id}/", crate::layout::slug(name));
        self.add_database(draft, id, name, &path, now_us)?;
        Ok(Database {
            id: DatabaseId(id),
            name: name.into(),
            path: path.into(),
            created_us: now_us,
            tables: imbl::OrdMap::new(),
        })
    }

    pub(super) fn add_database(&self, draft: &mut Draft, id: u64, name: &str, path: &str, now_us: i64) -> Result<()> {
        self.run(
            "INSERT INTO ducklake_schema VALUES (?, ?, ?, NULL, ?, ?, 1)",
            params![id, random::uuid(), draft.snapshot, name, path],
        )?;
        self.run("INSERT INTO tw_database VALUES (?, ?)", params![id, now_us])?;
        draft.is_ddl = true;
        draft.changes.insert(format!("created_schema:{}", quoted(name)));
        Ok(())
    }

    /// The table's id and path; its columns come by [`Lake::add_column`] in the same snapshot.
    pub(super) fn create_table(
        &self,
        draft: &mut Draft,
        database: &Database,
        name: &str,
        mode: model::TableMode,
    ) -> Result<(TableId, String)> {
        let id = TableId(draft.catalog_id());
        let path = format!("{}-{id}/", crate::layout::slug(name));
        self.add_table(draft, id, database.id.0, name, &path, mode)?;
        draft.alter(id, format!("created_table:{}.{}", quoted(&database.name), quoted(name)));
        Ok((id, path))
    }

    pub(super) fn add_table(
        &self,
        draft: &mut Draft,
        id: TableId,
        database: u64,
        name: &str,
        path: &str,
        mode: model::TableMode,
    ) -> Result<()> {
        self.run(
            "INSERT INTO ducklake_table VALUES (?, ?, ?, NULL, ?, ?, ?, 1)",
            params![id.0, random::uuid(), draft.snapshot, database, name, path],
        )?;
        self.run("INSERT INTO ducklake_table_stats VALUES (?, 0, 0, 0)", [id.0])?;
        self.run("INSERT INTO tw_table VALUES (?, ?)", params![id.0, mode.as_str()])?;
        Ok(())
    }

    pub(super) fn next_column_id(&self, table: TableId) -> Result<ColumnId> {
        // ended columns have left the first, reserved ones stand in the second alone
        let sql = "SELECT max((SELECT coalesce(max(column_id), 0) FROM ducklake_column WHERE table_id = ?1),
            (SELECT coalesce(max(column_id), 0) FROM tw_column WHERE table_id = ?1)) + 1";
        Ok(ColumnId(self.connection.prepare_cached(sql)?.query_row([table.0], |r| r.get(0))?))
    }

    /// An id that no other column of the table will get.
    pub(crate) fn reserve_column(&self, table: TableId) -> Result<ColumnId> {
        let id = self.next_column_id(table)?;
        self.run("INSERT INTO tw_column VALUES (?, ?, 'none', 0, 0)", params![table.0, id.0])?;
        Ok(id)
    }

    /// Puts a column with a reserved id in the place of another of its name.
    pub(super) fn take_over(
        &self,
        draft: &mut Draft,
        table: TableId,
        from: ColumnId,
        to: &model::Column,
    ) -> Result<()> {
        self.run("DELETE FROM tw_column WHERE table_id = ? AND column_id = ?", params![table.0, to.id.0])?;
        self.end_column(draft, table, from, to.id)?;
        self.add_column(draft, table, to)
    }

    pub(super) fn set_mode(&self, table: TableId, mode: model::TableMode) -> Result<()> {
        self.run("UPDATE tw_table SET mode = ? WHERE table_id = ?", params![mode.as_str(), table.0])?;
        Ok(())
    }

    pub(super) fn drop_database(&self, draft: &mut Draft, database: DatabaseId) -> Result<()> {
        self.run(
            "UPDATE ducklake_schema SET end_snapshot = ? WHERE schema_id = ? AND end_snapshot IS NULL",
            params![draft.snapshot, database.0],
        )?;
        draft.is_ddl = true;
        draft.changes.insert(format!("dropped_schema:{}", database.0));
        Ok(())
    }

    /// Ends the table's row and begins another with the same id and folder.
    pub(super) fn rename_table(&self, draft: &mut Draft, table: TableId, name: &str) -> Result<()> {
        self.run(
            "INSERT INTO ducklake_table SELECT table_id, table_uuid, ?1, NULL, schema_id, ?2, path, path_is_relative
             FROM ducklake_table WHERE table_id = ?3 AND end_snapshot IS NULL",
            params![draft.snapshot, name, table.0],
        )?;
        self.run(
            "UPDATE ducklake_table SET end_snapshot = ?1
             WHERE table_id = ?2 AND end_snapshot IS NULL AND NOT (table_name = ?3 AND begin_snapshot = ?1)",
            params![draft.snapshot, table.0, name],
        )?;
        draft.alter(table, format!("altered_table:{table}"));
        Ok(())
    }

    pub(super) fn add_column(&self, draft: &mut Draft, table: TableId, column: &model::Column) -> Result<()> {
        let id = column.id.0;
        self.run(
            "INSERT INTO ducklake_column VALUES (?, ?, NULL, ?, ?, ?, ?, NULL, 'NULL', 1, NULL, 'literal', 'duckdb')",
            params![id, draft.snapshot, table.0, id, &*column.name, column.ty.ducklake()],
        )?;
        self.run(
            "INSERT INTO tw_column VALUES (?, ?, ?, ?, ?)",
            params![table.0, id, column.role.as_str(), column.provisional, column.persisted],
        )?;
        draft.alter(table, format!("altered_table:{table}"));
        Ok(())
    }

    pub(super) fn end_column(&self, draft: &mut Draft, table: TableId, from: ColumnId, to: ColumnId) -> Result<()> {
        self.run(
            "UPDATE ducklake_column SET end_snapshot = ? WHERE table_id = ? AND column_id = ? AND end_snapshot IS NULL",
            params![draft.snapshot, table.0, from.0],
        )?;
        // a column that begins and ends in one snapshot was never visible
        self.run(
            "DELETE FROM ducklake_column WHERE table_id = ? AND column_id = ? AND begin_snapshot = end_snapshot",
            params![table.0, from.0],
        )?;
        self.run("INSERT INTO tw_cast VALUES (?, ?, ?)", params![table.0, from.0, to.0])?;
        draft.alter(table, format!("altered_table:{table}"));
        Ok(())
    }

    pub(super) fn set_role(&self, table: TableId, column: ColumnId, role: model::Role) -> Result<()> {
        self.run(
            "UPDATE tw_column SET role = ? WHERE table_id = ? AND column_id = ?",
            params![role.as_str(), table.0, column.0],
        )?;
        Ok(())
    }

    pub(super) fn drop_table(&self, draft: &mut Draft, table: TableId) -> Result<()> {
        for name in ["table", "column", "data_file", "partition_info", "sort_info", "delete_file", "column_tag"] {
            self.run(
                &format!("UPDATE ducklake_{name} SET end_snapshot = ? WHERE table_id = ? AND end_snapshot IS NULL"),
                params![draft.snapshot, table.0],
            )?;
        }
        draft.is_ddl = true;
        draft.changes.insert(format!("dropped_table:{table}"));
        Ok(())
    }

    /// Ends files: readers of older snapshots still see them until these expire.
    ///
    /// # Errors
    /// Some of them ended already: what was made of them is out of date.
    pub(super) fn end_files(
        &self,
        draft: &mut Draft,
        table: TableId,
        files: &[u64],
        kind: ReplacementKind,
    ) -> Result<()> {
        for file in files {
            let ended = self.run(
                "UPDATE ducklake_data_file SET end_snapshot = ?
                 WHERE data_file_id = ? AND table_id = ? AND end_snapshot IS NULL",
                params![draft.snapshot, file, table.0],
            )?;
            if ended != 1 {
                return Err(Error::Inconsistent(format!("file {file} of table {table} has ended meanwhile")));
            }
        }
        let change = match kind {
            ReplacementKind::Merge => "merge_adjacent",
            _ => "deleted_from_table",
        };
        if !files.is_empty() {
            draft.changes.insert(format!("{change}:{table}"));
        }
        Ok(())
    }

    /// Adds a file with its statistics; returns its id. `new_rows` of it are in no other file.
    pub(super) fn add_file(
        &self,
        draft: &mut Draft,
        table: TableId,
        file: &NewDataFile,
        run: Option<u64>,
        new_rows: u64,
    ) -> Result<u64> {
        let id = draft.file_id();
        let t = table.0;
        let mapping = file.names.as_deref().map(|names| self.mapping(draft, table, names)).transpose()?;
        self.run(
            "INSERT INTO ducklake_data_file VALUES (?, ?, ?, NULL, NULL, ?, 1, 'parquet', ?, ?, ?,
             (SELECT next_row_id FROM ducklake_table_stats WHERE table_id = ?), NULL, NULL, ?, NULL)",
            params![id, t, draft.snapshot, file.path, file.rows, file.bytes, file.footer_bytes, t, mapping],
        )?;
        let (min, max) = (timestamp(file.time_min), timestamp(file.time_max));
        let stats = "INSERT INTO ducklake_file_column_stats VALUES (?, ?, ?, NULL, ?, ?, ?, ?, NULL, NULL)";
        self.run(stats, params![id, t, file.time_column.0, file.rows, 0, min, max])?;
        if let Some(lead) = file.bounds.first() {
            let (min, max) = lead.min_max.as_ref().map_or((None, None), |(a, b)| (Some(a), Some(b)));
            self.run(stats, params![id, t, lead.column.0, file.rows - lead.nulls, lead.nulls, min, max])?;
        }
        self.run(
            "UPDATE ducklake_table_stats SET record_count = record_count + ?, next_row_id = next_row_id + ?,
             file_size_bytes = file_size_bytes + ? WHERE table_id = ?",
            params![new_rows, file.rows, file.bytes, t],
        )?;
        // fixed-width UTC text compares as time does
        let widened = self.run(
            "UPDATE ducklake_table_column_stats SET min_value = min(min_value, ?), max_value = max(max_value, ?)
             WHERE table_id = ? AND column_id = ?",
            params![min, max, t, file.time_column.0],
        )?;
        if widened == 0 {
            self.run(
                "INSERT INTO ducklake_table_column_stats VALUES (?, ?, 0, NULL, ?, ?, NULL)",
                params![t, file.time_column.0, min, max],
            )?;
        }
        let sort_key = serde_json::to_string(&file.sort_key).map_err(|e| Error::Inconsistent(e.to_string()))?;
        let bounds = serde_json::to_string(&file.bounds).map_err(|e| Error::Inconsistent(e.to_string()))?;
        self.run(
            "INSERT INTO tw_file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                id,
                run.unwrap_or(id),
                file.producer,
                file.lsn_min.0,
                file.lsn_max.0,
                file.crc32c,
                file.time_min,
                file.time_max,
                sort_key,
                bounds,
                file.blocks.to_bytes()
            ],
        )?;
        if new_rows > 0 {
            draft.changes.insert(format!("inserted_into_table:{t}"));
        }
        Ok(id)
    }

    /// The mapping of these names to columns, made when the table has none like it.
    fn mapping(&self, draft: &mut Draft, table: TableId, names: &[(String, ColumnId)]) -> Result<u64> {
        let wanted = serde_json::to_string(names).map_err(|e| Error::Inconsistent(e.to_string()))?;
        let mut known = self.connection.prepare_cached(
            "SELECT mapping_id FROM (SELECT mapping_id, (SELECT json_group_array(json_array(source_name, target_field_id))
               FROM (SELECT * FROM ducklake_name_mapping n WHERE n.mapping_id = m.mapping_id ORDER BY column_id)) AS names
               FROM ducklake_column_mapping m WHERE table_id = ?) WHERE names = ?",
        )?;
        if let Some(id) = known.query_row(params![table.0, wanted], |r| r.get(0)).optional()? {
            return Ok(id);
        }
        // numbers of mappings are given from those of files
        let id = draft.file_id();
        self.run("INSERT INTO ducklake_column_mapping VALUES (?, ?, 'map_by_name')", params![id, table.0])?;
        for (at, (name, column)) in names.iter().enumerate() {
            self.run(
                "INSERT INTO ducklake_name_mapping VALUES (?, ?, ?, ?, NULL, 0)",
                params![id, at as i64, name, column.0],
            )?;
        }
        Ok(id)
    }

    /// Moves a table's watermark from `expected`; INV-4: it moves with the files or not at all.
    pub(super) fn move_watermark(&self, log_id: &str, table: TableId, expected: Lsn, to: Lsn) -> Result<()> {
        let changed = if expected.0 == 0 {
            self.run("INSERT OR IGNORE INTO tw_flushed VALUES (?, ?, ?)", params![log_id, table.0, to.0])?
        } else {
            self.run(
                "UPDATE tw_flushed SET lsn = ? WHERE log_id = ? AND table_id = ? AND lsn = ?",
                params![to.0, log_id, table.0, expected.0],
            )?
        };
        if changed != 1 {
            return Err(Error::Inconsistent(format!("the watermark of table {table} is not {expected}")));
        }
        Ok(())
    }

    pub(super) fn persist_columns(&self, table: TableId, columns: &[ColumnId]) -> Result<()> {
        for column in columns {
            self.run(
                "UPDATE tw_column SET persisted = 1 WHERE table_id = ? AND column_id = ? AND persisted = 0",
                params![table.0, column.0],
            )?;
        }
        Ok(())
    }

    /// Removes snapshots before `oldest_us`, but never the newest, and rows that only they could see.
    /// Returns how many snapshots went.
    pub(super) fn expire(&self, oldest_us: i64, now_us: i64) -> Result<usize> {
        let cut: Option<u64> = self.connection.query_row(
            "SELECT max(snapshot_id) FROM ducklake_snapshot WHERE snapshot_time < ?",
            [timestamp(oldest_us)],
            |r| r.get(0),
        )?;
        let newest: u64 =
            self.connection.query_row("SELECT max(snapshot_id) FROM ducklake_snapshot", [], |r| r.get(0))?;
        // the last snapshot before the bound is still what a reader of that age sees
        let Some(keep) = cut.map(|c| c.min(newest)) else { return Ok(0) };
        let gone = self.run("DELETE FROM ducklake_snapshot WHERE snapshot_id < ?", [keep])?;
        self.run("DELETE FROM ducklake_snapshot_changes WHERE snapshot_id < ?", [keep])?;
        if gone > 0 {
            self.run("DELETE FROM ducklake_column WHERE end_snapshot <= ?", [keep])?;
            self.schedule_files(keep, now_us)?;
            self.forget_tables(keep)?;
            self.run("DELETE FROM ducklake_schema WHERE end_snapshot <= ?", [keep])?;
            self.run("DELETE FROM tw_database WHERE database_id NOT IN (SELECT schema_id FROM ducklake_schema)", [])?;
        }
        Ok(gone)
    }

    /// Files that no kept snapshot names leave the catalog and wait for their removal.
    fn schedule_files(&self, keep: u64, now_us: i64) -> Result<()> {
        self.run(
            "INSERT INTO ducklake_files_scheduled_for_deletion
             SELECT f.data_file_id, s.path || t.path || f.path, 1, ? FROM ducklake_data_file f
             JOIN (SELECT DISTINCT table_id, schema_id, path FROM ducklake_table) t USING (table_id)
             JOIN (SELECT DISTINCT schema_id, path FROM ducklake_schema) s USING (schema_id)
             WHERE f.end_snapshot <= ?",
            params![timestamp(now_us), keep],
        )?;
        let ended = "(SELECT data_file_id FROM ducklake_data_file WHERE end_snapshot <= ?)";
        for table in ["ducklake_file_column_stats", "tw_file"] {
            self.run(&format!("DELETE FROM {table} WHERE data_file_id IN {ended}"), [keep])?;
        }
        self.run("DELETE FROM ducklake_data_file WHERE end_snapshot <= ?", [keep])?;
        Ok(())
    }

    /// Tables that no kept snapshot names leave the catalog. Their ids are never used again, so that
    /// log records that name them are passed over.
    fn forget_tables(&self, keep: u64) -> Result<()> {
        let ended =
            "(SELECT table_id FROM ducklake_table GROUP BY table_id HAVING max(ifnull(end_snapshot, 1 << 62)) <= ?)";
        self.run(
            &format!(
                "DELETE FROM ducklake_name_mapping WHERE mapping_id IN
                 (SELECT mapping_id FROM ducklake_column_mapping WHERE table_id IN {ended})"
            ),
            [keep],
        )?;
        for table in [
            "ducklake_column_mapping",
            "ducklake_table_stats",
            "ducklake_table_column_stats",
            "ducklake_schema_versions",
            "ducklake_column",
            "ducklake_sort_info",
            "ducklake_sort_expression",
            "tw_adopted",
            "tw_table",
            "tw_column",
            "tw_cast",
            "tw_flushed",
        ] {
            self.run(&format!("DELETE FROM {table} WHERE table_id IN {ended}"), [keep])?;
        }
        // earlier names of live tables among them
        self.run("DELETE FROM ducklake_table WHERE end_snapshot <= ?", [keep])?;
        Ok(())
    }

    /// Remembers that a job has committed something, until its own record says so.
    pub(super) fn record_job(&self, job: &str, rows: u64) -> Result<()> {
        self.run(
            "INSERT INTO tw_job VALUES (?1, 1, ?2)
             ON CONFLICT (job) DO UPDATE SET commits = commits + 1, rows = rows + ?2",
            params![job, rows],
        )?;
        Ok(())
    }

    /// What a job has committed: how often, and how many rows went. It is forgotten with
    /// [`Lake::forget_job`], once its record tells.
    pub(crate) fn job(&self, job: &str) -> Result<Option<(u64, u64)>> {
        let mut statement = self.connection.prepare_cached("SELECT commits, rows FROM tw_job WHERE job = ?")?;
        Ok(statement.query_row([job], |r| Ok((r.get(0)?, r.get(1)?))).optional()?)
    }

    pub(crate) fn forget_job(&self, job: &str) -> Result<()> {
        self.run("DELETE FROM tw_job WHERE job = ?", [job])?;
        Ok(())
    }

    /// Files that were scheduled before `before_us`: id and path below the data folder.
    pub(crate) fn removable_files(&self, before_us: i64) -> Result<Vec<(u64, String)>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT data_file_id, path FROM ducklake_files_scheduled_for_deletion WHERE schedule_start < ? LIMIT ?",
        )?;
        let found = statement
            .query_map(params![timestamp(before_us), limits::REMOVED_FILES as u64], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Forgets files that were removed from the disk.
    pub(crate) fn forget_files(&self, files: &[u64]) -> Result<()> {
        for file in files {
            self.run("DELETE FROM ducklake_files_scheduled_for_deletion WHERE data_file_id = ?", [file])?;
        }
        Ok(())
    }

    /// Leaves the file in a form that readers without write permission can open: no `-wal` file.
    pub(crate) fn leave(self, patience: std::time::Duration) -> Result<()> {
        self.connection.busy_timeout(patience)?;
        self.connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").ok();
        let mode: String = self.connection.query_row("PRAGMA journal_mode=DELETE", [], |r| r.get(0))?;
        if mode == "delete" { Ok(()) } else { Err(Error::Inconsistent(format!("journal mode stays {mode}"))) }
    }
}
