use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

use super::{ArrowOptions, EncodeError, Encoder, Ending, Left, plain};

/// An Arrow IPC stream in types that every reader understands, of at least one batch.
pub(super) struct Stream {
    schema: SchemaRef,
    writer: StreamWriter<Vec<u8>>,
    is_empty: bool,
}

impl Stream {
    pub fn new(schema: &Schema, options: &ArrowOptions) -> Result<Self, EncodeError> {
        let schema = plain::schema(schema, options);
        let ipc = IpcWriteOptions::default().try_with_compression(options.compression)?;
        let writer = StreamWriter::try_new_with_options(Vec::new(), &schema, ipc)?;
        Ok(Self { schema, writer, is_empty: true })
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        if out.is_empty() {
            std::mem::swap(out, self.writer.get_mut());
        } else {
            out.append(self.writer.get_mut());
        }
    }
}

impl Encoder for Stream {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.take(out);
        Ok(())
    }

    fn batch(&mut self, out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), EncodeError> {
        if batch.num_rows() > 0 {
            self.writer.write(&plain::batch(batch, &self.schema)?)?;
            self.is_empty = false;
            self.take(out);
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>, _: &Ending) -> Result<Left, EncodeError> {
        if self.is_empty {
            // readers that build a frame from the first batch want at least one
            self.writer.write(&RecordBatch::new_empty(SchemaRef::clone(&self.schema)))?;
        }
        self.writer.finish()?;
        self.take(out);
        Ok(Left::Nothing)
    }
}
