use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use model::column::{TIME, TIME_NS};
use model::time::Instant;
use model::{Batch, BatchColumn, ItemName, Role, fold, limits};

use crate::column::{ColumnBuilder, Value};
use crate::{DecodeError, Fault, ItemError};

/// One cell of a row: the column's name as the client spelled it, its role, its value.
pub type Cell<'a> = (&'a str, Role, Value<'a>);

/// Rows of one table, gathered column by column.
#[derive(Debug)]
struct TableRows {
    name: Arc<str>,
    time: Vec<i64>,
    time_ns: Vec<i16>,
    has_ns: bool,
    columns: Vec<RowColumn>,
    /// Folded name → index into `columns`.
    index: HashTable<usize>,
    origin: Vec<u32>,
}

#[derive(Debug)]
struct RowColumn {
    name: Arc<str>,
    folded: String,
    role: Role,
    builder: ColumnBuilder,
}

/// Rows of a request, by table, in order of first appearance.
#[derive(Debug, Default)]
pub struct Rows {
    tables: Vec<TableRows>,
    hasher: RandomState,
    /// Index of the table that the last row went to: bodies are runs of one table.
    last: usize,
    cells: usize,
    targets: Vec<usize>,
}

impl Rows {
    /// Adds one row, or leaves everything as it was.
    ///
    /// # Errors
    /// `Err(Ok(fault))` is the row's own fault, `Err(Err(error))` a bound of the whole request.
    pub fn add(&mut self, table: &str, cells: &[Cell<'_>], at: Instant, origin: u32) -> Result<(), RowError> {
        let t = self.table(table)?;
        let rows = &mut self.tables[t];
        self.targets.clear();
        for (i, (name, role, value)) in cells.iter().enumerate() {
            let target = rows.locate(name, *role, i, &self.hasher)?;
            if rows.columns[target].builder.len() > rows.time.len() || self.targets.contains(&target) {
                return Err(Fault::Twice((*name).to_owned()).into());
            }
            rows.columns[target].builder.accepts(name, *value)?;
            self.targets.push(target);
        }
        let before = rows.time.len();
        for (target, (.., value)) in self.targets.iter().zip(cells) {
            let builder = &mut rows.columns[*target].builder;
            builder.pad(before);
            builder.push(*value);
        }
        rows.time.push(at.us);
        rows.time_ns.push(at.ns);
        rows.has_ns |= at.ns != 0;
        rows.origin.push(origin);
        self.cells += cells.len() + 1;
        if self.cells > limits::REQUEST_CELLS {
            return Err(RowError::Request(DecodeError::Cells));
        }
        Ok(())
    }

    fn table(&mut self, name: &str) -> Result<usize, RowError> {
        if self.tables.get(self.last).is_some_and(|t| &*t.name == name) {
            return Ok(self.last);
        }
        if let Some(found) = self.tables.iter().position(|t| t.name.eq_ignore_ascii_case(name)) {
            self.last = found;
            return Ok(found);
        }
        let name = ItemName::new("table", name).map_err(Fault::from)?;
        if self.tables.len() == limits::REQUEST_TABLES {
            return Err(RowError::Request(DecodeError::Tables));
        }
        self.tables.push(TableRows {
            name: name.shared(),
            time: Vec::new(),
            time_ns: Vec::new(),
            has_ns: false,
            columns: Vec::new(),
            index: HashTable::new(),
            origin: Vec::new(),
        });
        self.last = self.tables.len() - 1;
        Ok(self.last)
    }

    /// The batches, tables in order of first appearance; a table all of whose rows were bad is left out.
    pub fn finish(self) -> Result<Vec<Batch>, DecodeError> {
        let mut cells = 0;
        let batches: Vec<Batch> =
            self.tables.into_iter().filter(|t| !t.time.is_empty()).map(TableRows::finish).collect();
        for batch in &batches {
            cells += batch.cells();
        }
        if cells > limits::REQUEST_CELLS { Err(DecodeError::Cells) } else { Ok(batches) }
    }
}

impl TableRows {
    /// The column for `name`; `guess` is where it stood in the row before.
    #[inline]
    fn locate(&mut self, name: &str, role: Role, guess: usize, hasher: &RandomState) -> Result<usize, Fault> {
        if let Some(column) = self.columns.get(guess)
            && &*column.name == name
            && column.role == role
        {
            return Ok(guess);
        }
        self.locate_slow(name, role, hasher)
    }

    fn locate_slow(&mut self, name: &str, role: Role, hasher: &RandomState) -> Result<usize, Fault> {
        let folded = fold(name);
        let columns = &self.columns;
        let hash = hasher.hash_one(folded.as_str());
        if let Some(&found) = self.index.find(hash, |&i| columns[i].folded == folded) {
            let column = &self.columns[found];
            if column.role != role {
                return Err(Fault::Shape(format!(
                    "column {:?} is a {} in another row of this request and a {} here",
                    name,
                    column.role.as_str(),
                    role.as_str()
                )));
            }
            return Ok(found);
        }
        if folded == TIME || folded == TIME_NS {
            return Err(Fault::Reserved(name.to_owned()));
        }
        let name = ItemName::new(role.as_str(), name)?;
        if self.columns.len() == limits::TABLE_COLUMNS {
            return Err(Fault::Shape(format!("more than {} columns", limits::TABLE_COLUMNS)));
        }
        let at = self.columns.len();
        self.columns.push(RowColumn { name: name.shared(), folded, role, builder: ColumnBuilder::default() });
        let columns = &self.columns;
        self.index.insert_unique(hash, at, |&i| hasher.hash_one(columns[i].folded.as_str()));
        Ok(at)
    }

    fn finish(self) -> Batch {
        let rows = self.time.len();
        let columns = self
            .columns
            .into_iter()
            // a column that only a refused row named
            .filter(|c| c.builder.len() > 0)
            .map(|mut c| {
                c.builder.pad(rows);
                BatchColumn { name: c.name, role: c.role, array: c.builder.finish() }
            })
            .collect();
        Batch {
            table: self.name,
            time: self.time.into(),
            time_ns: self.has_ns.then(|| self.time_ns.into()),
            columns,
            origin: self.origin,
        }
    }
}

/// The row's own fault, or a bound of the whole request.
#[derive(Debug)]
pub enum RowError {
    Row(Fault),
    Request(DecodeError),
}

impl RowError {
    /// Counts a row that was refused, and names it where few were before.
    ///
    /// # Errors
    /// What was refused is the whole request.
    pub fn note(self, number: u32, bad: &mut usize, errors: &mut Vec<ItemError>) -> Result<(), DecodeError> {
        let fault = match self {
            RowError::Request(error) => return Err(error),
            RowError::Row(fault) => fault,
        };
        *bad += 1;
        if errors.len() < limits::REPORTED_LINES {
            errors.push(ItemError { number, reason: fault.to_string() });
        }
        Ok(())
    }
}

impl From<Fault> for RowError {
    fn from(fault: Fault) -> Self {
        RowError::Row(fault)
    }
}
