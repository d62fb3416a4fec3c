//! `tidewater adopt`: Parquet files of another program, above all Arc's folder, to a stopped server's folder; Arc's
//! policies and continuous queries to a running one.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use comfy_table::{Table, presets};
use indicatif::ProgressBar;
use model::{Clock as _, DatabaseName, ItemName, SystemClock, TableId, TableMode, fold};
use serde_json::{Map, Value, json};
use store::adopt::{self, Foreign, ForeignColumn, Way};
use store::jobs::{Asked, Handle};
use store::{Store, StoreConfig};
use wire::import::{TimeFormat, parquet};

use crate::client::Server;
use crate::progress;

/// Memory for the rows of a stopped folder's log and of files that are written anew.
const HOT_BYTES: usize = 512 << 20;
/// Files of one commit.
const FILES_A_COMMIT: usize = 1_000;
/// What a start of the server waits for at most.
const PATIENCE: Duration = Duration::from_secs(60);
/// Reasons and failures that are shown of a measurement.
const SHOWN: usize = 10;
/// Where Arc keeps notes of its own.
const ARC_STATE: &str = "_compaction_state";

#[derive(Debug, Args)]
pub struct Options {
    /// A folder as Arc keeps it ({database}/{measurement}/Y/M/D/H/*.parquet), or Parquet files
    paths: Vec<PathBuf>,
    /// Where files go whose path names no database
    #[arg(long, default_value = "default")]
    database: String,
    /// Where all files go [default: as their paths say]
    #[arg(long)]
    measurement: Option<String>,
    /// Columns that are tags, with commas between, beside those that the files name
    #[arg(long, value_delimiter = ',')]
    tags: Vec<String>,
    /// The column of times; files that call it otherwise than time are written anew
    #[arg(long, default_value = "time")]
    time_column: String,
    /// epoch_s, epoch_ms, epoch_us or epoch_ns [default: by the size of the number, or a text]
    #[arg(long, default_value = "")]
    time_format: String,
    /// Copy the files instead of giving them a second name
    #[arg(long, conflicts_with = "in_place")]
    copy: bool,
    /// Leave the files where they are, for instance on another disk; they must stay there
    #[arg(long)]
    in_place: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Arc's arc.db: bring its retention policies and continuous queries to the running server at --url
    #[arg(long, conflicts_with = "paths")]
    metadata: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

/// The files of one measurement.
struct Group {
    database: DatabaseName,
    measurement: ItemName,
    files: Vec<Foreign>,
    columns: Vec<ForeignColumn>,
}

/// `tidewater adopt`
pub fn run(options: &Options) -> Result<()> {
    if let Some(metadata) = &options.metadata {
        return bring_metadata(options, metadata);
    }
    if options.paths.is_empty() {
        bail!("name a folder or files to adopt, or Arc's database with --metadata");
    }
    let format =
        TimeFormat::parse(&options.time_format).context("--time-format is epoch_s, epoch_ms, epoch_us or epoch_ns")?;
    let found = find(options)?;
    let (read, mut left_out) = inspect(options, found);
    let folder = options.server.folder();
    let store = match options.dry_run && !folder.join("catalog.sqlite").exists() {
        true => None,
        false => Some(open(folder)?),
    };
    let mut groups = group(read, &mut left_out);
    for group in &mut groups {
        let view = store.as_ref().map(Store::view);
        let table = view.as_ref().and_then(|v| v.table(group.database.as_str(), group.measurement.as_str()));
        group.columns = adopt::unify(table.map(|t| &*t.info.schema), &mut group.files);
        if table.is_some_and(|t| t.info.mode == TableMode::Last) {
            for file in group.files.iter_mut().filter(|f| f.unfit.is_none()) {
                file.unfit = Some("the measurement keeps one row a point".into());
            }
        }
    }
    show_plan(&groups, &left_out);
    if let Some(store) = store {
        let outcome = if options.dry_run { Ok(()) } else { adopt_all(options, format, &store, &groups) };
        store.close(PATIENCE);
        outcome?;
    }
    if options.dry_run {
        println!("nothing was changed (--dry-run)");
    }
    if !left_out.is_empty() {
        bail!("{} files were left out", left_out.len());
    }
    Ok(())
}

fn open(folder: &Path) -> Result<Store> {
    let config = StoreConfig { min_free_bytes: 0, ..StoreConfig::new(folder, HOT_BYTES) };
    Store::open(config, Arc::new(SystemClock)).with_context(|| format!("cannot open {}", folder.display()))
}

/// A file and where its rows belong.
struct Found {
    path: PathBuf,
    database: String,
    measurement: Option<String>,
}

/// Every Parquet file that the paths mean, in order.
fn find(options: &Options) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for path in &options.paths {
        if path.is_dir() {
            let before = found.len();
            walk(options, path, path, &mut found)?;
            if found.len() == before {
                bail!("{} holds no Parquet file", path.display());
            }
        } else {
            let stem = path.file_stem().and_then(|s| s.to_str()).map(str::to_owned);
            let measurement = options.measurement.clone().or(stem);
            found.push(Found { path: path.clone(), database: options.database.clone(), measurement });
        }
    }
    Ok(found)
}

fn walk(options: &Options, root: &Path, folder: &Path, found: &mut Vec<Found>) -> Result<()> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut entries = listed.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        // a link to a folder may lead in a circle
        if entry.file_type()?.is_dir() {
            if name != ARC_STATE && !name.starts_with('.') {
                walk(options, root, &path, found)?;
            }
        } else if name.ends_with(".parquet") {
            let (database, measurement) = place(options, path.strip_prefix(root).unwrap_or(&path));
            found.push(Found { path, database, measurement });
        }
    }
    Ok(())
}

/// Database and measurement by the folders before the numbers of a date: `a/b/2026/…` is measurement b of database a,
/// `b/2026/…` one of the database that the command line names.
fn place(options: &Options, relative: &Path) -> (String, Option<String>) {
    let folders: Vec<&str> = relative
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .filter_map(|c| if let Component::Normal(name) = c { name.to_str() } else { None })
        .collect();
    let is_number = |name: &&&str| name.bytes().all(|b| b.is_ascii_digit());
    let named = folders.iter().take_while(|name| !is_number(name)).count();
    let chosen = options.measurement.clone();
    match folders[..named] {
        [measurement] => (options.database.clone(), chosen.or_else(|| Some(measurement.to_owned()))),
        [database, measurement] => (database.to_owned(), chosen.or_else(|| Some(measurement.to_owned()))),
        _ => (options.database.clone(), chosen),
    }
}

/// A file that is not adopted, and why.
type LeftOut = (PathBuf, String);

/// Looks at all footers; files without rows are nothing to adopt.
fn inspect(options: &Options, found: Vec<Found>) -> (Vec<(Found, Foreign)>, Vec<LeftOut>) {
    let bar = bar("looking", found.len());
    let (mut read, mut left_out) = (Vec::with_capacity(found.len()), Vec::new());
    for file in found {
        match adopt::inspect(&file.path, &options.tags) {
            Ok(foreign) if foreign.rows == 0 => {}
            Ok(foreign) => read.push((file, foreign)),
            Err(error) => left_out.push((file.path, error.to_string())),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    (read, left_out)
}

fn bar(verb: &'static str, files: usize) -> ProgressBar {
    let bar = ProgressBar::new(files as u64).with_message(verb);
    let style = "{msg} {wide_bar} {pos}/{len} files {per_sec} {eta} left";
    bar.with_style(progress::style(style))
}

fn group(read: Vec<(Found, Foreign)>, left_out: &mut Vec<LeftOut>) -> Vec<Group> {
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    for (Found { path, database, measurement }, foreign) in read {
        let place = measurement.context("its path names no measurement; name one with --measurement").and_then(|m| {
            let names = (DatabaseName::new(&database)?, ItemName::new("measurement", &m)?);
            Ok(((fold(&database), fold(&m)), names))
        });
        match place {
            Err(error) => left_out.push((path, format!("{error:#}"))),
            Ok((key, (database, measurement))) => {
                let new = || Group { database, measurement, files: Vec::new(), columns: Vec::new() };
                groups.entry(key).or_insert_with(new).files.push(foreign);
            }
        }
    }
    groups.into_values().collect()
}

fn show_plan(groups: &[Group], left_out: &[LeftOut]) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["database", "measurement", "files", "rows", "MB", "as they lie", "written anew"]);
    let mut reasons = Vec::new();
    for Group { database, measurement, files, .. } in groups {
        let anew: Vec<&str> = files.iter().filter_map(|f| f.unfit.as_deref()).collect();
        let bytes: u64 = files.iter().map(|f| f.bytes).sum();
        table.add_row([
            database.to_string(),
            measurement.to_string(),
            files.len().to_string(),
            files.iter().map(|f| f.rows).sum::<u64>().to_string(),
            format!("{:.1}", bytes as f64 / 1e6),
            (files.len() - anew.len()).to_string(),
            anew.len().to_string(),
        ]);
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        anew.iter().for_each(|reason| *counted.entry(reason).or_default() += 1);
        let mut counted: Vec<_> = counted.into_iter().collect();
        counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let shown = counted.into_iter().take(SHOWN);
        reasons
            .extend(shown.map(|(reason, count)| format!("{database}.{measurement}: {count} written anew: {reason}")));
    }
    println!("{table}");
    reasons.iter().for_each(|line| println!("{line}"));
    for (path, reason) in left_out.iter().take(SHOWN) {
        println!("left out: {}: {reason}", path.display());
    }
    if left_out.len() > SHOWN {
        println!("left out: {} more", left_out.len() - SHOWN);
    }
}

fn adopt_all(options: &Options, format: TimeFormat, store: &Store, groups: &[Group]) -> Result<()> {
    let began = Instant::now();
    let bar = bar("adopting", groups.iter().map(|g| g.files.len()).sum());
    let mut failed = Vec::new();
    let mut done = Vec::new();
    for group in groups {
        let (database, measurement) = (group.database.to_string(), group.measurement.to_string());
        let detail = json!({"files": group.files.len()});
        let (kind, owner) = ("adopt", "adopt".to_owned());
        let asked = Asked { kind, database: Some(database), measurement: Some(measurement), detail, owner };
        let job = store.jobs().begin(&asked, SystemClock.now_us())?;
        let outcome = adopt_group(options, format, store, group, &job, &bar, &mut failed);
        let settled = match &outcome {
            Ok(counts) => Ok(json!({"rows": counts.rows, "files": counts.files})),
            Err(error) => Err((false, format!("{error:#}"))),
        };
        store.end_job(&job, settled)?;
        match outcome {
            Ok(counts) => done.push((group, counts)),
            Err(error) => failed.push(format!("{}.{}: {error:#}", group.database, group.measurement)),
        }
    }
    bar.finish_and_clear();
    let mut differ = 0;
    for (group, counts) in &done {
        let Group { database, measurement, .. } = group;
        let verdict = match counts.came == counts.rows {
            true => "as many as the files hold",
            false => "NOT as many as the files hold",
        };
        differ += usize::from(counts.came != counts.rows);
        println!(
            "{database}.{measurement}: {} of {} rows came, {verdict}; {} files were adopted before",
            counts.came, counts.rows, counts.known
        );
    }
    let files: usize = done.iter().map(|(_, c)| c.files).sum();
    println!("{files} files in {:.1} s", began.elapsed().as_secs_f64());
    failed.iter().take(SHOWN).for_each(|line| println!("failed: {line}"));
    if failed.len() > SHOWN {
        println!("failed: {} more", failed.len() - SHOWN);
    }
    if differ > 0 || !failed.is_empty() {
        bail!(
            "{} files or measurements could not be adopted; run this again when that is mended",
            failed.len().max(differ)
        );
    }
    Ok(())
}

/// What became of a measurement.
#[derive(Default)]
struct Counts {
    files: usize,
    /// Adopted by an earlier run.
    known: usize,
    /// Of files that came now, as their footers say.
    rows: u64,
    /// By which the catalog's count rose.
    came: u64,
}

fn adopt_group(
    options: &Options,
    format: TimeFormat,
    store: &Store,
    group: &Group,
    job: &Handle,
    bar: &ProgressBar,
    failed: &mut Vec<String>,
) -> Result<Counts> {
    let way = match (options.copy, options.in_place) {
        (true, _) => Way::Copy,
        (_, true) => Way::InPlace,
        _ => Way::Link,
    };
    let table = store.prepare_table(&group.database, &group.measurement, &group.columns)?;
    let before = rows_of(store, table);
    let known = store.adopted(table)?;
    let (fit, unfit): (Vec<&Foreign>, Vec<&Foreign>) = group.files.iter().partition(|f| f.unfit.is_none());
    let mut counts = Counts::default();
    let fresh: Vec<Foreign> = fit.iter().filter(|f| !known.contains(&adopt::source(f))).map(|f| (*f).clone()).collect();
    counts.known = fit.len() - fresh.len();
    bar.inc(counts.known as u64);
    for files in fresh.chunks(FILES_A_COMMIT) {
        counts.rows += store.adopt(table, files, way, job)?;
        counts.files += files.len();
        bar.inc(files.len() as u64);
    }
    for file in unfit {
        match write_anew(options, format, store, group, file, job) {
            Ok(false) => counts.known += 1,
            Ok(true) => (counts.rows, counts.files) = (counts.rows + file.rows, counts.files + 1),
            Err(error) => failed.push(format!("{}: {error:#}", file.path.display())),
        }
        bar.inc(1);
    }
    counts.came = rows_of(store, table) - before;
    Ok(counts)
}

/// Rows of a table's files; of a log that an earlier server left none are added here.
fn rows_of(store: &Store, table: TableId) -> u64 {
    store.view().tables.get(&table).map_or(0, |t| t.file_rows)
}

/// Takes the rows of a file in; false: an earlier run did.
fn write_anew(
    options: &Options,
    format: TimeFormat,
    store: &Store,
    group: &Group,
    file: &Foreign,
    job: &Handle,
) -> Result<bool> {
    let name = format!("adopt-{}.{} {}", group.database, group.measurement, adopt::source(file));
    if store.imported(&name)?.is_some() {
        return Ok(false);
    }
    let is_here = |tag: &&ForeignColumn| tag.is_tag && file.columns.iter().any(|c| fold(&c.name) == fold(&tag.name));
    let tags = group.columns.iter().filter(is_here).map(|c| c.name.clone()).collect();
    let reading = parquet::Options { time_column: options.time_column.clone(), time_format: format, tags };
    let mut import = store.import(group.database.clone(), TableMode::Append);
    for piece in parquet::Pieces::open(File::open(&file.path)?, reading, group.measurement.as_str())? {
        import.add(piece?)?;
    }
    import.commit(job, Some(&name))?;
    Ok(true)
}

/// What Arc's policies and queries have that ours have too.
const FIELDS: [&str; 14] = [
    "name",
    "description",
    "database",
    "measurement",
    "source_measurement",
    "destination_measurement",
    "query",
    "interval",
    "retention_days",
    "buffer_days",
    "delete_source_after_days",
    "tag_columns",
    "is_active",
    "schedule",
];
/// What a new policy or query has of its own.
const OWN: [&str; 8] = [
    "id",
    "created_at",
    "updated_at",
    "last_execution_time",
    "last_execution_status",
    "last_deleted_count",
    "last_processed_time",
    "last_records_written",
];

/// Sends Arc's policies and queries to a server; what has no place there is listed.
fn bring_metadata(options: &Options, path: &Path) -> Result<()> {
    let metadata = adopt::arc_metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut refused = 0;
    let kinds = [
        ("retention policy", "/api/v1/retention", &metadata.policies),
        ("continuous query", "/api/v1/continuous_queries", &metadata.queries),
    ];
    for (what, route, rows) in kinds {
        for row in rows {
            let (body, lost) = mapped(row);
            let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
            let note = if lost.is_empty() { String::new() } else { format!("; without {}", lost.join(", ")) };
            if options.dry_run {
                // only the server knows whether its tables are there
                let text = body.get("query").and_then(Value::as_str);
                match text.and_then(|sql| query::syntax::tables_of_window(sql).err()) {
                    None => println!("{what} {name:?}: would be made{note}"),
                    Some(error) => {
                        refused += 1;
                        println!("{what} {name:?}: would be refused: {error}");
                    }
                }
                continue;
            }
            let answer = options.server.answer("POST", route, &[], Some(&Value::Object(body.clone())))?;
            match answer.status {
                200..300 => println!("{what} {name:?}: made{note}"),
                _ if answer.body["code"] == "name_taken" => println!("{what} {name:?}: is there already"),
                _ => {
                    refused += 1;
                    println!("{what} {name:?}: refused: {}", crate::client::text(&answer.body["error"]));
                }
            }
        }
    }
    for (table, rows) in &metadata.others {
        let advice = match table.as_str() {
            "api_tokens" => "only hashes of them are known: make new ones with `tidewater token create`",
            _ => "has no place here",
        };
        println!("{table}: {rows} rows: {advice}");
    }
    if refused > 0 {
        bail!("{refused} of them {} refused", if options.dry_run { "would be" } else { "were" });
    }
    Ok(())
}

/// A row as a request's body, and what of it has no place there.
fn mapped(row: &Map<String, Value>) -> (Map<String, Value>, Vec<String>) {
    let (mut body, mut lost) = (Map::new(), Vec::new());
    for (name, value) in row.iter().filter(|(_, value)| !value.is_null()) {
        if FIELDS.contains(&name.as_str()) {
            let value = match name.as_str() {
                "is_active" => json!(value.as_i64() != Some(0)),
                "tag_columns" => value.as_str().and_then(|t| serde_json::from_str(t).ok()).unwrap_or(Value::Null),
                _ => value.clone(),
            };
            body.insert(name.clone(), value);
        } else if !OWN.contains(&name.as_str()) {
            lost.push(name.clone());
        }
    }
    (body, lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_where_rows_belong() {
        let options = |measurement: Option<&str>| {
            let words = ["x", "adopt", ".", "--database", "d"].into_iter();
            let words = words.chain(measurement.into_iter().flat_map(|m| ["--measurement", m]));
            match <crate::Cli as clap::Parser>::try_parse_from(words).map(|cli| cli.command) {
                Ok(crate::Command::Adopt(options)) => options,
                other => panic!("{other:?}"),
            }
        };
        let placed = |path: &str, measurement: Option<&str>| {
            let (database, measurement) = place(&options(measurement), Path::new(path));
            format!("{database} {}", measurement.unwrap_or("?".into()))
        };
        assert_eq!(placed("prod/cpu/2026/01/02/03/cpu_1.parquet", None), "prod cpu");
        assert_eq!(placed("prod/cpu/2026/01/02/cpu_1_daily.parquet", None), "prod cpu");
        assert_eq!(placed("cpu/2026/01/02/03/cpu_1.parquet", None), "d cpu");
        assert_eq!(placed("prod/cpu/loose.parquet", None), "prod cpu");
        assert_eq!(placed("2026/01/cpu.parquet", None), "d ?");
        assert_eq!(placed("2026/01/cpu.parquet", Some("m")), "d m");
        assert_eq!(placed("a/b/c/d.parquet", None), "d ?");
    }
}
