//! One entry a setting: name, default, range, doc. The command line, the environment, the file,
//! `--help`, `tidewater config` and `docs/configuration.md` all come from this table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// What a value may be. Ranges are inclusive.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Bool,
    Integer {
        min: u64,
        max: u64,
    },
    /// Bytes; `512MB`, `1GiB` and plain numbers are read.
    Size {
        min: u64,
        max: u64,
    },
    Choice(&'static [&'static str]),
    Text,
    /// Of a file, or nothing.
    Path,
}

#[derive(Debug)]
pub struct Setting {
    pub key: &'static str,
    pub kind: Kind,
    /// Text of the default; a size or count of `0` that stands for "derived" says so in the doc.
    pub default: &'static str,
    /// Whether SIGHUP and `POST /api/v1/config/reload` let a new value hold.
    pub live: bool,
    pub doc: &'static str,
}

const GIB: u64 = 1 << 30;

pub const SETTINGS: &[Setting] = &[
    Setting { key: "server.host", kind: Kind::Text, default: "127.0.0.1", live: false, doc: "address to listen on" },
    Setting {
        key: "server.port",
        kind: Kind::Integer { min: 0, max: 65_535 },
        default: "8000",
        live: false,
        doc: "port to listen on; 0 takes a free one",
    },
    Setting {
        key: "server.read_timeout",
        kind: Kind::Integer { min: 1, max: 3_600 },
        default: "30",
        live: true,
        doc: "seconds for the head of a request, and for its body one more for each KiB of it",
    },
    Setting {
        key: "server.first_byte_timeout",
        kind: Kind::Integer { min: 1, max: 3_600 },
        default: "10",
        live: true,
        doc: "seconds for the first byte of a new connection, TLS handshake included",
    },
    Setting {
        key: "server.idle_timeout",
        kind: Kind::Integer { min: 1, max: 86_400 },
        default: "120",
        live: true,
        doc: "seconds between two requests of a connection",
    },
    Setting {
        key: "server.write_timeout",
        kind: Kind::Integer { min: 1, max: 3_600 },
        default: "30",
        live: true,
        doc: "seconds in which a client must take the next bytes of its answer",
    },
    Setting {
        key: "server.max_header_size",
        kind: Kind::Size { min: 1 << 10, max: 1 << 20 },
        default: "64KiB",
        live: true,
        doc: "longest head of a request",
    },
    Setting {
        key: "server.sync_wait_ms",
        kind: Kind::Integer { min: 0, max: 3_600_000 },
        default: "30000",
        live: true,
        doc: "milliseconds that a request waits for the job it started (delete, retention, compaction) before it answers 202",
    },
    Setting {
        key: "server.shutdown_timeout",
        kind: Kind::Integer { min: 0, max: 3_600 },
        default: "30",
        live: true,
        doc: "seconds that a stop waits for requests on their way",
    },
    Setting {
        key: "server.max_payload_size",
        kind: Kind::Size { min: 1 << 10, max: 4 * GIB },
        default: "1GB",
        live: true,
        doc: "longest body, compressed and decompressed",
    },
    Setting {
        key: "import.max_size",
        kind: Kind::Size { min: 1 << 10, max: 1 << 40 },
        default: "500MB",
        live: true,
        doc: "longest file of an import, as it comes and unpacked; it takes so much disk while it is read",
    },
    Setting {
        key: "server.max_connections",
        kind: Kind::Integer { min: 1, max: 100_000 },
        default: "4096",
        live: true,
        doc: "connections open at once",
    },
    Setting {
        key: "server.max_connections_per_address",
        kind: Kind::Integer { min: 0, max: 100_000 },
        default: "0",
        live: true,
        doc: "connections of one address (of IPv6 its /64) open at once; 0: as many as in all",
    },
    Setting {
        key: "server.max_body_bytes_in_flight",
        kind: Kind::Size { min: 0, max: 1 << 50 },
        default: "0",
        live: false,
        doc: "memory of all request bodies on their way; 0 is a twentieth of memory.budget, 32 MiB at least",
    },
    Setting {
        key: "server.tls_enabled",
        kind: Kind::Bool,
        default: "false",
        live: false,
        doc: "speak TLS alone on the port",
    },
    Setting {
        key: "server.tls_cert_file",
        kind: Kind::Path,
        default: "",
        live: true,
        doc: "certificate chain in PEM; read again when it changes",
    },
    Setting {
        key: "server.tls_key_file",
        kind: Kind::Path,
        default: "",
        live: true,
        doc: "its private key in PEM; read again when it changes",
    },
    Setting {
        key: "server.cors_origins",
        kind: Kind::Text,
        default: "*",
        live: false,
        doc: "origins whose pages may ask from a browser, with commas between; * any, none no one",
    },
    Setting {
        key: "server.threads",
        kind: Kind::Integer { min: 0, max: 1_024 },
        default: "0",
        live: false,
        doc: "threads of connections, and as many of requests; 0 is one a core",
    },
    Setting {
        key: "storage.local_path",
        kind: Kind::Text,
        default: "./data/tidewater",
        live: false,
        doc: "root of everything the server keeps",
    },
    Setting {
        key: "storage.min_free_bytes",
        kind: Kind::Size { min: 0, max: 1 << 50 },
        default: "0",
        live: false,
        doc: "writes stop with 507 below this much free space; 0 is the hot budget + 512 MiB, or 5 % of a small disk",
    },
    Setting {
        key: "memory.budget",
        kind: Kind::Size { min: 64 << 20, max: 1 << 50 },
        default: "0",
        live: false,
        doc: "memory of the server; 0 is half of min(RAM, cgroup limit)",
    },
    Setting {
        key: "ingest.durability",
        kind: Kind::Choice(&["power", "process"]),
        default: "power",
        live: false,
        doc: "power: fdatasync before the answer; process: written before the answer, synced within 100 ms",
    },
    Setting {
        key: "ingest.max_buffer_age_ms",
        kind: Kind::Integer { min: 10, max: 86_400_000 },
        default: "10000",
        live: false,
        doc: "age at which a table with at least 4 MiB hot becomes files",
    },
    Setting {
        key: "ingest.max_quiet_age_ms",
        kind: Kind::Integer { min: 10, max: 86_400_000 },
        default: "600000",
        live: false,
        doc: "age at which any other table becomes files",
    },
    Setting {
        key: "ingest.write_wait_ms",
        kind: Kind::Integer { min: 0, max: 60_000 },
        default: "2000",
        live: true,
        doc: "how long a write waits for memory before 503",
    },
    Setting {
        key: "log.max_bytes",
        kind: Kind::Size { min: 64 << 20, max: 1 << 50 },
        default: "1GiB",
        live: false,
        doc: "log length past which the tables that hold its oldest segment are flushed",
    },
    Setting {
        key: "catalog.commits_per_second",
        kind: Kind::Integer { min: 1, max: 1_000 },
        default: "4",
        live: false,
        doc: "catalog commits a second on average; those of a hundred seconds may come at once",
    },
    Setting {
        key: "catalog.snapshot_age_ms",
        kind: Kind::Integer { min: 1_000, max: 86_400_000 },
        default: "300000",
        live: false,
        doc: "age at which catalog snapshots expire",
    },
    Setting {
        key: "catalog.file_grace_ms",
        kind: Kind::Integer { min: 0, max: 86_400_000 },
        default: "900000",
        live: false,
        doc: "time that a replaced file stays on disk after its last snapshot expired",
    },
    Setting {
        key: "catalog.copy_interval",
        kind: Kind::Integer { min: 1, max: 86_400 },
        default: "60",
        live: false,
        doc: "seconds after which a changed catalog is copied beside itself, for `tidewater repair catalog`",
    },
    Setting {
        key: "backup.enabled",
        kind: Kind::Bool,
        default: "true",
        live: false,
        doc: "answer /api/v1/backup and its like",
    },
    Setting {
        key: "backup.local_path",
        kind: Kind::Text,
        default: "./data/backups",
        live: false,
        doc: "where backups are kept; on the disk of storage.local_path files are linked, not copied",
    },
    Setting {
        key: "compaction.enabled",
        kind: Kind::Bool,
        default: "true",
        live: false,
        doc: "merge small files in the background; without it only when asked over HTTP",
    },
    Setting {
        key: "compaction.interval_ms",
        kind: Kind::Integer { min: 100, max: 86_400_000 },
        default: "10000",
        live: false,
        doc: "how often compaction looks for files to merge",
    },
    Setting {
        key: "compaction.min_files",
        kind: Kind::Integer { min: 2, max: 10_000 },
        default: "10",
        live: false,
        doc: "small files of a running hour that are worth a merge",
    },
    Setting {
        key: "compaction.target_size",
        kind: Kind::Size { min: 1 << 10, max: 1 << 40 },
        default: "128MB",
        live: false,
        doc: "a file of this size is not merged again",
    },
    Setting {
        key: "compaction.max_mb_per_second",
        kind: Kind::Integer { min: 0, max: 1_000_000 },
        default: "0",
        live: false,
        doc: "MB of input a second that background merges take on average; 0: no bound",
    },
    Setting {
        key: "scrub.mb_per_second",
        kind: Kind::Integer { min: 0, max: 1_000_000 },
        default: "8",
        live: false,
        doc: "MB of files a second that are read again against their checksums; 0: none",
    },
    Setting {
        key: "scrub.interval",
        kind: Kind::Integer { min: 1, max: 31_536_000 },
        default: "604800",
        live: false,
        doc: "seconds from one reading of all files to the next",
    },
    Setting {
        key: "retention.enabled",
        kind: Kind::Bool,
        default: "true",
        live: false,
        doc: "run active retention policies in the background; without it only when asked over HTTP",
    },
    Setting {
        key: "database.health_check_interval",
        kind: Kind::Integer { min: 1, max: 86_400 },
        default: "60",
        live: false,
        doc: "seconds between two probe queries through the pool",
    },
    Setting {
        key: "metrics.timeseries_interval_seconds",
        kind: Kind::Integer { min: 1, max: 3_600 },
        default: "5",
        live: false,
        doc: "seconds between two samples of the server's own numbers",
    },
    Setting {
        key: "metrics.timeseries_retention_minutes",
        kind: Kind::Integer { min: 1, max: 1_440 },
        default: "30",
        live: false,
        doc: "minutes that these samples are kept, in memory",
    },
    Setting {
        key: "retention.interval",
        kind: Kind::Integer { min: 1, max: 31_536_000 },
        default: "3600",
        live: false,
        doc: "seconds between two runs of a policy that has no schedule of its own",
    },
    Setting {
        key: "retention.check_interval_ms",
        kind: Kind::Integer { min: 100, max: 3_600_000 },
        default: "60000",
        live: false,
        doc: "how often it is looked whether a policy is due",
    },
    Setting {
        key: "continuous_queries.enabled",
        kind: Kind::Bool,
        default: "true",
        live: false,
        doc: "run active continuous queries in the background; without it only when asked over HTTP",
    },
    Setting {
        key: "continuous_queries.check_interval_ms",
        kind: Kind::Integer { min: 100, max: 3_600_000 },
        default: "1000",
        live: false,
        doc: "how often it is looked whether a continuous query is due",
    },
    Setting {
        key: "delete.max_rows_per_delete",
        kind: Kind::Integer { min: 0, max: 1 << 50 },
        default: "0",
        live: true,
        doc: "rows that one delete may take; 0: no bound",
    },
    Setting {
        key: "delete.confirmation_threshold",
        kind: Kind::Integer { min: 0, max: 1 << 50 },
        default: "10000",
        live: true,
        doc: "rows above which a delete must say \"confirm\": true",
    },
    Setting {
        key: "query.timeout",
        kind: Kind::Integer { min: 1, max: 86_400 },
        default: "300",
        live: true,
        doc: "seconds for a query, waiting and running",
    },
    Setting {
        key: "query.queue",
        kind: Kind::Integer { min: 0, max: 10_000 },
        default: "100",
        live: false,
        doc: "queries that may wait; more get 503",
    },
    Setting {
        key: "query.slow_query_threshold_ms",
        kind: Kind::Integer { min: 0, max: 86_400_000 },
        default: "0",
        live: true,
        doc: "milliseconds from which on a query is logged with its phases and plan; 0: none is",
    },
    Setting {
        key: "query.temp_bytes",
        kind: Kind::Size { min: 0, max: 1 << 50 },
        default: "10GiB",
        live: false,
        doc: "disk that all queries may spill to together, and as much again for long answers by columns",
    },
    Setting {
        key: "cache.percent",
        kind: Kind::Integer { min: 0, max: 50 },
        default: "5",
        live: false,
        doc: "percent of memory.budget in which answers are kept; 0: none is",
    },
    Setting {
        key: "cache.max_result_size",
        kind: Kind::Size { min: 0, max: 1 << 40 },
        default: "10MB",
        live: false,
        doc: "an answer that takes more memory is not kept",
    },
    Setting {
        key: "database.max_connections",
        kind: Kind::Integer { min: 0, max: 1_024 },
        default: "0",
        live: false,
        doc: "queries that run at once; 0 is two a core",
    },
    Setting {
        key: "database.thread_count",
        kind: Kind::Integer { min: 0, max: 1_024 },
        default: "0",
        live: false,
        doc: "query threads; 0 is one a core",
    },
    Setting {
        key: "auth.enabled",
        kind: Kind::Bool,
        default: "true",
        live: false,
        doc: "ask for a token on every route but /health, /ready, /ping, /metrics and /api/v1/auth/verify",
    },
    Setting {
        key: "auth.cache_ttl",
        kind: Kind::Integer { min: 1, max: 86_400 },
        default: "30",
        live: false,
        doc: "seconds that a verified token is remembered; edits over HTTP hold at once all the same",
    },
    Setting {
        key: "auth.max_cache_size",
        kind: Kind::Integer { min: 1, max: 1_000_000 },
        default: "1000",
        live: false,
        doc: "verified tokens that are remembered; the least recently used one leaves first",
    },
    Setting {
        key: "auth.max_failures_per_minute",
        kind: Kind::Integer { min: 0, max: 1_000_000 },
        default: "60",
        live: true,
        doc: "failed attempts of one address before it gets 429 for 5 s; 0: no bound",
    },
    Setting {
        key: "audit.retention_days",
        kind: Kind::Integer { min: 1, max: 36_500 },
        default: "90",
        live: false,
        doc: "days that admin actions and refused requests are remembered, a million of them at most",
    },
    Setting {
        key: "metrics.public",
        kind: Kind::Bool,
        default: "true",
        live: false,
        doc: "answer /metrics without a token",
    },
    Setting {
        key: "log.level",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: "info",
        live: true,
        doc: "least severe message that is written",
    },
    Setting {
        key: "log.format",
        kind: Kind::Choice(&["json", "text"]),
        default: "text",
        live: false,
        doc: "form of the messages on standard error",
    },
];

/// Variables that are no settings.
const OTHER_VARIABLES: [&str; 7] = [
    "TIDEWATER_URL",
    "TIDEWATER_TOKEN",
    "TIDEWATER_CONFIG",
    "TIDEWATER_FAILPOINT",
    "TIDEWATER_FAULT_DOOR",
    "TIDEWATER_AUTH_BOOTSTRAP_TOKEN",
    "TIDEWATER_AUTH_FORCE_BOOTSTRAP",
];

impl Setting {
    pub fn variable(&self) -> String {
        format!("TIDEWATER_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }

    /// The range in words.
    pub fn range(&self) -> String {
        match self.kind {
            Kind::Bool => "true or false".into(),
            Kind::Integer { min, max } => format!("{min} to {max}"),
            Kind::Size { min, max } => format!("{} to {}", size_text(min), size_text(max)),
            Kind::Choice(words) => words.join(", "),
            Kind::Text => "text".into(),
            Kind::Path => "path".into(),
        }
    }

    fn check(&self, text: &str) -> Result<()> {
        let in_range = match self.kind {
            Kind::Bool => text.parse::<bool>().is_ok(),
            Kind::Integer { min, max } => text.parse().is_ok_and(|n: u64| (min..=max).contains(&n)),
            // zero is "derived" wherever it is the default
            Kind::Size { min, max } => size(text).is_some_and(|n| (min..=max).contains(&n) || text == self.default),
            Kind::Choice(words) => words.contains(&text),
            Kind::Text => !text.is_empty(),
            Kind::Path => true,
        };
        if !in_range {
            bail!("{} = {text:?} is out of range: {}", self.key, self.range());
        }
        Ok(())
    }
}

/// Bytes of `10`, `64KB`, `512MiB`, `1GB` (decimal) …
pub fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(unit)
}

fn size_text(bytes: u64) -> String {
    match bytes {
        b if b >= GIB && b % GIB == 0 => format!("{} GiB", b / GIB),
        b if b >= 1 << 20 && b % (1 << 20) == 0 => format!("{} MiB", b >> 20),
        b if b >= 1 << 10 && b % (1 << 10) == 0 => format!("{} KiB", b >> 10),
        b => b.to_string(),
    }
}

/// The effective values and where each came from.
#[derive(Debug, Clone)]
pub struct Settings {
    values: BTreeMap<&'static str, (String, String)>,
}

impl Settings {
    /// File, then environment, then `key=value` pairs of the command line.
    ///
    /// # Errors
    /// An unknown key or a value out of range, by name.
    pub fn load(file: Option<&Path>, flags: &[(String, String)]) -> Result<Self> {
        let mut settings =
            Self { values: SETTINGS.iter().map(|s| (s.key, (s.default.to_owned(), "default".to_owned()))).collect() };
        if let Some(path) = file.map(Path::to_owned).or_else(found_file) {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let table: toml::Table = text.parse().with_context(|| format!("{} is not TOML", path.display()))?;
            for (section, keys) in table {
                let toml::Value::Table(keys) = keys else {
                    bail!("{}: {section:?} is not a section; write [section] and key = value", path.display());
                };
                for (key, value) in keys {
                    let text = match value {
                        toml::Value::String(text) => text,
                        toml::Value::Integer(n) => n.to_string(),
                        toml::Value::Boolean(b) => b.to_string(),
                        other => bail!(
                            "{}: {section}.{key} is {}, not a text, number or boolean",
                            path.display(),
                            other.type_str()
                        ),
                    };
                    settings.set(&format!("{section}.{key}"), text, &path.display().to_string())?;
                }
            }
        }
        for (name, value) in std::env::vars() {
            if !name.starts_with("TIDEWATER_") || OTHER_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            match SETTINGS.iter().find(|s| s.variable() == name) {
                Some(setting) => settings.set(setting.key, value, &name)?,
                None => bail!("environment variable {name} names no setting; see `tidewater config`"),
            }
        }
        for (key, value) in flags {
            settings.set(key, value.clone(), "command line")?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: String, source: &str) -> Result<()> {
        let setting = SETTINGS.iter().find(|s| s.key == key);
        let setting =
            setting.with_context(|| format!("setting {key:?} is unknown ({source}); see `tidewater config`"))?;
        setting.check(&value).with_context(|| format!("from {source}"))?;
        self.values.insert(setting.key, (value, source.to_owned()));
        Ok(())
    }

    pub fn text(&self, key: &str) -> &str {
        &self.values.get(key).unwrap_or_else(|| panic!("{key} stands in the table")).0
    }

    pub fn integer(&self, key: &str) -> u64 {
        self.text(key).parse().unwrap_or_else(|_| panic!("{key} was checked"))
    }

    pub fn bytes(&self, key: &str) -> u64 {
        size(self.text(key)).unwrap_or_else(|| panic!("{key} was checked"))
    }

    pub fn seconds(&self, key: &str) -> Duration {
        Duration::from_secs(self.integer(key))
    }

    pub fn milliseconds(&self, key: &str) -> Duration {
        Duration::from_millis(self.integer(key))
    }

    /// Takes one value over.
    pub fn take_from(&mut self, other: &Self, key: &'static str) {
        self.values.insert(key, other.values[key].clone());
    }

    /// Keys whose values are others than in `old`.
    pub fn changed_from(&self, old: &Self) -> impl Iterator<Item = &'static Setting> {
        SETTINGS.iter().filter(|s| self.text(s.key) != old.text(s.key))
    }

    pub fn flag(&self, key: &str) -> bool {
        self.text(key) == "true"
    }

    /// One line a setting: `key = value  # source`.
    pub fn show(&self) -> String {
        let line = |s: &Setting| {
            let (value, source) = &self.values[s.key];
            format!("{:<28} = {value:<20} # {source}\n", s.key)
        };
        SETTINGS.iter().map(line).collect()
    }
}

fn found_file() -> Option<PathBuf> {
    if let Ok(path) = std::env::var("TIDEWATER_CONFIG") {
        return Some(path.into());
    }
    ["tidewater.toml", "/etc/tidewater/tidewater.toml"].into_iter().map(PathBuf::from).find(|p| p.is_file())
}

/// `docs/configuration.md`, from the table.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Configuration\n\nMade by `tidewater config --markdown`; edit `crates/tidewater/src/settings.rs` instead.\n\n\
         A setting comes from `tidewater.toml` (`--config`, the working directory, `/etc/tidewater/`), then from the\n\
         environment, then from `--set key=value`; the last one wins. An unknown key or a value out of range stops the start.\n\n\
         What is marked *live* changes while the server runs: edit the file, then send SIGHUP or `POST /api/v1/config/reload`, which\n\
         says what holds now and what after the next start. A value out of range changes nothing.\n\n\
         | key | environment | default | range | live | meaning |\n|---|---|---|---|---|---|\n",
    );
    for s in SETTINGS {
        let live = if s.live { "live" } else { "" };
        out +=
            &format!("| `{}` | `{}` | `{}` | {} | {live} | {} |\n", s.key, s.variable(), s.default, s.range(), s.doc);
    }
    out += "\n`memory.budget` is divided so: hot rows 30 %, queries 40 %, flush 10 %, caches 10 %, bodies of\nrequests on their way 5 %, the rest for everything else.\n";
    out
}

/// Half of the smaller of RAM and the cgroup's limit, in bytes.
pub fn default_memory_budget() -> u64 {
    let ram = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|l| l.starts_with("MemTotal:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let total = ram.map_or(1 << 30, |kb| kb << 10).min(cgroup_limit(&groups, Path::new("/sys/fs/cgroup")));
    total / 2
}

/// The least limit of the control groups that a process is in, of either version, in bytes. `groups` is the text of
/// `/proc/self/cgroup`.
fn cgroup_limit(groups: &str, root: &Path) -> u64 {
    let limit = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?.trim_start_matches('/'));
        let (base, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            c if c.split(',').any(|c| c == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        // inside a container the path may be one that only the host sees
        let place = base.join(path);
        let places = place.ancestors().take_while(|p| p.starts_with(&base));
        let read = |p: &Path| std::fs::read_to_string(p.join(file)).ok()?.trim().parse::<u64>().ok();
        places.filter_map(read).min()
    };
    groups.lines().filter_map(limit).min().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> Result<Settings> {
        Settings::load(None, &[(key.into(), value.into())])
    }

    #[test]
    fn an_unknown_key_or_a_value_out_of_range_names_the_key() {
        for (key, value) in
            [("server.prot", "1"), ("server.port", "70000"), ("auth.enabled", "yes"), ("ingest.durability", "x")]
        {
            let error = format!("{:#}", one(key, value).unwrap_err());
            assert!(error.contains(key), "{error}");
        }
        assert_eq!(one("server.port", "0").unwrap().integer("server.port"), 0);
    }

    #[test]
    fn sizes_are_read_in_every_usual_unit() {
        assert_eq!(size("1GB"), Some(1_000_000_000));
        assert_eq!(size("512 MiB"), Some(512 << 20));
        assert_eq!(size("10"), Some(10));
        assert_eq!(size("ten"), None);
    }

    #[test]
    fn the_least_limit_of_all_control_groups_counts() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            #[expect(clippy::disallowed_methods, reason = "a test")]
            std::fs::write(path, text).unwrap();
        };
        put("system.slice/memory.max", "1000\n");
        put("system.slice/tidewater.service/memory.max", "max\n");
        put("memory/docker/memory.limit_in_bytes", "500\n");
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        let limit = |groups: &str| cgroup_limit(groups, dir.path());
        assert_eq!(limit("0::/system.slice/tidewater.service\n"), 1_000);
        assert_eq!(limit("4:memory:/docker/on-the-host\n3:cpu:/\n"), 500);
        assert_eq!(limit("4:cpuset,memory:/docker\n0::/system.slice\n"), 500);
        assert_eq!(limit("3:cpu:/x\nnonsense\n"), u64::MAX);
    }

    #[test]
    fn every_default_is_in_its_range() {
        SETTINGS.iter().for_each(|s| s.check(s.default).unwrap());
    }
}
