//! MessagePack bodies in the four shapes that Arc's clients send:
//! columnar map `{m, columns}`, row map `{m, t, h, fields|f, tags}`, `{batch: […]}`, top-level array.
//!
//! The reader is iterative, allocates nothing from declared lengths and refuses a nesting deeper
//! than [`limits::MSGPACK_DEPTH`]. A request is all or nothing: the first bad item refuses it.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef};
use model::column::{TIME, TIME_NS};
use model::time::{self, Instant};
use model::{Batch, BatchColumn, ItemName, Role, fold, limits};

use crate::column::{ColumnBuilder, Value, Values};
use crate::rows::{Cell, RowError, Rows};
use crate::{DecodeError, Fault};

mod reader;

use reader::{Reader, Token};

/// Decodes a body. `now_us` (UTC microseconds) is the time of rows without one.
pub fn decode(body: &[u8], now_us: i64) -> Result<Vec<Batch>, DecodeError> {
    let mut decoder = Decoder { rows: Rows::default(), batches: Vec::new(), now_us, item: 0 };
    let mut reader = Reader::new(body);
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    match reader.peek()? {
        Token::Array => {
            let items = reader.array()?;
            decoder.items(&mut reader, items)?;
        }
        Token::Map => decoder.map(&mut reader, true)?,
        _ => return Err(reader.error("the body is neither a map nor an array")),
    }
    if !reader.is_empty() {
        return Err(reader.error("bytes follow the body"));
    }
    let mut batches = decoder.batches;
    batches.extend(decoder.rows.finish()?);
    let cells: usize = batches.iter().map(Batch::cells).sum();
    if cells > limits::REQUEST_CELLS {
        return Err(DecodeError::Cells);
    }
    if batches.len() > limits::REQUEST_TABLES {
        return Err(DecodeError::Tables);
    }
    Ok(batches)
}

struct Decoder {
    rows: Rows,
    batches: Vec<Batch>,
    now_us: i64,
    /// Number of the item at hand, from 1.
    item: u32,
}

/// What a map at item level held; positions are byte offsets of values read later.
#[derive(Default)]
struct Item<'a> {
    table: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
    time: Option<i64>,
    columns: Option<Vec<(&'a str, Decoded)>>,
    fields: Option<usize>,
    tags: Option<usize>,
    batch: Option<usize>,
}

enum Decoded {
    Time(Vec<i64>),
    Column(ColumnBuilder),
}

impl Decoded {
    fn len(&self) -> usize {
        match self {
            Decoded::Time(v) => v.len(),
            Decoded::Column(c) => c.len(),
        }
    }
}

impl Decoder {
    fn items(&mut self, reader: &mut Reader<'_>, items: usize) -> Result<(), DecodeError> {
        for _ in 0..items {
            self.map(reader, false)?;
        }
        Ok(())
    }

    fn fail(&self, fault: Fault) -> DecodeError {
        DecodeError::Item { number: self.item.max(1), fault }
    }

    fn shape(&self, text: impl Into<String>) -> DecodeError {
        self.fail(Fault::Shape(text.into()))
    }

    /// Decodes a map in item position; only the top one may be a batch.
    fn map(&mut self, reader: &mut Reader<'_>, top: bool) -> Result<(), DecodeError> {
        self.item += 1;
        if reader.peek()? != Token::Map {
            return Err(self.shape("an item is not a map"));
        }
        let item = self.item_parts(reader)?;
        match item {
            Item { batch: Some(at), .. } if top => {
                self.item -= 1;
                let mut inner = reader.at(at);
                let items = inner.array()?;
                self.items(&mut inner, items)
            }
            Item { batch: Some(_), .. } => Err(self.shape("a batch inside a batch")),
            Item { table: None, .. } => Err(self.fail(Fault::NoTable)),
            Item { table: Some(table), columns: Some(columns), .. } => self.columnar(&table, columns),
            item => self.row(reader, item),
        }
    }

    fn item_parts<'a>(&self, reader: &mut Reader<'a>) -> Result<Item<'a>, DecodeError> {
        let mut item = Item::default();
        for _ in 0..reader.map()? {
            let key = reader.text()?;
            let at = reader.position();
            match key {
                "m" | "measurement" => item.table = self.label(reader, "measurement_")?,
                "h" => item.host = self.label(reader, "host_")?,
                "t" if reader.peek()? == Token::Nil => reader.skip()?,
                "t" => item.time = Some(self.instant(reader)?),
                "columns" => item.columns = Some(self.columns(reader)?),
                "fields" | "f" => {
                    item.fields = Some(at);
                    reader.skip()?;
                }
                "tags" if reader.peek()? == Token::Nil => reader.skip()?,
                "tags" => {
                    item.tags = Some(at);
                    reader.skip()?;
                }
                "batch" => {
                    item.batch = Some(at);
                    reader.skip()?;
                }
                _ => reader.skip()?,
            }
        }
        Ok(item)
    }

    /// A name: a string, or an integer that is numbered behind `prefix`.
    fn label<'a>(&self, reader: &mut Reader<'a>, prefix: &str) -> Result<Option<Cow<'a, str>>, DecodeError> {
        match reader.peek()? {
            Token::Nil => reader.skip().map(|()| None),
            Token::Str => reader.text().map(|text| Some(text.into())),
            Token::Int => match reader.value()? {
                Some(Value::Int(n)) => Ok(Some(format!("{prefix}{n}").into())),
                Some(Value::UInt(n)) => Ok(Some(format!("{prefix}{n}").into())),
                _ => Err(self.shape("a name is neither a string nor an integer")),
            },
            _ => Err(self.shape("a name is neither a string nor an integer")),
        }
    }

    fn instant(&self, reader: &mut Reader<'_>) -> Result<i64, DecodeError> {
        let us = match reader.peek()? {
            Token::Int => match reader.value()? {
                Some(Value::Int(v)) => time::by_magnitude(v),
                Some(Value::UInt(v)) => Ok((v / 1_000) as i64),
                _ => return Err(self.shape("time is not a number")),
            },
            Token::Float => match reader.value()? {
                Some(Value::Float(v)) => time::float_by_magnitude(v),
                _ => return Err(self.shape("time is not a number")),
            },
            other => return Err(self.shape(format!("time is {}, not a number", other.as_str()))),
        };
        us.map_err(|e| self.fail(e.into()))
    }

    fn columns<'a>(&self, reader: &mut Reader<'a>) -> Result<Vec<(&'a str, Decoded)>, DecodeError> {
        if reader.peek()? != Token::Map {
            return Err(self.shape("columns is not a map"));
        }
        let mut columns = Vec::new();
        for _ in 0..reader.map()? {
            let name = reader.text()?;
            if name.starts_with('_') {
                reader.skip()?; // Arc's clients may send these and do not expect them back
                continue;
            }
            if reader.peek()? != Token::Array {
                return Err(self.shape(format!("column {name:?} is not an array")));
            }
            let values = reader.array()?;
            let column = if name.eq_ignore_ascii_case(TIME) {
                let times: Result<Vec<i64>, _> = (0..values).map(|_| self.instant(reader)).collect();
                Decoded::Time(times?)
            } else {
                Decoded::Column(self.column(reader, name, values)?)
            };
            columns.push((name, column));
            if columns.len() > limits::TABLE_COLUMNS {
                return Err(self.shape(format!("more than {} columns", limits::TABLE_COLUMNS)));
            }
        }
        Ok(columns)
    }

    fn column(&self, reader: &mut Reader<'_>, name: &str, values: usize) -> Result<ColumnBuilder, DecodeError> {
        let mut column = ColumnBuilder::default();
        while column.len() < values {
            let left = values - column.len();
            if let Values::Float(floats) = &mut column.values {
                let run = reader.floats(floats, left);
                column.extended(run);
                if column.len() == values {
                    break;
                }
            }
            match reader.value()? {
                None => column.pad(column.len() + 1),
                Some(value) => {
                    self.bounded(value)?;
                    column.accepts(name, value).map_err(|e| self.fail(e))?;
                    column.push(value);
                }
            }
        }
        Ok(column)
    }

    fn bounded(&self, value: Value<'_>) -> Result<(), DecodeError> {
        match value {
            Value::Str(text) if text.len() > limits::STRING_VALUE_BYTES => Err(self.fail(Fault::LongValue(text.len()))),
            _ => Ok(()),
        }
    }

    fn columnar(&mut self, table: &str, columns: Vec<(&str, Decoded)>) -> Result<(), DecodeError> {
        let table = ItemName::new("table", table).map_err(|e| self.fail(e.into()))?;
        let mut times: Option<Vec<i64>> = None;
        let mut rows: Option<usize> = None;
        for (name, column) in &columns {
            // an empty time column asks for the server's clock
            if matches!(column, Decoded::Time(t) if t.is_empty()) {
                continue;
            }
            let expected = *rows.get_or_insert(column.len());
            if column.len() != expected {
                let message = format!("column {name:?} has {} values where others have {expected}", column.len());
                return Err(self.shape(message));
            }
        }
        let rows = rows.unwrap_or(0);
        let mut fields: Vec<BatchColumn> = Vec::with_capacity(columns.len());
        for (name, column) in columns {
            match column {
                Decoded::Time(_) if times.is_some() => return Err(self.fail(Fault::Reserved(name.to_owned()))),
                Decoded::Time(values) => times = Some(values),
                Decoded::Column(_) if name.eq_ignore_ascii_case(TIME_NS) => {
                    return Err(self.fail(Fault::Reserved(name.to_owned())));
                }
                Decoded::Column(column) => self.add_column(&mut fields, name, column.finish())?,
            }
        }
        if rows == 0 {
            return Err(self.shape("columns holds no rows"));
        }
        let time = times.filter(|t| !t.is_empty()).unwrap_or_else(|| vec![self.now_us; rows]);
        self.batches.push(Batch {
            table: table.shared(),
            time: time.into(),
            time_ns: None,
            columns: fields,
            origin: Vec::new(),
        });
        Ok(())
    }

    /// Adds a column, joining two spellings of one name where no row has both.
    fn add_column(&self, fields: &mut Vec<BatchColumn>, name: &str, array: ArrayRef) -> Result<(), DecodeError> {
        let name = ItemName::new("column", name).map_err(|e| self.fail(e.into()))?;
        let twin =
            fields.iter_mut().find(|f| f.name.len() == name.as_str().len() && fold(&f.name) == fold(name.as_str()));
        let Some(twin) = twin else {
            fields.push(BatchColumn { name: name.shared(), role: Role::None, array });
            return Ok(());
        };
        let present = |a: &ArrayRef, i: usize| a.logical_nulls().is_none_or(|n| n.is_valid(i));
        if (0..array.len()).any(|i| present(&twin.array, i) && present(&array, i)) {
            return Err(self.fail(Fault::Twice(name.to_string())));
        }
        let joined = (0..array.len()).map(|i| (usize::from(present(&array, i)), i)).collect::<Vec<_>>();
        if array.logical_null_count() == array.len() {
            return Ok(());
        }
        if twin.array.logical_null_count() == array.len() {
            twin.array = array;
            return Ok(());
        }
        twin.array = arrow::compute::interleave(&[&twin.array, &array], &joined)
            .map_err(|_| self.fail(Fault::Twice(name.to_string())))?;
        Ok(())
    }

    fn row(&mut self, reader: &Reader<'_>, item: Item<'_>) -> Result<(), DecodeError> {
        let table = item.table.unwrap_or_default();
        let Some(fields) = item.fields else {
            return Err(self.fail(Fault::NoField));
        };
        let mut tags: Vec<(&str, Cow<'_, str>)> = Vec::new();
        if let Some(at) = item.tags {
            self.tags(&mut reader.at(at), &mut tags)?;
        }
        let tagged_host = tags.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        match item.host {
            // beside an equal tag it says nothing new; beside another one the row is refused below
            Some(host) if !(tagged_host && tags.iter().any(|(n, v)| n.eq_ignore_ascii_case("host") && *v == host)) => {
                tags.push(("host", host))
            }
            None if !tagged_host => tags.push(("host", "unknown".into())),
            _ => {}
        }
        let mut cells: Vec<(Cow<'_, str>, Role, Value<'_>)> = Vec::with_capacity(tags.len() + 8);
        cells.extend(tags.iter().map(|(name, value)| (Cow::Borrowed(*name), Role::Tag, Value::Str(value))));
        self.fields(&mut reader.at(fields), &mut cells, &tags)?;
        let at = Instant { us: item.time.unwrap_or(self.now_us), ns: 0 };
        let cells: Vec<Cell<'_>> = cells.iter().map(|(name, role, value)| (&**name, *role, *value)).collect();
        match self.rows.add(&table, &cells, at, self.item) {
            Ok(()) => Ok(()),
            Err(RowError::Row(fault)) => Err(self.fail(fault)),
            Err(RowError::Request(error)) => Err(error),
        }
    }

    /// Tag values are strings; a number or boolean is taken by its text, nil as absent.
    fn tags<'a>(&self, reader: &mut Reader<'a>, tags: &mut Vec<(&'a str, Cow<'a, str>)>) -> Result<(), DecodeError> {
        if reader.peek()? != Token::Map {
            return Err(self.shape("tags is not a map"));
        }
        for _ in 0..reader.map()? {
            let name = reader.text()?;
            let value: Cow<'a, str> = match reader.peek()? {
                Token::Str => reader.text()?.into(),
                _ => match reader.value()? {
                    None => continue,
                    Some(Value::Bool(v)) => v.to_string().into(),
                    Some(Value::Int(v)) => v.to_string().into(),
                    Some(Value::UInt(v)) => v.to_string().into(),
                    Some(Value::Float(v)) => v.to_string().into(),
                    Some(Value::Str(v)) => v.to_owned().into(),
                },
            };
            if !value.is_empty() {
                tags.push((name, value)); // the empty tag is no tag
            }
        }
        Ok(())
    }

    fn fields<'a>(
        &self,
        reader: &mut Reader<'a>,
        cells: &mut Vec<(Cow<'a, str>, Role, Value<'a>)>,
        tags: &[(&str, Cow<'_, str>)],
    ) -> Result<(), DecodeError> {
        let compact = match reader.peek()? {
            Token::Map => false,
            Token::Array => true,
            _ => return Err(self.shape("fields is neither a map nor an array")),
        };
        let count = if compact { reader.array()? } else { reader.map()? };
        for i in 0..count {
            let name = if compact { Cow::Owned(format!("field_{i}")) } else { reader.text()?.into() };
            let Some(value) = reader.value()? else { continue };
            self.bounded(value)?;
            let taken = tags.iter().any(|(tag, _)| tag.eq_ignore_ascii_case(&name));
            let name = if taken { Cow::Owned(format!("{name}_value")) } else { name };
            cells.push((name, Role::Field, value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
