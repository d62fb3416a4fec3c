//! Tidewater's developer commands: `cargo xtask test | check | bench | torture | fuzz | dist`.

// the doors are the product's: nothing here must survive power loss
#![allow(clippy::disallowed_methods)]

mod admission;
mod backup;
mod bench;
mod check;
mod dist;
mod fuzz;
mod http;
mod life;
mod load;
mod mutants;
mod peers;
mod planted;
mod torture;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

/// The product's packages, in the order of the ladder. One list for build, test and clippy, so that
/// every command compiles one form of each dependency.
pub const PACKAGES: [&str; 6] =
    ["tidewater-model", "tidewater-wire", "tidewater-store", "tidewater-query", "tidewater-server", "tidewater"];

#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the tests need and run them all
    Test {
        /// Only tests whose name holds this
        filter: Option<String>,
    },
    /// Formatting, clippy, duplicate versions, crate ladder, documents
    Check,
    /// Measure and print figures
    Bench {
        #[command(subcommand)]
        what: bench::What,
    },
    /// Try a promise for longer than the tests do, and write docs/guarantees.md
    Torture(torture::Options),
    /// libFuzzer on every decoder and door; needs a nightly toolchain
    Fuzz(fuzz::Options),
    /// Build a stripped binary, a tarball and its checksum in target/dist
    Dist,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Task::Test { filter } => test(filter.as_deref()),
        Task::Check => check::run(),
        Task::Bench { what } => bench::run(&what),
        Task::Torture(options) => torture::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Dist => dist::run(),
    }
}

/// The workspace's root. Asked at run time: a target folder may serve several checkouts.
pub fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the folder: start it as `cargo xtask`");
    Path::new(&xtask).parent().expect("xtask lies in the workspace").to_owned()
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a command in the workspace and fails when it does.
pub fn run(command: &mut Command) -> Result<()> {
    let text = format!("{command:?}");
    let status = command.current_dir(root()).status().with_context(|| format!("cannot start {text}"))?;
    ensure!(status.success(), "{text} failed: {status}");
    Ok(())
}

/// cargo, without what the cargo that runs this program says of it: build scripts that look at the environment would
/// run again for each of the two.
pub fn cargo() -> Command {
    let mut command = Command::new("cargo");
    let inherited = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in inherited.filter(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_")) {
        command.env_remove(name);
    }
    command
}

/// cargo on all product packages, with assertions on in our own code alone.
pub fn cargo_test() -> Command {
    let mut command = cargo();
    command.args(["test", "--release", "--no-fail-fast"]);
    PACKAGES.iter().for_each(|p| {
        command.args(["-p", p]);
    });
    tests_profile(&mut command);
    command
}

/// The release profile with assertions.
fn tests_profile(command: &mut Command) {
    command.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    command.env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
}

fn test(filter: Option<&str>) -> Result<()> {
    run(clients(cargo_test())?.args(filter))?;
    if filter.is_none() {
        torture::short_beside_tests()?;
    }
    Ok(())
}

/// Tells tests where the clients are that they try the server with; these are installed where they are missing.
pub fn clients(mut tests: Command) -> Result<Command> {
    tests.env("TW_TEST_PYTHON", python_environment()?).env("TW_TEST_NODE", node_modules()?);
    if let Some(promtool) = promtool() {
        tests.env("TW_TEST_PROMTOOL", promtool);
    }
    Ok(tests)
}

/// Prometheus' checker of rules: the machine's, or that of Debian's package, unpacked beside the build. None
/// where neither is to be had.
fn promtool() -> Option<PathBuf> {
    let works = |path: &Path| Command::new(path).arg("--version").output().is_ok_and(|o| o.status.success());
    let folder = target().join("test-prometheus");
    let unpacked = folder.join("usr/bin/promtool");
    if let Some(found) = [PathBuf::from("promtool"), unpacked.clone()].into_iter().find(|p| works(p)) {
        return Some(found);
    }
    std::fs::create_dir_all(&folder).ok()?;
    let script = "(apt-get download -q prometheus || (apt-get update -q && apt-get download -q prometheus)) && dpkg -x prometheus_*.deb .";
    let done = Command::new("sh").args(["-c", script]).current_dir(&folder).output().ok()?;
    (done.status.success() && works(&unpacked)).then_some(unpacked)
}

/// A folder with the clients of `package.json`, made when it is missing or another; Node's modules lie in it.
fn node_modules() -> Result<PathBuf> {
    let wanted = root().join("crates/tidewater/tests/node/package.json");
    let text = std::fs::read_to_string(&wanted)?;
    let folder = target().join("test-node");
    let stamp = folder.join("installed.json");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == text) {
        return Ok(folder.join("node_modules"));
    }
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("package.json"), &text)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder);
    run(&mut npm).context("the client tests need Node 20 with npm")?;
    std::fs::write(&stamp, text)?;
    Ok(folder.join("node_modules"))
}

/// An environment with the clients of `requirements.txt`, and those of `older.txt` in a folder of their own, made when it
/// is missing or another.
pub fn python_environment() -> Result<PathBuf> {
    let wanted = ["requirements.txt", "older.txt"].map(|n| root().join("crates/tidewater/tests/python").join(n));
    let text = wanted.iter().map(std::fs::read_to_string).collect::<std::io::Result<String>>()?;
    let folder = target().join("test-python");
    let python = folder.join("bin/python");
    let stamp = folder.join("requirements.txt");
    // rows of the torture suite may begin side by side on a new machine
    let turn = std::fs::File::create(target().join("test-python.lock"))?;
    turn.lock()?;
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == text) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let [clients, older] = wanted;
    let install = || {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet"]);
        pip
    };
    run(install().arg("-r").arg(clients))?;
    run(install().args(["--no-deps", "--target"]).arg(folder.join("older")).arg("-r").arg(older))?;
    std::fs::write(&stamp, text)?;
    Ok(python)
}
