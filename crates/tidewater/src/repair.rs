use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use model::{Clock as _, SystemClock};

#[derive(Debug, Subcommand)]
pub enum What {
    /// Cut the log at the first damage, keep the cut bytes aside and say what may be lost
    Log {
        /// The server's folder (storage.local_path)
        folder: PathBuf,
    },
    /// Make a damaged catalog anew: from its rolling copy, from data files and from the log
    Catalog {
        /// The server's folder (storage.local_path)
        folder: PathBuf,
    },
}

/// `tidewater repair`
pub fn run(what: &What) -> Result<()> {
    match what {
        What::Log { folder } => log(folder),
        What::Catalog { folder } => catalog(folder),
    }
}

fn catalog(folder: &Path) -> Result<()> {
    let report = store::repair_catalog(folder, SystemClock.now_us()).context("cannot repair the catalog")?;
    match (&report.damage, &report.copy_of) {
        (None, _) => println!("the catalog is whole"),
        (Some(damage), copy) => {
            println!("damage: {damage}");
            match copy {
                Some(copy) => println!("in its place: the copy with the snapshot of {copy}"),
                None => println!("in its place: one made of data files and log; no copy of it is whole"),
            }
            println!("deletes, drops and changes of tables after that may be undone");
        }
    }
    for path in &report.kept {
        println!("aside:   {}", path.display());
    }
    for path in &report.found {
        println!("found:   {} is a file of its table again", path.display());
    }
    for path in &report.aside {
        println!("unused:  {}: other files or the log hold its rows", path.display());
    }
    for text in &report.unsure {
        println!("unknown: {text}");
    }
    for path in &report.missing {
        println!("missing: {path} is not on the disk as the catalog says: take it from a backup");
    }
    anyhow::ensure!(report.missing.is_empty(), "{} files are missing", report.missing.len());
    Ok(())
}

fn log(folder: &Path) -> Result<()> {
    let report = store::repair_log(folder).context("cannot repair the log")?;
    let Some(damage) = &report.damage else {
        println!("the log is whole: {} records, the last is LSN {}", report.records_kept, report.last_lsn);
        return Ok(());
    };
    println!("damage: {damage}");
    println!("kept:   {} records, up to LSN {}", report.records_kept, report.last_lsn);
    println!(
        "cut:    {} bytes of segments; rows acknowledged after LSN {} and not yet in files are lost",
        report.bytes_cut, report.last_lsn
    );
    for copy in &report.kept {
        println!("aside:  {}", copy.display());
    }
    Ok(())
}
