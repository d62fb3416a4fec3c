//! The targets of `fuzz/` on their seeds, and on seeds of which bytes were changed by chance: the short form of
//! `cargo xtask fuzz`, which needs a nightly toolchain.

#![allow(unused_attributes, reason = "`no_main` is the fuzzer's")]

use std::panic::catch_unwind;
use std::path::PathBuf;

use crate::torture::{Random, amount, seed};

// their `fuzz_target!` is here a function over bytes
#[path = "../../../../fuzz/targets/condition.rs"]
mod condition;
#[path = "../../../../fuzz/targets/csv.rs"]
mod csv;
#[path = "../../../../fuzz/targets/inflate.rs"]
mod inflate;
#[path = "../../../../fuzz/targets/line_protocol.rs"]
mod line_protocol;
#[path = "../../../../fuzz/targets/msgpack.rs"]
mod msgpack;
#[path = "../../../../fuzz/targets/params.rs"]
mod params;
#[path = "../../../../fuzz/targets/parquet.rs"]
mod parquet;
#[path = "../../../../fuzz/targets/record.rs"]
mod record;
#[path = "../../../../fuzz/targets/schedule.rs"]
mod schedule;
#[path = "../../../../fuzz/targets/sql.rs"]
mod sql;
#[path = "../../../../fuzz/targets/tle.rs"]
mod tle;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 11] = [
    ("condition", condition::run),
    ("csv", csv::run),
    ("inflate", inflate::run),
    ("line_protocol", line_protocol::run),
    ("msgpack", msgpack::run),
    ("params", params::run),
    ("parquet", parquet::run),
    ("record", record::run),
    ("schedule", schedule::run),
    ("sql", sql::run),
    ("tle", tle::run),
];

/// Another input made of `of`: bits, bytes, a cut, a piece of `other`.
fn changed(of: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = of.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(out.len() as u64 + 1) as usize;
        match random.below(5) {
            0 if at < out.len() => out[at] ^= 1 << random.below(8),
            1 if at < out.len() => out[at] = random.next() as u8,
            2 => out.truncate(at),
            3 => out.insert(at, random.next() as u8),
            _ if !other.is_empty() => {
                let from = random.below(other.len() as u64) as usize;
                let to = (from + random.below(32) as usize).min(other.len());
                out.splice(at..at, other[from..to].iter().copied());
            }
            _ => {}
        }
    }
    out
}

#[test]
fn every_target_takes_its_seeds_and_what_is_made_of_them() {
    // asked at run time: a build cache may serve more than one checkout
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the folder: run `cargo xtask test`");
    for (name, run) in TARGETS {
        let folder = PathBuf::from(&package).join("../../fuzz/seeds").join(name);
        let mut seeds: Vec<PathBuf> =
            std::fs::read_dir(&folder).expect("committed seeds").flatten().map(|entry| entry.path()).collect();
        seeds.sort();
        let seeds: Vec<Vec<u8>> = seeds.iter().map(|path| std::fs::read(path).expect("a seed")).collect();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        let mut random = Random(seed());
        let tried = |input: &[u8], what: &str| {
            assert!(catch_unwind(|| run(input)).is_ok(), "{name}, {what}: {:?}", input.escape_ascii().to_string());
        };
        seeds.iter().for_each(|input| tried(input, "a seed"));
        for n in 0..amount(1_000) {
            let [of, other] = [0; 2].map(|_| &seeds[random.below(seeds.len() as u64) as usize]);
            tried(&changed(of, other, &mut random), &format!("input {n} of seed {}", seed()));
        }
    }
}
