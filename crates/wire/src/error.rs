use model::{Code, limits};

/// What is wrong with one line or item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("measurement is missing")]
    NoTable,
    #[error("no field")]
    NoField,
    #[error("{what} is missing or empty in {near:?}")]
    Empty { what: &'static str, near: String },
    #[error("field {field:?} has the value {value:?}, which is no number, boolean or quoted string")]
    Value { field: String, value: String },
    #[error("string of field {0:?} has no closing quote")]
    Unterminated(String),
    #[error("{0:?} is no timestamp")]
    Timestamp(String),
    #[error("unexpected text {0:?} after the timestamp")]
    Trailing(String),
    #[error("{0}")]
    Time(#[from] model::time::TimeError),
    #[error("{0}")]
    Name(#[from] model::name::NameError),
    #[error("column {column:?} is {stored} in this request, but {given} {value} comes here")]
    Mixed { column: String, stored: &'static str, given: &'static str, value: String },
    #[error("column {0:?} comes twice with different values")]
    Twice(String),
    #[error("column name {0:?} is kept for the server's own use")]
    Reserved(String),
    #[error("a value of {0} bytes is longer than {max} bytes", max = limits::STRING_VALUE_BYTES)]
    LongValue(usize),
    #[error("the value of tag {0:?} holds a control character")]
    Control(String),
    #[error("invalid UTF-8 in {0}")]
    Utf8(&'static str),
    #[error("{0}")]
    Shape(String),
}

/// A line or item that was not understood, by its number from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemError {
    pub number: u32,
    pub reason: String,
}

/// Why a body is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("empty payload")]
    Empty,
    #[error("the body has {got} bytes; at most {max} are allowed")]
    TooLarge { got: u64, max: u64 },
    #[error("the body decompresses to more than {max} bytes")]
    Bomb { max: u64 },
    #[error("invalid {encoding} body: {reason}")]
    Compression { encoding: &'static str, reason: String },
    #[error("content encoding {0:?} is not supported; use gzip, zstd, deflate or identity")]
    Encoding(String),
    #[error("invalid msgpack at byte {at}: {reason}")]
    Msgpack { at: usize, reason: String },
    #[error("item {number}: {fault}")]
    Item { number: u32, fault: Fault },
    #[error("the request has more than {max} cells (rows × columns); split it", max = limits::REQUEST_CELLS)]
    Cells,
    #[error("the request touches more than {max} tables; split it", max = limits::REQUEST_TABLES)]
    Tables,
}

impl DecodeError {
    pub fn code(&self) -> Code {
        match self {
            DecodeError::TooLarge { .. } | DecodeError::Bomb { .. } | DecodeError::Cells | DecodeError::Tables => {
                Code::PayloadTooLarge
            }
            DecodeError::Encoding(_) => Code::UnsupportedEncoding,
            DecodeError::Item { fault: Fault::Name(_), .. } => Code::InvalidName,
            DecodeError::Item { fault: Fault::Mixed { .. }, .. } => Code::TypeConflict,
            _ => Code::InvalidBody,
        }
    }
}
