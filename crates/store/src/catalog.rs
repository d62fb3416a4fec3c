//! The catalog: a DuckLake 1.0 catalog in SQLite that any DuckDB can attach read-only, and the
//! `tw_` tables that must commit with its file list.
//!
//! Only this module and its children know DuckLake's tables (format: the DuckLake 1.0
//! specification, <https://ducklake.select/docs/stable/specification/introduction>). One thread
//! commits; whoever waits shares one transaction, each under its own SAVEPOINT. After COMMIT the
//! change is put into the View; a failure between the two ends the process, and the next start knows.

mod anew;
mod committer;
mod lake;
mod load;
pub mod locks;
mod schema;

pub use anew::CatalogRepair;
pub(crate) use anew::{begin_anew, keep_copy, repair};
pub use committer::{Aside, Committer, Conversion, FlushedTable, Job, Replacement, ReplacementKind, Target, Want};
pub use lake::Lake;
pub use load::Loaded;

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use crate::durable;
use crate::error::{Error, Result};
use crate::layout::{FORMAT_VERSION, Layout};
use crate::log::LogId;
use crate::random;

/// Opens the catalog, making it when the folder is new, and reads everything it holds.
///
/// # Errors
/// A newer format, a catalog of another server's making, SQLite's own errors.
pub fn open(layout: &Layout, now_us: i64) -> Result<(Lake, Loaded)> {
    let path = layout.catalog();
    let is_new = !path.exists();
    let mut connection = connect(&path)?;
    if is_new || !has_table(&connection, "tw_meta")? {
        schema::bootstrap(&mut connection, layout, now_us)?;
    }
    restrict(&path)?;
    let version: u64 = meta(&connection, "format_version")?.parse().unwrap_or(u64::MAX);
    if version > FORMAT_VERSION {
        return Err(Error::Format { path: layout.root.clone(), found: version, max: FORMAT_VERSION });
    }
    schema::upgrade(&mut connection, version)?;
    schema::follow_move(&mut connection, layout)?;
    locks::forget_others(&connection)?;
    let loaded = load::load(&connection)?;
    Ok((Lake::new(connection), loaded))
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 1000)?;
    // the guard triggers call it: a foreign writer does not have it and fails
    let flags = rusqlite::functions::FunctionFlags::SQLITE_UTF8;
    connection.create_scalar_function("tidewater_server_only", 0, flags, |_| Ok(1i64))?;
    Ok(connection)
}

/// Of the files that SQLite keeps of one database.
const SQLITE_SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// Group may read, others may not: readers may belong to another account.
fn restrict(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for file in SQLITE_SUFFIXES.map(|suffix| durable::with_suffix(path, suffix)) {
        if file.exists() {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640))
                .map_err(Error::io("cannot set permissions of", &file))?;
        }
    }
    Ok(())
}

fn has_table(connection: &Connection, name: &str) -> Result<bool> {
    Ok(connection.query_row("SELECT count(*) FROM sqlite_master WHERE name = ?", [name], |r| r.get::<_, i64>(0))? > 0)
}

pub(crate) fn meta(connection: &Connection, key: &str) -> Result<String> {
    Ok(connection.query_row("SELECT value FROM tw_meta WHERE key = ?", [key], |r| r.get(0))?)
}

/// The log that belongs to this catalog.
pub(crate) fn log_id(connection: &Connection) -> Result<LogId> {
    let hex = meta(connection, "log_id")?;
    let bytes: Option<Vec<u8>> =
        (0..hex.len()).step_by(2).map(|i| hex.get(i..i + 2).and_then(|h| u8::from_str_radix(h, 16).ok())).collect();
    bytes
        .and_then(|b| b.try_into().ok())
        .ok_or_else(|| Error::Inconsistent(format!("log id {hex:?} is not 32 hexadecimal digits")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn new_log_id() -> String {
    hex(&random::bytes16())
}

#[cfg(test)]
mod tests;
