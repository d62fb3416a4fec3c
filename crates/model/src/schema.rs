use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int16Array, Int64Array, TimestampMicrosecondArray, UInt64Array,
    new_null_array,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};

use crate::batch::Batch;
use crate::code::Code;
use crate::column::{ColumnType, Role, TIME, TIME_NS};
use crate::id::ColumnId;
use crate::{limits, name};

/// Largest integer up to which every int64 is exactly a float64.
pub const EXACT_FLOAT: u64 = 1 << 53;

/// What becomes of rows that share tags and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableMode {
    /// Every row is kept.
    Append,
    /// One row a point, field by field the last non-null wins (InfluxDB's rule).
    Last,
}

impl TableMode {
    pub fn as_str(self) -> &'static str {
        match self {
            TableMode::Append => "append",
            TableMode::Last => "last",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [TableMode::Append, TableMode::Last].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// One live column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub id: ColumnId,
    /// The spelling of its first use.
    pub name: Arc<str>,
    pub ty: ColumnType,
    pub role: Role,
    /// Only nulls have arrived so far: the first value decides the type.
    pub provisional: bool,
    /// A file may hold it, so that its type is fixed.
    pub persisted: bool,
}

/// The live columns of one table in id order. Lookups fold.
#[derive(Debug, Clone)]
pub struct TableSchema {
    columns: Vec<Column>,
    by_name: HashMap<String, usize>,
}

/// A column that a batch needs and the table lacks, or that must change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Add {
        name: Arc<str>,
        ty: ColumnType,
        role: Role,
        provisional: bool,
    },
    /// A new column of the same name and another type takes over from `from`, which no file holds.
    Replace {
        from: ColumnId,
        ty: ColumnType,
        role: Role,
    },
    SetRole {
        column: ColumnId,
        role: Role,
    },
}

/// A batch whose columns all have ids and stored types; `time` is the first column.
#[derive(Debug, Clone)]
pub struct Fitted {
    pub rows: usize,
    pub time_min: i64,
    pub time_max: i64,
    pub columns: Vec<(ColumnId, ArrayRef)>,
}

/// The outcome of fitting a batch to a schema.
#[derive(Debug)]
pub enum Fit {
    Ready(Fitted),
    /// The schema must change first.
    Needs(Vec<Change>),
}

/// Why a batch does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    #[error(
        "column {column:?} is {stored}, but row {row} brings {given} {value}: an administrator can retype the column"
    )]
    Type { column: String, stored: &'static str, given: &'static str, value: String, row: usize },
    #[error("column {column:?} is a {stored} of this table and cannot be written as a {given}")]
    Role { column: String, stored: &'static str, given: &'static str },
    #[error("column name {0:?} is kept for the server's own use")]
    Reserved(String),
    #[error("the table would have more than {max} columns", max = limits::TABLE_COLUMNS)]
    Columns,
    #[error(transparent)]
    Name(#[from] name::NameError),
}

impl FitError {
    pub fn code(&self) -> Code {
        match self {
            FitError::Type { .. } => Code::TypeConflict,
            FitError::Role { .. } => Code::RoleConflict,
            FitError::Reserved(_) | FitError::Name(_) => Code::InvalidName,
            FitError::Columns => Code::ColumnLimit,
        }
    }
}

impl TableSchema {
    /// `columns` must be in id order, with names unique when folded.
    pub fn new(columns: Vec<Column>) -> Self {
        let by_name = columns.iter().enumerate().map(|(i, c)| (name::fold(&c.name), i)).collect();
        debug_assert!(columns.windows(2).all(|w| w[0].id < w[1].id), "columns stand in id order");
        Self { columns, by_name }
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub fn find(&self, name: &str) -> Option<&Column> {
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            self.by_name.get(&name::fold(name)).map(|i| &self.columns[*i])
        } else {
            self.by_name.get(name).map(|i| &self.columns[*i])
        }
    }

    pub fn by_id(&self, id: ColumnId) -> Option<&Column> {
        self.columns.binary_search_by_key(&id, |c| c.id).ok().map(|i| &self.columns[i])
    }

    /// Fits `batch` to these columns, or says which must come first.
    ///
    /// # Errors
    /// Every row that does not fit, by its index in the batch; the list is empty when the whole
    /// batch is at fault (a role, a name, the number of columns).
    pub fn fit(&self, batch: &Batch) -> Result<Fit, (Vec<usize>, FitError)> {
        let mut changes = Vec::new();
        if self.find(TIME).is_none() {
            changes.push(Change::Add {
                name: TIME.into(),
                ty: ColumnType::Timestamp,
                role: Role::Time,
                provisional: false,
            });
        }
        if batch.time_ns.is_some() && self.find(TIME_NS).is_none() {
            changes.push(Change::Add {
                name: TIME_NS.into(),
                ty: ColumnType::Int16,
                role: Role::Time,
                provisional: false,
            });
        }
        let mut columns = Vec::with_capacity(batch.columns.len() + 2);
        self.fit_time(batch, &mut columns);
        for given in &batch.columns {
            match self.find(&given.name) {
                None => changes.push(self.addition(given).map_err(|e| (Vec::new(), e))?),
                Some(column) => self.fit_column(column, given, &mut changes, &mut columns)?,
            }
        }
        let added = changes.iter().filter(|c| matches!(c, Change::Add { .. })).count();
        if self.columns.len() + added > limits::TABLE_COLUMNS {
            return Err((Vec::new(), FitError::Columns));
        }
        if !changes.is_empty() {
            return Ok(Fit::Needs(changes));
        }
        let (time_min, time_max) = bounds(&batch.time);
        Ok(Fit::Ready(Fitted { rows: batch.rows(), time_min, time_max, columns }))
    }

    fn fit_time(&self, batch: &Batch, columns: &mut Vec<(ColumnId, ArrayRef)>) {
        if let Some(column) = self.find(TIME) {
            let time = TimestampMicrosecondArray::new(batch.time.clone(), None).with_timezone("UTC");
            columns.push((column.id, Arc::new(time)));
        }
        if let Some(column) = self.find(TIME_NS)
            && let Some(ns) = &batch.time_ns
        {
            columns.push((column.id, Arc::new(Int16Array::new(ns.clone(), None))));
        }
    }

    fn addition(&self, given: &crate::BatchColumn) -> Result<Change, FitError> {
        crate::ItemName::new(given.role.as_str(), &given.name)?;
        let ty = type_of(given.array.data_type());
        Ok(Change::Add {
            name: Arc::clone(&given.name),
            ty: ty.unwrap_or(ColumnType::Utf8),
            role: given.role,
            provisional: ty.is_none(),
        })
    }

    fn fit_column(
        &self,
        column: &Column,
        given: &crate::BatchColumn,
        changes: &mut Vec<Change>,
        columns: &mut Vec<(ColumnId, ArrayRef)>,
    ) -> Result<(), (Vec<usize>, FitError)> {
        if column.role == Role::Time {
            return Err((Vec::new(), FitError::Reserved(given.name.to_string())));
        }
        let role = match (column.role, given.role) {
            (stored, Role::None) => stored,
            (Role::None, wanted) => wanted,
            (stored, wanted) if stored == wanted => stored,
            (stored, wanted) => {
                let error =
                    FitError::Role { column: column.name.to_string(), stored: stored.as_str(), given: wanted.as_str() };
                return Err((Vec::new(), error));
            }
        };
        if role != column.role {
            changes.push(Change::SetRole { column: column.id, role });
        }
        let Some(ty) = type_of(given.array.data_type()) else {
            return Ok(()); // only nulls: an absent column says the same
        };
        if column.provisional && ty != column.ty {
            changes.push(Change::Replace { from: column.id, ty, role });
            return Ok(());
        }
        match convert(&given.array, column.ty) {
            // NaN for strings became null: an absent column says the same
            Ok(array) if *array.data_type() == DataType::Utf8 => {}
            Ok(array) => columns.push((column.id, array)),
            Err(_) if widens(column, ty) => {
                changes.push(Change::Replace { from: column.id, ty: ColumnType::Float64, role })
            }
            Err(rows) => {
                let row = rows[0];
                let error = FitError::Type {
                    column: column.name.to_string(),
                    stored: column.ty.as_str(),
                    given: ty.as_str(),
                    value: arrow::util::display::array_value_to_string(&given.array, row)
                        .map(|v| v.chars().take(100).collect())
                        .unwrap_or_default(),
                    row: row + 1,
                };
                return Err((rows, error));
            }
        }
        Ok(())
    }
}

/// JavaScript clients send 20 and then 20.5: an int column that no file holds yet gives way.
fn widens(column: &Column, given: ColumnType) -> bool {
    column.ty == ColumnType::Int64 && given == ColumnType::Float64 && !column.persisted
}

fn bounds(time: &[i64]) -> (i64, i64) {
    time.iter().fold((i64::MAX, i64::MIN), |(lo, hi), t| (lo.min(*t), hi.max(*t)))
}

/// The stored type for a batch column, or none when it holds only nulls.
pub fn type_of(ty: &DataType) -> Option<ColumnType> {
    Some(match ty {
        DataType::Boolean => ColumnType::Bool,
        DataType::Int64 => ColumnType::Int64,
        DataType::UInt64 => ColumnType::UInt64,
        DataType::Float64 => ColumnType::Float64,
        DataType::Int16 => ColumnType::Int16,
        DataType::Timestamp(..) => ColumnType::Timestamp,
        DataType::Utf8 | DataType::Dictionary(..) => ColumnType::Utf8,
        _ => return None,
    })
}

/// Converts a batch column to a stored type, or names the rows that cannot be converted exactly.
pub fn convert(array: &ArrayRef, to: ColumnType) -> Result<ArrayRef, Vec<usize>> {
    let Some(from) = type_of(array.data_type()) else {
        return Ok(new_null_array(&to.arrow(), array.len()));
    };
    if from == to {
        return Ok(Arc::clone(array));
    }
    let failed = |ok: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..array.len()).filter(|i| array.is_valid(*i) && !ok(*i)).collect()
    };
    let nulls = array.nulls().cloned();
    macro_rules! via {
        ($source:ty, $target:ident, $convert:expr) => {{
            let values = array.as_primitive::<$source>();
            let exact = $convert;
            let bad = failed(&|i| exact(values.value(i)).is_some());
            if !bad.is_empty() {
                return Err(bad);
            }
            let converted = values.values().iter().map(|v| exact(*v).unwrap_or_default()).collect::<Vec<_>>();
            Ok(Arc::new($target::new(converted.into(), nulls)) as ArrayRef)
        }};
    }
    match (from, to) {
        (ColumnType::Int64, ColumnType::Float64) => {
            via!(Int64Type, Float64Array, |v: i64| (v.unsigned_abs() <= EXACT_FLOAT).then_some(v as f64))
        }
        (ColumnType::UInt64, ColumnType::Float64) => {
            via!(UInt64Type, Float64Array, |v: u64| (v <= EXACT_FLOAT).then_some(v as f64))
        }
        (ColumnType::Int64, ColumnType::UInt64) => via!(Int64Type, UInt64Array, |v: i64| u64::try_from(v).ok()),
        (ColumnType::UInt64, ColumnType::Int64) => via!(UInt64Type, Int64Array, |v: u64| i64::try_from(v).ok()),
        (ColumnType::Float64, ColumnType::Int64) => via!(Float64Type, Int64Array, |v: f64| {
            (v.fract() == 0.0 && (-9.223372036854776e18..9.223372036854776e18).contains(&v)).then_some(v as i64)
        }),
        (ColumnType::Float64, ColumnType::UInt64) => via!(Float64Type, UInt64Array, |v: f64| {
            (v.fract() == 0.0 && (0.0..1.8446744073709552e19).contains(&v)).then_some(v as u64)
        }),
        // pandas sends NaN for a missing string
        (ColumnType::Float64, ColumnType::Utf8) => {
            let values = array.as_primitive::<Float64Type>();
            let bad = failed(&|i| values.value(i).is_nan());
            if bad.is_empty() { Ok(new_null_array(&to.arrow(), array.len())) } else { Err(bad) }
        }
        _ => Err(failed(&|_| false)),
    }
}

#[cfg(test)]
mod tests;
