//! A catalog that goes on somewhere else, and its rolling copy.

use std::fs;
use std::path::PathBuf;

use rusqlite::{Connection, TransactionBehavior, params};

use crate::backup::{check_database, copy_database};
use crate::durable;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::random;

/// How far the ids of a restored catalog go ahead: more than any folder gives between a backup and its loss.
const AHEAD: u64 = 1 << 24;

/// Makes a copied catalog the first of a new folder: a new log, ids far ahead, one snapshot alone.
///
/// # Errors
/// SQLite's own.
pub(crate) fn begin_anew(layout: &Layout) -> Result<()> {
    let mut connection = super::connect(&layout.catalog())?;
    let log_id = super::new_log_id();
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    set_meta(&tx, "log_id", &log_id)?;
    set_meta(&tx, "instance_id", &super::hex(&random::bytes16()))?;
    // every row below these marks is in a file; the new log's numbers go on above them
    tx.execute("UPDATE tw_flushed SET log_id = ?", [&log_id])?;
    tx.execute_batch("DELETE FROM tw_lock; DELETE FROM ducklake_files_scheduled_for_deletion;")?;
    // the backup holds the files of its newest snapshot alone
    let newest = "(SELECT max(snapshot_id) FROM ducklake_snapshot)";
    tx.execute(&format!("DELETE FROM ducklake_snapshot WHERE snapshot_id < {newest}"), [])?;
    tx.execute("DELETE FROM ducklake_snapshot_changes", [])?;
    let ended = "(SELECT data_file_id FROM ducklake_data_file WHERE end_snapshot IS NOT NULL)";
    for table in ["ducklake_file_column_stats", "tw_file", "ducklake_data_file"] {
        tx.execute(&format!("DELETE FROM {table} WHERE data_file_id IN {ended}"), [])?;
    }
    tx.execute("DELETE FROM ducklake_column WHERE end_snapshot IS NOT NULL", [])?;
    tx.execute(
        "UPDATE ducklake_snapshot SET snapshot_id = snapshot_id + ?1, next_catalog_id = next_catalog_id + ?1,
         next_file_id = next_file_id + ?1",
        [AHEAD],
    )?;
    tx.execute(
        "INSERT INTO ducklake_snapshot_changes SELECT snapshot_id, '', NULL, NULL, NULL FROM ducklake_snapshot",
        [],
    )?;
    tx.commit()?;
    super::Lake::new(connection).leave(std::time::Duration::from_secs(5))
}

fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<()> {
    connection.execute("UPDATE tw_meta SET value = ? WHERE key = ?", params![value, key])?;
    Ok(())
}

/// Writes the rolling copy of the catalog beside it, whole or not at all.
///
/// # Errors
/// The catalog cannot be read or the disk is full: the last copy stays.
pub(crate) fn keep_copy(layout: &Layout) -> Result<()> {
    let target = layout.catalog_copy();
    let partial = target.with_extension("partial");
    if partial.exists() {
        durable::remove(&partial)?;
    }
    let copied = copy_database(&layout.catalog(), &partial).and_then(|()| durable::rename(&partial, &target));
    if copied.is_err() {
        durable::discard(&[partial]);
    }
    copied
}

/// What a repair of the catalog has found and done.
#[derive(Debug, Default)]
pub struct CatalogRepair {
    /// What is wrong with the catalog; none: it is whole.
    pub damage: Option<String>,
    /// When the copy was made that took its place (UTC, as DuckLake writes it).
    pub copy_of: Option<String>,
    /// The damaged files, kept.
    pub kept: Vec<PathBuf>,
    /// Files of rows that the copy does not know, kept: they were written, or made of others, after it.
    pub unknown: Vec<PathBuf>,
    /// Live files that are not on the disk.
    pub missing: Vec<String>,
}

/// Puts the rolling copy in the place of a damaged catalog of a stopped server's folder.
///
/// # Errors
/// There is no copy, or it is damaged, too: nothing has changed then.
pub(crate) fn repair(layout: &Layout, now_us: i64) -> Result<CatalogRepair> {
    let mut report = CatalogRepair::default();
    let catalog = layout.catalog();
    let found = check_database(&catalog).and_then(|()| super::open(layout, now_us).map(drop));
    if let Err(error) = found {
        report.damage = Some(error.to_string());
        let copy = layout.catalog_copy();
        check_database(&copy).map_err(|e| {
            Error::Damaged(format!(
                "the catalog is damaged ({error}), and so is its copy {}: {e}; restore a backup",
                copy.display()
            ))
        })?;
        let aside = durable::with_suffix(&catalog, &format!(".damaged-{now_us}"));
        for suffix in super::SQLITE_SUFFIXES {
            let [from, to] = [&catalog, &aside].map(|path| durable::with_suffix(path, suffix));
            if from.exists() {
                durable::rename(&from, &to)?;
                report.kept.push(to);
            }
        }
        let bytes = fs::read(&copy).map_err(Error::io("cannot read", &copy))?;
        durable::write_file(&catalog, &bytes, 0o640)?;
    }
    let (lake, loaded) = super::open(layout, now_us)?;
    if report.damage.is_some() {
        let time = "SELECT max(snapshot_time) FROM ducklake_snapshot";
        report.copy_of = Some(lake.connection.query_row(time, [], |r| r.get(0))?);
        report.unknown = set_unknown_aside(layout, &loaded.files, now_us)?;
    }
    for table in loaded.view.tables.values() {
        let Some(database) = loaded.view.database_of(&table.info) else { continue };
        for file in &table.files {
            let path = format!("{}{}{}", database.path, table.info.path, file.path);
            let right = fs::metadata(layout.data().join(&path)).is_ok_and(|m| m.len() == file.bytes);
            if !right {
                report.missing.push(path);
            }
        }
    }
    Ok(report)
}

/// A start would take them for leftovers and remove them.
fn set_unknown_aside(layout: &Layout, known: &[String], now_us: i64) -> Result<Vec<PathBuf>> {
    let (root, aside) = (layout.data(), layout.root.join(format!("aside-{now_us}")));
    let mut moved = Vec::new();
    for path in layout.unknown_files(known).into_iter().filter(|p| p.extension().is_some_and(|e| e == "parquet")) {
        let target = aside.join(path.strip_prefix(&root).unwrap_or(&path));
        durable::create_folders(target.parent().unwrap_or(&aside))?;
        durable::rename(&path, &target)?;
        moved.push(target);
    }
    Ok(moved)
}
