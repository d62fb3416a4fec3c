use arrow::datatypes::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};

/// Name of the time column of every table.
pub const TIME: &str = "time";
/// Name of the column that holds the nanoseconds (0–999) below a microsecond.
pub const TIME_NS: &str = "time_ns";

/// The stored type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// UTC microseconds; the `time` column only.
    Timestamp,
    /// 0–999; the `time_ns` column only.
    Int16,
    Bool,
    Int64,
    UInt64,
    Float64,
    Utf8,
}

impl ColumnType {
    /// The plain Arrow type; a string may also travel as `Dictionary(UInt32, Utf8)`.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnType::Int16 => DataType::Int16,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Int64 => DataType::Int64,
            ColumnType::UInt64 => DataType::UInt64,
            ColumnType::Float64 => DataType::Float64,
            ColumnType::Utf8 => DataType::Utf8,
        }
    }

    /// The type's name in a DuckLake catalog.
    pub const fn ducklake(self) -> &'static str {
        match self {
            ColumnType::Timestamp => "timestamptz",
            ColumnType::Int16 => "int16",
            ColumnType::Bool => "boolean",
            ColumnType::Int64 => "int64",
            ColumnType::UInt64 => "uint64",
            ColumnType::Float64 => "float64",
            ColumnType::Utf8 => "varchar",
        }
    }

    /// The inverse of [`ColumnType::ducklake`].
    pub fn from_ducklake(name: &str) -> Option<Self> {
        [
            ColumnType::Timestamp,
            ColumnType::Int16,
            ColumnType::Bool,
            ColumnType::Int64,
            ColumnType::UInt64,
            ColumnType::Float64,
            ColumnType::Utf8,
        ]
        .into_iter()
        .find(|t| t.ducklake() == name)
    }

    /// The word that errors use.
    pub const fn as_str(self) -> &'static str {
        match self {
            ColumnType::Timestamp => "timestamp",
            ColumnType::Int16 => "int16",
            ColumnType::Bool => "boolean",
            ColumnType::Int64 => "int64",
            ColumnType::UInt64 => "uint64",
            ColumnType::Float64 => "float64",
            ColumnType::Utf8 => "string",
        }
    }
}

/// What a column is to its table. The first use as tag or field fixes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The `time` and `time_ns` columns.
    Time,
    Tag,
    Field,
    /// Columnar MessagePack says neither.
    None,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Time => "time",
            Role::Tag => "tag",
            Role::Field => "field",
            Role::None => "none",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Role::Time, Role::Tag, Role::Field, Role::None].into_iter().find(|r| r.as_str() == text)
    }
}
