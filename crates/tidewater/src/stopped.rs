//! A folder that no server holds, read without changing it.
//!
//! A folder beside it gets copies of catalog and log and links to the data files; a server of our own opens that one.
//! Whatever it replays, flushes or removes is there and goes with it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use store::layout::{FolderLock, Layout};

use crate::client::{Server, token_file};
use crate::serve::{self, Running};
use crate::settings::Settings;

/// A stopped folder that answers.
pub struct Stopped {
    /// How it is asked.
    pub server: Server,
    running: Option<Running>,
    /// The folder itself.
    pub folder: PathBuf,
    _aside: tempfile::TempDir,
    /// No server may start on the folder meanwhile and remove what is linked.
    _lock: FolderLock,
}

impl Stopped {
    /// The folder that the command line names, where no server holds it: whoever holds it is asked instead.
    ///
    /// # Errors
    /// As [`Stopped::open`].
    pub fn meant(server: &Server) -> Result<Option<Self>> {
        let folder = server.only_folder().filter(|folder| FolderLock::holder(folder).is_none());
        folder.map(Self::open).transpose()
    }

    /// # Errors
    /// A server holds the folder, it is none, or it cannot be read.
    fn open(folder: &Path) -> Result<Self> {
        let layout = Layout { root: std::path::absolute(folder)? };
        if !layout.catalog().exists() {
            bail!("{} is no server's folder: it holds no catalog", folder.display());
        }
        let lock = FolderLock::acquire(&layout.root)?;
        let aside =
            tempfile::Builder::new().prefix("tidewater-").tempdir().context("no temporary folder can be made")?;
        let copy = Layout { root: aside.path().join("data") };
        fs::create_dir(&copy.root)?;
        for suffix in ["", "-wal"] {
            let with = |path: PathBuf| PathBuf::from(format!("{}{suffix}", path.display()));
            let from = with(layout.catalog());
            if from.exists() {
                fs::copy(&from, with(copy.catalog())).with_context(|| format!("cannot copy {}", from.display()))?;
            }
        }
        mirror(&layout.log(), &copy.log(), &|from, to| fs::copy(from, to).map(drop))?;
        mirror(&layout.data(), &copy.data(), &|from, to| symlink(from, to))?;
        // a token on file is taken without a word, a new one would be shown
        let token = store::random::uuid() + &store::random::uuid();
        store::durable::write_file(&token_file(&copy.root), token.as_bytes(), 0o600)?;
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let root = copy.root.display().to_string();
        let settings = Settings::load(
            None,
            &[
                set("storage.local_path", &root),
                set("server.host", "127.0.0.1"),
                set("server.port", "0"),
                set("auth.enabled", "true"),
                set("compaction.enabled", "false"),
                set("storage.min_free_bytes", "1MiB"),
            ],
        )?;
        let running = serve::start(&settings, serve::Start::default())?;
        let server = Server { url: running.url.clone(), token: Some(token), folder: Some(copy.root), ca: None };
        Ok(Self { server, running: Some(running), folder: layout.root, _aside: aside, _lock: lock })
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

/// Makes the same folders, and of each file what `each` makes of it.
fn mirror(from: &Path, to: &Path, each: &dyn Fn(&Path, &Path) -> std::io::Result<()>) -> Result<()> {
    fs::create_dir(to).with_context(|| format!("cannot create {}", to.display()))?;
    let listed = match fs::read_dir(from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        listed => listed.with_context(|| format!("cannot read {}", from.display()))?,
    };
    for entry in listed {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            mirror(&source, &target, each)?;
        } else {
            each(&source, &target).with_context(|| format!("cannot read {}", source.display()))?;
        }
    }
    Ok(())
}
