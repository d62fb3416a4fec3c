use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

#[derive(Debug, Args)]
pub struct Options {
    /// The server's folder (storage.local_path)
    folder: PathBuf,
    /// Lines for Python instead of SQL
    #[arg(long)]
    python: bool,
}

/// `tidewater attach`
pub fn run(options: &Options) -> Result<()> {
    let catalog = options.folder.join("catalog.sqlite");
    let catalog = catalog.canonicalize().with_context(|| format!("{} holds no catalog", options.folder.display()))?;
    println!("{}", if options.python { python(&catalog) } else { sql(&catalog) });
    Ok(())
}

/// SQL lines for the catalog at this path.
pub fn sql(catalog: &Path) -> String {
    format!(
        "-- rows appear here when they are in files: after ingest.max_buffer_age_ms (10 s) for busy tables,\n\
         -- ingest.max_quiet_age_ms (10 min) for the others, or at once after POST /api/v1/write/line-protocol/flush\n\
         INSTALL ducklake; INSTALL sqlite;\n\
         ATTACH 'ducklake:sqlite:{}' AS tidewater (READ_ONLY);\n\
         SHOW ALL TABLES;",
        catalog.display().to_string().replace('\'', "''")
    )
}

/// Python lines for the catalog at this path; the extensions come from PyPI.
pub fn python(catalog: &Path) -> String {
    format!(
        "# pip install duckdb==1.5.5 duckdb-extensions duckdb-extension-ducklake duckdb-extension-sqlite-scanner\n\
         # rows appear here when they are in files: see `tidewater attach` without --python for when\n\
         import duckdb, duckdb_extensions\n\
         db = duckdb.connect()\n\
         for name in (\"ducklake\", \"sqlite_scanner\"): duckdb_extensions.import_extension(name, con=db)\n\
         db.execute(\"ATTACH 'ducklake:sqlite:{}' AS tidewater (READ_ONLY)\")\n\
         print(db.sql(\"SHOW ALL TABLES\"))",
        catalog.display().to_string().replace('\'', "''").replace('"', "\\\"")
    )
}
