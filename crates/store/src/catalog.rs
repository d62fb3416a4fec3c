//! The catalog: a DuckLake 1.0 catalog in SQLite that any DuckDB can attach read-only, and the
//! `tw_` tables that must commit with its file list.
//!
//! Only this module and its children know DuckLake's tables (format: the DuckLake 1.0
//! specification, <https://ducklake.select/docs/stable/specification/introduction>). One thread
//! commits; whoever waits shares one transaction, each under its own SAVEPOINT. After COMMIT the
//! change is put into the View; a failure between the two ends the process, and the next start knows.

mod anew;
mod committer;
mod digest;
mod lake;
mod load;
pub mod locks;
mod mark;
mod rebuild;
mod schema;

pub use anew::CatalogRepair;
pub(crate) use anew::{begin_anew, keep_copy, repair};
#[cfg(interleave)]
pub(crate) use committer::put_flushed;
pub use committer::{Aside, Committer, Conversion, FlushedTable, Job, Replacement, ReplacementKind, Target, Want};
pub(crate) use digest::check_order;
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
/// A newer format, a catalog that is damaged or missing or older than what was committed, SQLite's own errors.
pub fn open(layout: &Layout, now_us: i64) -> Result<(Lake, Loaded)> {
    let path = layout.catalog();
    let opened = match layout.catalog_repairing().exists() {
        true => Err(Error::Damaged("its repair was cut short".into())),
        false => read(layout, now_us),
    };
    opened.map_err(|error| match damage(&error) {
        Some(what) => Error::Damaged(format!("{}: {what}; `tidewater repair catalog` makes it anew", path.display())),
        None => error,
    })
}

fn read(layout: &Layout, now_us: i64) -> Result<(Lake, Loaded)> {
    let path = layout.catalog();
    let is_empty = std::fs::metadata(&path).map_or(true, |m| m.len() == 0);
    if is_empty && layout.is_used()? {
        // a new one would know nothing of the data files: the next step would remove them
        return Err(Error::Damaged("it is missing or empty, but its log or data files are there".into()));
    }
    let mut connection = connect(&path)?;
    if !has_table(&connection, "tw_meta")? {
        if layout.is_used()? {
            return Err(Error::Damaged("it has no tables, but its log or data files are there".into()));
        }
        schema::bootstrap(&mut connection, layout, now_us)?;
    }
    restrict(&path)?;
    let version = format_version(&connection)?;
    if version > FORMAT_VERSION {
        return Err(Error::Format { path: layout.root.clone(), found: version, max: FORMAT_VERSION });
    }
    match version >= schema::DIGEST_SINCE {
        true => verify(&connection, layout)?,
        false => check_order(&connection)?,
    }
    schema::upgrade(&mut connection, version)?;
    schema::follow_move(&mut connection, layout)?;
    locks::forget_others(&connection)?;
    let loaded = load::load(&connection)?;
    Ok((Lake::new(connection, layout)?, loaded))
}

pub(crate) fn format_version(connection: &Connection) -> Result<u64> {
    let text = meta(connection, "format_version")?;
    text.parse().map_err(|_| Error::Inconsistent(format!("its format version is {text:?}")))
}

/// Whether a catalog with a digest is what was committed last.
fn verify(connection: &Connection, layout: &Layout) -> Result<()> {
    digest::verify(connection)?;
    let newest: u64 = connection.query_row("SELECT max(snapshot_id) FROM ducklake_snapshot", [], |r| r.get(0))?;
    let reached = mark::read(&layout.catalog_mark(), &instance(connection)?)?;
    if newest < reached {
        return Err(Error::Damaged(format!("it ends with snapshot {newest}, but snapshot {reached} was committed")));
    }
    Ok(())
}

/// What an error says of the catalog's bytes; `None`: it has another cause.
fn damage(error: &Error) -> Option<String> {
    use rusqlite::ErrorCode;
    match error {
        Error::Damaged(what) | Error::Inconsistent(what) => Some(what.clone()),
        Error::Catalog(sqlite) => {
            let is_of_bytes = matches!(
                sqlite.sqlite_error_code(),
                None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
            );
            is_of_bytes.then(|| sqlite.to_string())
        }
        _ => None,
    }
}

/// What is wrong with the bytes of a catalog that lies by itself; changes nothing.
///
/// # Errors
/// It is damaged.
pub(crate) fn check(path: &Path) -> Result<()> {
    let connection = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    match format_version(&connection)? >= schema::DIGEST_SINCE {
        true => digest::verify(&connection),
        false => check_order(&connection),
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    crate::meta::write_ahead(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 1000)?;
    // what a statement with triggers may have to undo: a server may have no folder for temporary files
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    digest::register(&connection)?;
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
    bytes16(connection, "log_id")
}

/// The folder that a catalog is of.
fn instance(connection: &Connection) -> Result<[u8; 16]> {
    bytes16(connection, "instance_id")
}

fn bytes16(connection: &Connection, key: &str) -> Result<[u8; 16]> {
    let hex = meta(connection, key)?;
    let bytes: Option<Vec<u8>> =
        (0..hex.len()).step_by(2).map(|i| hex.get(i..i + 2).and_then(|h| u8::from_str_radix(h, 16).ok())).collect();
    bytes
        .and_then(|b| b.try_into().ok())
        .ok_or_else(|| Error::Inconsistent(format!("{key} {hex:?} is not 32 hexadecimal digits")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn new_log_id() -> String {
    hex(&random::bytes16())
}

#[cfg(test)]
mod commit_tests;
#[cfg(test)]
mod format_tests;
#[cfg(test)]
pub(crate) mod script_tests;
#[cfg(test)]
pub(crate) mod tests;
