//! What is wrong with a folder and what to do about it; changes nothing, also while a server runs on it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::backup::{KEY, List, check_database, check_part};
use crate::catalog;
use crate::durable;
use crate::file::checksum;
use crate::layout::{FORMAT_VERSION, FolderLock, Layout, RESTORING};
use crate::log;

/// Free space below which the doctor warns, whatever the settings say.
const LITTLE_SPACE_BYTES: u64 = 1 << 30;
/// A clock that is so far behind the newest snapshot was set back (microseconds).
const CLOCK_SLACK_US: i64 = 60_000_000;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// Worth a look.
    Odd,
    /// Something does not work, or will be lost.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone)]
pub struct Finding {
    pub verdict: Verdict,
    pub what: &'static str,
    pub text: String,
    pub advice: Option<&'static str>,
}

fn fine(what: &'static str, text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Fine, what, text: text.into(), advice: None }
}

fn odd(what: &'static str, text: impl Into<String>, advice: &'static str) -> Finding {
    Finding { verdict: Verdict::Odd, what, text: text.into(), advice: Some(advice) }
}

fn bad(what: &'static str, text: impl Into<String>, advice: &'static str) -> Finding {
    Finding { verdict: Verdict::Bad, what, text: text.into(), advice: Some(advice) }
}

/// Looks at folder, permissions, disk, catalogs, log, files and clock (`now_us`: UTC microseconds); `deep`: reads
/// every file.
pub fn examine(root: &Path, deep: bool, now_us: i64) -> Vec<Finding> {
    let layout = Layout { root: root.to_owned() };
    if !layout.catalog().exists() {
        let text = format!("{} holds no catalog", root.display());
        let advice = "name the server's folder (storage.local_path), or start a server to make it";
        return vec![bad("folder", text, advice)];
    }
    let mut found = Vec::new();
    let is_running = folder(&layout, &mut found);
    permissions(&layout, &mut found);
    disk(&layout, &mut found);
    let whole = catalogs(&layout, now_us, &mut found);
    if whole {
        let catalog = Connection::open_with_flags(layout.catalog(), OpenFlags::SQLITE_OPEN_READ_ONLY);
        match catalog {
            Ok(catalog) => {
                format(&catalog, &mut found);
                clock(&catalog, now_us, &mut found);
                files(&layout, deep, &mut found);
                log_of(&layout, &catalog, is_running, &mut found);
            }
            Err(error) => found.push(bad("catalog", error.to_string(), "run this as the server's account")),
        }
    }
    found
}

/// Whether a server holds the folder.
fn folder(layout: &Layout, found: &mut Vec<Finding>) -> bool {
    let holder = FolderLock::holder(&layout.root);
    if layout.root.join(RESTORING).exists() {
        let text = format!("{} is half restored", layout.root.display());
        found.push(bad("folder", text, "run `tidewater restore` into it again"));
    } else if let Some(holder) = &holder {
        found.push(fine("folder", format!("{}, held by {holder}", layout.root.display())));
    } else {
        found.push(fine("folder", format!("{}, no server runs on it", layout.root.display())));
    }
    holder.is_some()
}

fn permissions(layout: &Layout, found: &mut Vec<Finding>) {
    let root = &layout.root;
    let wanted = [
        (layout.server_db(), 0o600),
        (root.join(KEY), 0o600),
        (root.join("admin-token"), 0o600),
        (layout.log(), 0o700),
        (layout.tmp(), 0o700),
        (layout.catalog(), 0o640),
    ];
    let mut open = Vec::new();
    for (path, most) in wanted {
        let mode = fs::metadata(&path).map(|m| m.permissions().mode() & 0o777).unwrap_or(0);
        if mode & !most != 0 {
            open.push(format!("{} has {mode:o} instead of {most:o}", path.display()));
        }
    }
    found.push(match open.is_empty() {
        true => fine("permissions", "secrets belong to the server's account alone"),
        false => bad("permissions", open.join(", "), "chmod them: others may read tokens or rows"),
    });
}

fn disk(layout: &Layout, found: &mut Vec<Finding>) {
    match (durable::free_bytes(&layout.root), durable::total_bytes(&layout.root)) {
        (Ok(free), Ok(total)) => {
            let text = format!("{} MiB of {} MiB free", free >> 20, total >> 20);
            found.push(match free < LITTLE_SPACE_BYTES.min(total / 20) {
                false => fine("disk", text),
                true => odd(
                    "disk",
                    text,
                    "delete rows by time, shorten retention, or give it more disk: writes end with 507",
                ),
            });
        }
        (Err(error), _) | (_, Err(error)) => found.push(bad("disk", error.to_string(), "look at the file system")),
    }
}

/// Whether the catalog can be read on.
fn catalogs(layout: &Layout, now_us: i64, found: &mut Vec<Finding>) -> bool {
    let catalog = catalog::check(&layout.catalog());
    let is_whole = catalog.is_ok();
    found.push(match catalog {
        Ok(()) => fine("catalog", "its rows fit their digest"),
        Err(error) => bad("catalog", error.to_string(), "stop the server and run `tidewater repair catalog`"),
    });
    let copy = layout.catalog_copy();
    let age_s = fs::metadata(&copy)
        .and_then(|m| m.modified())
        .ok()
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
        .map(|at| (now_us - at.as_micros() as i64) / 1_000_000);
    found.push(match (age_s, copy.exists().then(|| catalog::check(&copy))) {
        (Some(age), Some(Ok(()))) => fine("copy of the catalog", format!("whole, {age} s old")),
        (_, Some(Err(error))) => odd(
            "copy of the catalog",
            error.to_string(),
            "a running server makes a new one within a minute of a change",
        ),
        _ => odd("copy of the catalog", "there is none", "a running server makes one within a minute"),
    });
    if layout.server_db().exists() {
        found.push(match check_database(&layout.server_db()) {
            Ok(()) => fine("server.sqlite", "SQLite finds it whole"),
            Err(error) => bad("server.sqlite", error.to_string(), "take tokens, policies and queries from a backup"),
        });
    }
    is_whole
}

fn format(catalog: &Connection, found: &mut Vec<Finding>) {
    let version = catalog::format_version(catalog).ok();
    found.push(match version {
        Some(version) if version <= FORMAT_VERSION => fine("format", format!("version {version}")),
        Some(version) => bad(
            "format",
            format!("version {version}; this program knows up to {FORMAT_VERSION}"),
            "use the newer program",
        ),
        None => bad("format", "the catalog names none", "this is no catalog of Tidewater"),
    });
}

fn clock(catalog: &Connection, now_us: i64, found: &mut Vec<Finding>) {
    let newest = catalog
        .query_row("SELECT max(snapshot_time) FROM ducklake_snapshot", [], |r| r.get::<_, String>(0))
        .ok()
        .and_then(|text| chrono::DateTime::parse_from_str(&format!("{text}00"), "%Y-%m-%d %H:%M:%S%.f%z").ok());
    found.push(match newest.map(|at| at.timestamp_micros() - now_us) {
        Some(ahead) if ahead > CLOCK_SLACK_US => {
            let text = format!("it is {} s behind the newest snapshot", ahead / 1_000_000);
            odd("clock", text, "it was set back: retention waits until it is trusted; look at NTP")
        }
        _ => fine("clock", "it goes on from the newest snapshot"),
    });
}

fn files(layout: &Layout, deep: bool, found: &mut Vec<Finding>) {
    let listed = match List::read(&layout.catalog()) {
        Ok(listed) => listed.files,
        Err(error) => return found.push(bad("files", error.to_string(), "run `tidewater repair catalog`")),
    };
    let mut wrong = Vec::new();
    for file in &listed {
        let path = layout.data().join(&file.path);
        let checked = match fs::metadata(&path) {
            Ok(metadata) if metadata.len() != file.bytes => {
                Err(format!("{} has {} bytes instead of {}", file.path, metadata.len(), file.bytes))
            }
            Ok(_) if deep => {
                checksum(&path).and_then(|found| check_part(file, &path, &found)).map_err(|e| e.to_string())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{}: {error}", file.path)),
        };
        wrong.extend(checked.err());
    }
    let read = if deep { "read against their checksums" } else { "there with the right lengths" };
    found.push(match wrong.is_empty() {
        true => fine("files", format!("{} live files are {read}", listed.len())),
        false => {
            let (count, first) = (wrong.len(), wrong.into_iter().take(5).collect::<Vec<_>>().join("; "));
            let advice = "take them from a backup; without one delete their range of time, which ends them";
            bad("files", format!("{count} of {} are wrong: {first}", listed.len()), advice)
        }
    });
}

fn log_of(layout: &Layout, catalog: &Connection, is_running: bool, found: &mut Vec<Finding>) {
    if is_running {
        return found.push(fine("log", "in use by the server, whose /ready tells of damage"));
    }
    let read = catalog::log_id(catalog).and_then(|id| log::recover(&layout.log(), &id, |_, _| Ok(())));
    found.push(match read {
        Ok(log::Recovered { damage: Some(damage), .. }) => {
            bad("log", damage.to_string(), "run `tidewater repair log`: acknowledged rows behind the damage are lost")
        }
        Ok(log::Recovered { torn: Some(torn), records, .. }) => {
            let text = format!("{records} records; the last group in {} was cut short", torn.file.display());
            odd("log", text, "nothing was acknowledged of it; the next start cuts it")
        }
        Ok(recovered) => fine("log", format!("{} records, the last is LSN {}", recovered.records, recovered.last_lsn)),
        Err(error) => bad("log", error.to_string(), "run this as the server's account; is the log of another folder?"),
    });
}
