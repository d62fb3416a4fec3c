//! `tidewater top`: a server's work as it happens.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Gauge, Paragraph, Row, Sparkline, Table, TableState};
use ratatui::{DefaultTerminal, Frame};
use serde_json::Value;

use crate::client::{Server, text};
use crate::status::bytes;

/// Points of the charts.
const SECONDS: usize = 300;
/// Tables that are listed, the largest first.
const TABLES: usize = 100;

#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    server: Server,
    /// Seconds between two looks
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    every: u64,
}

/// `tidewater top`
pub fn run(options: &Options) -> Result<()> {
    // what is wrong with address or token is said before the screen is taken
    let mut model = Model::default();
    model.look(&options.server)?;
    let mut terminal = ratatui::try_init()?;
    let outcome = follow(&mut terminal, &mut model, options);
    ratatui::restore();
    outcome
}

fn follow(terminal: &mut DefaultTerminal, model: &mut Model, options: &Options) -> Result<()> {
    let every = Duration::from_secs(options.every);
    loop {
        let next = Instant::now() + every;
        loop {
            terminal.draw(|frame| draw(frame, model))?;
            if !event::poll(next.saturating_duration_since(Instant::now()))? {
                break;
            }
            if let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
                && model.press(key.code, &options.server) == Next::Leave
            {
                return Ok(());
            }
        }
        model.error = model.look(&options.server).err().map(|e| format!("{e:#}"));
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Stay,
    Leave,
}

/// A query as the list shows it.
#[derive(Debug, Default, Clone)]
struct Running {
    id: String,
    status: String,
    owner: String,
    seconds: f64,
    rows: u64,
    sql: String,
}

/// Everything that is on the screen.
#[derive(Debug, Default)]
struct Model {
    metrics: Value,
    /// Rows accepted and queries asked in each interval, newest last.
    rows: VecDeque<u64>,
    queries_asked: VecDeque<u64>,
    last: Option<(Instant, f64, f64)>,
    running: Vec<Running>,
    selected: TableState,
    tasks: Vec<Value>,
    jobs: Vec<Value>,
    tables: Vec<Value>,
    title: String,
    /// The query that `c` was pressed on: `y` cancels it.
    asking: Option<String>,
    said: Option<String>,
    error: Option<String>,
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

impl Model {
    fn number(&self, name: &str) -> f64 {
        self.metrics[name].as_f64().unwrap_or(0.0)
    }

    fn look(&mut self, server: &Server) -> Result<()> {
        let health = server.ask("GET", "/health", &[], None)?;
        self.metrics = server.ask("GET", "/api/v1/metrics", &[], None)?;
        ensure!(self.metrics.is_object(), "{} is no Tidewater server", server.url);
        let ready = server.answer("GET", "/ready", &[], None)?.body;
        self.title = match ready["ready"] == true {
            true => format!(
                " tidewater {}  {}  up {}  ready ",
                text(&health["version"]),
                server.url,
                text(&health["uptime"])
            ),
            false => format!(" tidewater {}  NOT READY: {} ", server.url, text(&ready["reason"])),
        };
        let now = Instant::now();
        let (rows, asked) = (self.number("arc_ingest_records_total"), self.number("arc_query_requests_total"));
        if let Some((at, old_rows, old_asked)) = self.last {
            let seconds = now.duration_since(at).as_secs_f64().max(0.001);
            for (points, new, old) in [(&mut self.rows, rows, old_rows), (&mut self.queries_asked, asked, old_asked)] {
                points.push_back(((new - old).max(0.0) / seconds).round() as u64);
                points.drain(..points.len().saturating_sub(SECONDS));
            }
        }
        self.last = Some((now, rows, asked));
        let active = list(&server.ask("GET", "/api/v1/queries/active", &[], None)?["queries"]);
        self.running = active.iter().map(running).collect();
        let jobs = server.ask("GET", "/api/v1/jobs?limit=20", &[], None)?;
        (self.tasks, self.jobs) = (list(&jobs["tasks"]), list(&jobs["jobs"]));
        // what needs a look comes first
        let calm = |task: &Value| match task["state"].as_str() {
            Some("backoff") => 0,
            Some("running") => 1,
            _ => 2,
        };
        self.tasks.sort_by_key(calm);
        self.tables = list(&server.ask("GET", "/api/v1/measurements", &[], None)?["measurements"]);
        self.tables.sort_by(|a, b| size(b).total_cmp(&size(a)));
        self.tables.truncate(TABLES);
        if self.selected.selected().is_none_or(|at| at >= self.running.len()) {
            self.selected.select((!self.running.is_empty()).then_some(0));
        }
        Ok(())
    }

    fn press(&mut self, key: KeyCode, server: &Server) -> Next {
        match (key, self.asking.take()) {
            (KeyCode::Char('y'), Some(id)) => {
                let outcome = server.ask("DELETE", &format!("/api/v1/queries/{id}"), &[], None);
                self.said = Some(outcome.map_or_else(|e| format!("{e:#}"), |_| format!("query {id} is cancelled")));
            }
            (KeyCode::Char('q') | KeyCode::Esc, None) => return Next::Leave,
            (KeyCode::Char('c'), None) => {
                let chosen = self.selected.selected().and_then(|at| self.running.get(at));
                self.asking = chosen.map(|query| query.id.clone());
            }
            (KeyCode::Down | KeyCode::Char('j'), None) => self.selected.select_next(),
            (KeyCode::Up | KeyCode::Char('k'), None) => self.selected.select_previous(),
            _ => {}
        }
        Next::Stay
    }
}

fn size(table: &Value) -> f64 {
    table["total_size_mb"].as_f64().unwrap_or(0.0)
}

fn running(query: &Value) -> Running {
    Running {
        id: text(&query["id"]),
        status: text(&query["status"]),
        owner: text(&query["token_name"]),
        seconds: query["duration_ms"].as_f64().unwrap_or(0.0) / 1e3,
        rows: query["row_count"].as_u64().unwrap_or(0),
        sql: text(&query["sql"]).split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn draw(frame: &mut Frame<'_>, model: &mut Model) {
    let [top, charts, memory, queries, below, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(6),
        Constraint::Length(5),
        Constraint::Min(5),
        Constraint::Percentage(30),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let bar = Style::default().bg(Color::Blue).fg(Color::White).add_modifier(Modifier::BOLD);
    frame.render_widget(Paragraph::new(model.title.as_str()).style(bar), top);
    let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(charts);
    chart(frame, left, "rows/s", &model.rows, Color::Green);
    chart(frame, right, "queries/s", &model.queries_asked, Color::Cyan);
    gauges(frame, memory, model);
    list_queries(frame, queries, model);
    let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(below);
    list_tables(frame, left, model);
    list_jobs(frame, right, model);
    frame.render_widget(Paragraph::new(footer(model)), keys);
}

fn footer(model: &Model) -> Line<'_> {
    if let Some(error) = &model.error {
        return Line::from(Span::raw(error.as_str()).red().bold());
    }
    if let Some(id) = &model.asking {
        return Line::from(format!("cancel query {id}?  y: yes   any other key: no")).yellow().bold();
    }
    let keys = "↑↓ choose a query   c cancel it   q leave";
    match &model.said {
        Some(said) => Line::from(format!("{keys}   │ {said}")),
        None => Line::from(keys).dim(),
    }
}

fn titled(title: String) -> Block<'static> {
    Block::bordered().title(title).border_style(Style::default().fg(Color::DarkGray))
}

fn chart(frame: &mut Frame<'_>, area: Rect, what: &str, points: &VecDeque<u64>, color: Color) {
    let (now, most) = (points.back().copied().unwrap_or(0), points.iter().copied().max().unwrap_or(0));
    let block = titled(format!(" {what}: {now} now, {most} at most "));
    let width = block.inner(area).width as usize;
    // the newest point stands at the right edge
    let shown: Vec<u64> = points.iter().rev().take(width).rev().copied().collect();
    let padded: Vec<u64> = std::iter::repeat_n(0, width - shown.len()).chain(shown).collect();
    frame.render_widget(Sparkline::default().block(block).data(padded).style(Style::default().fg(color)), area);
}

fn gauges(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let n = |name: &str| model.number(name);
    let disk = n("tidewater_disk_free_bytes");
    let columns: [Rect; 3] = Layout::horizontal([Constraint::Ratio(1, 3); 3]).areas(area);
    let shares = [
        ("memory of the budget", n("process_resident_memory_bytes"), n("tidewater_memory_budget_bytes")),
        ("hot rows", n("tidewater_hot_bytes"), n("tidewater_hot_budget_bytes")),
    ];
    for ((what, used, most), column) in shares.into_iter().zip(columns) {
        let share = if most > 0.0 { (used / most).clamp(0.0, 1.0) } else { 0.0 };
        let color = if share > 0.9 { Color::Red } else { Color::Green };
        let label = format!("{} of {}", bytes(used), bytes(most));
        let gauge = Gauge::default().block(titled(format!(" {what} "))).gauge_style(color).ratio(share).label(label);
        frame.render_widget(gauge, column);
    }
    let lines = vec![
        Line::from(format!(
            "log {}   files {} ({})",
            bytes(n("tidewater_log_bytes")),
            n("tidewater_files"),
            bytes(n("tidewater_file_bytes"))
        )),
        Line::from(format!("disk {} free   {} rows not in files", bytes(disk), n("arc_buffer_records_buffered"))),
        Line::from(format!(
            "cache {}   connections {}",
            bytes(n("tidewater_query_cache_bytes")),
            n("tidewater_http_connections")
        )),
    ];
    frame.render_widget(Paragraph::new(lines).block(titled(" store ".into())), columns[2]);
}

fn list_queries(frame: &mut Frame<'_>, area: Rect, model: &mut Model) {
    let rows = model.running.iter().map(|q| {
        let color = if q.status == "waiting" { Color::Yellow } else { Color::Reset };
        let cells = [q.status.clone(), q.owner.clone(), format!("{:.1}", q.seconds), q.rows.to_string(), q.sql.clone()];
        Row::new(cells.map(Cell::from)).style(Style::default().fg(color))
    });
    let widths = [
        Constraint::Length(9),
        Constraint::Length(16),
        Constraint::Length(8),
        Constraint::Length(10),
        Constraint::Min(20),
    ];
    let (slots, waiting) = (model.number("tidewater_query_slots"), model.number("tidewater_query_waiting"));
    let title = format!(" queries: {} on their way, {waiting} wait, {slots} slots ", model.running.len());
    let table = Table::new(rows, widths)
        .header(Row::new(["status", "token", "seconds", "rows", "statement"]).bold())
        .row_highlight_style(Style::default().add_modifier(Modifier::REVERSED))
        .block(titled(title));
    frame.render_stateful_widget(table, area, &mut model.selected);
}

fn list_tables(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let rows = model.tables.iter().map(|t| {
        let rows = t["row_count"].as_u64().unwrap_or(0).to_string();
        let name = format!("{}.{}", text(&t["database"]), text(&t["measurement"]));
        Row::new([name, rows, text(&t["file_count"]), bytes(size(t) * f64::from(1 << 20))].map(Cell::from))
    });
    let widths = [Constraint::Min(16), Constraint::Length(12), Constraint::Length(6), Constraint::Length(10)];
    let table = Table::new(rows, widths)
        .header(Row::new(["table", "rows", "files", "bytes"]).bold())
        .block(titled(format!(" tables: {} ", model.number("tidewater_tables"))));
    frame.render_widget(table, area);
}

fn list_jobs(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let running = model.jobs.iter().filter(|j| j["state"] == "running").map(|j| {
        let progress = format!("{} of {}", j["progress"]["done"], j["progress"]["total"]);
        Row::new([text(&j["kind"]), "running".into(), progress].map(Cell::from)).style(Style::default().fg(Color::Cyan))
    });
    let tasks = model.tasks.iter().map(|t| {
        let state = text(&t["state"]);
        let color = match state.as_str() {
            "backoff" => Color::Red,
            "running" => Color::Cyan,
            _ => Color::Reset,
        };
        let said = match t["last_error"].as_str() {
            Some(error) => error.to_owned(),
            None => format!("{} runs", t["runs"]),
        };
        Row::new([text(&t["name"]), state, said].map(Cell::from)).style(Style::default().fg(color))
    });
    let widths = [Constraint::Length(19), Constraint::Length(8), Constraint::Min(10)];
    let table = Table::new(running.chain(tasks), widths)
        .header(Row::new(["job or task", "state", ""]).bold())
        .block(titled(" jobs and tasks ".into()));
    frame.render_widget(table, area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;

    fn screen(model: &mut Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_query_is_cancelled_only_after_a_yes() {
        let query = json!({"id": "q-1", "status": "running", "token_name": "grafana", "duration_ms": 1500.0,
            "row_count": 7, "sql": "SELECT *\n  FROM cpu"});
        let mut model = Model { running: vec![running(&query)], title: " tidewater ".into(), ..Model::default() };
        model.selected.select(Some(0));
        let nowhere =
            Server { url: "http://127.0.0.1:1".into(), token: None, folder: Some("/nowhere".into()), ca: None };
        let shown = screen(&mut model, 100, 40);
        assert!(shown.contains("SELECT * FROM cpu") && shown.contains("grafana") && shown.contains("1.5"), "{shown}");
        assert_eq!(model.press(KeyCode::Char('c'), &nowhere), Next::Stay);
        assert!(screen(&mut model, 100, 40).contains("cancel query q-1?"));
        assert_eq!(model.press(KeyCode::Char('n'), &nowhere), Next::Stay);
        assert!(model.asking.is_none() && model.said.is_none());
        model.press(KeyCode::Char('c'), &nowhere);
        model.press(KeyCode::Char('y'), &nowhere);
        assert!(model.said.as_ref().is_some_and(|s| s.contains("cannot reach")), "{:?}", model.said);
        assert_eq!(model.press(KeyCode::Char('q'), &nowhere), Next::Leave);
    }

    #[test]
    fn every_size_of_terminal_is_drawn() {
        for (width, height) in [(1, 1), (20, 5), (80, 24), (250, 80)] {
            let mut model = Model { rows: (0..300).collect(), ..Model::default() };
            screen(&mut model, width, height);
        }
    }
}
