//! Real clients from the package registries against the real binary.

use std::path::PathBuf;

use serde_json::Value;

use super::harness::{Server, TOKEN, folder, node, python};

#[test]
fn arc_and_influxdb_clients_write_and_read() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    python("clients.py", &[&server.url, TOKEN]);
}

/// Each client of a report stands in `docs/clients.md` with what the report says.
fn stand_in_the_document(report: &str) {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the folder: run `cargo xtask test`");
    let document = PathBuf::from(package).join("../../docs/clients.md");
    let document = std::fs::read_to_string(document).expect("docs/clients.md");
    let report: Value = serde_json::from_str(report.trim()).expect("JSON");
    for (name, said) in report.as_object().expect("clients") {
        let said = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
        let row = format!("| {name} | {said} |");
        assert!(document.contains(&row), "docs/clients.md lacks: {row}");
    }
}

#[test]
fn every_call_of_the_arc_client_works_or_fails_of_itself() {
    let dir = folder();
    let server = Server::start(dir.path(), &["continuous_queries.enabled=false", "retention.enabled=false"]);
    stand_in_the_document(&python("clients_arc.py", &[&server.url, TOKEN]));
}

#[test]
fn influxdbs_python_clients_of_versions_1_and_3_write() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    stand_in_the_document(&python("clients_influx.py", &[&server.url, TOKEN]));
}

#[test]
fn nodes_clients_write_and_its_arrow_reads() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    stand_in_the_document(&node("clients.cjs", &[&server.url, TOKEN]));
}

#[test]
fn requests_of_the_fields_programs_are_answered_as_they_expect() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    stand_in_the_document(&python("fixtures.py", &[&server.url, TOKEN]));
}

#[test]
fn the_arc_client_manages_retention_continuous_queries_and_deletes() {
    let dir = folder();
    let server = Server::start(dir.path(), &["continuous_queries.enabled=false", "retention.enabled=false"]);
    python("clients_manage.py", &[&server.url, TOKEN]);
}

#[test]
fn duckdb_reads_the_catalog_live_and_finds_no_fault_in_it() {
    let dir = folder();
    // flushed and merged as often as can be, the grace is the usual one
    let often = ["ingest.max_buffer_age_ms=100", "ingest.max_quiet_age_ms=100", "catalog.snapshot_age_ms=1000"];
    let settings = [&often[..], &["compaction.interval_ms=100", "compaction.min_files=2"]].concat();
    let mut server = Server::start(dir.path(), &settings);
    let data = server.data();
    python("duckdb_live.py", &[&server.url, TOKEN, data.to_str().unwrap()]);
    assert!(server.stop().is_some_and(|s| s.success()));
    python("catalog_check.py", &[data.to_str().unwrap()]);
}

#[test]
fn duckdb_of_another_account_without_write_permission_reads_while_the_server_writes() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t v=1i 1\nt v=2i 2");
    server.flush();
    // the folder above belongs to the test; the server's own is made for its group
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    let data = server.data();
    let said = python("other_account.py", &[data.to_str().unwrap(), "2"]);
    println!("{said}");
    server.lines("t v=3i 3");
    server.flush();
    python("other_account.py", &[data.to_str().unwrap(), "3"]);
}
