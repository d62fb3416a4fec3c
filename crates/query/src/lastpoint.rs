//! The last row of each series without reading every row.
//!
//! `row_number() … = 1`, `DISTINCT ON`, `arg_max`, `last_value`, `max(time)` by tags and
//! `ORDER BY time DESC LIMIT 1` ask for rows of the greatest time of each series and are blind to
//! all others. [`Lastpoint`] recognises them in the optimized plan and puts [`scan::LatestScan`]
//! in place of the table below: it yields at least every row of the greatest time of each series
//! and leaves out most others. What stood above stays as it was, so an answer never depends on
//! what is left out.

mod latest;
mod pattern;
mod scan;

pub use pattern::Lastpoint;
pub use scan::LatestExec;
