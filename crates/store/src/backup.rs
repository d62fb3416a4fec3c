//! Copies of a whole folder as it was at one instant, taken while the server runs.
//!
//! # Layout
//! ```text
//! {backup}/backup.json         manifest: what the copy holds and the checksum of each part
//! {backup}/backup.json.sha256  its own checksum; written last
//! {backup}/catalog.sqlite      VACUUM INTO: one snapshot
//! {backup}/server.sqlite       VACUUM INTO; token-key: both only with metadata
//! {backup}/data/…              every live file of that snapshot, under its own path
//! ```
//! Everything is written into `{backup}.partial`, which gets its name when all of it is durable.
//!
//! # Order
//! Idempotency keys are saved and `server.sqlite` is copied first, then all tables are sealed between two records of
//! the log and flushed, then the catalog is copied before any other flush: the rows of every key are in the copy,
//! and a request over two tables is in it whole or not at all. Meanwhile nothing is removed from `data/`. Files never change
//! under their names, so that a hard link is a copy; they are linked where the disk allows, else copied and
//! compared with the catalog's checksum.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Store;
use crate::blocks::Sums;
use crate::durable;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::file::{self, checksum, each_block};
use crate::jobs::Handle;

mod restore;

pub use restore::{Restored, restore};

/// What this version writes and reads.
const VERSION: u32 = 1;
const MANIFEST: &str = "backup.json";
const CHECKSUM: &str = "backup.json.sha256";
pub(crate) const CATALOG: &str = "catalog.sqlite";
pub(crate) const SERVER: &str = "server.sqlite";
pub(crate) const KEY: &str = "token-key";

/// What a backup is asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Must not exist yet.
    pub folder: PathBuf,
    /// An earlier backup of the same folder: files that it holds are taken from there.
    pub against: Option<PathBuf>,
    /// With tokens, policies, queries and history.
    pub include_metadata: bool,
    /// Copies even where a hard link would do.
    pub copy: bool,
}

/// How far a backup, restore or verification is.
#[derive(Debug, Default)]
pub struct Progress {
    pub total_files: AtomicU64,
    pub processed_files: AtomicU64,
    /// Files that an earlier backup holds.
    pub reused_files: AtomicU64,
    pub total_bytes: AtomicU64,
    pub processed_bytes: AtomicU64,
}

impl Progress {
    fn expect(&self, files: &[Part]) {
        self.total_files.store(files.len() as u64, Relaxed);
        self.total_bytes.store(files.iter().map(|f| f.bytes).sum(), Relaxed);
    }

    fn passed(&self, file: &Part) {
        self.processed_files.fetch_add(1, Relaxed);
        self.processed_bytes.fetch_add(file.bytes, Relaxed);
    }
}

/// A data file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Below `data/`.
    pub path: String,
    pub bytes: u64,
    pub crc32c: u32,
}

/// One of the other files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Whole {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// A table as the manifest counts it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measurement {
    pub name: String,
    pub file_count: u64,
    pub size_bytes: u64,
    pub rows: u64,
}

/// A database as the manifest counts it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Contents {
    pub name: String,
    pub measurements: Vec<Measurement>,
    pub file_count: u64,
    pub size_bytes: u64,
}

/// What a backup holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub backup_id: String,
    /// UTC microseconds.
    pub created_us: i64,
    /// `full`, or `incremental` against an earlier one; it stands alone in either case.
    pub backup_type: String,
    pub against: Option<String>,
    /// The folder that it was taken of.
    pub instance: String,
    pub snapshot: u64,
    pub has_metadata: bool,
    pub databases: Vec<Contents>,
    pub total_files: u64,
    pub total_size_bytes: u64,
    pub wholes: Vec<Whole>,
    pub files: Vec<Part>,
}

impl Store {
    /// Takes a backup; one at a time.
    ///
    /// # Errors
    /// Another is on its way, the folder exists, a table cannot be flushed, or a file cannot be read: nothing is
    /// left behind then.
    pub fn backup(&self, id: &str, wanted: &Wanted, progress: &Progress, job: &Handle) -> Result<Manifest> {
        let _alone = self.backing_up.try_lock().ok_or_else(|| Error::Running("a backup"))?;
        if wanted.folder.exists() {
            return Err(Error::Parameter(format!("{} exists already; name a new folder", wanted.folder.display())));
        }
        let earlier = wanted.against.as_deref().map(read_manifest).transpose()?;
        let partial = durable::with_suffix(&wanted.folder, ".partial");
        if partial.exists() {
            // an earlier process did not come to its end
            fs::remove_dir_all(&partial).map_err(Error::io("cannot remove", &partial))?;
        }
        let unfinished = Unfinished(&partial);
        let done = self.write_backup(id, wanted, earlier.as_ref(), &partial, progress, job)?;
        std::mem::forget(unfinished);
        Ok(done)
    }

    fn write_backup(
        &self,
        id: &str,
        wanted: &Wanted,
        earlier: Option<&Manifest>,
        partial: &Path,
        progress: &Progress,
        job: &Handle,
    ) -> Result<Manifest> {
        let shared = self.shared();
        durable::create_folders(partial)?;
        restrict(partial)?;
        let created_us = shared.clock.now_us();
        let mut wholes = Vec::new();
        if wanted.include_metadata {
            self.keys().save(created_us)?;
            wholes.push(vacuum(&shared.layout.server_db(), &partial.join(SERVER))?);
            let key = shared.config.root.join(KEY);
            if key.exists() {
                wholes.push(copy_whole(&key, &partial.join(KEY))?);
            }
        }
        // no file of the snapshot leaves the disk until the copy has it
        let _kept = shared.removal.read();
        let catalog = partial.join(CATALOG);
        wholes.push(self.at_one_cut(|| vacuum(&shared.layout.catalog(), &catalog))?);
        failpoint::check("backup", "catalog")?;
        let listed = List::read(&catalog)?;
        if let Some(earlier) = earlier.filter(|e| e.instance != listed.instance) {
            let text =
                format!("backup {} was taken of another folder; an incremental one needs its own", earlier.backup_id);
            return Err(Error::Parameter(text));
        }
        progress.expect(&listed.files);
        let from = Sources { data: &self.data_folder(), wanted, earlier };
        copy_files(&from, &listed.files, &partial.join("data"), progress, job)?;
        let manifest = Manifest {
            version: VERSION,
            backup_id: id.to_owned(),
            created_us,
            backup_type: if earlier.is_some() { "incremental" } else { "full" }.into(),
            against: earlier.map(|e| e.backup_id.clone()),
            instance: listed.instance,
            snapshot: listed.snapshot,
            has_metadata: wanted.include_metadata,
            total_files: listed.files.len() as u64,
            total_size_bytes: listed.files.iter().map(|f| f.bytes).sum(),
            databases: listed.databases,
            wholes,
            files: listed.files,
        };
        write_manifest(partial, &manifest)?;
        durable::rename(partial, &wanted.folder)?;
        Ok(manifest)
    }
}

/// Removed when the backup fails, by a panic, too.
struct Unfinished<'a>(&'a Path);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0);
    }
}

/// Where a file of a backup may come from.
struct Sources<'a> {
    data: &'a Path,
    wanted: &'a Wanted,
    earlier: Option<&'a Manifest>,
}

fn copy_files(from: &Sources<'_>, files: &[Part], to: &Path, progress: &Progress, job: &Handle) -> Result<()> {
    let held: HashMap<&str, &Part> = from.earlier.iter().flat_map(|e| &e.files).map(|f| (f.path.as_str(), f)).collect();
    let mut folders = std::collections::BTreeSet::new();
    for (at, file) in files.iter().enumerate() {
        job.step(at, files.len())?;
        failpoint::check("backup", "file")?;
        let target = to.join(&file.path);
        let folder = target.parent().unwrap_or(to).to_owned();
        fs::create_dir_all(&folder).map_err(Error::io("cannot create folder", &folder))?;
        let reused = held.get(file.path.as_str()).is_some_and(|known| *known == file)
            && from.wanted.against.as_ref().is_some_and(|a| link(&a.join("data").join(&file.path), &target));
        if reused {
            progress.reused_files.fetch_add(1, Relaxed);
        } else {
            let source = from.data.join(&file.path);
            if from.wanted.copy || !link(&source, &target) {
                copy_part(file, &source, &target)?;
            }
        }
        folders.insert(folder);
        progress.passed(file);
    }
    // the names of files and folders, from the innermost out
    let mut all = folders.clone();
    for folder in &folders {
        all.extend(folder.ancestors().take_while(|f| f.starts_with(to)).map(Path::to_owned));
    }
    all.iter().rev().try_for_each(|folder| durable::sync_folder(folder))
}

/// A second name for a file, where the disk has such. What lies elsewhere (a file that was adopted in place) is copied.
fn link(source: &Path, target: &Path) -> bool {
    let is_elsewhere = fs::symlink_metadata(source).is_ok_and(|m| m.is_symlink());
    !is_elsewhere && fs::hard_link(source, target).is_ok()
}

/// Copies a data file and compares it with its checksum.
pub(crate) fn copy_part(file: &Part, source: &Path, target: &Path) -> Result<()> {
    file::copy(source, target, |found| check_part(file, source, found)).map(drop)
}

pub(crate) fn check_part(file: &Part, path: &Path, found: &Sums) -> Result<()> {
    let (bytes, crc) = (found.bytes, found.crc32c);
    if (bytes, crc) == (file.bytes, file.crc32c) {
        return Ok(());
    }
    Err(Error::Damaged(format!(
        "{}: {bytes} bytes with checksum {crc:08x} instead of {} with {:08x}",
        path.display(),
        file.bytes,
        file.crc32c
    )))
}

fn sha256(path: &Path) -> Result<(u64, String)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    each_block(path, |block| {
        hash.update(block);
        bytes += block.len() as u64;
        Ok(())
    })?;
    Ok((bytes, hash.finalize().iter().map(|b| format!("{b:02x}")).collect()))
}

fn whole(path: &Path) -> Result<Whole> {
    let (bytes, sha256) = sha256(path)?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
    Ok(Whole { name, bytes, sha256 })
}

fn copy_whole(source: &Path, target: &Path) -> Result<Whole> {
    let bytes = fs::read(source).map_err(Error::io("cannot read", source))?;
    durable::write_file(target, &bytes, 0o600)?;
    whole(target)
}

/// One snapshot of a SQLite file in a file of its own.
fn vacuum(source: &Path, target: &Path) -> Result<Whole> {
    copy_database(source, target, check_database)?;
    whole(target)
}

/// As [`vacuum`], durable, and found right by `check`.
pub(crate) fn copy_database(source: &Path, target: &Path, check: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let connection = Connection::open_with_flags(source, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.execute("VACUUM INTO ?", [target.to_string_lossy()])?;
    check(target)?;
    restrict(target)?;
    let file = File::open(target).map_err(Error::io("cannot open", target))?;
    durable::sync_data(&file, target)
}

/// # Errors
/// SQLite finds the file damaged.
pub(crate) fn check_database(path: &Path) -> Result<()> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    crate::catalog::check_order(&connection).map_err(|error| match error {
        Error::Damaged(said) => Error::Damaged(format!("{}: {said}", path.display())),
        error => error,
    })
}

/// Only the server's account reads it.
fn restrict(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io("cannot set permissions of", path))
}

/// The live files of a catalog's newest snapshot.
pub(crate) struct List {
    instance: String,
    snapshot: u64,
    databases: Vec<Contents>,
    pub files: Vec<Part>,
}

impl List {
    pub fn read(catalog: &Path) -> Result<Self> {
        let connection = Connection::open_with_flags(catalog, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let instance = connection.query_row("SELECT value FROM tw_meta WHERE key = 'instance_id'", [], |r| r.get(0))?;
        let snapshot = connection.query_row("SELECT max(snapshot_id) FROM ducklake_snapshot", [], |r| r.get(0))?;
        let mut statement = connection.prepare(
            "SELECT s.schema_name, t.table_name, s.path || t.path || f.path, f.file_size_bytes, w.crc32c, f.record_count
             FROM ducklake_table t JOIN ducklake_schema s USING (schema_id)
             LEFT JOIN ducklake_data_file f ON f.table_id = t.table_id AND f.end_snapshot IS NULL
             LEFT JOIN tw_file w USING (data_file_id)
             WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL ORDER BY f.data_file_id",
        )?;
        let mut rows = statement.query([])?;
        let mut files = Vec::new();
        let mut databases: BTreeMap<String, BTreeMap<String, Measurement>> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (database, table): (String, String) = (row.get(0)?, row.get(1)?);
            let counted = databases.entry(database).or_default().entry(table.clone());
            let counted = counted.or_insert_with(|| Measurement { name: table, ..Measurement::default() });
            if let Some(path) = row.get::<_, Option<String>>(2)? {
                let part = Part { path, bytes: row.get(3)?, crc32c: row.get(4)? };
                counted.file_count += 1;
                counted.size_bytes += part.bytes;
                counted.rows += row.get::<_, u64>(5)?;
                files.push(part);
            }
        }
        let databases = databases.into_iter().map(|(name, tables)| {
            let measurements: Vec<Measurement> = tables.into_values().collect();
            let (file_count, size_bytes) =
                measurements.iter().fold((0, 0), |sum, m| (sum.0 + m.file_count, sum.1 + m.size_bytes));
            Contents { name, measurements, file_count, size_bytes }
        });
        Ok(Self { instance, snapshot, databases: databases.collect(), files })
    }
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<()> {
    let text = serde_json::to_vec_pretty(manifest).map_err(|e| Error::Inconsistent(e.to_string()))?;
    let path = folder.join(MANIFEST);
    durable::write_file(&path, &text, 0o600)?;
    let (_, sum) = sha256(&path)?;
    durable::write_file(&folder.join(CHECKSUM), format!("{sum}  {MANIFEST}\n").as_bytes(), 0o600)
}

/// The manifest of a backup, when it is whole and of a version that is understood.
///
/// # Errors
/// There is none, it does not fit its checksum, or it is of a newer version.
pub fn read_manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let damaged = |what: String| Error::Damaged(format!("{}: {what}", folder.display()));
    let text =
        fs::read(&path).map_err(|e| damaged(format!("it is no backup, or was not finished: {MANIFEST}: {e}")))?;
    let sum = fs::read_to_string(folder.join(CHECKSUM)).map_err(|e| damaged(format!("{CHECKSUM}: {e}")))?;
    if sum.split_whitespace().next() != Some(sha256(&path)?.1.as_str()) {
        return Err(damaged(format!("{MANIFEST} does not fit its checksum")));
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| damaged(format!("{MANIFEST}: {e}")))?;
    if manifest.version > VERSION {
        let (found, max) = (u64::from(manifest.version), u64::from(VERSION));
        return Err(Error::Format { path: folder.to_owned(), found, max });
    }
    Ok(manifest)
}

/// Reads all of a backup against its checksums.
///
/// # Errors
/// What is missing or damaged, by name.
pub fn verify(folder: &Path, progress: &Progress) -> Result<Manifest> {
    let manifest = read_manifest(folder)?;
    progress.expect(&manifest.files);
    verify_wholes(folder, &manifest)?;
    let listed = List::read(&folder.join(CATALOG))?;
    if listed.files != manifest.files {
        return Err(Error::Damaged(format!("{}: catalog and manifest name other files", folder.display())));
    }
    for file in &manifest.files {
        let path = folder.join("data").join(&file.path);
        check_part(file, &path, &checksum(&path)?)?;
        progress.passed(file);
    }
    Ok(manifest)
}

fn verify_wholes(folder: &Path, manifest: &Manifest) -> Result<()> {
    for known in &manifest.wholes {
        let path = folder.join(&known.name);
        let found = whole(&path)?;
        if found.sha256 != known.sha256 {
            return Err(Error::Damaged(format!("{} does not fit its checksum", path.display())));
        }
        if known.name.ends_with(".sqlite") {
            check_database(&path)?;
        }
    }
    Ok(())
}
