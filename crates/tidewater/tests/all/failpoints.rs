//! Every place where a test may end the process is one where a test does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path() {
            path if path.is_dir() => sources(&path, found),
            path if path.extension().is_some_and(|e| e == "rs") => found.push(path),
            _ => {}
        }
    }
}

/// The crates' own files.
fn all_sources() -> Vec<PathBuf> {
    // asked at run time: a build cache may serve more than one checkout
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the folder: run `cargo xtask test`");
    let mut files = Vec::new();
    sources(&Path::new(&package).join(".."), &mut files);
    files.retain(|f| !f.ends_with("tests/all/failpoints.rs"));
    files
}

/// Every place where a test may end the process.
pub fn names() -> BTreeSet<String> {
    let mut points = BTreeSet::new();
    for file in all_sources() {
        let text = std::fs::read_to_string(file).expect("text");
        let named = text.split("failpoint::hit(\"").skip(1);
        points.extend(named.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()));
    }
    points
}

#[test]
fn every_failpoint_of_the_source_is_hit_by_a_test() {
    let (points, mut tests) = (names(), String::new());
    for file in all_sources() {
        let text = std::fs::read_to_string(&file).expect("text");
        // tests stand in folders of their own, or at the end of a file
        let is_test = file.components().any(|c| c.as_os_str() == "tests") || file.ends_with("tests.rs");
        tests += if is_test { &text } else { text.split_once("mod tests {").map_or("", |(_, tests)| tests) };
    }
    let is_armed = |point: &String| tests.contains(&format!("\"{point}\"")) || tests.contains(&format!("\"{point}:"));
    let missed: Vec<&String> = points.iter().filter(|p| !is_armed(p)).collect();
    assert!(missed.is_empty(), "no test ends the process at {missed:?}");
    assert!(points.len() >= 24, "the source has its failpoints elsewhere: {points:?}");
}
