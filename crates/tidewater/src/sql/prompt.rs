//! The loop of the prompt: read, run while Ctrl-C is heard, show.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum as _;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget};
use ratatui::crossterm::terminal;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use serde_json::Value;
use signal_hook::consts::SIGINT;

use super::assist::Assistant;
use super::words::{statements, whole_script};
use super::{COMMANDS, Format, Shown, ask, chart, print, script};
use crate::client::Server;
use crate::progress;

/// Statements that are remembered over sessions.
const HISTORY: usize = 2_000;
/// Rows of a table that are shown.
const SHOWN_ROWS: usize = 1_000;
/// A statement that takes longer shows how far it is.
const QUIET: Duration = Duration::from_millis(300);
/// How often a running statement is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How often Ctrl-C is looked for while a statement runs.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of a chart at most.
const CHART_LINES: u16 = 22;

/// What a session knows.
struct Session {
    server: Server,
    database: String,
    format: Format,
    has_timing: bool,
    last: Option<String>,
    answer: Option<Value>,
    /// Ctrl-C was pressed. While a line is read it is a key; while one runs it is the terminal's signal, and keys
    /// that are typed ahead stay with the terminal for the next line.
    interrupted: Arc<AtomicBool>,
}

/// Whether the loop goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Read,
    Leave,
}

/// Reads and runs until the user leaves.
pub fn run(server: &Server, database: &str, format: Format, stopped: Option<&Path>) -> Result<()> {
    // what is wrong with address or token is said before the first prompt
    ask(server, database, "SELECT 1")?;
    let health = server.ask("GET", "/health", &[], None)?;
    let version = health["version"].as_str().unwrap_or("of no version");
    let place =
        stopped.map_or_else(|| server.url.clone(), |folder| format!("{} (stopped, read aside)", folder.display()));
    println!("Tidewater {version} at {place}");
    println!("\\? lists commands, Tab completes, a semicolon ends a statement");
    let config = Config::builder().max_history_size(HISTORY)?.history_ignore_dups(true)?.history_ignore_space(true);
    let config = config.completion_type(CompletionType::List).completion_show_all_if_ambiguous(true).tab_stop(4);
    let mut editor: Editor<Assistant, FileHistory> = Editor::with_config(config.build())?;
    editor.set_helper(Some(Assistant::new(server.clone(), database)));
    let history = history_file();
    if let Some(file) = &history {
        let _ = editor.load_history(file);
    }
    let (server, database) = (server.clone(), database.to_owned());
    let interrupted = Arc::default();
    signal_hook::flag::register(SIGINT, Arc::clone(&interrupted)).context("Ctrl-C cannot be heard")?;
    let mut session = Session { server, database, format, has_timing: true, last: None, answer: None, interrupted };
    loop {
        let line = match editor.readline(&format!("{}> ", session.database)) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("the terminal cannot be read"),
        };
        if !line.trim().is_empty() {
            editor.add_history_entry(line.trim())?;
            if let Some(file) = &history {
                keep(&mut editor, file);
            }
        }
        match session.take(line.trim()) {
            Ok(Next::Leave) => break,
            Ok(Next::Read) => {}
            Err(error) => eprintln!("{}", red(&format!("{error:#}"))),
        }
        if let Some(assistant) = editor.helper_mut() {
            assistant.database.replace(session.database.clone());
        }
    }
    Ok(())
}

/// Where statements are remembered; none where there is no home.
fn history_file() -> Option<PathBuf> {
    let named = |key: &str| std::env::var_os(key).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")))?;
    let folder = state.join("tidewater");
    fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// Remembers; that it cannot is no reason to stop.
fn keep(editor: &mut Editor<Assistant, FileHistory>, file: &Path) {
    if editor.append_history(file).is_ok() {
        // a statement may hold what others must not read
        let _ = fs::set_permissions(file, fs::Permissions::from_mode(0o600));
    }
}

fn is_coloured() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

fn red(text: &str) -> String {
    if is_coloured() { format!("\x1b[31m{text}\x1b[0m") } else { text.to_owned() }
}

impl Session {
    /// Runs what was typed.
    fn take(&mut self, line: &str) -> Result<Next> {
        self.interrupted.store(false, Relaxed);
        match line {
            "exit" | "quit" | "exit;" | "quit;" => return Ok(Next::Leave),
            "help" | "help;" => self.help(),
            _ if line.starts_with('\\') => return self.command(line),
            _ => {
                for statement in statements(line).0 {
                    self.run(statement)?;
                }
            }
        }
        Ok(Next::Read)
    }

    fn command(&mut self, line: &str) -> Result<Next> {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim().trim_end_matches(';').trim_end();
        match (name.trim_end_matches(';'), rest) {
            ("\\q", _) => return Ok(Next::Leave),
            ("\\?" | "\\h" | "\\help", _) => self.help(),
            ("\\d", "") => self.run(
                "SELECT table_schema AS database, table_name AS measurement FROM information_schema.tables ORDER BY ALL",
            )?,
            ("\\d", table) => self.run(&format!("DESCRIBE {table}"))?,
            ("\\dt", _) => self.run("SHOW TABLES")?,
            ("\\l", _) => self.run("SHOW DATABASES")?,
            ("\\c", "") => println!("{}", self.database),
            ("\\c", database) => self.use_database(database.trim_matches('"'))?,
            ("\\timing", word) => {
                self.has_timing = match word {
                    "on" => true,
                    "off" => false,
                    "" => !self.has_timing,
                    other => bail!("\\timing is on or off, not {other:?}"),
                };
                println!("timing is {}", if self.has_timing { "on" } else { "off" });
            }
            ("\\format", "") => println!("{}", Format::NAMES.join(", ")),
            ("\\format", word) => {
                self.format = Format::from_str(word, true)
                    .map_err(|_| anyhow::anyhow!("\\format is one of {}", Format::NAMES.join(", ")))?;
            }
            ("\\watch", seconds) => self.watch(seconds)?,
            ("\\chart", "") => self.chart()?,
            ("\\chart", statement) => {
                if self.ask(statement)? {
                    self.chart()?;
                }
            }
            ("\\i", "") => bail!("\\i needs the name of a file"),
            ("\\i", file) => {
                let opened = fs::File::open(file).map_err(anyhow::Error::from).and_then(script);
                for statement in whole_script(&opened.with_context(|| format!("cannot read {file}"))?) {
                    self.run(statement)?;
                }
            }
            (other, _) => bail!("there is no command {other}; \\? lists those that there are"),
        }
        Ok(Next::Read)
    }

    fn help(&self) {
        for (name, needs, does) in COMMANDS {
            println!("  {:<32} {does}", format!("{name} {needs}"));
        }
        println!("  Ctrl-C cancels a running statement, or forgets the line; functions and dialect: docs/sql.md");
    }

    fn use_database(&mut self, database: &str) -> Result<()> {
        let known = ask(&self.server, &self.database, "SHOW DATABASES")?;
        let rows = known["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = rows.iter().filter_map(|r| r[0].as_str()).find(|name| name.eq_ignore_ascii_case(database));
        self.database = found.with_context(|| format!("there is no database {database:?}; \\l lists them"))?.to_owned();
        Ok(())
    }

    /// Runs a statement and shows its answer.
    fn run(&mut self, statement: &str) -> Result<()> {
        if self.ask(statement)? {
            self.show()?;
        }
        Ok(())
    }

    /// Asks a statement, whose answer is the last then; false when it was cancelled.
    fn ask(&mut self, statement: &str) -> Result<bool> {
        self.last = Some(statement.to_owned());
        self.answer = watched(&self.server, &self.database, statement, &self.interrupted)?;
        if self.answer.is_none() {
            println!("cancelled");
        }
        Ok(self.answer.is_some())
    }

    fn show(&self) -> Result<()> {
        let shown = Shown { rows: SHOWN_ROWS, has_time: self.has_timing };
        self.answer.as_ref().map_or(Ok(()), |answer| print(answer, self.format, &shown))
    }

    fn chart(&self) -> Result<()> {
        let answer = self.answer.as_ref().context("there is no answer yet to draw: \\chart SELECT …")?;
        let (width, height) = terminal::size().unwrap_or((100, 30));
        print!("{}", chart::draw(answer, width.min(160), height.saturating_sub(4).min(CHART_LINES), is_coloured())?);
        Ok(())
    }

    /// Runs the last statement again and again.
    fn watch(&mut self, seconds: &str) -> Result<()> {
        let seconds: f64 =
            if seconds.is_empty() { 2.0 } else { seconds.parse().context("\\watch needs a number of seconds")? };
        anyhow::ensure!((0.1..=86_400.0).contains(&seconds), "\\watch takes 0.1 to 86400 seconds");
        let statement = self.last.clone().context("there is no statement yet to watch")?;
        loop {
            if !self.ask(&statement)? {
                return Ok(());
            }
            // the page is drawn anew in one go, so that it does not flicker
            print!("\x1b[2J\x1b[H");
            println!("every {seconds} s, {}: Ctrl-C ends it", chrono::Local::now().format("%H:%M:%S"));
            self.show()?;
            io::stdout().flush()?;
            let until = Instant::now() + Duration::from_secs_f64(seconds);
            while Instant::now() < until {
                if self.interrupted.swap(false, Relaxed) {
                    return Ok(());
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }
}

/// Asks while it shows how far the statement is and hears Ctrl-C; `None`: it was cancelled.
fn watched(server: &Server, database: &str, statement: &str, interrupted: &AtomicBool) -> Result<Option<Value>> {
    let (reply, answer) = sync_channel(1);
    let (asked, place, sql) = (server.clone(), database.to_owned(), statement.to_owned());
    std::thread::spawn(move || reply.send(ask(&asked, &place, &sql)));
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(progress::style("{spinner:.cyan} {msg}"));
    let began = Instant::now();
    let (mut looked, mut is_cancelled, mut is_told) = (began, false, false);
    let outcome = loop {
        match answer.recv_timeout(LOOK_EVERY) {
            Ok(Err(_)) if is_told => break Ok(None),
            Ok(answer) => break answer.map(Some),
            Err(RecvTimeoutError::Disconnected) => {
                break Err(anyhow::anyhow!("the statement ended by a fault of the program"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if interrupted.swap(false, Relaxed) {
            // whoever presses it twice does not want to wait for the server's word
            if std::mem::replace(&mut is_cancelled, true) {
                break Ok(None);
            }
        }
        let is_due = began.elapsed() > QUIET && looked.elapsed() > ASK_EVERY;
        if !is_due && (!is_cancelled || is_told) {
            continue;
        }
        looked = Instant::now();
        let running = running(server, statement);
        if let (true, false, Some(id)) = (is_cancelled, is_told, running.as_ref().and_then(|r| r["id"].as_str())) {
            is_told = server.ask("DELETE", &format!("/api/v1/queries/{id}"), &[], None).is_ok();
        }
        bar.set_message(match (&running, is_cancelled) {
            (_, true) => "cancelling".to_owned(),
            (None, _) => format!("{:.1} s", began.elapsed().as_secs_f64()),
            (Some(query), _) => format!(
                "{:.1} s, {}, {} rows read, {} MiB of memory",
                began.elapsed().as_secs_f64(),
                query["status"].as_str().unwrap_or_default(),
                HumanCount(query["rows_read"].as_u64().unwrap_or(0)),
                query["peak_memory_bytes"].as_u64().unwrap_or(0) >> 20
            ),
        });
        bar.tick();
    };
    bar.finish_and_clear();
    outcome
}

/// The newest query of this text that is on its way.
fn running(server: &Server, statement: &str) -> Option<Value> {
    let active = server.ask("GET", "/api/v1/queries/active", &[], None).ok()?;
    let queries = active["queries"].as_array()?;
    let is_it = |query: &&Value| query["sql"].as_str().is_some_and(|sql| !sql.is_empty() && statement.starts_with(sql));
    queries.iter().rev().find(is_it).cloned()
}
