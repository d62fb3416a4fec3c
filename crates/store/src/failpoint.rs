//! Named places where a test may end the process or make work fail. `TIDEWATER_FAILPOINT=name` or
//! `name:n` ends it the n-th time that place is reached; `name:n=error`, `name:n=full` (the disk is) and `name:n=panic`
//! make the first n tries there fail, `name:n=hang` never end; several are separated by commas. Without the variable a hit is one load.

use std::io::ErrorKind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::error::{Error, Result};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Abort,
    Error,
    Full,
    Panic,
    Hang,
}

struct Armed {
    name: String,
    left: AtomicI64,
    mode: Mode,
}

static ARMED: OnceLock<Vec<Armed>> = OnceLock::new();

fn armed() -> &'static [Armed] {
    ARMED.get_or_init(|| {
        let text = std::env::var("TIDEWATER_FAILPOINT").unwrap_or_default();
        text.split(',').filter(|one| !one.is_empty()).map(Armed::new).collect()
    })
}

impl Armed {
    fn new(text: &str) -> Self {
        let (place, mode) = match text.rsplit_once('=') {
            Some((place, "error")) => (place, Mode::Error),
            Some((place, "full")) => (place, Mode::Full),
            Some((place, "panic")) => (place, Mode::Panic),
            Some((place, "hang")) => (place, Mode::Hang),
            _ => (text, Mode::Abort),
        };
        let (name, n) = place.split_once(':').map_or((place, 1), |(a, n)| (a, n.parse().unwrap_or(1)));
        Armed { name: name.to_owned(), left: AtomicI64::new(n), mode }
    }

    /// Counts a try; the number that were left before it.
    fn count(&self) -> i64 {
        self.left.fetch_sub(1, Ordering::SeqCst)
    }
}

/// Ends the process as kill -9 would, when the test asked for it here.
pub fn hit(name: &'static str) {
    if armed().iter().any(|a| a.mode == Mode::Abort && a.name == name && a.count() == 1) {
        std::process::abort();
    }
}

/// The mode that was asked for at `point.of`, as often as it was.
fn asked(point: &'static str, of: &str) -> Option<&'static Armed> {
    let is_here = |a: &&Armed| a.name.strip_prefix(point).and_then(|n| n.strip_prefix('.')) == Some(of);
    armed().iter().filter(|a| a.mode != Mode::Abort).filter(is_here).find(|a| a.count() > 0)
}

/// Fails, when the test asked for it at `point.of`.
///
/// # Errors
/// The test asked for an error, or for that of a full disk; for a panic, it panics.
pub fn check(point: &'static str, of: &str) -> Result<()> {
    let Some(armed) = asked(point, of) else { return Ok(()) };
    match armed.mode {
        Mode::Panic => panic!("failpoint {}", armed.name),
        Mode::Error => Err(Error::Inconsistent(format!("failpoint {}", armed.name))),
        Mode::Full => Err(Error::io("failpoint", armed.name.as_ref())(ErrorKind::StorageFull.into())),
        Mode::Abort | Mode::Hang => Ok(()),
    }
}

/// Whether the test asked that what follows at `point.of` never ends.
pub fn hangs(point: &'static str, of: &str) -> bool {
    asked(point, of).is_some_and(|a| a.mode == Mode::Hang)
}
