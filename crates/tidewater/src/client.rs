use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const DEFAULT_URL: &str = "http://127.0.0.1:8000";
const DEFAULT_FOLDER: &str = "./data/tidewater";

/// Which server the command line asks, and as whom.
#[derive(Debug, Clone, Args)]
pub struct Server {
    #[arg(long, env = "TIDEWATER_URL", default_value = DEFAULT_URL)]
    pub url: String,
    #[arg(long, env = "TIDEWATER_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Folder of a local server, whose token file is read [default: ./data/tidewater]
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// Certificate of the authority that signed the server's, in PEM
    #[arg(long, env = "TIDEWATER_CA")]
    pub ca: Option<PathBuf>,
}

/// The file that keeps the first token of a folder.
pub fn token_file(root: &Path) -> PathBuf {
    root.join("admin-token")
}

pub fn read_token(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(token_file(root)).ok()?;
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}

/// A server's answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Server {
    pub fn folder(&self) -> &Path {
        self.folder.as_deref().unwrap_or(Path::new(DEFAULT_FOLDER))
    }

    /// The folder, where it is all that the command line says of the server.
    pub fn only_folder(&self) -> Option<&Path> {
        self.folder.as_deref().filter(|_| self.url == DEFAULT_URL && self.token.is_none())
    }

    /// The body of an answer that is 2xx.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses: its own words.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Result<Value> {
        self.accepted(self.answer(method, path, headers, body)?)
    }

    /// The body of an answer that is 2xx.
    fn accepted(&self, answer: Answer) -> Result<Value> {
        if answer.status == 401 {
            let file = token_file(self.folder());
            let tried = match (&self.token, self.known_token()) {
                (Some(_), _) => "--token or TIDEWATER_TOKEN was refused".to_owned(),
                (None, Some(_)) => format!("the token of {} was refused", file.display()),
                (None, None) => format!("no --token, no TIDEWATER_TOKEN, and no {}", file.display()),
            };
            bail!("{} asks for a token: {tried}", self.url);
        }
        if !(200..300).contains(&answer.status) {
            bail!("{}", answer.body["error"].as_str().unwrap_or("the server refused without a reason"));
        }
        Ok(answer.body)
    }

    /// The answer, whatever its status.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub fn answer(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Result<Answer> {
        let request = self.request(method, path, headers).header("content-type", "application/json");
        let agent = agent(self.ca.as_deref())?;
        let cannot = || format!("cannot reach {}", self.url);
        answered(match body {
            Some(body) => agent.run(request.body(body.to_string())?).with_context(cannot)?,
            None => agent.run(request.body(())?).with_context(cannot)?,
        })
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> ureq::http::request::Builder {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url.trim_end_matches('/')));
        if let Some(token) = self.known_token() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }

    /// Sends a file of so many bytes; the answer is 2xx.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub fn send(
        &self,
        path: &str,
        params: &[(&str, String)],
        headers: &[(&str, &str)],
        body: impl Read + Send + 'static,
        bytes: u64,
    ) -> Result<Value> {
        let mut uri = url::form_urlencoded::Serializer::new(String::new());
        uri.extend_pairs(params);
        let request = self.request("POST", &format!("{path}?{}", uri.finish()), headers);
        let request = request.header("content-length", bytes.to_string());
        let agent = agent(self.ca.as_deref())?;
        let body = ureq::SendBody::from_owned_reader(body);
        self.accepted(answered(agent.run(request.body(body)?).with_context(|| format!("cannot reach {}", self.url))?)?)
    }

    /// The answer of a statement in a format, as it comes.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub fn stream(&self, database: &str, sql: &str, format: &str) -> Result<impl Read + use<>> {
        let headers = [("x-arc-database", database), ("content-type", "application/json")];
        let request = self.request("POST", "/api/v1/query", &headers);
        let body = json!({"sql": sql, "format": format}).to_string();
        let agent = agent(self.ca.as_deref())?;
        let response = agent.run(request.body(body)?).with_context(|| format!("cannot reach {}", self.url))?;
        if !response.status().is_success() {
            self.accepted(answered(response)?)?;
            bail!("the server refused without a reason");
        }
        Ok(response.into_body().into_with_config().limit(u64::MAX).reader())
    }

    /// Whether something answers there.
    pub fn is_up(&self) -> bool {
        self.answer("GET", "/health", &[], None).is_ok()
    }

    fn known_token(&self) -> Option<String> {
        self.token.clone().or_else(|| read_token(self.folder()))
    }
}

fn answered(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let text = response.body_mut().with_config().limit(1 << 30).read_to_string().context("the answer was cut")?;
    let body = serde_json::from_str(&text).unwrap_or(json!({"error": text}));
    Ok(Answer { status: response.status().as_u16(), body })
}

fn agent(ca: Option<&Path>) -> Result<ureq::Agent> {
    let mut config = ureq::Agent::config_builder().http_status_as_error(false);
    if let Some(path) = ca {
        let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let certificate =
            Certificate::from_pem(&pem).with_context(|| format!("{} is no certificate", path.display()))?;
        config = config.tls_config(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate])).build());
    }
    Ok(config.build().into())
}

/// A value as people read it.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
