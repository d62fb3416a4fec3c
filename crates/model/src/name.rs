use std::fmt;
use std::sync::Arc;

use crate::limits;

/// Folds a name the way every lookup does: ASCII letters become lower case, nothing else changes.
pub fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("database name {0:?} is not of the form [A-Za-z0-9_][A-Za-z0-9_.-]{{0,63}}")]
    Database(String),
    #[error("database name {0:?} is reserved")]
    Reserved(String),
    #[error("{kind} name is empty")]
    Empty { kind: &'static str },
    #[error("{kind} name is {bytes} bytes long; at most {max} are allowed", max = limits::ITEM_NAME_BYTES)]
    Long { kind: &'static str, bytes: usize },
    #[error("{kind} name {name:?} holds a control character")]
    Control { kind: &'static str, name: String },
}

/// Schemas that external readers or the engine use themselves.
const RESERVED_DATABASES: [&str; 7] =
    ["system", "internal", "_internal", "information_schema", "pg_catalog", "temp", "main"];

/// The name of a database: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}`, not reserved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatabaseName(Arc<str>);

impl DatabaseName {
    pub fn new(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let head = bytes.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let tail = bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if !head || !tail || bytes.len() > limits::DATABASE_NAME_BYTES {
            return Err(NameError::Database(text.chars().take(100).collect()));
        }
        if RESERVED_DATABASES.contains(&fold(text).as_str()) {
            return Err(NameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a table, tag or field: UTF-8 without control characters, 1 to 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemName(Arc<str>);

impl ItemName {
    /// `kind` is the word that an error uses: `table`, `tag`, `field` or `column`.
    pub fn new(kind: &'static str, text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty { kind });
        }
        if text.len() > limits::ITEM_NAME_BYTES {
            return Err(NameError::Long { kind, bytes: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::Control { kind, name: text.to_owned() });
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_keeps_to_its_pattern() {
        for good in ["default", "0", "_x", "a.b-c", &"x".repeat(64)] {
            assert_eq!(DatabaseName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".a", "-a", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            assert!(matches!(DatabaseName::new(bad), Err(NameError::Database(_))), "{bad:?}");
        }
        assert!(matches!(DatabaseName::new("System"), Err(NameError::Reserved(_))));
    }

    #[test]
    fn an_item_name_is_any_text_without_control_characters() {
        assert!(ItemName::new("table", "a/b ..'\"日本").is_ok());
        assert!(ItemName::new("table", &"x".repeat(255)).is_ok());
        assert!(matches!(ItemName::new("table", &"x".repeat(256)), Err(NameError::Long { .. })));
        assert!(matches!(ItemName::new("tag", ""), Err(NameError::Empty { .. })));
        assert!(matches!(ItemName::new("tag", "a\u{7}"), Err(NameError::Control { .. })));
    }
}
