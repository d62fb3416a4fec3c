//! How far a row of `docs/guarantees.md` goes: a short form as a test, the full one by `cargo xtask torture`, which says
//! how much (`TW_AMOUNT`) and from which seed (`TW_SEED`), and keeps what came of it (`TW_FIGURES`).

#![expect(clippy::disallowed_methods, reason = "files, disks and clocks are got in the way of on purpose")]

use std::io::Write as _;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

mod clock;
mod disk;
mod network;
mod points;
mod power;
mod rot;
mod spike;
mod syscalls;
mod upgrade;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Cycles, seeds, minutes: what this row counts; `short` unless more is asked for.
pub fn amount(short: u64) -> u64 {
    number("TW_AMOUNT").unwrap_or(short)
}

/// Whether this is the full form.
pub fn is_full() -> bool {
    std::env::var_os("TW_AMOUNT").is_some()
}

pub fn seed() -> u64 {
    number("TW_SEED").unwrap_or(1)
}

/// Shown where a person looks on.
pub fn bar(what: &'static str, of: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed} {eta} left");
    ProgressBar::new(of).with_message(what).with_style(style.expect("a style"))
}

/// Keeps what a run found.
pub fn figure(row: &str, text: &str) {
    println!("{row}, seed {}: {text}", seed());
    if let Some(path) = std::env::var_os("TW_FIGURES") {
        let line = json!({"row": row, "figure": text, "seed": seed()}).to_string() + "\n";
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the figures can be written");
    }
}

/// Numbers by a seed: splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ (b >> 31)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
