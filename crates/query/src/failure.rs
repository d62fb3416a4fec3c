//! What the engine says of failures, as ours.

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use crate::Error;

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        let text = || said(&cause(&error).strip_backtrace());
        match error.find_root() {
            DataFusionError::External(e) => match e.downcast_ref() {
                Some(Error::Forbidden { database, table }) => {
                    Error::Forbidden { database: database.clone(), table: table.clone() }
                }
                _ => Error::Invalid(text()),
            },
            DataFusionError::SQL(e, _) => Error::Syntax(e.to_string()),
            DataFusionError::ResourcesExhausted(m) => Error::Memory(m.clone()),
            DataFusionError::SchemaError(e, _) => Error::Invalid(schema_error(e)),
            DataFusionError::NotImplemented(m) => {
                Error::Unsupported { what: m.clone(), instead: "see docs/sql.md for what is".into() }
            }
            DataFusionError::Internal(m) => Error::Internal(m.clone()),
            DataFusionError::IoError(e) => Error::Internal(e.to_string()),
            DataFusionError::ObjectStore(e) => Error::Internal(e.to_string()),
            DataFusionError::ParquetError(e) => Error::Internal(e.to_string()),
            _ => Error::Invalid(text()),
        }
    }
}

/// What failed, without the steps in which it did.
fn cause(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => cause(inner),
        _ => error,
    }
}

/// The first line, without the engine's word for where it was.
fn said(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let wheres = ["Error during planning: ", "Execution error: ", "Arrow error: "];
    wheres.iter().find_map(|place| line.strip_prefix(place)).unwrap_or(line).to_owned()
}

fn schema_error(error: &SchemaError) -> String {
    let text = error.to_string();
    text.strip_prefix("Schema error: ").unwrap_or(&text).to_owned()
}
