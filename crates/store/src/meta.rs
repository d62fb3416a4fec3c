//! `server.sqlite`: what the server remembers beside the data. Only the server's account may read it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::error::{Error, Result};

/// Opens the file (0600), making it when it is new, and runs `schema`.
pub fn open(path: &Path, schema: &str) -> Result<Connection> {
    use std::os::unix::fs::PermissionsExt;
    let database = Connection::open(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(Error::io("cannot set permissions of", path))?;
    database.busy_timeout(Duration::from_secs(10))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch(schema)?;
    Ok(database)
}

/// Adds a column that files of earlier versions lack.
pub fn add_column(database: &Connection, table: &str, column: &str) -> Result<()> {
    let name = column.split(' ').next().unwrap_or_default();
    let known: bool = database.query_row(
        "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?) WHERE name = ?)",
        [table, name],
        |r| r.get(0),
    )?;
    if !known {
        database.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column}"))?;
    }
    Ok(())
}

/// A broken UNIQUE constraint in the user's words.
pub fn taken(error: rusqlite::Error, name: &str) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => Error::NameTaken(name.to_owned()),
        _ => error.into(),
    }
}
