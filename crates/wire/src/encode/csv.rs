//! RFC 4180 with lines that end in `\n`: NULL is empty, the empty text `""`, as DuckDB writes and reads them.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cell::{Style, cells, civil};
use super::{EncodeError, Encoder, Ending, Left};

#[derive(Debug)]
pub(super) struct CsvStyle;

impl Style for CsvStyle {
    const NAME: &'static str = "CSV";
    const NULL: &'static [u8] = b"";

    fn text(out: &mut Vec<u8>, text: &str) {
        let is_special = |b: u8| matches!(b, b',' | b'"' | b'\n' | b'\r');
        if !text.is_empty() && !text.bytes().any(is_special) {
            out.extend_from_slice(text.as_bytes());
            return;
        }
        out.push(b'"');
        for (i, part) in text.split('"').enumerate() {
            if i > 0 {
                out.extend_from_slice(b"\"\"");
            }
            out.extend_from_slice(part.as_bytes());
        }
        out.push(b'"');
    }

    fn plain(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        write(out);
    }

    fn non_finite(out: &mut Vec<u8>, value: f64) {
        let text: &[u8] = match value {
            v if v.is_nan() => b"nan",
            v if v > 0.0 => b"inf",
            _ => b"-inf",
        };
        out.extend_from_slice(text);
    }

    fn date(out: &mut Vec<u8>, days: i64) {
        civil(out, days);
    }

    fn nested(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let mut json = Vec::new();
        write(&mut json);
        Self::text(out, &String::from_utf8_lossy(&json));
    }
}

#[derive(Debug)]
pub(super) struct Csv {
    schema: SchemaRef,
}

impl Csv {
    pub fn new(schema: &SchemaRef) -> Self {
        Self { schema: SchemaRef::clone(schema) }
    }
}

/// Values with commas between them, and the end of the line. One empty value is quoted: an empty line is no row.
fn line<T>(out: &mut Vec<u8>, values: impl Iterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    let start = out.len();
    for (i, value) in values.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, value);
    }
    if out.len() == start {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
}

impl Encoder for Csv {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        line(out, self.schema.fields().iter(), |out, field| CsvStyle::text(out, field.name()));
        Ok(())
    }

    fn batch(&mut self, out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), EncodeError> {
        let cells = cells::<CsvStyle>(batch)?;
        for row in 0..batch.num_rows() {
            line(out, cells.iter(), |out, cell| cell(out, row));
        }
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<u8>, _: &Ending) -> Result<Left, EncodeError> {
        Ok(Left::Nothing)
    }
}
