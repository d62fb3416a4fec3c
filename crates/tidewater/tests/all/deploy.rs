//! What `deploy/` holds works with the server as it is.
#![expect(clippy::disallowed_methods, reason = "the names in a dashboard are changed on purpose")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Server, TOKEN, folder};

fn deploy() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the folder: run `cargo xtask test`");
    PathBuf::from(package).join("../../deploy")
}

/// Names of our metrics in a text, as a server must have them.
fn named(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_name(c));
    let ours = words.filter(|w| ["tidewater_", "arc_", "process_"].iter().any(|p| w.starts_with(p)));
    ours.map(|w| w.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn every_metric_of_dashboard_and_alerts_is_one_that_the_server_has() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("cpu v=1");
    server.query("SELECT 1");
    server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    let metrics = String::from_utf8(server.get("/metrics").body).expect("text");
    let known: BTreeSet<&str> = metrics.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let dashboard = std::fs::read_to_string(deploy().join("grafana-dashboard.json")).expect("a dashboard");
    let parsed: Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = parsed["panels"].as_array().expect("panels");
    assert!(panels.len() >= 12 && panels.iter().all(|p| p["targets"].as_array().is_some_and(|t| !t.is_empty())));
    let exprs: String = panels
        .iter()
        .flat_map(|p| p["targets"].as_array().cloned().unwrap_or_default())
        .map(|t| t["expr"].to_string())
        .collect();
    let rules = std::fs::read_to_string(deploy().join("prometheus-rules.yml")).expect("rules");
    for (text, least) in [(exprs, 30), (rules.clone(), 12)] {
        let names = named(&text);
        assert!(names.len() >= least, "{names:?}");
        let unknown: Vec<&String> = names.iter().filter(|n| !known.contains(n.as_str())).collect();
        assert!(unknown.is_empty(), "the server has no {unknown:?}");
    }
    // every alert is tried
    let tests = std::fs::read_to_string(deploy().join("prometheus-rules.test.yml")).expect("tests of the rules");
    for alert in rules.lines().filter_map(|l| l.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("name: {alert} fires")), "{alert} is not tried");
    }
}

#[test]
fn each_alert_fires_on_its_condition_and_none_on_a_healthy_server() {
    let Ok(promtool) = std::env::var("TW_TEST_PROMTOOL") else {
        println!("skipped: promtool cannot be had here (Debian's package prometheus brings it)");
        return;
    };
    let run = |folder: &std::path::Path| {
        let done =
            Command::new(&promtool).args(["test", "rules", "prometheus-rules.test.yml"]).current_dir(folder).output();
        done.expect("promtool starts")
    };
    let done = run(&deploy());
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    // the check can fail: with another bound the alert of the disk keeps still
    let dir = folder();
    for name in ["prometheus-rules.yml", "prometheus-rules.test.yml"] {
        let text = std::fs::read_to_string(deploy().join(name)).expect("read");
        let text = text.replace("< 2 * tidewater_disk_min_free_bytes", "< 0 * tidewater_disk_min_free_bytes");
        std::fs::write(dir.path().join(name), text).expect("written");
    }
    assert!(!run(dir.path()).status.success());
}

/// What the container is: the libraries of its base image and nothing else, read-only but for /data, another account.
const CONTAINER: &str = r#"
set -eu
root=$1 data=$2 binary=$3
shift 3
for file in $(ldd "$binary" | grep -o '/[^ ]*'); do
  mkdir -p "$root$(dirname "$file")"
  cp -L "$file" "$root$file"
done
mkdir -p "$root/proc" "$root/data" "$root/usr/local/bin"
touch "$root/usr/local/bin/tidewater"
mount --bind "$root" "$root"
mount --bind "$binary" "$root/usr/local/bin/tidewater"
mount --bind "$data" "$root/data"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
exec chroot --userspec=65532:65532 "$root" "$@"
"#;

#[test]
fn the_containers_command_runs_without_root_on_a_read_only_file_system() {
    let dockerfile = std::fs::read_to_string(deploy().join("Dockerfile")).expect("a Dockerfile");
    let entry = dockerfile.lines().find_map(|l| l.strip_prefix("ENTRYPOINT ")).expect("an entry point");
    let entry: Vec<String> = serde_json::from_str(entry).expect("a list");
    assert!(dockerfile.contains("\nUSER nonroot\n") && dockerfile.contains("cc-debian12:nonroot"));
    let may = Command::new("unshare").args(["--mount", "sh", "-c", "mount -t tmpfs none /mnt"]).output();
    if !may.is_ok_and(|o| o.status.success()) {
        println!("skipped: mounting needs root");
        return;
    }
    let dir = folder();
    let [root, data] = ["root", "data"].map(|name| dir.path().join(name));
    std::fs::create_dir(&root).expect("made");
    std::fs::create_dir(&data).expect("made");
    std::os::unix::fs::chown(&data, Some(65_532), Some(65_532)).expect("given away");
    let start = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", CONTAINER, "sh"]).arg(&root).arg(&data);
        command.arg(env!("CARGO_BIN_EXE_tidewater")).args(&entry).args(["--set", "server.port=0"]);
        command.env("TIDEWATER_AUTH_BOOTSTRAP_TOKEN", TOKEN);
        Server::spawn(dir.path(), &mut command).unwrap_or_else(|log| panic!("it does not start:\n{log}"))
    };
    let mut server = start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    assert!(status.contains("\nUid:\t65532\t65532\t65532"), "{status}");
    server.lines("cpu,host=a v=1i 1");
    server.flush();
    assert_eq!(server.send("POST", "/api/v1/backup", &[], b"").status, 202);
    server.query("SELECT count(*) FROM generate_series(1, 100000) a ORDER BY 1");
    assert!(server.stop().is_some_and(|s| s.success()), "SIGTERM ends it");
    assert!(data.join("server/catalog.sqlite").is_file());
    // what was written is found by the next container on the same volume
    assert_eq!(start().rows("SELECT v FROM cpu"), serde_json::json!([[1]]));
}
