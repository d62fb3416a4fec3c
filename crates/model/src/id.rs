use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A database; equals its DuckLake `schema_id`. Never reused.
    DatabaseId
);
id!(
    /// A table; equals its DuckLake `table_id`. Never reused.
    TableId
);
id!(
    /// A column within its table; equals the Parquet field id. From 1, never reused.
    ColumnId
);
id!(
    /// The number of one log record: one accepted request. From 1; gaps are allowed.
    Lsn
);
