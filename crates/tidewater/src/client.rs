use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

/// Which server the command line asks, and as whom.
#[derive(Debug, Args)]
pub struct Server {
    #[arg(long, env = "TIDEWATER_URL", default_value = "http://127.0.0.1:8000")]
    pub url: String,
    #[arg(long, env = "TIDEWATER_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Folder of a local server, whose token file is read
    #[arg(long, default_value = "./data/tidewater")]
    pub folder: PathBuf,
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
    /// The body of an answer that is 2xx.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses: its own words.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Result<Value> {
        let token = self.token.clone().or_else(|| read_token(&self.folder));
        let answer = send(&self.url, token.as_deref(), method, path, headers, body)?;
        if answer.status == 401 {
            let file = token_file(&self.folder);
            let tried = match (&self.token, &token) {
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
}

/// Sends one request and reads the JSON that comes back.
pub fn send(
    url: &str,
    token: Option<&str>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<Answer> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", url.trim_end_matches('/')))
        .header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let cannot = || format!("cannot reach {url}");
    let mut response = match body {
        Some(body) => agent.run(request.body(body.to_string())?).with_context(cannot)?,
        None => agent.run(request.body(())?).with_context(cannot)?,
    };
    let text = response.body_mut().with_config().limit(1 << 30).read_to_string().context("the answer was cut")?;
    let body = serde_json::from_str(&text).unwrap_or(json!({"error": text}));
    Ok(Answer { status: response.status().as_u16(), body })
}
