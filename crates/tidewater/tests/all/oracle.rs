//! What crashes may and may not do to rows. Every row carries (client, sequence). With A acknowledged, U unknown (no
//! answer came), R refused and S stored: A ⊆ S ⊆ A ∪ U, nothing twice, each request whole or absent, what was deleted or
//! has expired stays away, and a continuous query's table holds what its query gives. It keeps its record outside the
//! tried folder.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::harness::{Server, columnar};

/// (client, sequence) of a request.
pub type Key = (i64, i64);

/// Rows of a request in each of its tables.
const ROWS: i64 = 7;
/// The table of the client that also deletes.
const GONE: i64 = 4;
/// The table whose rows are older than its policy keeps them.
const AGED: i64 = 5;
/// The table whose rows come in files.
const IMPORTED: i64 = 6;
/// The table whose columns change their type.
const SHAPE: i64 = 7;
const CLIENTS: usize = 8;
/// Who shares a thread.
const CREWS: [&[i64]; 6] = [&[0], &[1], &[2], &[3], &[GONE, AGED], &[IMPORTED, SHAPE]];
/// Requests between two deletes of all but the last few, and between two changes of a type.
const DELETE_EVERY: i64 = 8;
const RETYPE_EVERY: i64 = 16;
const LEFT: i64 = 3;

/// What the clients know.
#[derive(Debug, Default, Clone)]
pub struct Known {
    pub acknowledged: BTreeSet<Key>,
    pub unknown: BTreeSet<Key>,
    refused: BTreeSet<Key>,
    /// Rows of `gone` up to this sequence were deleted.
    deleted: i64,
    /// The same, of deletes whose answer did not come.
    maybe_deleted: BTreeSet<i64>,
    /// Requests of `aged` that a look found absent.
    expired: BTreeSet<i64>,
    /// The next sequence of each client.
    next: [i64; CLIENTS],
    /// The power is gone: no answer that comes from now on would have come.
    pub cut: Arc<AtomicBool>,
}

/// Rows found for each request, by table: (found, of how many, different ones).
type Stored = BTreeMap<(String, Key), (i64, i64, i64)>;

/// Tables that a client's requests touch.
fn tables(client: i64) -> &'static [&'static str] {
    match client {
        0 => &["lines"],
        1 => &["columns"],
        2 => &["left", "right"],
        3 => &["points"],
        GONE => &["gone"],
        AGED => &["aged"],
        IMPORTED => &["imported"],
        _ => &["shape"],
    }
}

impl Known {
    /// Nothing was sent yet.
    pub fn new() -> Self {
        Self { deleted: -1, ..Self::default() }
    }

    /// What the jobs of a server work on: a policy for `aged` and a continuous query over `lines`.
    pub fn prepare(&mut self, server: &Server) {
        assert!(self.try_prepare(server), "the server is up");
        for path in ["/api/v1/retention", "/api/v1/continuous_queries"] {
            assert_eq!(server.get(path).json().as_array().map(Vec::len), Some(1), "{path}");
        }
    }

    /// The same on a server that may fail or end; false: it ended.
    pub fn try_prepare(&mut self, server: &Server) -> bool {
        let policy = json!({"name": "aged", "database": "default", "measurement": "aged", "retention_days": 365});
        let query = json!({"name": "sums", "database": "default", "source_measurement": "lines",
            "destination_measurement": "sums", "interval": "10s", "bucket": "1s", "look_back": "1d",
            "query": "SELECT time_bucket(INTERVAL '1 second', time) AS time, count(*) AS n, sum(s) AS total FROM lines \
                      WHERE time >= {start_time} AND time < {end_time} GROUP BY 1"});
        let post = |path: &str, body: Value| server.try_send("POST", path, &[], body.to_string().as_bytes()).is_ok();
        (0..CLIENTS as i64).all(|client| self.write(server, client).is_some())
            && post("/api/v1/retention", policy)
            && post("/api/v1/continuous_queries", query)
    }

    /// One request of a client; what came of it is written down. The status; none when no answer came.
    pub fn write(&mut self, server: &Server, client: i64) -> Option<u16> {
        let key = (client, self.next[client as usize]);
        self.next[client as usize] += 1;
        let (path, headers, body) = request(key);
        let status = self.heard(server, path, &headers, &body);
        self.note(key, status);
        status
    }

    /// The status of an answer; none when none came.
    fn heard(&self, server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<u16> {
        let reply = server.try_send("POST", path, headers, body).ok()?;
        (!self.cut.load(Ordering::SeqCst)).then_some(reply.status)
    }

    /// Writes down what came of a request; no status: no answer came.
    pub fn note(&mut self, key: Key, status: Option<u16>) {
        let outcome = match status {
            Some(200 | 204) => &mut self.acknowledged,
            // an answer that names a fault of the server, or says that a job goes on, says nothing of the rows
            None | Some(500 | 202) => &mut self.unknown,
            Some(_) => &mut self.refused,
        };
        outcome.insert(key);
    }

    /// Deletes all but the last rows of `gone`; false: no answer came.
    fn delete(&mut self, server: &Server) -> bool {
        let bound = self.next[GONE as usize] - 1 - LEFT;
        let body =
            json!({"database": "default", "measurement": "gone", "where": format!("s <= {bound}"), "confirm": true});
        let status = self.heard(server, "/api/v1/delete", &[], body.to_string().as_bytes());
        match status {
            Some(200) => self.deleted = bound,
            // it was not begun
            Some(400..500) => {}
            Some(_) | None => drop(self.maybe_deleted.insert(bound)),
        }
        status.is_some()
    }

    /// Makes integers of the newest column of `shape` fractions; false: no answer came.
    fn retype(&self, server: &Server) -> bool {
        let column = format!("w{}", (self.next[SHAPE as usize] - 1) / RETYPE_EVERY);
        let body = json!({"column": column, "type": "float64"});
        let path = "/api/v1/databases/default/measurements/shape/retype";
        server.try_send("POST", path, &[], body.to_string().as_bytes()).is_ok()
    }

    /// What one client does, jobs included; false: the server is gone.
    pub fn step(&mut self, server: &Server, client: i64) -> bool {
        let is_up = self.write(server, client).is_some();
        let turn = self.next[client as usize];
        is_up
            && match client {
                GONE if turn % DELETE_EVERY == 0 => self.delete(server),
                SHAPE if turn % RETYPE_EVERY == 0 => self.retype(server),
                _ => true,
            }
    }

    /// Four writers, two that also change what is stored, and a reader, until `until` or until the server is gone.
    pub fn load(&mut self, server: &Server, until: Instant) {
        let gone = &AtomicBool::new(false);
        let goes_on = move || Instant::now() < until && !gone.load(Ordering::Relaxed);
        std::thread::scope(|scope| {
            let mine = |clients: &[i64]| {
                let cut = Arc::clone(&self.cut);
                let mut mine = Known { next: self.next, deleted: self.deleted, cut, ..Known::new() };
                (0..CLIENTS as i64).filter(|c| !clients.contains(c)).for_each(|c| mine.next[c as usize] = 0);
                mine
            };
            let mut threads = Vec::new();
            for clients in CREWS {
                let mut known = mine(clients);
                threads.push(scope.spawn(move || {
                    while goes_on() {
                        if !clients.iter().all(|client| known.step(server, *client)) {
                            gone.store(true, Ordering::Relaxed);
                        }
                    }
                    known
                }));
            }
            scope.spawn(move || {
                while goes_on() {
                    let sql = br#"{"sql":"SELECT count(*), sum(i) FROM lines"}"#;
                    // a server that loses its disk may say so
                    if let Ok(reply) = server.try_send("POST", "/api/v1/query", &[], sql) {
                        assert!(reply.status == 200 || reply.status >= 500, "{reply:?}");
                    }
                }
            });
            for thread in threads {
                self.learn(thread.join().expect("a client ends"));
            }
        });
    }

    /// Takes over what one client knows.
    fn learn(&mut self, mut of: Known) {
        self.acknowledged.append(&mut of.acknowledged);
        self.unknown.append(&mut of.unknown);
        self.refused.append(&mut of.refused);
        self.maybe_deleted.append(&mut of.maybe_deleted);
        self.deleted = self.deleted.max(of.deleted);
        self.next.iter_mut().zip(of.next).for_each(|(mine, theirs)| *mine = (*mine).max(theirs));
    }

    /// Compares what a server has with what is known, and learns what had no answer.
    pub fn check(&mut self, server: &Server) -> Result<(), String> {
        self.check_rows(server)?;
        check_query(server)
    }

    /// The same without the table of the continuous query, which counts as final what is older than it looks back.
    pub fn check_rows(&mut self, server: &Server) -> Result<(), String> {
        let stored = stored(server);
        self.judge(&stored)?;
        self.learn_deletes(&stored)?;
        self.learn_expired(&stored);
        Ok(())
    }

    /// Whether rows of a request may have gone again.
    fn may_be_gone(&self, (client, sequence): Key) -> bool {
        match client {
            GONE => sequence <= self.deleted.max(self.maybe_deleted.last().copied().unwrap_or(-1)),
            AGED => true,
            _ => false,
        }
    }

    fn judge(&self, stored: &Stored) -> Result<(), String> {
        for key in self.acknowledged.iter().filter(|k| !self.may_be_gone(**k)) {
            for table in tables(key.0) {
                if !stored.contains_key(&((*table).to_owned(), *key)) {
                    return Err(format!("request {key:?} was acknowledged and is lost from {table}"));
                }
            }
        }
        for ((table, key), (found, expected, different)) in stored {
            if found != expected || different != expected {
                return Err(format!("request {key:?} has {found} rows, {different} of {expected}, in {table}"));
            }
            if self.refused.contains(key) {
                return Err(format!("request {key:?} was refused and is in {table}"));
            }
            if !self.acknowledged.contains(key) && !self.unknown.contains(key) {
                return Err(format!("request {key:?} was never sent and is in {table}"));
            }
            if key.0 == GONE && key.1 <= self.deleted {
                return Err(format!("request {key:?} was deleted and is in {table}"));
            }
            if key.0 == AGED && self.expired.contains(&key.1) {
                return Err(format!("request {key:?} had expired and is back in {table}"));
            }
            for other in tables(key.0) {
                if !stored.contains_key(&((*other).to_owned(), *key)) {
                    return Err(format!("request {key:?} is in {table} and not in {other}"));
                }
            }
        }
        Ok(())
    }

    /// A delete of which no answer came has deleted all or nothing.
    fn learn_deletes(&mut self, stored: &Stored) -> Result<(), String> {
        let is_there = |s: i64| stored.contains_key(&("gone".to_owned(), (GONE, s)));
        let acknowledged = |s: &i64| self.acknowledged.contains(&(GONE, *s));
        let last = self.maybe_deleted.last().copied().unwrap_or(-1);
        let undecided: Vec<i64> = (self.deleted + 1..=last).filter(acknowledged).collect();
        let kept = undecided.iter().position(|s| is_there(*s)).unwrap_or(undecided.len());
        if let Some(hole) = undecided[kept..].iter().find(|s| !is_there(**s)) {
            return Err(format!("request {hole} of gone is lost: an older one is there"));
        }
        if kept > 0 {
            let (newest_gone, oldest_kept) = (undecided[kept - 1], undecided.get(kept).copied().unwrap_or(i64::MAX));
            let bounds = &self.maybe_deleted;
            let bound = bounds.range(newest_gone..oldest_kept).next_back();
            self.deleted =
                *bound.ok_or_else(|| format!("no delete took {newest_gone} and left {oldest_kept}: {bounds:?}"))?;
        }
        self.maybe_deleted.clear();
        Ok(())
    }

    fn learn_expired(&mut self, stored: &Stored) {
        let acknowledged = self.acknowledged.range((AGED, 0)..(AGED + 1, 0));
        let absent = acknowledged.filter(|key| !stored.contains_key(&("aged".to_owned(), **key)));
        let absent: Vec<i64> = absent.map(|key| key.1).collect();
        self.expired.extend(absent);
    }
}

/// Where a request goes, with what headers and body.
pub fn request((client, sequence): Key) -> (&'static str, Vec<(&'static str, &'static str)>, Vec<u8>) {
    match client {
        1 => {
            let all: Vec<i64> = (0..ROWS).collect();
            let (c, s, n) = ([client; ROWS as usize], [sequence; ROWS as usize], [ROWS; ROWS as usize]);
            let body = columnar("columns", &[("c", &c), ("s", &s), ("i", &all), ("n", &n)]);
            ("/api/v1/write/msgpack", Vec::new(), body)
        }
        IMPORTED => {
            let rows: String =
                (0..ROWS).map(|i| format!("{},{client},{sequence},{i},{ROWS}\n", 1_767_225_600 + sequence)).collect();
            let body = format!(
                "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n\
                 time,c,s,i,n\n{rows}\r\n--edge--\r\n"
            );
            let headers = vec![("content-type", "multipart/form-data; boundary=edge"), ("x-arc-database", "default")];
            ("/api/v1/import/csv?measurement=imported", headers, body.into_bytes())
        }
        _ => ("/api/v1/write/line-protocol", Vec::new(), lines(client, sequence).into_bytes()),
    }
}

/// A request's rows as line protocol.
fn lines(client: i64, sequence: i64) -> String {
    // 2020-01-01, a second each
    let time = if client == AGED { format!(" {}", (1_577_836_800 + sequence) * 1_000_000_000) } else { String::new() };
    let more = if client == SHAPE { format!(",w{}={sequence}i", sequence / RETYPE_EVERY) } else { String::new() };
    let line = |table: &str, i: i64| format!("{table},k=v{i} c={client}i,s={sequence}i,i={i}i,n={ROWS}i{more}{time}\n");
    tables(client).iter().flat_map(|t| (0..ROWS).map(move |i| line(t, i))).collect()
}

fn integer(row: &Value, at: usize) -> i64 {
    row[at].as_i64().unwrap_or_else(|| panic!("{row}"))
}

fn tables_of(server: &Server) -> BTreeSet<String> {
    let shown = server.rows("SHOW TABLES");
    shown.as_array().into_iter().flatten().filter_map(|t| Some(t[1].as_str()?.to_owned())).collect()
}

fn stored(server: &Server) -> Stored {
    let existing = tables_of(server);
    let mut out = Stored::new();
    for table in (0..CLIENTS as i64).flat_map(tables).filter(|t| existing.contains(**t)) {
        let sql = format!("SELECT c, s, count(*), max(n), count(DISTINCT i) FROM \"{table}\" GROUP BY c, s");
        for row in server.rows(&sql).as_array().into_iter().flatten() {
            let n = |at| integer(row, at);
            out.insert(((*table).to_owned(), (n(0), n(1))), (n(2), n(3), n(4)));
        }
    }
    out
}

/// The windows that a continuous query has passed hold what its query gives, once.
fn check_query(server: &Server) -> Result<(), String> {
    let queries = server.get("/api/v1/continuous_queries").json();
    let Some(query) = queries.as_array().and_then(|q| q.first()) else { return Ok(()) };
    let run = server.send("POST", &format!("/api/v1/continuous_queries/{}/execute", query["id"]), &[], b"{}");
    if run.status != 200 {
        return Err(format!("the continuous query cannot run: {run:?}"));
    }
    let query = server.get(&format!("/api/v1/continuous_queries/{}", query["id"])).json();
    let Some(mark) = query["last_processed_time"].as_str() else { return Ok(()) };
    // no window had a row yet
    if !tables_of(server).contains("sums") {
        let passed = server.rows(&format!("SELECT count(*) FROM lines WHERE time < '{mark}'"));
        return if passed == json!([[0]]) {
            Ok(())
        } else {
            Err(format!("{passed} rows in windows that were never written"))
        };
    }
    let wrong = server.rows(&format!(
        "SELECT a.t, b.time, a.n, b.n, a.total, b.total FROM (SELECT time_bucket(INTERVAL '1 second', time) AS t, \
         count(*) AS n, sum(s) AS total FROM lines WHERE time < '{mark}' GROUP BY 1) a FULL JOIN \
         (SELECT * FROM sums WHERE time < '{mark}') b ON a.t = b.time WHERE a.n IS DISTINCT FROM b.n OR a.total IS DISTINCT FROM b.total"
    ));
    if wrong == json!([]) { Ok(()) } else { Err(format!("windows that are not what they sum up: {wrong}")) }
}

#[test]
fn the_oracle_sees_each_kind_of_fault() {
    let known = Known {
        acknowledged: [(0, 1), (2, 1), (GONE, 1), (GONE, 5), (GONE, 6), (AGED, 1)].into(),
        unknown: [(1, 1)].into(),
        refused: [(3, 1)].into(),
        deleted: 2,
        ..Known::new()
    };
    let row = |table: &str, key: Key, found: i64| ((table.to_owned(), key), (found, ROWS, ROWS));
    let good: Stored = [
        row("lines", (0, 1), ROWS),
        row("left", (2, 1), ROWS),
        row("right", (2, 1), ROWS),
        row("gone", (GONE, 5), ROWS),
        row("gone", (GONE, 6), ROWS),
    ]
    .into();
    known.judge(&good).unwrap();
    let with = |change: &dyn Fn(&mut Stored)| {
        let mut stored = good.clone();
        change(&mut stored);
        known.judge(&stored).unwrap_err()
    };
    let key = |table: &str, key: Key| (table.to_owned(), key);
    assert!(with(&|s| s.retain(|at, _| *at != key("lines", (0, 1)))).contains("is lost"));
    assert!(with(&|s| s.extend([row("lines", (0, 1), ROWS + 1)])).contains("has 8 rows"));
    assert!(with(&|s| s.extend([(key("lines", (0, 1)), (ROWS, ROWS, ROWS - 1))])).contains("6 of 7"));
    assert!(with(&|s| s.retain(|at, _| *at != key("right", (2, 1)))).contains("is lost from right"));
    assert!(with(&|s| s.extend([row("lines", (0, 9), ROWS)])).contains("never sent"));
    assert!(with(&|s| s.extend([row("points", (3, 1), ROWS)])).contains("was refused"));
    assert!(with(&|s| s.extend([row("gone", (GONE, 1), ROWS)])).contains("was deleted"));
    // what has no answer is all or nothing, and stays as it was found
    let mut known = Known { maybe_deleted: [4, 5].into(), ..known };
    let mut half = good.clone();
    half.remove(&key("gone", (GONE, 6)));
    assert!(known.judge(&half).unwrap_err().contains("is lost"), "no delete reached it");
    half = good.clone();
    half.remove(&key("gone", (GONE, 5)));
    known.judge(&half).unwrap();
    known.learn_deletes(&half).unwrap();
    assert_eq!(known.deleted, 5);
    assert!(known.judge(&good).unwrap_err().contains("was deleted"));
    known.learn_expired(&half);
    half.extend([row("aged", (AGED, 1), ROWS)]);
    assert!(known.judge(&half).unwrap_err().contains("had expired"));
}
