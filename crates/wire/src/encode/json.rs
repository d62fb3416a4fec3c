//! 64-bit integers and decimals are exact numbers, NaN and infinities null, times RFC 3339 in UTC, binary values
//! hexadecimal; lists are arrays, structs and maps objects, intervals text.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::cell::{Style, between, cells, civil, json_key};
use super::{EncodeError, Encoder, Ending, Left, Profile, type_name};

/// Appends a JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut start = 0;
    for (i, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x00..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[start..i]);
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        start = i + 1;
    }
    out.extend_from_slice(&text.as_bytes()[start..]);
    out.push(b'"');
}

#[derive(Debug)]
pub(super) struct Json;

impl Style for Json {
    const NAME: &'static str = "JSON";
    const NULL: &'static [u8] = b"null";

    fn text(out: &mut Vec<u8>, text: &str) {
        string(out, text);
    }

    fn plain(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        out.push(b'"');
        write(out);
        out.push(b'"');
    }

    fn non_finite(out: &mut Vec<u8>, _: f64) {
        out.extend_from_slice(Self::NULL);
    }

    /// Its midnight, as Arc says dates.
    fn date(out: &mut Vec<u8>, days: i64) {
        Self::plain(out, |out| {
            civil(out, days);
            out.extend_from_slice(b"T00:00:00Z");
        });
    }

    fn nested(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        write(out);
    }
}

/// Arc's envelope of a query.
#[derive(Debug)]
pub(super) struct Envelope {
    schema: SchemaRef,
    warning: Option<String>,
    is_first: bool,
}

impl Envelope {
    pub fn new(schema: &SchemaRef, warning: Option<String>) -> Self {
        Self { schema: SchemaRef::clone(schema), warning, is_first: true }
    }
}

fn header(out: &mut Vec<u8>, schema: &Schema) {
    out.extend_from_slice(b"\"columns\":");
    between(out, b"[]", schema.fields().iter(), |out, field| string(out, field.name()));
    out.extend_from_slice(b",\"types\":");
    between(out, b"[]", schema.fields().iter(), |out, field| string(out, &type_name(field.data_type())));
}

impl Encoder for Envelope {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(b"{\"success\":true,");
        if let Some(warning) = self.warning.take() {
            out.extend_from_slice(b"\"warning\":");
            string(out, &warning);
            out.push(b',');
        }
        header(out, &self.schema);
        out.extend_from_slice(b",\"data\":[");
        Ok(())
    }

    fn batch(&mut self, out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), EncodeError> {
        let cells = cells::<Json>(batch)?;
        for row in 0..batch.num_rows() {
            if !std::mem::replace(&mut self.is_first, false) {
                out.push(b',');
            }
            between(out, b"[]", cells.iter(), |out, cell| cell(out, row));
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>, ending: &Ending) -> Result<Left, EncodeError> {
        let Ending { rows, elapsed, timestamp, profile } = ending;
        let ms = elapsed.as_secs_f64() * 1e3;
        let text = format!("],\"row_count\":{rows},\"execution_time_ms\":{ms:.3},\"timestamp\":\"{timestamp}\"");
        out.extend_from_slice(text.as_bytes());
        if let Some(Profile { total_ms, planner_ms, execution_ms, rows_scanned, latency_ms }) = profile {
            let text = format!(
                ",\"profile\":{{\"total_ms\":{total_ms:.3},\"planner_ms\":{planner_ms:.3},\
                 \"execution_ms\":{execution_ms:.3},\"rows_scanned\":{rows_scanned},\"latency_ms\":{latency_ms:.3}}}"
            );
            out.extend_from_slice(text.as_bytes());
        }
        out.push(b'}');
        Ok(Left::Nothing)
    }
}

/// Objects, one a row.
#[derive(Debug)]
pub struct Objects {
    is_array: bool,
    is_first: bool,
}

impl Objects {
    pub fn array() -> Self {
        Self { is_array: true, is_first: true }
    }

    pub fn lines() -> Self {
        Self { is_array: false, is_first: true }
    }
}

impl Encoder for Objects {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.is_array {
            out.push(b'[');
        }
        Ok(())
    }

    fn batch(&mut self, out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), EncodeError> {
        let keys: Vec<Vec<u8>> = batch.schema().fields().iter().map(|f| json_key(f.name())).collect();
        let cells = cells::<Json>(batch)?;
        for row in 0..batch.num_rows() {
            if self.is_array && !std::mem::replace(&mut self.is_first, false) {
                out.push(b',');
            }
            between(out, b"{}", keys.iter().zip(&cells), |out, (key, cell)| {
                out.extend_from_slice(key);
                cell(out, row);
            });
            if !self.is_array {
                out.push(b'\n');
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>, _: &Ending) -> Result<Left, EncodeError> {
        if self.is_array {
            out.push(b']');
        }
        Ok(Left::Nothing)
    }
}
