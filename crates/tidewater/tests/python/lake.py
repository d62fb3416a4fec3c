"""A DuckDB that reads a Tidewater folder; in a process of its own, as the catalog's readers must be."""
import duckdb
import duckdb_extensions


def attach(folder):
    db = duckdb.connect()
    for name in ("ducklake", "sqlite_scanner"):
        duckdb_extensions.import_extension(name, con=db)
    db.execute(f"ATTACH 'ducklake:sqlite:{folder}/catalog.sqlite' AS lake (READ_ONLY)")
    return db
