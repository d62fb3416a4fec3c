//! A catalog that goes on somewhere else, and its rolling copy.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior, params};

use super::rebuild;
use crate::backup::copy_database;
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
        "INSERT INTO ducklake_snapshot_changes SELECT snapshot_id, '', NULL, NULL, NULL FROM ducklake_snapshot",
        [],
    )?;
    go_ahead(&tx)?;
    tx.commit()?;
    super::Lake::new(connection, layout)?.leave(std::time::Duration::from_secs(5))
}

/// Moves the newest snapshot, and the ids that come next, far ahead.
pub(super) fn go_ahead(connection: &Connection) -> Result<()> {
    let newest = "(SELECT max(snapshot_id) FROM ducklake_snapshot)";
    connection.execute(
        &format!("UPDATE ducklake_snapshot_changes SET snapshot_id = snapshot_id + ? WHERE snapshot_id = {newest}"),
        [AHEAD],
    )?;
    connection.execute(
        &format!(
            "UPDATE ducklake_snapshot SET snapshot_id = snapshot_id + ?1, next_catalog_id = next_catalog_id + ?1,
             next_file_id = next_file_id + ?1 WHERE snapshot_id = {newest}"
        ),
        [AHEAD],
    )?;
    Ok(())
}

pub(super) fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<()> {
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
    // a page that changed on the disk must not get into the copy
    let copied =
        copy_database(&layout.catalog(), &partial, super::check).and_then(|()| durable::rename(&partial, &target));
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
    /// When the copy was made that took its place (UTC, as DuckLake writes it); none of a catalog that was made from
    /// data files and log alone.
    pub copy_of: Option<String>,
    /// The damaged files, kept.
    pub kept: Vec<PathBuf>,
    /// Data files that the copy does not know and that are in the catalog again.
    pub found: Vec<PathBuf>,
    /// Data files that are not, kept: others hold their rows, the log does, or they cannot be read.
    pub aside: Vec<PathBuf>,
    /// Live files that are not on the disk.
    pub missing: Vec<String>,
    /// What nothing in the folder tells.
    pub unsure: Vec<String>,
}

/// What is lost with a catalog of which there is no copy.
const UNKNOWN: [&str; 5] = [
    "databases and tables without rows",
    "names given to tables after their first file was written",
    "drops of tables, and deletes of all rows of a file, in the quarter of an hour before the damage: their rows are back",
    "the tags of files that an earlier version wrote, and whether their tables keep one row a point",
    "how far continuous queries have come, and which imports had a name",
];

/// Makes the catalog of a stopped server's folder anew when it is damaged.
///
/// # Errors
/// It is of a newer version, or the folder cannot be read or written; a repair that was cut short is done again.
pub(crate) fn repair(layout: &Layout, now_us: i64) -> Result<CatalogRepair> {
    let mut report = CatalogRepair::default();
    match super::open(layout, now_us) {
        Ok(_) => {}
        Err(Error::Damaged(damage)) => {
            report.damage = Some(damage);
            make_anew(layout, now_us, &mut report)?;
        }
        Err(error) => return Err(error),
    }
    let (_, loaded) = super::open(layout, now_us)?;
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

fn make_anew(layout: &Layout, now_us: i64, report: &mut CatalogRepair) -> Result<()> {
    let unfinished = layout.catalog_repairing();
    durable::write_file(&unfinished, b"", 0o600)?;
    let (catalog, copy) = (layout.catalog(), layout.catalog_copy());
    let damaged = |path: &Path| durable::with_suffix(path, &format!(".damaged-{now_us}"));
    let mark = layout.catalog_mark();
    let files = super::SQLITE_SUFFIXES.map(|suffix| durable::with_suffix(&catalog, suffix));
    for from in files.iter().chain([&mark]).filter(|path| path.exists()) {
        let to = damaged(from);
        durable::rename(from, &to)?;
        report.kept.push(to);
    }
    let has_copy = super::check(&copy);
    match &has_copy {
        Ok(()) => {
            let bytes = fs::read(&copy).map_err(Error::io("cannot read", &copy))?;
            durable::write_file(&catalog, &bytes, 0o640)?;
        }
        Err(_) => {
            rebuild::begin(layout, now_us)?;
            report.unsure.extend(UNKNOWN.map(str::to_owned));
        }
    }
    let (lake, loaded) = super::read(layout, now_us)?;
    if has_copy.is_ok() {
        let time = "SELECT max(snapshot_time) FROM ducklake_snapshot";
        report.copy_of = Some(lake.connection.query_row(time, [], |r| r.get(0))?);
    }
    let unused = rebuild::bring_in(&lake, &loaded, layout, now_us, report)?;
    drop(lake);
    set_aside(layout, unused, now_us, report)?;
    durable::remove(&unfinished)?;
    durable::sync_folder(&layout.root)
}

/// A start would take them for leftovers and remove them.
fn set_aside(layout: &Layout, unused: Vec<PathBuf>, now_us: i64, report: &mut CatalogRepair) -> Result<()> {
    let (root, aside) = (layout.data(), layout.root.join(format!("aside-{now_us}")));
    for path in unused {
        let target = aside.join(path.strip_prefix(&root).unwrap_or(&path));
        durable::create_folders(target.parent().unwrap_or(&aside))?;
        durable::rename(&path, &target)?;
        report.aside.push(target);
    }
    Ok(())
}
