use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

/// A schema in types that every Arrow reader of the last years understands: no views, no
/// dictionaries (unless `dictionaries` is asked for), times as UTC microseconds.
pub fn schema(schema: &Schema, dictionaries: bool) -> SchemaRef {
    let fields: Vec<Field> =
        schema.fields().iter().map(|f| Field::new(f.name(), plain(f.data_type(), dictionaries), true)).collect();
    Arc::new(Schema::new(fields))
}

fn plain(ty: &DataType, dictionaries: bool) -> DataType {
    match ty {
        DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8 if dictionaries => {
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
        }
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, values) => plain(values, dictionaries),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) => {
            let item = Field::new(item.name(), plain(item.data_type(), false), item.is_nullable());
            DataType::List(Arc::new(item))
        }
        other => other.clone(),
    }
}

/// A batch of the engine under a schema made by [`schema`].
pub fn batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => compute::cast(column, field.data_type()),
        })
        .collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// The word for a type in a JSON answer's `types` list.
pub fn type_name(ty: &DataType) -> String {
    match ty {
        DataType::Boolean => "bool".into(),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "utf8".into(),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => "binary".into(),
        DataType::Timestamp(..) => "timestamp[us]".into(),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("decimal({p}, {s})"),
        DataType::Date32 | DataType::Date64 => "date32".into(),
        DataType::Null => "null".into(),
        DataType::List(_) | DataType::LargeList(_) | DataType::ListView(_) => "list".into(),
        DataType::Struct(_) => "struct".into(),
        DataType::Map(..) => "map".into(),
        DataType::Float16 | DataType::Float32 => "float32".into(),
        other => other.to_string().to_ascii_lowercase(),
    }
}
