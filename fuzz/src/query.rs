//! The syntax door, the guard and the names of the query crate: its own sources, without the engine behind them, whose
//! build with a sanitizer takes hours.

#[allow(dead_code, unused_imports, reason = "the engine uses the rest")]
#[path = "../../crates/query/src"]
mod sources {
    pub mod error;
    pub mod guard;
    pub mod names;
    pub mod syntax;
}

pub use sources::error::Error;
pub use sources::syntax::{self, Ask};
use sources::{guard, names};
