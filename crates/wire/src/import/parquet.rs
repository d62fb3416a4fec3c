//! Apache Parquet, a batch at a time.
//!
//! Integers become 64-bit ones (unsigned ones stay so), decimals and floats 64-bit floats, text, binary and dates text,
//! other times microseconds since 1970; lists, structs and maps have no place in a measurement.

mod sound;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef, TimeUnit};
use arrow::util::display::FormatOptions;
use model::intern::Interner;
use model::{Batch, BatchColumn, Role, fold};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use self::sound::SoundFile;
use super::{ImportError, PIECE_ROWS, TimeFormat, cell};

/// How a file is read.
#[derive(Debug, Clone)]
pub struct Options {
    pub time_column: String,
    pub time_format: TimeFormat,
    /// Columns that are tags.
    pub tags: Vec<String>,
}

/// The rows of a file in pieces.
#[derive(Debug)]
pub struct Pieces {
    reader: ParquetRecordBatchReader,
    options: Options,
    table: Arc<str>,
    schema: SchemaRef,
    time: usize,
    row: u64,
    rows: u64,
    /// The reader is not to be asked again.
    is_broken: bool,
}

/// Runs the decoder: in a file that contradicts itself it may meet an assertion of its own.
fn decode<T>(read: impl FnOnce() -> Result<T, ImportError>) -> Result<T, ImportError> {
    let contradiction = |_| Err(ImportError::File("the file is damaged: it contradicts itself".into()));
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(contradiction)
}

impl Pieces {
    /// # Errors
    /// It is no Parquet file, has no column of times, a column twice, or one of a type that has no place.
    pub fn open(file: File, options: Options, table: &str) -> Result<Self, ImportError> {
        let broken = |e: parquet::errors::ParquetError| ImportError::File(format!("the file is no Parquet: {e}"));
        let open = || SoundFile::new(file).and_then(ParquetRecordBatchReaderBuilder::try_new);
        let builder = decode(|| open().map_err(broken))?;
        let (schema, rows) = (Arc::clone(builder.schema()), builder.metadata().file_metadata().num_rows());
        let is = |name: &str, wanted: &str| fold(name) == fold(wanted);
        let find = |wanted: &str| schema.fields().iter().position(|f| is(f.name(), wanted));
        let known = || schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
        let time = find(&options.time_column).ok_or_else(|| {
            let wanted = &options.time_column;
            ImportError::File(format!("there is no column {wanted:?} of times; name it in time_column, of {}", known()))
        })?;
        if let Some(lost) = options.tags.iter().find(|t| find(t).is_none()) {
            return Err(ImportError::File(format!("there is no column {lost:?}, which is to be a tag")));
        }
        for (at, field) in schema.fields().iter().enumerate() {
            if find(field.name()) != Some(at) {
                return Err(ImportError::File(format!("column {:?} stands twice", field.name())));
            }
            if target(field.data_type()).is_none() {
                let (name, ty) = (field.name(), field.data_type());
                return Err(ImportError::File(format!("column {name:?} is {ty}, which has no place in a measurement")));
            }
        }
        let reader = decode(|| builder.with_batch_size(PIECE_ROWS).build().map_err(broken))?;
        let rows = rows.max(0) as u64;
        Ok(Self { reader, options, table: table.into(), time, schema, row: 0, rows, is_broken: false })
    }

    /// Rows of the file, as it says.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Names as the file has them, the time first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let others = self.schema.fields().iter().enumerate().filter(|(at, _)| *at != self.time);
        ["time"].into_iter().chain(others.map(|(_, field)| field.name().as_str()))
    }

    fn is_tag(&self, name: &str) -> bool {
        self.options.tags.iter().any(|t| fold(t) == fold(name))
    }

    fn piece(&mut self, rows: &RecordBatch) -> Result<Batch, ImportError> {
        let first = self.row;
        self.row += rows.num_rows() as u64;
        let time = self.times(rows.column(self.time), first)?;
        let mut columns = Vec::with_capacity(rows.num_columns().saturating_sub(1));
        for (at, field) in self.schema.fields().iter().enumerate().filter(|(at, _)| *at != self.time) {
            let is_tag = self.is_tag(field.name());
            let array = if is_tag { tag(rows.column(at)) } else { value(rows.column(at)) };
            let array = array.map_err(|e| ImportError::File(format!("column {:?}: {e}", field.name())))?;
            let role = if is_tag { Role::Tag } else { Role::None };
            columns.push(BatchColumn { name: field.name().as_str().into(), role, array });
        }
        // rows count from 1, as lines do
        let origin = (0..rows.num_rows() as u64).map(|i| u32::try_from(first + i + 1).unwrap_or(u32::MAX)).collect();
        Ok(Batch { table: Arc::clone(&self.table), time, time_ns: None, columns, origin })
    }

    /// UTC microseconds of each row.
    fn times(&self, values: &ArrayRef, first: u64) -> Result<ScalarBuffer<i64>, ImportError> {
        let name = self.schema.field(self.time).name();
        let wrong = |at: usize, value: &str, reason: String| cell(first + at as u64 + 1, name, value, reason);
        if let Some(at) = (0..values.len()).find(|at| values.is_null(*at)) {
            return Err(wrong(at, "", "is NULL: each row needs its time".into()));
        }
        let broken = |e: arrow::error::ArrowError| ImportError::File(format!("column {name:?}: {e}"));
        let checked = |at: usize, us: Result<i64, String>, shown: String| us.map_err(|e| wrong(at, &shown, e));
        let format = self.options.time_format;
        match values.data_type() {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
                let us = strict(values, &DataType::Timestamp(TimeUnit::Microsecond, None)).map_err(broken)?;
                let us = strict(&us, &DataType::Int64).map_err(broken)?;
                let us: &Int64Array = us.as_primitive();
                for (at, us) in us.values().iter().enumerate() {
                    checked(at, model::time::check(*us).map_err(|e| e.to_string()), us.to_string())?;
                }
                Ok(us.values().clone())
            }
            ty if ty.is_integer() => {
                let numbers = strict(values, &DataType::Int64).map_err(broken)?;
                let numbers = numbers.as_primitive::<Int64Type>().values().iter().enumerate();
                let us = |(at, v): (usize, &i64)| {
                    checked(at, format.of_number(*v).map_err(|e| e.to_string()), v.to_string())
                };
                numbers.map(us).collect::<Result<Vec<_>, _>>().map(ScalarBuffer::from)
            }
            ty if ty.is_floating() => {
                let numbers = strict(values, &DataType::Float64).map_err(broken)?;
                let numbers = numbers.as_primitive::<Float64Type>().values().iter().enumerate();
                let us = |(at, v): (usize, &f64)| {
                    checked(at, format.of_text(&v.to_string()).map_err(|e| e.into_owned()), v.to_string())
                };
                numbers.map(us).collect::<Result<Vec<_>, _>>().map(ScalarBuffer::from)
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
                let texts = strict(values, &DataType::Utf8).map_err(broken)?;
                let texts: &StringArray = texts.as_string();
                let us = |(at, t): (usize, Option<&str>)| {
                    let text = t.unwrap_or_default();
                    checked(at, format.of_text(text).map_err(|e| e.into_owned()), text.to_owned())
                };
                texts.iter().enumerate().map(us).collect::<Result<Vec<_>, _>>().map(ScalarBuffer::from)
            }
            other => Err(ImportError::File(format!("column {name:?} is {other}: no time"))),
        }
    }
}

fn strict(values: &ArrayRef, ty: &DataType) -> Result<ArrayRef, arrow::error::ArrowError> {
    cast_with_options(values, ty, &CastOptions { safe: false, format_options: FormatOptions::default() })
}

/// What a type becomes in a measurement.
fn target(ty: &DataType) -> Option<DataType> {
    Some(match ty {
        DataType::Null => DataType::Null,
        DataType::Boolean => DataType::Boolean,
        DataType::UInt64 => DataType::UInt64,
        ty if ty.is_integer() => DataType::Int64,
        ty if ty.is_floating() || ty.is_decimal() => DataType::Float64,
        DataType::Timestamp(..) => DataType::Int64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Date32 | DataType::Date64 => {
            DataType::Utf8
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Utf8
        }
        DataType::Time32(_) | DataType::Time64(_) => DataType::Utf8,
        DataType::Dictionary(_, value) => return target(value),
        _ => return None,
    })
}

fn value(values: &ArrayRef) -> Result<ArrayRef, arrow::error::ArrowError> {
    let wanted = target(values.data_type()).unwrap_or(DataType::Null);
    let values = match values.data_type() {
        DataType::Dictionary(_, value) => strict(values, value)?,
        _ => Arc::clone(values),
    };
    let values = match values.data_type() {
        DataType::Timestamp(..) => strict(&values, &DataType::Timestamp(TimeUnit::Microsecond, None))?,
        DataType::Date64 => strict(&values, &DataType::Date32)?,
        DataType::FixedSizeBinary(_) => strict(&values, &DataType::Binary)?,
        _ => values,
    };
    let values = strict(&values, &wanted)?;
    Ok(if wanted == DataType::Utf8 { interned(values.as_string()) } else { values })
}

/// Tags are text, and have no empty one.
fn tag(values: &ArrayRef) -> Result<ArrayRef, arrow::error::ArrowError> {
    let texts = strict(&value(values)?, &DataType::Utf8)?;
    let texts: StringArray = texts.as_string::<i32>().iter().map(|t| t.filter(|t| !t.is_empty())).collect();
    Ok(interned(&texts))
}

fn interned(texts: &StringArray) -> ArrayRef {
    let mut interner = Interner::new();
    let keys: arrow::array::UInt32Array = texts.iter().map(|t| t.map(|t| interner.intern(t))).collect();
    Arc::new(arrow::array::DictionaryArray::new(keys, Arc::new(interner.values())))
}

impl Iterator for Pieces {
    type Item = Result<Vec<Batch>, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_broken {
            return None;
        }
        let damaged = |error| ImportError::File(format!("the file is damaged: {error}"));
        let piece = decode(|| match self.reader.next() {
            None => Ok(None),
            Some(rows) => Ok(Some(self.piece(&rows.map_err(damaged)?)?)),
        });
        self.is_broken = piece.is_err();
        piece.map(|batch| batch.map(|batch| vec![batch])).transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use arrow::array::{BinaryArray, Date32Array, Decimal128Array, Int8Array, TimestampNanosecondArray, UInt64Array};
    use arrow::datatypes::{Field, Schema};
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn file(columns: Vec<(&str, ArrayRef)>) -> File {
        let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
        let arrays = columns.into_iter().map(|(_, a)| a).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = ArrowWriter::try_new(file.try_clone().unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        file.rewind().unwrap();
        file
    }

    fn options(time: &str) -> Options {
        Options { time_column: time.into(), time_format: TimeFormat::Auto, tags: Vec::new() }
    }

    #[test]
    fn each_type_becomes_one_that_measurements_have() {
        let at = TimestampNanosecondArray::from(vec![1_767_225_600_000_000_999, 1_767_225_601_000_000_000]);
        let input = file(vec![
            ("When", Arc::new(at.clone())),
            ("small", Arc::new(Int8Array::from(vec![Some(-1), None]))),
            ("big", Arc::new(UInt64Array::from(vec![u64::MAX, 1]))),
            ("price", Arc::new(Decimal128Array::from(vec![150, 225]).with_precision_and_scale(10, 2).unwrap())),
            ("raw", Arc::new(BinaryArray::from(vec![b"ab".as_slice(), b""]))),
            ("day", Arc::new(Date32Array::from(vec![20_454, 0]))),
            ("other", Arc::new(at)),
            ("host", Arc::new(StringArray::from(vec!["a", ""]))),
        ]);
        let mut pieces = Pieces::open(input, Options { tags: vec!["HOST".into()], ..options("when") }, "t").unwrap();
        assert_eq!((pieces.rows(), pieces.names().next()), (2, Some("time")));
        let batch = pieces.next().unwrap().unwrap().remove(0);
        assert_eq!(batch.time.as_ref(), [1_767_225_600_000_000, 1_767_225_601_000_000]);
        let text = |at: usize| {
            let texts = arrow::compute::cast(&batch.columns[at].array, &DataType::Utf8).unwrap();
            texts.as_string::<i32>().iter().map(|t| t.map(str::to_owned)).collect::<Vec<_>>()
        };
        let array = |at: usize| &batch.columns[at].array;
        assert_eq!(array(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(-1), None]);
        assert_eq!(array(1).data_type(), &DataType::UInt64);
        assert_eq!(array(2).as_primitive::<Float64Type>().values().as_ref(), [1.5, 2.25]);
        assert_eq!(text(3), [Some("ab".to_owned()), Some(String::new())]);
        assert_eq!(text(4), [Some("2026-01-01".to_owned()), Some("1970-01-01".to_owned())]);
        assert_eq!(array(5).as_primitive::<Int64Type>().value(0), 1_767_225_600_000_000);
        assert_eq!((text(6), batch.columns[6].role), (vec![Some("a".to_owned()), None], Role::Tag));
        assert!(pieces.next().is_none());
    }

    #[test]
    fn a_file_that_contradicts_itself_is_damaged() {
        let mut input = tempfile::tempfile().unwrap();
        let bytes = include_bytes!("../../../../fuzz/seeds/parquet/contradiction");
        std::io::Write::write_all(&mut input, bytes).unwrap();
        let mut pieces = Pieces::open(input, options("time"), "t").unwrap();
        let error = pieces.find_map(Result::err).unwrap().to_string();
        assert!(error.contains("damaged"), "{error}");
        assert!(pieces.next().is_none(), "its reader is not asked again");

        let bytes = include_bytes!("../../../../fuzz/seeds/parquet/elements-behind-the-end");
        let mut input = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut input, bytes).unwrap();
        let error = Pieces::open(input, options("time"), "t").unwrap_err().to_string();
        assert!(error.contains("contradicts itself"), "{error}");

        // the header of the first page, behind the magic bytes, begins with field 15, a list of 2^31 - 1 floats
        let mut input = file(vec![("time", Arc::new(Int64Array::from_iter_values(0..100)))]);
        input.seek(std::io::SeekFrom::Start(4)).unwrap();
        std::io::Write::write_all(&mut input, b"\xf9\xf7\xff\xff\xff\xff\x07").unwrap();
        let error = Pieces::open(input, options("time"), "t").unwrap().find_map(Result::err).unwrap().to_string();
        assert!(error.contains("the header at byte 4 contradicts itself: 2147483647 elements"), "{error}");
    }

    #[test]
    fn what_has_no_place_is_named() {
        let lists = arrow::array::ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]);
        let one = || Arc::new(Int64Array::from(vec![Some(1_767_225_600)])) as ArrayRef;
        let refused = |columns, options: Options| match Pieces::open(file(columns), options, "t") {
            Err(error) => error.to_string(),
            Ok(mut pieces) => pieces.next().unwrap().unwrap_err().to_string(),
        };
        assert!(
            refused(vec![("time", one()), ("l", Arc::new(lists))], options("time")).contains("column \"l\" is List")
        );
        assert!(refused(vec![("t", one())], options("time")).contains("no column \"time\""));
        let null = Arc::new(Int64Array::from(vec![None]));
        assert!(refused(vec![("time", null)], options("time")).contains("line 1, column \"time\""));
        let text = Arc::new(StringArray::from(vec!["soon"]));
        assert!(refused(vec![("time", text)], options("time")).contains("\"soon\" is no time"));
        let binary = Arc::new(BinaryArray::from(vec![b"\xff".as_slice()]));
        assert!(refused(vec![("time", one()), ("b", binary)], options("time")).contains("column \"b\""));
        let mut text = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut text, b"time,v\n1,2\n").unwrap();
        text.rewind().unwrap();
        assert!(Pieces::open(text, options("time"), "t").unwrap_err().to_string().contains("no Parquet"));
    }
}
