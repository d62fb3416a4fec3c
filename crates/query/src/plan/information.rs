use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use model::fold;
use store::View;

use super::{Scope, batch_of, shown_type};
use crate::Error;
use crate::engine::CATALOG;

const NAME: &str = "information_schema";
const TABLES: [&str; 3] = ["schemata", "tables", "columns"];

/// Whether the name means this and no database of somebody.
pub(super) fn is_meant(view: &View, schema: &str) -> bool {
    fold(schema) == NAME && view.database(NAME).is_none()
}

/// Databases as schemata, with DuckDB's columns.
#[derive(Debug)]
pub(super) struct Information(pub Arc<Scope>);

fn text(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

fn same(value: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from(vec![value; rows]))
}

fn nothing(rows: usize) -> ArrayRef {
    Arc::new(StringArray::new_null(rows))
}

impl Information {
    fn rows(&self, table: &str) -> std::result::Result<Option<RecordBatch>, Error> {
        let scope = &self.0;
        let databases: Vec<_> = scope.databases().collect();
        let tables = || databases.iter().flat_map(|d| scope.tables_of(&d.name).into_iter().map(move |t| (d, t)));
        let batch = match table {
            "schemata" => {
                let rows = databases.len();
                batch_of(vec![
                    ("catalog_name", same(CATALOG, rows)),
                    ("schema_name", text(databases.iter().map(|d| d.name.to_string()))),
                    ("schema_owner", same(CATALOG, rows)),
                    ("default_character_set_catalog", nothing(rows)),
                    ("default_character_set_schema", nothing(rows)),
                    ("default_character_set_name", nothing(rows)),
                    ("sql_path", nothing(rows)),
                ])
            }
            "tables" => {
                let rows = tables().count();
                batch_of(vec![
                    ("table_catalog", same(CATALOG, rows)),
                    ("table_schema", text(tables().map(|(d, _)| d.name.to_string()))),
                    ("table_name", text(tables().map(|(_, t)| t.info.name.to_string()))),
                    ("table_type", same("BASE TABLE", rows)),
                    ("is_insertable_into", same("NO", rows)),
                    ("is_typed", same("NO", rows)),
                    ("table_comment", nothing(rows)),
                ])
            }
            "columns" => {
                let columns =
                    || tables().flat_map(|(d, t)| t.info.schema.columns().iter().enumerate().map(move |c| (d, t, c)));
                let rows = columns().count();
                let place: Int32Array = columns().map(|(_, _, (i, _))| i as i32 + 1).collect();
                batch_of(vec![
                    ("table_catalog", same(CATALOG, rows)),
                    ("table_schema", text(columns().map(|(d, ..)| d.name.to_string()))),
                    ("table_name", text(columns().map(|(_, t, _)| t.info.name.to_string()))),
                    ("column_name", text(columns().map(|(_, _, (_, c))| c.name.to_string()))),
                    ("ordinal_position", Arc::new(place)),
                    ("column_default", nothing(rows)),
                    ("is_nullable", same("YES", rows)),
                    ("data_type", text(columns().map(|(_, _, (_, c))| shown_type(&c.ty.arrow())))),
                    ("column_comment", nothing(rows)),
                ])
            }
            _ => return Ok(None),
        };
        batch.map(Some)
    }
}

#[async_trait]
impl SchemaProvider for Information {
    fn table_names(&self) -> Vec<String> {
        TABLES.map(str::to_owned).to_vec()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let rows = self.rows(&fold(name)).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let table = rows.map(|batch| MemTable::try_new(batch.schema(), vec![vec![batch]])).transpose()?;
        Ok(table.map(|table| Arc::new(table) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        TABLES.contains(&fold(name).as_str())
    }
}
