//! Answers of queries in the format that the client asks for, streamed with bounded memory.

use std::time::Instant;

use arrow::ipc::CompressionType;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::{SecondsFormat, TimeZone, Utc};
use http_body_util::StreamBody;
use hyper::body::Frame;
use model::{Code, Stage};
use query::QueryStream;
use query::scratch::Scratch;
use wire::encode::{ArrowOptions, Aside, EncodeError, Encoder, Ending, Format, Left, Options, Profile};

use crate::error::ApiError;
use crate::state::{Shared, count};

/// Bytes that a piece of an answer gathers before it leaves.
const PIECE_BYTES: usize = 64 << 10;
/// Said at the end to clients that read trailers.
const TRAILER: HeaderName = HeaderName::from_static("arc-execution-time-ms");

/// What the client asked of the answer's form.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    pub format: Format,
    pub arrow: ArrowOptions,
    /// The envelope tells where the time went.
    pub with_profile: bool,
    pub with_trailer: bool,
    /// Rows after which the answer ends.
    pub limit: Option<u64>,
}

impl Form {
    /// The format that a route stands for.
    ///
    /// # Errors
    /// A header's value is not one of those that are known.
    pub fn of(format: Format, headers: &HeaderMap) -> Result<Self, ApiError> {
        let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or_default());
        let is_true = |name: &str| text(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let compression = match text("x-arc-arrow-compression") {
            None | Some("") => None,
            Some("zstd") => Some(CompressionType::ZSTD),
            Some("lz4") => Some(CompressionType::LZ4_FRAME),
            Some(other) => {
                let message = format!("x-arc-arrow-compression {other:?} is neither zstd nor lz4");
                return Err(ApiError::new(Code::InvalidParameter, message));
            }
        };
        let (dictionaries, decimals) = (is_true("x-arc-arrow-dictionary"), is_true("x-tidewater-arrow-decimals"));
        let arrow = ArrowOptions { dictionaries, decimals, compression };
        let with_trailer = text("te").is_some_and(|t| t.split(',').any(|part| part.trim() == "trailers"));
        Ok(Self { format, arrow, with_profile: is_true("x-arc-profile"), with_trailer, limit: None })
    }

    /// The format of the route, else the one that the request names: its field `format`, else the media type that it
    /// accepts best, else JSON.
    ///
    /// # Errors
    /// As [`Form::of`]; `named` is none of the formats.
    pub fn asked(fixed: Option<Format>, named: Option<&str>, headers: &HeaderMap) -> Result<Self, ApiError> {
        let format = match (fixed, named.filter(|n| !n.is_empty())) {
            (Some(fixed), _) => fixed,
            (None, None) => accepted(headers).unwrap_or(Format::Json),
            (None, Some(name)) => Format::named(&name.to_ascii_lowercase()).ok_or_else(|| {
                let message = format!("format {name:?} is none of json, ndjson, csv, msgpack, arrow, parquet");
                ApiError::new(Code::InvalidParameter, message)
            })?,
        };
        Self::of(format, headers)
    }

    pub fn limited(self, limit: Option<u64>) -> Self {
        Self { limit, ..self }
    }
}

/// The known media type that `Accept` likes best; of equals the first.
fn accepted(headers: &HeaderMap) -> Option<Format> {
    let mut best: Option<(f32, Format)> = None;
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    for range in lines.flat_map(|line| line.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let Some(format) = parts.next().and_then(|kind| Format::named(&kind.to_ascii_lowercase())) else { continue };
        let weight = parts.find_map(|p| p.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
        let weight: f32 = weight.unwrap_or(0.0);
        if weight > 0.0 && best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, format));
        }
    }
    best.map(|(_, format)| format)
}

/// Bytes of an answer that wait on disk.
struct Waiting {
    state: Shared,
    file: Option<Scratch>,
}

impl Aside for Waiting {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<u64> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(self.state.engine.scratch()?),
        };
        file.put(bytes)
    }

    fn get(&mut self, at: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        self.file.as_mut().ok_or(std::io::ErrorKind::NotFound)?.get(at, bytes)
    }
}

/// Where an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Rows,
    End,
    Trailer,
    Over,
}

/// Rows on their way to a client.
struct Answer {
    state: Shared,
    stream: QueryStream,
    encoder: Box<dyn Encoder>,
    form: Form,
    began: Instant,
    ending: Ending,
    at: At,
}

/// Why an answer breaks off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Query(#[from] query::Error),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl From<Broken> for ApiError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Query(error) => error.into(),
            Broken::Encode(error) => {
                let code = match error {
                    EncodeError::Unsupported { .. } | EncodeError::Decimal { .. } | EncodeError::TooManyRows => {
                        Code::Unsupported
                    }
                    _ => Code::Internal,
                };
                ApiError::new(code, error.to_string())
            }
        }
    }
}

/// The answer of a query. Its first piece is made before its head leaves: what fails until then is a refusal.
///
/// # Errors
/// The query fails, or its rows have no form in this format.
pub async fn respond(state: &Shared, stream: QueryStream, form: Form, began: Instant) -> Result<Response, ApiError> {
    let extra = provenance(state, &stream);
    let aside = Box::new(Waiting { state: Shared::clone(state), file: None });
    let warning = state.store.trouble();
    let options = Options { warning, with_profile: form.with_profile, arrow: form.arrow, aside };
    let encoder = form.format.encoder(&stream.schema, options).map_err(Broken::from)?;
    let mut answer =
        Answer { state: Shared::clone(state), stream, encoder, form, began, ending: Ending::default(), at: At::Rows };
    let mut first = Vec::new();
    answer.encoder.begin(&mut first).map_err(Broken::from)?;
    // one batch, not a whole piece: who waits for slow rows sees the first as they come
    answer.batch(&mut first).await?;
    let rest = futures::stream::try_unfold((Some(first), answer), |(first, mut answer)| async move {
        let piece = match first {
            Some(piece) => Some(Frame::data(Bytes::from(piece))),
            None => answer.next().await?,
        };
        Ok::<_, std::io::Error>(piece.map(|piece| (piece, (None, answer))))
    });
    let mut response = (extra, Body::new(StreamBody::new(rest))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.format.media_type()));
    if form.with_trailer {
        headers.insert(header::TRAILER, HeaderValue::from_static("arc-execution-time-ms"));
    }
    Ok(response)
}

/// Which rows the answer saw, and the id by which the query is listed and cancelled.
fn provenance(state: &Shared, stream: &QueryStream) -> [(&'static str, String); 6] {
    count(&state.counters.query_requests, 1);
    [
        ("x-tidewater-snapshot", stream.snapshot.to_string()),
        ("x-tidewater-hot-rows", stream.hot_rows.to_string()),
        ("x-tidewater-query-id", stream.id().to_owned()),
        ("x-arc-query-id", stream.id().to_owned()),
        ("x-tidewater-cache", stream.met.as_str().to_owned()),
        ("x-arc-cache", stream.met.as_str().to_owned()),
    ]
}

impl Answer {
    /// Encodes the next rows; with the last the answer is at its end.
    async fn batch(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let left = self.form.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.ending.rows));
        let batch = if left == 0 { None } else { self.stream.next().await.transpose()? };
        let Some(mut batch) = batch else {
            self.at = At::End;
            self.ending.elapsed = self.began.elapsed();
            let now = Utc.timestamp_micros(self.state.clock.now_us()).single().unwrap_or_default();
            self.ending.timestamp = now.to_rfc3339_opts(SecondsFormat::Micros, true);
            self.ending.profile = self.form.with_profile.then(|| self.profile());
            return Ok(());
        };
        if batch.num_rows() as u64 > left {
            batch = batch.slice(0, left as usize);
        }
        let rows = batch.num_rows() as u64;
        self.ending.rows += rows;
        count(&self.state.counters.query_rows, rows);
        self.state.governance.add_rows(self.stream.token(), rows, self.state.clock.now_us());
        let began = Instant::now();
        let done = self.encoder.batch(out, &batch);
        self.state.store.shared().stages.of(Stage::Encode).since(began);
        Ok(done?)
    }

    /// The next piece of the body.
    async fn next(&mut self) -> std::io::Result<Option<Frame<Bytes>>> {
        self.piece().await.map_err(|error| {
            // the body ends without its end, which no client takes for success
            count(&self.state.counters.query_errors, 1);
            tracing::warn!(%error, "a query failed after rows were sent; its answer was cut");
            std::io::Error::other(error.to_string())
        })
    }

    async fn piece(&mut self) -> Result<Option<Frame<Bytes>>, Broken> {
        let mut out = Vec::new();
        while self.at == At::Rows && out.len() < PIECE_BYTES {
            self.batch(&mut out).await?;
        }
        while self.at == At::End && out.len() < PIECE_BYTES {
            if self.encoder.end(&mut out, &self.ending)? == Left::Nothing {
                self.at = if self.form.with_trailer { At::Trailer } else { At::Over };
            }
        }
        if !out.is_empty() {
            return Ok(Some(Frame::data(Bytes::from(out))));
        }
        if std::mem::replace(&mut self.at, At::Over) == At::Trailer {
            let ms = format!("{:.3}", self.ending.elapsed.as_secs_f64() * 1e3);
            let value = HeaderValue::from_str(&ms).ok();
            let trailers = value.map(|value| Frame::trailers(HeaderMap::from_iter([(TRAILER, value)])));
            return Ok(trailers);
        }
        Ok(None)
    }

    fn profile(&self) -> Profile {
        let (seen, total_ms) = (self.stream.seen(), self.began.elapsed().as_secs_f64() * 1e3);
        let ms = |us: u64| us as f64 / 1e3;
        Profile {
            total_ms,
            planner_ms: ms(seen.plan_us),
            execution_ms: (total_ms - ms(seen.wait_us) - ms(seen.plan_us)).max(0.0),
            rows_scanned: seen.rows_read,
            latency_ms: ms(seen.first_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str, named: Option<&str>) -> Result<Format, ApiError> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_str(accept).expect("a header"))]);
        Form::asked(None, named, &headers).map(|form| form.format)
    }

    #[test]
    fn the_field_wins_then_the_best_accepted_type_then_json() {
        for (accept, named, format) in [
            ("*/*", None, Format::Json),
            ("text/html", None, Format::Json),
            ("text/csv", None, Format::Csv),
            ("text/csv", Some("json"), Format::Json),
            ("*/*", Some("NDJSON"), Format::JsonLines),
            ("text/html, application/vnd.apache.parquet;q=0.9, text/csv;q=0.1", None, Format::Parquet),
            ("application/msgpack;q=0, application/json", None, Format::Json),
            ("application/vnd.apache.arrow.stream, application/json", None, Format::Arrow),
        ] {
            assert_eq!(form(accept, named).expect("a format"), format, "{accept} {named:?}");
        }
        let error = form("*/*", Some("xml")).expect_err("refused");
        assert!(error.message.contains("\"xml\"") && error.message.contains("parquet"), "{}", error.message);
    }
}
