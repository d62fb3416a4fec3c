//! A digest over every row of the catalog and over its schema, so that a bit that changes on the disk is noticed before
//! it decides an answer: SQLite checks the frames of its journal, but no page of a database.
//!
//! The digest is the sum of the hashes of all rows (modulo 2⁶⁴), so triggers keep it up to date row by row, in the same
//! transaction, whatever savepoint is rolled back. The triggers call a function that only the server has: another
//! writer fails with its name.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// What the triggers call, by a name that tells a foreign writer why it fails.
const FUNCTION: &str = "tidewater_server_only";

/// The one row holds the digest of the rows and that of the schema.
const TABLE: &str = "tw_digest";

/// Gives a connection what the triggers need.
pub(super) fn register(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    Ok(connection.create_scalar_function(FUNCTION, -1, flags, moved)?)
}

/// (digest, 1 or −1, table, values…) → the digest with that row, or without it.
fn moved(context: &Context<'_>) -> rusqlite::Result<i64> {
    let (digest, sign): (i64, i64) = (context.get(0)?, context.get(1)?);
    let table: String = context.get(2)?;
    let values = (3..context.len()).map(|at| context.get_raw(at));
    Ok(digest.wrapping_add(hash(&table, values).wrapping_mul(sign)))
}

/// The first eight bytes of the SHA-256 of a row, each value with its type.
fn hash<'a>(table: &str, values: impl Iterator<Item = ValueRef<'a>>) -> i64 {
    let mut state = Sha256::new();
    let mut put = |kind: u8, bytes: &[u8]| {
        state.update([kind]);
        state.update((bytes.len() as u64).to_le_bytes());
        state.update(bytes);
    };
    put(b't', table.as_bytes());
    for value in values {
        match value {
            ValueRef::Null => put(0, &[]),
            ValueRef::Integer(number) => put(1, &number.to_le_bytes()),
            ValueRef::Real(number) => put(2, &number.to_bits().to_le_bytes()),
            ValueRef::Text(text) => put(3, text),
            ValueRef::Blob(bytes) => put(4, bytes),
        }
    }
    let digest = state.finalize();
    i64::from_le_bytes(digest[..8].try_into().expect("eight of 32 bytes"))
}

fn tables(connection: &Connection) -> Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> ?
         ORDER BY name",
    )?;
    let found = statement.query_map([TABLE], |r| r.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn columns(connection: &Connection, table: &str) -> Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?)")?;
    let found = statement.query_map([table], |r| r.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Puts the triggers on every table and writes the digests of what is there; part of the caller's transaction.
pub(super) fn install(connection: &Connection) -> Result<()> {
    connection.execute_batch(&format!(
        "DROP TABLE IF EXISTS {TABLE}; CREATE TABLE {TABLE} (rows INTEGER NOT NULL, schema INTEGER NOT NULL);
         INSERT INTO {TABLE} VALUES (0, 0);"
    ))?;
    for table in tables(connection)? {
        let columns = columns(connection, &table)?;
        let row = |of: &str| columns.iter().map(|c| format!(", {of}.{c}")).collect::<String>();
        let change =
            |sign: i8, of: &str| format!("UPDATE {TABLE} SET rows = {FUNCTION}(rows, {sign}, '{table}'{});", row(of));
        for (verb, changes) in [
            ("INSERT", change(1, "NEW")),
            ("DELETE", change(-1, "OLD")),
            ("UPDATE", change(-1, "OLD") + &change(1, "NEW")),
        ] {
            connection.execute_batch(&format!(
                "DROP TRIGGER IF EXISTS tw_digest_{table}_{verb};
                 CREATE TRIGGER tw_digest_{table}_{verb} AFTER {verb} ON {table} BEGIN {changes} END"
            ))?;
        }
    }
    let sums = params![rows(connection)?, schema(connection)?];
    connection.execute(&format!("UPDATE {TABLE} SET rows = ?, schema = ?"), sums)?;
    Ok(())
}

fn rows(connection: &Connection) -> Result<i64> {
    let all = tables(connection)?;
    all.iter().try_fold(0i64, |sum, table| Ok(sum.wrapping_add(sum_of(connection, table, "*")?)))
}

fn schema(connection: &Connection) -> Result<i64> {
    // where a table begins may change: a copy is laid out anew
    sum_of(connection, "sqlite_master", "type, name, tbl_name, sql")
}

/// The hashes of all rows of a table, summed up.
fn sum_of(connection: &Connection, table: &str, columns: &str) -> Result<i64> {
    let mut statement = connection.prepare(&format!("SELECT {columns} FROM {table}"))?;
    let width = statement.column_count();
    let mut rows = statement.query([])?;
    let mut sum = 0i64;
    while let Some(row) = rows.next()? {
        let values = (0..width).map(|at| row.get_ref(at)).collect::<Result<Vec<_>, _>>()?;
        sum = sum.wrapping_add(hash(table, values.into_iter()));
    }
    Ok(sum)
}

/// Whether tables and indices have the order on which every lookup relies.
///
/// # Errors
/// [`Error::Damaged`], or SQLite's own.
pub(crate) fn check_order(connection: &Connection) -> Result<()> {
    let said: String = connection.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))?;
    if said == "ok" { Ok(()) } else { Err(Error::Damaged(said)) }
}

/// Whether rows and schema are those that were written.
///
/// # Errors
/// [`Error::Damaged`] says which of them is not; SQLite's own.
pub(super) fn verify(connection: &Connection) -> Result<()> {
    check_order(connection)?;
    let kept =
        connection.query_row(&format!("SELECT rows, schema FROM {TABLE}"), [], |r| Ok((r.get(0)?, r.get(1)?)))?;
    for (what, kept, found) in [("schema", kept.1, schema(connection)?), ("rows", kept.0, rows(connection)?)] {
        let kept: i64 = kept;
        if kept != found {
            return Err(Error::Damaged(format!("its {what} have the digest {found:016x} instead of {kept:016x}")));
        }
    }
    Ok(())
}
