//! Answers to bytes: one [`Encoder`] a format, batch by batch, in bounded memory.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;

/// An Arrow IPC stream.
mod arrow_stream;
/// Cells as text, in the style of a format.
mod cell;
/// Comma-separated values.
mod csv;
/// JSON: the envelope, an array of objects, or a line an object.
pub mod json;
/// MessagePack, column by column.
mod msgpack;
/// A Parquet file.
mod parquet_file;
/// Types that every reader understands.
mod plain;

pub use plain::type_name;

/// Why an answer cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("column {column:?} is of type {ty}, which {format} has no form for: CAST it to VARCHAR")]
    Unsupported { column: String, ty: String, format: &'static str },
    #[error(
        "column {column:?} holds a decimal that no 64-bit integer holds: CAST it to DOUBLE or VARCHAR, or ask with \
         \"x-tidewater-arrow-decimals: true\""
    )]
    Decimal { column: String },
    #[error("the answer cannot be encoded: {0}")]
    Arrow(#[from] ArrowError),
    #[error("the answer cannot be encoded: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("MessagePack arrays hold 4 294 967 295 values and no more: ask for fewer rows, or for another format")]
    TooManyRows,
    #[error("the answer cannot be put aside: {0}")]
    Aside(#[from] std::io::Error),
}

/// What is said of an answer when its rows are over.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    pub rows: u64,
    pub elapsed: Duration,
    /// RFC 3339
    pub timestamp: String,
    pub profile: Option<Profile>,
}

/// Where the time of a query went.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Profile {
    pub total_ms: f64,
    pub planner_ms: f64,
    pub execution_ms: f64,
    /// Rows that left files and memory.
    pub rows_scanned: u64,
    /// From the start to the first rows.
    pub latency_ms: f64,
}

/// Turns an answer into bytes; called in this order, each appending to `out`.
pub trait Encoder: Send {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    fn batch(&mut self, out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), EncodeError>;

    /// Called until it says that nothing is left.
    fn end(&mut self, out: &mut Vec<u8>, ending: &Ending) -> Result<Left, EncodeError>;
}

/// Whether an encoder has more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    More,
    Nothing,
}

/// Bytes that an encoder puts aside until it may send them.
pub trait Aside: Send {
    /// Returns where they begin.
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<u64>;

    fn get(&mut self, at: u64, bytes: &mut [u8]) -> std::io::Result<()>;
}

/// What answers are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Arc's envelope: `{"success":true,"columns":[…],"types":[…],"data":[[…]],…}`.
    Json,
    /// An array of objects.
    JsonArray,
    /// One object a line.
    JsonLines,
    Csv,
    /// Arc's envelope with `data` by columns.
    Msgpack,
    Arrow,
    Parquet,
}

impl Format {
    pub const ALL: [Format; 7] = [
        Format::Json,
        Format::JsonArray,
        Format::JsonLines,
        Format::Csv,
        Format::Msgpack,
        Format::Arrow,
        Format::Parquet,
    ];

    /// The format that a word or a media type names.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "json" | "application/json" => Format::Json,
            "json_array" => Format::JsonArray,
            "jsonl" | "ndjson" | "application/jsonl" | "application/x-ndjson" | "application/x-jsonlines" => {
                Format::JsonLines
            }
            "csv" | "text/csv" => Format::Csv,
            "msgpack" | "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => Format::Msgpack,
            "arrow" | "application/vnd.apache.arrow.stream" => Format::Arrow,
            "parquet" | "application/vnd.apache.parquet" | "application/x-parquet" => Format::Parquet,
            _ => return None,
        })
    }

    pub const fn media_type(self) -> &'static str {
        match self {
            Format::Json | Format::JsonArray => "application/json",
            Format::JsonLines => "application/jsonl",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Msgpack => "application/msgpack",
            Format::Arrow => "application/vnd.apache.arrow.stream",
            Format::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The encoder of an answer with this schema.
    ///
    /// # Errors
    /// A column's type has no form in this format.
    pub fn encoder(self, schema: &SchemaRef, options: Options) -> Result<Box<dyn Encoder>, EncodeError> {
        Ok(match self {
            Format::Json => Box::new(json::Envelope::new(schema, options.warning)),
            Format::JsonArray => Box::new(json::Objects::array()),
            Format::JsonLines => Box::new(json::Objects::lines()),
            Format::Csv => Box::new(csv::Csv::new(schema)),
            Format::Msgpack => {
                Box::new(msgpack::Columns::new(schema, options.warning, options.with_profile, options.aside))
            }
            Format::Arrow => Box::new(arrow_stream::Stream::new(schema, &options.arrow)?),
            Format::Parquet => Box::new(parquet_file::File::new(schema)?),
        })
    }
}

/// What the asker wants beyond the rows.
pub struct Options {
    /// Said in the envelopes.
    pub warning: Option<String>,
    /// Whether the end will carry a profile.
    pub with_profile: bool,
    pub arrow: ArrowOptions,
    /// For formats that cannot send rows as they come.
    pub aside: Box<dyn Aside>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct ArrowOptions {
    /// Strings as dictionaries.
    pub dictionaries: bool,
    /// Decimals as they are; else as 64-bit integers and floats, which every client knows.
    pub decimals: bool,
    pub compression: Option<CompressionType>,
}

#[cfg(test)]
mod tests;
