use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use model::SystemClock;
use serde_json::json;
use store::backup::{self, Manifest, Progress, Wanted};
use store::jobs::Handle;
use store::{Store, StoreConfig};

use crate::client::{self, Server};
use crate::progress;

/// How often the progress of a server's backup is asked for.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// Memory for the rows that a stopped folder's log may hold.
const HOT_BYTES: usize = 256 << 20;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    verify: Option<What>,
    /// A folder that does not exist yet
    #[arg(required = true)]
    folder_of_backup: Option<PathBuf>,
    /// An earlier backup of the same server: files that it holds are taken from there
    #[arg(long)]
    against: Option<PathBuf>,
    /// Leave tokens, policies, queries and history out
    #[arg(long)]
    no_metadata: bool,
    /// Copy even where a hard link would do
    #[arg(long)]
    copy: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Read all of a backup against its checksums
    Verify { backup: PathBuf },
}

#[derive(Debug, Args)]
pub struct Restore {
    /// The backup
    backup: PathBuf,
    /// The folder to make: empty, or not there yet
    folder: PathBuf,
}

/// `tidewater backup`
pub fn run(options: &Options) -> Result<()> {
    if let Some(What::Verify { backup: folder }) = &options.verify {
        let manifest = watched("verifying", |progress| backup::verify(folder, progress))?;
        println!("the backup is whole: {}", summary(&manifest));
        return Ok(());
    }
    let folder = options.folder_of_backup.as_deref().context("name the folder of the backup")?;
    let wanted = Wanted {
        folder: std::path::absolute(folder)?,
        against: options.against.as_deref().map(std::path::absolute).transpose()?,
        include_metadata: !options.no_metadata,
        copy: options.copy,
    };
    if options.server.is_up() {
        return of_server(&options.server, &wanted);
    }
    println!("no server answers at {}: the folder is read as it lies", options.server.url);
    let manifest = of_folder(options.server.folder(), &wanted)?;
    println!("{}: {}", wanted.folder.display(), summary(&manifest));
    Ok(())
}

/// `tidewater restore`
pub fn restore(options: &Restore) -> Result<()> {
    let made = watched("restoring", |progress| backup::restore(&options.backup, &options.folder, progress))?;
    println!("{}: {}", options.folder.display(), summary(&made.manifest));
    println!("start it: tidewater serve --set storage.local_path={}", options.folder.display());
    if !made.manifest.has_metadata {
        println!("the backup holds no tokens: the first start makes an admin token");
    }
    Ok(())
}

fn summary(manifest: &Manifest) -> String {
    let rows: u64 = manifest.databases.iter().flat_map(|d| &d.measurements).map(|m| m.rows).sum();
    format!(
        "{} files, {:.1} MB, {rows} rows in {} databases, snapshot {}",
        manifest.total_files,
        manifest.total_size_bytes as f64 / 1e6,
        manifest.databases.len(),
        manifest.snapshot
    )
}

fn bar(verb: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_message(verb);
    let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    bar.with_style(progress::style(style))
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_length(progress.total_bytes.load(Relaxed));
    bar.set_position(progress.processed_bytes.load(Relaxed));
}

/// Runs `work` with a bar that follows it.
fn watched<T: Send>(verb: &'static str, work: impl FnOnce(&Progress) -> store::Result<T> + Send) -> Result<T> {
    let (progress, bar) = (Progress::default(), bar(verb));
    let done = std::thread::scope(|scope| {
        let working = scope.spawn(|| work(&progress));
        while !working.is_finished() {
            show(&bar, &progress);
            std::thread::sleep(ASK_EVERY);
        }
        working.join()
    });
    bar.finish_and_clear();
    match done {
        Ok(done) => Ok(done?),
        Err(_) => bail!("{verb} ended by a fault of the program"),
    }
}

fn of_folder(folder: &Path, wanted: &Wanted) -> Result<Manifest> {
    if !folder.join("catalog.sqlite").exists() {
        bail!("{} is no server's folder; name it with --folder, or a server with --url", folder.display());
    }
    let config = StoreConfig { min_free_bytes: 0, ..StoreConfig::new(folder, HOT_BYTES) };
    let store = Store::open(config, Arc::new(SystemClock)).context("cannot open the folder")?;
    let done = watched("copying", |progress| store.backup("offline", wanted, progress, &Handle::of_server("backup")));
    store.close(Duration::from_secs(25));
    done
}

fn of_server(server: &Server, wanted: &Wanted) -> Result<()> {
    let body = json!({
        "path": wanted.folder,
        "against": wanted.against,
        "include_metadata": wanted.include_metadata,
        "copy": wanted.copy,
    });
    let id = server.ask("POST", "/api/v1/backup", &[], Some(&body))?["backup_id"].clone();
    let bar = bar("copying");
    let status = loop {
        let status = server.ask("GET", "/api/v1/backup/status", &[], None)?;
        bar.set_length(status["total_bytes"].as_u64().unwrap_or(0));
        bar.set_position(status["processed_bytes"].as_u64().unwrap_or(0));
        if status["backup_id"] != id || status["status"] != "running" {
            break status;
        }
        std::thread::sleep(ASK_EVERY);
    };
    bar.finish_and_clear();
    if status["status"] == "failed" {
        bail!("{}", client::text(&status["error"]));
    }
    let count = |field: &str| status[field].as_u64().unwrap_or(0);
    let (files, reused, mb) = (count("total_files"), count("reused_files"), count("total_bytes") as f64 / 1e6);
    println!(
        "{}: {files} files, {mb:.1} MB, {reused} of them from the earlier backup",
        client::text(&status["folder"])
    );
    Ok(())
}
