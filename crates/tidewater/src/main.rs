//! The `tidewater` binary: command line, configuration, composition root.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `tidewater adopt`.
mod adopt;
/// `tidewater attach`: the lines with which DuckDB reads a folder live.
mod attach;
/// `tidewater backup` and `restore`.
mod backup;
/// A server as the command line asks it.
mod client;
/// `tidewater demo`: this machine's metrics, live.
mod demo;
/// `tidewater export`.
mod export;
/// `tidewater import`.
mod import;
/// Messages.
mod logging;
/// How progress looks.
mod progress;
/// `tidewater repair`.
mod repair;
/// `docs/api.md`.
mod routes;
/// `tidewater serve`: everything together.
mod serve;
/// One entry a setting.
mod settings;
/// `tidewater sql`: a prompt, or one statement.
mod sql;
/// `tidewater status` and `doctor`.
mod status;
/// A stopped folder, read aside.
mod stopped;
/// `tidewater token`, and the first token of a folder.
mod token;
/// `tidewater top`: a live view.
mod top;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use settings::Settings;

#[derive(Debug, Parser)]
#[command(name = "tidewater", version, about = "A time-series database in one binary", after_help = after_help())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Default, Clone, Args)]
struct Sources {
    /// Configuration file [default: ./tidewater.toml, /etc/tidewater/tidewater.toml]
    #[arg(long)]
    config: Option<PathBuf>,
    /// A setting, over file and environment; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server
    Serve {
        #[command(flatten)]
        sources: Sources,
        /// Listen on an address that others reach without tokens or TLS
        #[arg(long)]
        insecure: bool,
    },
    /// Start a server on this machine's own live metrics
    Demo(demo::Options),
    /// Show what a server does, in a page
    Status(status::Options),
    /// Watch a server: rows, queries, jobs, tables, memory
    Top(top::Options),
    /// Look for what is wrong with a folder, and say what to do
    Doctor(status::Doctor),
    /// Copy everything a server keeps as it is at one instant
    Backup(backup::Options),
    /// Make a folder of a backup
    Restore(backup::Restore),
    /// A prompt for SQL, or one statement; a server answers, or a stopped folder
    Sql(sql::Options),
    /// Put files into a server: CSV, Parquet, line protocol, each in one commit
    Import(import::Options),
    /// Make another program's Parquet files a stopped server's own, as they lie; bring Arc's policies and queries
    Adopt(adopt::Options),
    /// Write measurements or an answer to files: Parquet, CSV, line protocol
    Export(export::Options),
    /// Print the lines with which DuckDB attaches a folder
    Attach(attach::Options),
    /// Show the effective settings
    Config {
        #[command(flatten)]
        sources: Sources,
        /// Print docs/configuration.md instead
        #[arg(long)]
        markdown: bool,
    },
    /// Mend what a disk has damaged; the server must be stopped
    Repair {
        #[command(subcommand)]
        what: repair::What,
    },
    /// Manage tokens
    Token {
        #[command(subcommand)]
        what: token::What,
    },
    /// Print every route with what it asks of its caller, as docs/api.md
    Routes {
        /// Print docs/openapi.json instead
        #[arg(long)]
        openapi: bool,
    },
    /// Print the version
    Version,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not of the form key=value"))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn after_help() -> String {
    let lines = settings::SETTINGS.iter().map(|s| format!("  {:<28} {} [{}]", s.key, s.doc, s.default));
    format!(
        "Settings (--set key=value, or {}, …):\n{}",
        settings::SETTINGS[1].variable(),
        lines.collect::<Vec<_>>().join("\n")
    )
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve { sources, insecure } => Settings::load(sources.config.as_deref(), &sources.set)
            .and_then(|settings| serve::run(&settings, sources, insecure)),
        Command::Demo(options) => demo::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Top(options) => top::run(&options),
        Command::Doctor(options) => status::doctor(&options),
        Command::Backup(options) => backup::run(&options),
        Command::Restore(options) => backup::restore(&options),
        Command::Sql(options) => sql::run(&options),
        Command::Import(options) => import::run(&options),
        Command::Adopt(options) => adopt::run(&options),
        Command::Export(options) => export::run(&options),
        Command::Attach(options) => attach::run(&options),
        Command::Config { markdown: true, .. } => {
            print!("{}", settings::markdown());
            Ok(())
        }
        Command::Config { sources, markdown: false } => {
            Settings::load(sources.config.as_deref(), &sources.set).map(|s| print!("{}", s.show()))
        }
        Command::Repair { what } => repair::run(&what),
        Command::Token { what } => token::run(&what),
        Command::Routes { openapi } => {
            print!("{}", if openapi { server::openapi::text() } else { routes::markdown() });
            Ok(())
        }
        Command::Version => {
            println!("tidewater {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidewater: {error:#}");
            ExitCode::FAILURE
        }
    }
}
