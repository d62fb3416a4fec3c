//! A client that adds as little as it can to what is measured.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::bench::TOKEN;

/// Between two looks at whether something has come about: the processor is for the server meanwhile.
pub const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A connection that is opened again when it is lost.
pub struct Client {
    pub token: String,
    /// A connection that says nothing for so long counts as lost.
    pub patience: Duration,
    address: String,
    stream: Option<TcpStream>,
}

/// What came back, and after how many microseconds.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    pub us: f64,
}

impl Client {
    pub fn new(address: &str) -> Self {
        Self { token: TOKEN.to_owned(), patience: Duration::from_secs(600), address: address.to_owned(), stream: None }
    }

    /// Microseconds until the whole answer, which must be 200, is there.
    pub fn timed(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Result<f64> {
        let answer = self.ask(method, path, headers, body.as_bytes())?;
        ensure!(answer.status == 200, "{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        Ok(answer.us)
    }

    /// # Errors
    /// The connection was refused or lost before the whole answer was there.
    pub fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Answer> {
        let began = Instant::now();
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(&self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(self.patience))?;
                none.insert(stream)
            }
        };
        let head = format!("Authorization: Bearer {}\r\n{headers}", self.token);
        let asked = exchange(stream, method, path, &head, body);
        if !matches!(asked, Ok((_, _, true))) {
            self.stream = None;
        }
        let (status, body, _) = asked?;
        Ok(Answer { status, body, us: began.elapsed().as_secs_f64() * 1e6 })
    }
}

/// Status, body, and whether the connection goes on.
fn exchange(
    stream: &mut TcpStream,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Result<(u16, Vec<u8>, bool)> {
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(body);
    stream.write_all(&request)?;
    let (mut answer, mut part) = (Vec::new(), [0; 16 << 10]);
    loop {
        if let Some(head) = answer.windows(4).position(|w| w == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
            let status = text.get(9..12).and_then(|s| s.parse().ok()).context("a status")?;
            let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
            let length = field("content-length:").and_then(|l| l.parse::<usize>().ok());
            let rest = &answer[head + 4..];
            let whole = match length {
                _ if status == 204 => Some(Vec::new()),
                Some(length) => (rest.len() >= length).then(|| rest[..length].to_vec()),
                None => unchunked(rest),
            };
            if let Some(body) = whole {
                return Ok((status, body, field("connection:") != Some("close")));
            }
        }
        let n = stream.read(&mut part)?;
        ensure!(n > 0, "the server closed the connection");
        answer.extend_from_slice(&part[..n]);
    }
}

/// The body of a chunked answer, once its end is there.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        rest = rest.get(line + 2..)?;
        if length == 0 {
            return rest.starts_with(b"\r\n").then_some(body);
        }
        body.extend_from_slice(rest.get(..length)?);
        rest = rest.get(length + 2..)?;
    }
}

/// The time below which a share (0 to 1) of them lies; zero when there are none.
pub fn at(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(((times.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or(0.0)
}
