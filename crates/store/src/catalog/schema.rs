use rusqlite::{Connection, TransactionBehavior, params};

use super::digest;
use crate::error::Result;
use crate::layout::{FORMAT_VERSION, Layout};
use crate::random;

/// DuckLake's tables with their columns in the order of its specification; `:t` marks TEXT.
/// Readers insert by position and fail when one is missing, so all of them exist.
const DUCKLAKE: [(&str, &str); 28] = [
    ("metadata", "key:t value:t scope:t scope_id"),
    ("snapshot", "snapshot_id snapshot_time:t schema_version next_catalog_id next_file_id"),
    ("snapshot_changes", "snapshot_id changes_made:t author:t commit_message:t commit_extra_info:t"),
    ("schema", "schema_id schema_uuid:t begin_snapshot end_snapshot schema_name:t path:t path_is_relative"),
    ("table", "table_id table_uuid:t begin_snapshot end_snapshot schema_id table_name:t path:t path_is_relative"),
    (
        "column",
        "column_id begin_snapshot end_snapshot table_id column_order column_name:t column_type:t initial_default:t \
         default_value:t nulls_allowed parent_column default_value_type:t default_value_dialect:t",
    ),
    (
        "data_file",
        "data_file_id table_id begin_snapshot end_snapshot file_order path:t path_is_relative file_format:t \
         record_count file_size_bytes footer_size row_id_start partition_id encryption_key:t mapping_id partial_max",
    ),
    (
        "file_column_stats",
        "data_file_id table_id column_id column_size_bytes value_count null_count min_value:t max_value:t \
         contains_nan extra_stats:t",
    ),
    ("file_partition_value", "data_file_id table_id partition_key_index partition_value:t"),
    ("table_stats", "table_id record_count next_row_id file_size_bytes"),
    ("table_column_stats", "table_id column_id contains_null contains_nan min_value:t max_value:t extra_stats:t"),
    ("files_scheduled_for_deletion", "data_file_id path:t path_is_relative schedule_start:t"),
    ("schema_versions", "begin_snapshot schema_version table_id"),
    ("partition_info", "partition_id table_id begin_snapshot end_snapshot"),
    ("partition_column", "partition_id table_id partition_key_index column_id transform:t"),
    ("sort_info", "sort_id table_id begin_snapshot end_snapshot"),
    ("sort_expression", "sort_id table_id sort_key_index expression:t dialect:t sort_direction:t null_order:t"),
    (
        "delete_file",
        "delete_file_id table_id begin_snapshot end_snapshot data_file_id path:t path_is_relative format:t \
         delete_count file_size_bytes footer_size encryption_key:t partial_max",
    ),
    ("view", "view_id view_uuid:t begin_snapshot end_snapshot schema_id view_name:t dialect:t sql:t column_aliases:t"),
    ("tag", "object_id begin_snapshot end_snapshot key:t value:t"),
    ("column_tag", "table_id column_id begin_snapshot end_snapshot key:t value:t"),
    ("inlined_data_tables", "table_id table_name:t schema_version"),
    (
        "file_variant_stats",
        "data_file_id table_id column_id variant_path:t shredded_type:t column_size_bytes value_count null_count \
         min_value:t max_value:t contains_nan extra_stats:t",
    ),
    ("column_mapping", "mapping_id table_id type:t"),
    ("name_mapping", "mapping_id column_id source_name:t target_field_id parent_column is_partition"),
    ("macro", "schema_id macro_id macro_name:t begin_snapshot end_snapshot"),
    ("macro_impl", "macro_id impl_id dialect:t sql:t type:t"),
    (
        "macro_parameters",
        "macro_id impl_id column_id parameter_name:t parameter_type:t default_value:t default_value_type:t",
    ),
];

/// Tables whose first column is their primary key.
const KEYED: [&str; 6] = ["snapshot", "snapshot_changes", "data_file", "table_stats", "delete_file", "view"];

/// What must commit with the file list and DuckLake has no place for.
const TIDEWATER: &str = "
    CREATE TABLE tw_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE tw_database (database_id INTEGER PRIMARY KEY, created_us INTEGER NOT NULL);
    CREATE TABLE tw_table (table_id INTEGER PRIMARY KEY, mode TEXT NOT NULL);
    CREATE TABLE tw_column (table_id INTEGER NOT NULL, column_id INTEGER NOT NULL, role TEXT NOT NULL,
        provisional INTEGER NOT NULL, persisted INTEGER NOT NULL, PRIMARY KEY (table_id, column_id)) WITHOUT ROWID;
    CREATE TABLE tw_cast (table_id INTEGER NOT NULL, from_column INTEGER NOT NULL, to_column INTEGER NOT NULL,
        PRIMARY KEY (table_id, from_column)) WITHOUT ROWID;
    CREATE TABLE tw_flushed (log_id TEXT NOT NULL, table_id INTEGER NOT NULL, lsn INTEGER NOT NULL,
        PRIMARY KEY (log_id, table_id)) WITHOUT ROWID;
    CREATE TABLE tw_file (data_file_id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, producer INTEGER NOT NULL,
        lsn_min INTEGER NOT NULL, lsn_max INTEGER NOT NULL, crc32c INTEGER NOT NULL, time_min INTEGER NOT NULL,
        time_max INTEGER NOT NULL, sort_key TEXT NOT NULL, bounds TEXT NOT NULL, blocks BLOB);
    CREATE INDEX ducklake_column_by_table ON ducklake_column (table_id);
    CREATE INDEX ducklake_table_column_stats_by_table ON ducklake_table_column_stats (table_id, column_id);
";

/// What format 2 added. `tw_job` says what jobs have committed, so that a start can settle those that
/// were cut short between their commit and their record.
const FORMAT_2: &str = "
    CREATE TABLE IF NOT EXISTS tw_lock (token INTEGER PRIMARY KEY AUTOINCREMENT, table_id INTEGER NOT NULL,
        from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, owner TEXT NOT NULL, job TEXT NOT NULL,
        acquired_us INTEGER NOT NULL, heartbeat_us INTEGER NOT NULL, expires_us INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS tw_job (job TEXT PRIMARY KEY, commits INTEGER NOT NULL, rows INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS tw_mark (query_id INTEGER PRIMARY KEY, processed_us INTEGER NOT NULL,
        processed_lsn INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS tw_source (query_id INTEGER NOT NULL, table_id INTEGER NOT NULL,
        PRIMARY KEY (query_id, table_id)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS tw_touched (query_id INTEGER NOT NULL, from_us INTEGER NOT NULL,
        to_us INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS tw_touched_by_query ON tw_touched (query_id);
";

/// What format 5 added beside the digest: earlier ones made these with their first row.
const FORMAT_5: &str = "
    CREATE TABLE IF NOT EXISTS tw_import (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS tw_adopted (table_id INTEGER NOT NULL, source TEXT NOT NULL,
        PRIMARY KEY (table_id, source)) WITHOUT ROWID;
";

/// The first format whose catalogs have a digest.
pub const DIGEST_SINCE: u64 = 5;

/// Tables on which earlier formats had a trigger for each verb, in the place of the digest's.
const GUARDED: [&str; 6] = ["snapshot", "data_file", "table", "column", "schema", "metadata"];

/// Brings a catalog of an earlier format to this one.
pub fn upgrade(connection: &mut Connection, from: u64) -> Result<()> {
    if from >= FORMAT_VERSION {
        return Ok(());
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if from < 2 {
        tx.execute_batch(FORMAT_2)?;
    }
    if from < 3 {
        // files of earlier formats hold several versions of a point: such a table goes on as it answered
        tx.execute(
            "UPDATE tw_table SET mode = 'append' WHERE table_id IN
             (SELECT table_id FROM ducklake_data_file WHERE end_snapshot IS NULL)",
            [],
        )?;
    }
    if from < 4 {
        tx.execute_batch("ALTER TABLE tw_file ADD COLUMN blocks BLOB")?;
    }
    tx.execute_batch(FORMAT_5)?;
    for table in GUARDED {
        for verb in ["INSERT", "UPDATE", "DELETE"] {
            tx.execute_batch(&format!("DROP TRIGGER IF EXISTS tw_guard_{table}_{verb}"))?;
        }
    }
    tx.execute("UPDATE tw_meta SET value = ? WHERE key = 'format_version'", [FORMAT_VERSION.to_string()])?;
    digest::install(&tx)?;
    Ok(tx.commit()?)
}

/// Makes every table and snapshot 0 in one transaction.
pub fn bootstrap(connection: &mut Connection, layout: &Layout, now_us: i64) -> Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (name, columns) in DUCKLAKE {
        let columns: Vec<String> = columns
            .split_whitespace()
            .enumerate()
            .map(|(i, c)| match c.strip_suffix(":t") {
                Some(text) => format!("{text} TEXT"),
                None if i == 0 && KEYED.contains(&name) => format!("{c} INTEGER PRIMARY KEY"),
                None => format!("{c} INTEGER"),
            })
            .collect();
        tx.execute_batch(&format!("CREATE TABLE ducklake_{name} ({})", columns.join(", ")))?;
    }
    tx.execute_batch(TIDEWATER)?;
    tx.execute_batch(FORMAT_2)?;
    tx.execute_batch(FORMAT_5)?;
    for (key, value) in [
        ("version", "1.0".to_owned()),
        ("created_by", format!("Tidewater {}", env!("CARGO_PKG_VERSION"))),
        ("data_path", data_path(layout)),
        ("encrypted", "false".to_owned()),
    ] {
        tx.execute("INSERT INTO ducklake_metadata (key, value) VALUES (?, ?)", params![key, value])?;
    }
    tx.execute("INSERT INTO ducklake_snapshot VALUES (0, ?, 0, 1, 0)", [super::lake::timestamp(now_us)])?;
    tx.execute(r#"INSERT INTO ducklake_snapshot_changes VALUES (0, 'created_schema:"main"', NULL, NULL, NULL)"#, [])?;
    tx.execute("INSERT INTO ducklake_schema VALUES (0, ?, 0, NULL, 'main', 'main/', 1)", [random::uuid()])?;
    for (key, value) in [
        ("format_version", FORMAT_VERSION.to_string()),
        ("log_id", super::new_log_id()),
        ("instance_id", super::hex(&random::bytes16())),
    ] {
        tx.execute("INSERT INTO tw_meta VALUES (?, ?)", params![key, value])?;
    }
    digest::install(&tx)?;
    Ok(tx.commit()?)
}

/// Readers resolve paths against `data_path`: it follows the folder when that was moved.
pub fn follow_move(connection: &mut Connection, layout: &Layout) -> Result<()> {
    let path = data_path(layout);
    connection
        .execute("UPDATE ducklake_metadata SET value = ?1 WHERE key = 'data_path' AND value <> ?1", params![path])?;
    Ok(())
}

fn data_path(layout: &Layout) -> String {
    let data = layout.data();
    let absolute = data.canonicalize().unwrap_or(data);
    format!("{}/", absolute.display())
}
