use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::cell::texts;
use super::csv::CsvStyle;
use super::{ArrowOptions, EncodeError, Encoder, Ending, Left, plain};

/// Rows of a row group, and bytes of one after which the next begins.
const GROUP_ROWS: usize = 122_880;
const GROUP_BYTES: usize = 32 << 20;

/// A Parquet file (zstd), row group by row group; decimals stay what they are, intervals become text.
pub(super) struct File {
    plain: SchemaRef,
    written: SchemaRef,
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl File {
    pub fn new(schema: &Schema) -> Result<Self, EncodeError> {
        let plain = plain::schema(schema, &ArrowOptions { decimals: true, ..ArrowOptions::default() });
        let as_written = |field: &Arc<Field>| match is_span(field.data_type()) {
            true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
            false => Arc::clone(field),
        };
        let written = Arc::new(Schema::new(plain.fields().iter().map(as_written).collect::<Vec<_>>()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = Some(ArrowWriter::try_new(Vec::new(), SchemaRef::clone(&written), Some(properties))?);
        Ok(Self { plain, written, writer })
    }

    fn writer(&mut self) -> Result<&mut ArrowWriter<Vec<u8>>, EncodeError> {
        self.writer.as_mut().ok_or_else(|| parquet::errors::ParquetError::General("the file has ended".into()).into())
    }

    fn take(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.append(self.writer()?.inner_mut());
        Ok(())
    }
}

/// The format has no type for them.
fn is_span(ty: &DataType) -> bool {
    matches!(ty, DataType::Interval(_) | DataType::Duration(_))
}

impl Encoder for File {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.take(out)
    }

    fn batch(&mut self, out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), EncodeError> {
        let mut batch = plain::batch(batch, &self.plain)?;
        if self.plain != self.written {
            let text = |(column, field): (_, &Arc<Field>)| match is_span(field.data_type()) {
                true => texts::<CsvStyle>(field.name(), column),
                false => Ok(Arc::clone(column)),
            };
            let columns = batch.columns().iter().zip(self.plain.fields()).map(text).collect::<Result<_, _>>()?;
            batch = RecordBatch::try_new(SchemaRef::clone(&self.written), columns)?;
        }
        let writer = self.writer()?;
        writer.write(&batch)?;
        if writer.in_progress_size() >= GROUP_BYTES {
            writer.flush()?;
        }
        self.take(out)
    }

    fn end(&mut self, out: &mut Vec<u8>, _: &Ending) -> Result<Left, EncodeError> {
        if let Some(writer) = self.writer.take() {
            out.append(&mut writer.into_inner()?);
        }
        Ok(Left::Nothing)
    }
}
