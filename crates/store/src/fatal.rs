//! Ends of the process that keep promises: what cannot be known is left to the next start.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Status of a process that could not trust its disk any more (`EX_IOERR` of sysexits).
pub const EXIT_IO: i32 = 74;

/// An I/O error where a promise hangs on the outcome: nothing is acknowledged after it.
pub fn exit_io(what: &str, error: &dyn std::fmt::Display) -> ! {
    tracing::error!(what, %error, "the disk cannot be trusted: stopping, nothing more is acknowledged");
    eprintln!("tidewater: {what} failed: {error}; stopping with status {EXIT_IO}, nothing more is acknowledged");
    std::process::exit(EXIT_IO)
}

/// Runs what must not be interrupted; a panic in it ends the process.
pub fn or_abort<T>(what: &str, run: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => value,
        Err(_) => {
            eprintln!("tidewater: panic while {what}; stopping with status {EXIT_IO}");
            std::process::exit(EXIT_IO)
        }
    }
}
