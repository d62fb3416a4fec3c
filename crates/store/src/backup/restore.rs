use std::fs;
use std::path::Path;

use super::{CATALOG, KEY, Manifest, Progress, SERVER, copy_part, read_manifest, sha256, verify_wholes};
use crate::catalog;
use crate::durable;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::layout::{FolderLock, Layout, RESTORING};

/// What a restore has made.
#[derive(Debug)]
pub struct Restored {
    pub manifest: Manifest,
    pub files: u64,
    pub bytes: u64,
}

/// Makes a folder of a backup: every file is compared with its checksum on the way, the log begins anew under
/// another id, and the ids of the catalog go on far behind those that the backup's folder may have given since.
/// A restore that was cut short leaves a folder that no server opens, and may be begun again.
///
/// # Errors
/// The folder is not empty, a part of the backup is missing or damaged, or the disk is full.
pub fn restore(backup: &Path, folder: &Path, progress: &Progress) -> Result<Restored> {
    let manifest = read_manifest(backup)?;
    verify_wholes(backup, &manifest)?;
    progress.expect(&manifest.files);
    durable::create_folders(folder)?;
    let marker = folder.join(RESTORING);
    if marker.exists() {
        empty(folder)?;
    } else if let Some(found) = fs::read_dir(folder).map_err(Error::io("cannot list", folder))?.flatten().next() {
        let found = found.file_name().to_string_lossy().into_owned();
        return Err(Error::Parameter(format!(
            "{} is not empty: it holds {found}; restore into an empty folder",
            folder.display()
        )));
    }
    durable::write_file(&marker, manifest.backup_id.as_bytes(), 0o600)?;
    let _lock = FolderLock::acquire(folder)?;
    let layout = Layout { root: folder.to_owned() };
    layout.prepare()?;
    for file in &manifest.files {
        failpoint::check("restore", "file")?;
        failpoint::hit("restore.file");
        let target = layout.data().join(&file.path);
        copy_part(file, &backup.join("data").join(&file.path), &target)?;
        progress.passed(file);
    }
    for known in &manifest.wholes {
        let (source, target) = (backup.join(&known.name), folder.join(&known.name));
        let mode = match known.name.as_str() {
            CATALOG => 0o640,
            SERVER | KEY => 0o600,
            other => return Err(Error::Damaged(format!("the backup names {other}, which this version does not know"))),
        };
        let bytes = fs::read(&source).map_err(Error::io("cannot read", &source))?;
        durable::write_file(&target, &bytes, mode)?;
        if sha256(&target)?.1 != known.sha256 {
            return Err(Error::Damaged(format!("{} does not fit its checksum", source.display())));
        }
    }
    catalog::begin_anew(&layout)?;
    failpoint::check("restore", "end")?;
    durable::remove(&marker)?;
    durable::sync_folder(folder)?;
    let (files, bytes) = (manifest.total_files, manifest.total_size_bytes);
    Ok(Restored { manifest, files, bytes })
}

/// Removes what an earlier restore has left; its marker says that nothing else is there.
fn empty(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("cannot list", folder))?.flatten() {
        let path = entry.path();
        if entry.file_name() == RESTORING {
            continue;
        }
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(Error::io("cannot remove", &path))?;
    }
    Ok(())
}
