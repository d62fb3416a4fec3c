use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks at whether something has come about: the processor is for the server meanwhile.
pub const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A real server process on a folder of its own; killed when dropped.
pub struct Server {
    pub url: String,
    pub folder: PathBuf,
    child: Child,
    agent: ureq::Agent,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

/// A folder that is removed when the test ends.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

impl Server {
    /// Starts on a folder and waits until it is ready.
    pub fn start(folder: &Path, settings: &[&str]) -> Self {
        Self::try_start(folder, settings, &[]).unwrap_or_else(|log| panic!("the server did not start:\n{log}"))
    }

    /// As [`Server::start`]; the error is the server's log when it ended before it was ready.
    pub fn try_start(folder: &Path, settings: &[&str], env: &[(&str, &str)]) -> Result<Self, String> {
        let mut command = serve();
        command.args(["--set", "server.port=0", "--set", "storage.min_free_bytes=16MiB"]);
        command.arg("--set").arg(format!("storage.local_path={}", folder.join("data").display()));
        // what begins with dashes is no setting
        settings.iter().for_each(|s| {
            if s.starts_with("--") {
                command.arg(s)
            } else {
                command.args(["--set", s])
            };
        });
        command.env("TIDEWATER_AUTH_BOOTSTRAP_TOKEN", TOKEN).envs(env.iter().copied()).current_dir(folder);
        Self::spawn(folder, &mut command)
    }

    /// As [`Server::try_start`], with a command that becomes the server.
    pub fn spawn(folder: &Path, command: &mut Command) -> Result<Self, String> {
        let log = folder.join("server.log");
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let already = std::fs::read_to_string(&log).unwrap_or_default().len();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let mut child = command.spawn().expect("the binary starts");
        let began = Instant::now();
        loop {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let text = text.get(already..).unwrap_or_default().to_owned();
            if let Some(url) = text.split("ready url=\"").nth(1).and_then(|t| t.split_once('"')).map(|(u, _)| u) {
                let agent = ureq::Agent::config_builder()
                    .http_status_as_error(false)
                    .timeout_global(Some(Duration::from_secs(60)))
                    .build()
                    .into();
                return Ok(Self { url: url.to_owned(), folder: folder.to_owned(), child, agent });
            }
            if child.try_wait().expect("the child can be asked").is_some() || began.elapsed() > DEADLINE {
                let _ = child.kill();
                let _ = child.wait();
                // its last words may have come after the look above
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(text.get(already..).unwrap_or_default().to_owned());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        self.url.split_once("://").map_or("", |(_, address)| address)
    }

    /// From now on requests go through this agent.
    pub fn with_agent(mut self, agent: ureq::Agent) -> Self {
        self.agent = agent;
        self
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A line of /proc/PID/status in KiB: `VmHWM:`, `RssAnon:` …
    pub fn memory_kib(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server runs");
        let kib = status.lines().find_map(|l| l.strip_prefix(line)?.split_whitespace().next());
        kib.and_then(|kib| kib.parse().ok()).unwrap_or_else(|| panic!("no {line} in {status}"))
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the process to end by itself, and says how; none when it does not.
    pub fn wait_end(&mut self, patience: Duration) -> Option<std::process::ExitStatus> {
        let began = Instant::now();
        while began.elapsed() < patience {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                return Some(status);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        None
    }

    /// SIGTERM, then waits; the exit status.
    pub fn stop(&mut self) -> Option<std::process::ExitStatus> {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(killed.is_ok_and(|s| s.success()), "SIGTERM is sent");
        self.wait_end(DEADLINE)
    }

    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply, ureq::Error> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if !headers.iter().any(|(n, _)| *n == "authorization") {
            request = request.header("authorization", format!("Bearer {TOKEN}"));
        }
        for (name, value) in headers.iter().filter(|(_, v)| !v.is_empty()) {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("a valid request");
        let mut response = match method {
            "GET" => self.agent.run(request.map(|_| ()))?,
            _ => self.agent.run(request)?,
        };
        let headers = response
            .headers()
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_str().unwrap_or_default().to_owned()))
            .collect();
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        Ok(Reply { status: response.status().as_u16(), headers, body })
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.try_send(method, path, headers, body).unwrap_or_else(|e| {
            let log = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(30).collect();
            panic!("{method} {path}: {e}; the server's last words, newest first:\n{}", last.join("\n"))
        })
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    /// Writes lines to `default`; panics unless all of them were stored.
    pub fn lines(&self, lines: &str) {
        let reply = self.send("POST", "/api/v1/write/line-protocol", &[], lines.as_bytes());
        assert_eq!(reply.status, 204, "{}", String::from_utf8_lossy(&reply.body));
    }

    /// One value of `/metrics`.
    pub fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(self.get("/metrics").body).expect("metrics are text");
        let line =
            text.lines().find(|l| l.split([' ', '{']).next() == Some(name)).unwrap_or_else(|| panic!("no {name}"));
        line.rsplit(' ').next().and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("{line}"))
    }

    pub fn flush(&self) {
        let reply = self.send("POST", "/api/v1/write/line-protocol/flush", &[], b"");
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    }

    pub fn query_with(&self, sql: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("POST", "/api/v1/query", headers, json!({"sql": sql}).to_string().as_bytes())
    }

    /// The whole envelope of a statement that must succeed.
    pub fn query(&self, sql: &str) -> Value {
        let reply = self.query_with(sql, &[]);
        assert_eq!(reply.status, 200, "{sql}: {}", String::from_utf8_lossy(&reply.body));
        reply.json()
    }

    /// The rows of a statement that must succeed.
    pub fn rows(&self, sql: &str) -> Value {
        self.query(sql)["data"].clone()
    }

    /// Status and code of a statement that must fail.
    pub fn refusal(&self, sql: &str) -> (u16, String, String) {
        let reply = self.query_with(sql, &[]);
        let body = reply.json();
        let text = |k: &str| body[k].as_str().unwrap_or_default().to_owned();
        (reply.status, text("code"), text("error"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What is tried: this build's binary, or the one that `cargo xtask torture` names.
pub fn binary() -> std::ffi::OsString {
    std::env::var_os("TW_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_tidewater").into())
}

/// What the command line says: whether it succeeded, and its words.
pub fn tidewater(args: &[&str], env: &[(&str, &str)]) -> (bool, String) {
    let output = Command::new(binary())
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// `tidewater serve` with half a gibibyte; or in the control group that `TW_TEST_CGROUP` names (`cargo xtask torture door
/// --small`), on one CPU, where it finds its budget itself.
fn serve() -> Command {
    let binary = binary();
    let Some(group) = std::env::var_os("TW_TEST_CGROUP") else {
        let mut command = Command::new(&binary);
        command.args(["serve", "--set", "memory.budget=512MiB"]);
        return command;
    };
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec taskset -c 0 \"$@\""])
        .arg(group)
        .arg(binary)
        .arg("serve");
    command
}

/// Whether system calls can be made to fail.
pub fn has_strace() -> bool {
    Command::new("strace").arg("-V").output().is_ok()
}

/// strace on a running server: `options` say of which calls, what becomes of them, and where they are written down. It may
/// take a moment to attach.
pub fn strace(server: &Server, options: &[&str]) -> Child {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(options).args(["-p", &server.pid().to_string()]);
    command.spawn().expect("strace starts")
}

/// Ends strace so that the server goes on without it.
pub fn let_go(mut strace: Child) {
    let _ = Command::new("kill").args(["-INT", &strace.id().to_string()]).status();
    let _ = strace.wait();
}

/// The interpreter with the clients that `cargo xtask test` installs.
pub fn python(script: &str, args: &[&str]) -> String {
    let interpreter = std::env::var("TW_TEST_PYTHON")
        .expect("TW_TEST_PYTHON names the interpreter with the clients: run `cargo xtask test`");
    // asked at run time: a build cache may serve more than one checkout
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the folder: run `cargo xtask test`");
    let path = Path::new(&package).join("tests/python").join(script);
    let output = Command::new(interpreter)
        .arg("-B")
        .arg(path)
        .args(args)
        .env("TZ", "UTC")
        .output()
        .expect("the interpreter starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} failed\n{out}\n{err}");
    out.into_owned()
}

/// Runs a script with the clients that `cargo xtask test` installs for Node; what it printed.
pub fn node(script: &str, args: &[&str]) -> String {
    let modules = std::env::var("TW_TEST_NODE").expect("TW_TEST_NODE names Node's modules: run `cargo xtask test`");
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the folder: run `cargo xtask test`");
    let path = Path::new(&package).join("tests/node").join(script);
    let output = Command::new("node").arg(path).args(args).env("NODE_PATH", modules).output().expect("node starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} failed\n{out}\n{err}");
    out.into_owned()
}

/// Every file below a folder that is there; folders below it may go meanwhile.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    assert!(folder.is_dir(), "{} is no folder", folder.display());
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// Asks again until `holds` or the deadline.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "{what} did not happen within {DEADLINE:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A columnar MessagePack body of integer columns.
pub fn columnar(table: &str, columns: &[(&str, &[i64])]) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, t: &str| {
        out.extend([0xd9, t.len() as u8]);
        out.extend(t.as_bytes());
    };
    let mut out = vec![0x82];
    text(&mut out, "m");
    text(&mut out, table);
    text(&mut out, "columns");
    out.push(0x80 | columns.len() as u8);
    for (name, values) in columns {
        text(&mut out, name);
        out.push(0xdd);
        out.extend((values.len() as u32).to_be_bytes());
        for value in *values {
            out.push(0xd3);
            out.extend(value.to_be_bytes());
        }
    }
    out
}
