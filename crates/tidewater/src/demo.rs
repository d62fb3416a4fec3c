use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use sysinfo::{Disks, Networks, ProcessesToUpdate, System};

use crate::attach;
use crate::client::Server;
use crate::serve::{self, Running};
use crate::settings::Settings;

const EVERY: Duration = Duration::from_secs(1);
const CHART_COLUMNS: usize = 60;
const CHART_ROWS: usize = 8;
/// Processes that are written each second, the busiest first.
const PROCESSES: usize = 5;

#[derive(Debug, Args)]
pub struct Options {
    /// Folder to keep the data in [default: a temporary one, removed at the end]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// End after this many seconds; without it Ctrl-C ends the demo
    #[arg(long)]
    seconds: Option<u64>,
}

/// `tidewater demo`
pub fn run(options: &Options) -> Result<()> {
    let temporary = tempfile::Builder::new().prefix("tidewater-demo-").tempdir()?;
    let folder = options.folder.clone().unwrap_or_else(|| temporary.path().join("data"));
    let set = |key: &str, value: String| (key.to_owned(), value);
    let settings = Settings::load(
        None,
        &[
            set("server.port", options.port.to_string()),
            set("storage.local_path", folder.display().to_string()),
            // DuckDB should see the rows within seconds
            set("ingest.max_buffer_age_ms", "2000".into()),
            set("ingest.max_quiet_age_ms", "2000".into()),
        ],
    )?;
    let running = serve::start(&settings, serve::Start::default())?;
    let outcome = show(&running, &folder, options.seconds);
    println!("\nstopping: every row is flushed to files");
    running.stop();
    outcome
}

/// Writes and shows, once a second, until a signal or the end of the time.
fn show(running: &Running, folder: &Path, seconds: Option<u64>) -> Result<()> {
    let mut machine = Machine::new();
    let terminal = std::io::stdout().is_terminal();
    let began = Instant::now();
    let mut written = 0usize;
    for second in 0.. {
        let lines = machine.lines();
        written += lines.lines().count();
        write(running, &lines)?;
        let state = State::ask(running, written)?;
        if terminal {
            print!("\u{1b}[2J\u{1b}[H{}", screen(running, folder, &state));
        } else if second == 0 {
            println!("{}", commands(running, folder));
        } else if second % 5 == 0 {
            println!("{}", state.line());
        }
        std::io::stdout().flush()?;
        let next = EVERY * (second + 1);
        let left = next.saturating_sub(began.elapsed());
        if seconds.is_some_and(|s| began.elapsed().as_secs() >= s) || running.signalled_within(left)? {
            return Ok(());
        }
    }
    Ok(())
}

/// The route that any client would use.
fn write(running: &Running, lines: &str) -> Result<()> {
    let url = format!("{}/api/v1/write/line-protocol", running.url);
    let mut request = ureq::post(&url).header("x-arc-database", "machine");
    if let Some(token) = &running.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.send(lines).context("the demo's own write was refused")?;
    Ok(())
}

struct State {
    cpu: VecDeque<f64>,
    rows: i64,
    written: usize,
    files: i64,
    hot: String,
}

impl State {
    fn ask(running: &Running, written: usize) -> Result<Self> {
        let server =
            Server { url: running.url.clone(), token: running.token.clone(), folder: Some(PathBuf::new()), ca: None };
        let ask = |statement: &str| -> Result<Value> {
            let body = serde_json::json!({"sql": statement});
            let answer = server.ask("POST", "/api/v1/query", &[("x-arc-database", "machine")], Some(&body));
            Ok(answer.with_context(|| statement.to_owned())?["data"].clone())
        };
        let newest = format!(
            "SELECT * FROM (SELECT time_bucket(INTERVAL '1 second', time) AS t, avg(usage) FROM cpu GROUP BY 1 \
             ORDER BY 1 DESC LIMIT {CHART_COLUMNS}) ORDER BY t"
        );
        let cpu = ask(&newest)?;
        let cpu = cpu.as_array().into_iter().flatten().filter_map(|r| r[1].as_f64()).collect();
        let tables = ask("SHOW TABLES")?;
        let files = tables.as_array().into_iter().flatten().filter_map(|r| r[3].as_i64()).sum();
        let counts = "SELECT (SELECT count(*) FROM cpu) + (SELECT count(*) FROM memory) + (SELECT count(*) FROM disk) \
                      + (SELECT count(*) FROM net) + (SELECT count(*) FROM process)";
        let rows = ask(counts)?[0][0].as_i64().unwrap_or(0);
        let busiest = ask("SELECT name, usage FROM process ORDER BY time DESC, usage DESC LIMIT 1")?;
        let hot = format!("{} {:.0} %", busiest[0][0].as_str().unwrap_or("-"), busiest[0][1].as_f64().unwrap_or(0.0));
        Ok(Self { cpu, rows, written, files, hot })
    }

    fn line(&self) -> String {
        format!(
            "cpu {:>5.1} %  busiest {:<24} rows written {:>7}  rows counted {:>7}  files {:>4}",
            self.cpu.back().copied().unwrap_or(0.0),
            self.hot,
            self.written,
            self.rows,
            self.files
        )
    }
}

fn screen(running: &Running, folder: &Path, state: &State) -> String {
    let mut out = String::from(
        "\u{1b}[1mTidewater\u{1b}[0m  this machine, live: CPU in % over the last minute, asked by SQL\n\n",
    );
    for row in (0..CHART_ROWS).rev() {
        let label = if row == CHART_ROWS - 1 {
            "100 "
        } else if row == 0 {
            "  0 "
        } else {
            "    "
        };
        out += label;
        out += "\u{1b}[36m";
        out.extend(std::iter::repeat_n(' ', CHART_COLUMNS - state.cpu.len().min(CHART_COLUMNS)));
        for value in &state.cpu {
            let eighths = (value / 100.0 * (CHART_ROWS * 8) as f64).round() as usize;
            let here = eighths.saturating_sub(row * 8).min(8);
            out.push([' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][here]);
        }
        out += "\u{1b}[0m\n";
    }
    format!("{out}\n{}\n\n{}\n\nCtrl-C ends the demo.\n", state.line(), commands(running, folder))
}

/// Three commands to paste elsewhere.
fn commands(running: &Running, folder: &Path) -> String {
    let token = running.token.as_deref().unwrap_or("");
    let catalog = folder.join("catalog.sqlite");
    let catalog = catalog.canonicalize().unwrap_or(catalog);
    format!(
        "server {url}   token {token}\n\n\
         # 1  ask over HTTP\n\
         curl -s {url}/api/v1/query -H 'Authorization: Bearer {token}' -H 'x-arc-database: machine' \\\n  \
           -d '{{\"sql\": \"SELECT name, max(usage) FROM process GROUP BY name ORDER BY 2 DESC LIMIT 5\"}}'\n\
         # 2  ask from the command line\n\
         tidewater sql --url {url} --token {token} --database machine 'SELECT * FROM memory ORDER BY time DESC LIMIT 5'\n\
         # 3  read the same files live from DuckDB (rows are there after two seconds)\n{python}",
        url = running.url,
        python = attach::python(&catalog),
    )
}

/// This machine's metrics as line protocol.
struct Machine {
    system: System,
    disks: Disks,
    networks: Networks,
}

impl Machine {
    fn new() -> Self {
        let mut system = System::new_all();
        system.refresh_cpu_usage();
        Self { system, disks: Disks::new_with_refreshed_list(), networks: Networks::new_with_refreshed_list() }
    }

    fn lines(&mut self) -> String {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        self.system.refresh_processes(ProcessesToUpdate::All, true);
        self.disks.refresh(true);
        self.networks.refresh(true);
        let mut out = String::new();
        for (i, cpu) in self.system.cpus().iter().enumerate() {
            out += &format!("cpu,core={i} usage={:.2}\n", cpu.cpu_usage());
        }
        let (total, used) = (self.system.total_memory(), self.system.used_memory());
        out += &format!("memory total={total}u,used={used}u,swap_used={}u\n", self.system.used_swap());
        for disk in &self.disks {
            let path = disk.mount_point().display().to_string();
            out += &format!(
                "disk,path={} total={}u,free={}u\n",
                escaped(&path),
                disk.total_space(),
                disk.available_space()
            );
        }
        for (name, data) in &self.networks {
            let (received, sent) = (data.received(), data.transmitted());
            out += &format!("net,interface={} received={received}u,sent={sent}u\n", escaped(name));
        }
        let mut processes: Vec<_> = self.system.processes().values().filter(|p| p.thread_kind().is_none()).collect();
        processes.sort_by(|a, b| b.cpu_usage().total_cmp(&a.cpu_usage()));
        for process in processes.into_iter().take(PROCESSES) {
            let name = process.name().to_string_lossy();
            out += &format!(
                "process,name={},pid={} usage={:.2},memory={}u\n",
                escaped(&name),
                process.pid(),
                process.cpu_usage(),
                process.memory()
            );
        }
        out
    }
}

/// A tag value with its commas, equals signs and spaces escaped; never empty.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "/").replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ");
    if text.is_empty() { "unnamed".into() } else { text }
}
