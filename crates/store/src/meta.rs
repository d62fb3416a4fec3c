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
    write_ahead(&database)?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch(schema)?;
    Ok(database)
}

/// Gives a database its write-ahead log.
///
/// # Errors
/// It keeps the journal it has, with which readers and commits would wait for each other; SQLite's own.
pub(crate) fn write_ahead(database: &Connection) -> Result<()> {
    let mut statement = database.prepare("PRAGMA journal_mode = WAL")?;
    // to its end: there it is committed, and a look at its row alone does not tell whether that worked
    let mode = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<String, _>>()?;
    if mode == "wal" {
        return Ok(());
    }
    let path = database.path().unwrap_or_default();
    Err(Error::Inconsistent(format!(
        "{path} cannot be given a write-ahead log, its journal mode stays {mode}; see that its disk has room and can be \
         written, then start again"
    )))
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

#[cfg(test)]
#[test]
fn a_database_that_keeps_its_journal_is_refused() {
    let error = write_ahead(&Connection::open_in_memory().unwrap()).unwrap_err().to_string();
    assert!(error.contains("its journal mode stays memory"), "{error}");
}

/// How the tests make calls on `server.sqlite` fail.
#[cfg(test)]
pub(crate) mod trial {
    use super::*;
    use crate::catalog::{self, Lake};
    use crate::layout::Layout;

    /// Calls of each kind: `TW_AMOUNT`, or as many as stand out among the descriptors of other tests.
    fn calls() -> usize {
        crate::asked("TW_AMOUNT").unwrap_or(0).max(1_000) as usize
    }

    pub fn server_db() -> (tempfile::TempDir, std::path::PathBuf, Lake) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().to_owned() };
        layout.prepare().unwrap();
        let (lake, _) = catalog::open(&layout, 0).unwrap();
        (dir, layout.server_db(), lake)
    }

    fn descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    /// Lends a connection.
    pub type Lend<'a> = dyn Fn(&mut dyn FnMut(&Connection)) + 'a;

    /// Tries `call` by the thousand while its table is gone, and, where it writes, while the file is locked by
    /// another and while it cannot be written. After each kind of failure no transaction and no statement is left
    /// open on its connection, which `with` lends, and the next call works.
    pub fn in_vain(with: &Lend<'_>, path: &Path, table: &str, writes: bool, call: &dyn Fn() -> Result<()>) {
        let other = Connection::open(path).unwrap();
        other.busy_timeout(Duration::from_secs(10)).unwrap();
        // the triggers of the catalog call what only the server has
        other.pragma_update(None, "legacy_alter_table", 1).unwrap();
        let pragma = |name: &str, value: i64| {
            with(&mut |connection| connection.pragma_update(None, name, value).unwrap());
        };
        pragma("busy_timeout", 0);
        type Change<'a> = Box<dyn Fn() + 'a>;
        let say = |sql: String| -> Change<'_> {
            let other = &other;
            Box::new(move || other.execute_batch(&sql).unwrap())
        };
        let kinds: [(&str, bool, Change<'_>, Change<'_>); 3] = [
            (
                "gone",
                true,
                say(format!("ALTER TABLE {table} RENAME TO gone")),
                say(format!("ALTER TABLE gone RENAME TO {table}")),
            ),
            ("locked", writes, say("BEGIN IMMEDIATE".into()), say("ROLLBACK".into())),
            ("read-only", writes, Box::new(|| pragma("query_only", 1)), Box::new(|| pragma("query_only", 0))),
        ];
        for (kind, _, begin, end) in kinds.iter().filter(|k| k.1) {
            call().unwrap_or_else(|e| panic!("{table}, before {kind}: {e}"));
            let before = descriptors();
            begin();
            for _ in 0..calls() {
                assert!(call().is_err(), "{table} is {kind}, and the call works");
            }
            with(&mut |connection| {
                assert!(connection.is_autocommit() && !connection.is_busy(), "{table}, {kind}: something is left open");
            });
            end();
            call().unwrap_or_else(|e| panic!("{table}, after {kind}: {e}"));
            // other tests of the process may open some meanwhile
            assert!(descriptors() < before + calls() / 2, "{table}, {kind}: descriptors are left open");
        }
        pragma("busy_timeout", 10_000);
    }

    /// Opens a file by the thousand where none can be, then one where it can.
    pub fn opened_in_vain(open: impl Fn(&Path) -> Result<()>) {
        let dir = tempfile::tempdir().unwrap();
        let before = descriptors();
        for _ in 0..calls() {
            assert!(open(&dir.path().join("nowhere/server.sqlite")).is_err());
            assert!(open(dir.path()).is_err(), "a folder is no file");
        }
        assert!(descriptors() < before + calls() / 2);
        open(&dir.path().join("server.sqlite")).unwrap();
    }
}
