use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{PACKAGES, root};

/// Crates that DataFusion's own tree brings in two versions. A new one fails.
const KNOWN_DUPLICATES: &str = include_str!("../duplicates.txt");

/// Which of our crates may use which: the ladder has no cycles.
const LADDER: [(&str, &[&str]); 6] = [
    ("tidewater-model", &[]),
    ("tidewater-wire", &["tidewater-model"]),
    ("tidewater-store", &["tidewater-model"]),
    ("tidewater-query", &["tidewater-model", "tidewater-store"]),
    ("tidewater-server", &["tidewater-model", "tidewater-wire", "tidewater-store", "tidewater-query"]),
    ("tidewater", &["tidewater-model", "tidewater-wire", "tidewater-store", "tidewater-query", "tidewater-server"]),
];

/// Everything that is checked without running the product.
fn all() -> Result<()> {
    for beside in ["", "fuzz/", "interleave/"] {
        let manifest = format!("{beside}Cargo.toml");
        crate::run(crate::cargo().args(["fmt", "--all", "--check", "--manifest-path", &manifest]))?;
    }
    // what takes seconds comes before what takes minutes
    ladder()?;
    duplicates()?;
    documents()?;
    crate::torture::check()?;
    figures()?;
    let mut clippy = crate::cargo();
    clippy.args(["clippy", "--release", "--all-targets"]);
    PACKAGES.iter().chain(&["xtask"]).for_each(|p| {
        clippy.args(["-p", p]);
    });
    crate::run(clippy.args(["--", "-D", "warnings"]))
}

/// `cargo xtask check`
pub fn run() -> Result<()> {
    all()?;
    println!("check: formatting, clippy, ladder, duplicates and documents are fine");
    Ok(())
}

fn ladder() -> Result<()> {
    let output =
        crate::cargo().args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(root()).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let empty = Vec::new();
    for package in metadata["packages"].as_array().unwrap_or(&empty) {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = LADDER.iter().find(|(n, _)| *n == name) else { continue };
        for dependency in package["dependencies"].as_array().unwrap_or(&empty) {
            let on = dependency["name"].as_str().unwrap_or_default();
            let ours = LADDER.iter().any(|(n, _)| *n == on);
            ensure!(!ours || allowed.contains(&on), "{name} must not depend on {on}: see ARCHITECTURE.md");
            let engine = on.starts_with("datafusion");
            ensure!(!engine || name == "tidewater-query", "{name} must not link DataFusion: only query does");
        }
    }
    Ok(())
}

fn duplicates() -> Result<()> {
    let output = crate::cargo()
        .args(["tree", "-p", "tidewater", "-e", "normal", "--duplicates", "--depth", "0", "--prefix", "none"])
        .current_dir(root())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let found: BTreeSet<&str> = text.lines().filter_map(|l| l.split_whitespace().next()).collect();
    let known: BTreeSet<&str> =
        KNOWN_DUPLICATES.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_whitespace().next()).collect();
    let new: Vec<_> = found.difference(&known).collect();
    ensure!(
        new.is_empty(),
        "new duplicate versions: {new:?}; unify them or name them in xtask/duplicates.txt with a reason"
    );
    Ok(())
}

/// Every path that ARCHITECTURE.md names in backticks exists.
fn documents() -> Result<()> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    ensure!(text.lines().count() <= 350, "ARCHITECTURE.md is longer than 350 lines");
    for path in
        text.split('`').skip(1).step_by(2).filter(|t| t.ends_with(".rs") || t.ends_with(".toml") || t.ends_with('/'))
    {
        if path.starts_with("crates/") || path.starts_with("xtask/") {
            ensure!(root().join(path).exists(), "ARCHITECTURE.md names {path}, which does not exist");
        }
    }
    for (name, args) in [
        ("docs/configuration.md", &["config", "--markdown"][..]),
        ("docs/api.md", &["routes"][..]),
        ("docs/openapi.json", &["routes", "--openapi"]),
    ] {
        let Ok(output) = Command::new(crate::target().join("release/tidewater")).args(args).output() else { continue };
        let written = std::fs::read_to_string(root().join(name))?;
        let made = String::from_utf8(output.stdout)?;
        ensure!(written == made, "{name} is old: write the output of `tidewater {}` to it", args.join(" "));
    }
    origins()
}

/// The methods on the original's list of fixes, by part: each has a row with its two tests in docs/origins.md.
const METHODS: [(&str, &str); 8] = [
    (
        "retention_routes",
        "_init_tables create_policy get_policies get_policy update_policy delete_policy get_executions record_execution_start record_execution_complete",
    ),
    ("delete_routes", "count_matching_rows rewrite_file_without_deleted_rows"),
    ("duckdb_pool", "execute_async health_check_loop"),
    ("query_cache", "_estimate_size_mb"),
    (
        "ContinuousQueryManager",
        "_init_tables create_query get_queries get_query update_query delete_query get_executions record_execution update_last_processed_time",
    ),
    (
        "CompactionLock",
        "_init_table acquire_lock _check_and_steal_expired release_lock get_active_locks cleanup_expired_locks",
    ),
    ("auth", "LRU"),
    ("main", "write_service compaction_scheduler"),
];

/// Every test that docs/origins.md names in the last column of its table exists; a star is any end.
fn origins() -> Result<()> {
    let mut code = String::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                code += &std::fs::read_to_string(&path)?;
            }
        }
    }
    let text = std::fs::read_to_string(root().join("docs/origins.md"))?;
    let rows = text.lines().filter(|l| l.starts_with("| ") && l.matches('|').count() == 6);
    let mut named = 0;
    for cell in rows.filter_map(|row| row.rsplit('|').nth(1)) {
        for name in cell.split('`').skip(1).step_by(2).filter(|n| !n.contains(['/', '.'])) {
            let found = match name.strip_suffix('*') {
                Some(begin) => code.contains(&format!("fn {begin}")),
                None => code.contains(&format!("fn {name}(")) || code.contains(&format!("fn {name}_")),
            };
            ensure!(found, "docs/origins.md names the test {name}, which does not exist");
            named += 1;
        }
    }
    ensure!(named > 0, "docs/origins.md names no test");
    for (part, methods) in METHODS {
        for method in methods.split(' ') {
            let begin = format!("| `{part}.{method}` |");
            let row: Vec<&str> = text.lines().filter(|l| l.starts_with(&begin)).collect();
            let [row] = row[..] else { bail!("docs/origins.md has {} rows for {part}.{method}", row.len()) };
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            for test in &cells[3..5] {
                let name = test.trim_matches('`');
                ensure!(code.contains(&format!("fn {name}(")), "{part}.{method}: the test {name} does not exist");
            }
        }
    }
    Ok(())
}

/// A document with figures says where they come from: commit, date and command.
fn figures() -> Result<()> {
    for name in ["docs/benchmarks.md"] {
        let path = root().join(name);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
        for section in text.split("\n## ").skip(1) {
            let title = section.lines().next().unwrap_or_default();
            for word in ["Commit:", "Date:", "Command:"] {
                if !section.contains(word) {
                    bail!("{name}, section {title:?}: no line {word:?}");
                }
            }
        }
    }
    ensure!(Path::new(&root().join("CHANGELOG.md")).exists(), "CHANGELOG.md is missing");
    Ok(())
}
