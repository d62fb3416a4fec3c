use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::{ArrowOptions, EncodeError};

/// A schema in types that every Arrow reader of the last years understands: no views, no dictionaries unless asked
/// for, times as microseconds, in UTC where they have a zone, decimals as integers (scale 0) and floats unless asked
/// for.
pub(super) fn schema(schema: &Schema, options: &ArrowOptions) -> SchemaRef {
    let fields: Vec<Field> =
        schema.fields().iter().map(|f| Field::new(f.name(), plain(f.data_type(), options), true)).collect();
    Arc::new(Schema::new(fields))
}

fn plain(ty: &DataType, options: &ArrowOptions) -> DataType {
    let inner = |f: &Field| {
        let options = ArrowOptions { dictionaries: false, ..*options };
        Arc::new(Field::new(f.name(), plain(f.data_type(), &options), f.is_nullable()))
    };
    match ty {
        DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8 if options.dictionaries => {
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
        }
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, values) => plain(values, options),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale)
            if !options.decimals =>
        {
            if *scale == 0 {
                DataType::Int64
            } else {
                DataType::Float64
            }
        }
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            DataType::List(inner(item))
        }
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(inner(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|f| inner(f)).collect()),
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else { return ty.clone() };
            let fields = DataType::Struct(fields.iter().map(|f| inner(f)).collect());
            DataType::Map(Arc::new(Field::new(entries.name(), fields, false)), *sorted)
        }
        other => other.clone(),
    }
}

/// A batch of the engine under a schema made by [`schema`].
pub(super) fn batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, EncodeError> {
    // a value that does not fit is an error, never null
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let convert = |(column, field): (&ArrayRef, &Arc<Field>)| match column.data_type() == field.data_type() {
        true => Ok(Arc::clone(column)),
        false => cast_with_options(column, field.data_type(), &strict).map_err(|error| match column.data_type() {
            DataType::Decimal128(..) | DataType::Decimal256(..) => {
                EncodeError::Decimal { column: field.name().clone() }
            }
            _ => EncodeError::Arrow(error),
        }),
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(convert).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The word for a type in an envelope's `types`.
pub fn type_name(ty: &DataType) -> String {
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    };
    match ty {
        DataType::Boolean => "bool".into(),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "utf8".into(),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            "binary".into()
        }
        DataType::Timestamp(of, _) => format!("timestamp[{}]", unit(of)),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("decimal({p}, {s})"),
        DataType::Date32 | DataType::Date64 => "date32".into(),
        DataType::Null => "null".into(),
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => "list".into(),
        DataType::Struct(_) => "struct".into(),
        DataType::Map(..) => "map".into(),
        DataType::Float16 | DataType::Float32 => "float32".into(),
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) | DataType::Interval(_) => {
            "string_encoded".into()
        }
        other => other.to_string().to_ascii_lowercase(),
    }
}
