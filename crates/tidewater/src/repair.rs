use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum What {
    /// Cut the log at the first damage, keep the cut bytes aside and say what may be lost
    Log {
        /// The server's folder (storage.local_path)
        folder: PathBuf,
    },
}

/// `tidewater repair`
pub fn run(what: &What) -> Result<()> {
    let What::Log { folder } = what;
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
