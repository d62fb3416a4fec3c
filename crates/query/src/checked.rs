//! Data files whose bytes are compared with their checksums as they are read: a disk that gives back other bytes than it
//! was given makes a query fail, never an answer wrong.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::DateTime;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use store::blocks::Blocks;
use store::view::DataFile;

/// Where data files lie, and what is remembered of their footers.
#[derive(Debug)]
pub struct Files {
    pub store: Arc<dyn ObjectStore>,
    pub cache: Arc<FileMetadataCache>,
}

impl Files {
    /// These files alone, by their paths.
    pub fn checked(&self, files: impl Iterator<Item = (Path, Arc<DataFile>)>) -> Arc<dyn ObjectStore> {
        Arc::new(Checked { store: Arc::clone(&self.store), files: files.collect() })
    }

    /// What reads these files for a scan.
    pub fn readers(&self, files: impl Iterator<Item = (Path, Arc<DataFile>)>) -> Arc<dyn ParquetFileReaderFactory> {
        Arc::new(CachedParquetFileReaderFactory::new(self.checked(files), Arc::clone(&self.cache)))
    }
}

#[derive(Debug)]
struct Checked {
    store: Arc<dyn ObjectStore>,
    files: HashMap<Path, Arc<DataFile>>,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "file {0} is damaged: bytes {1:?} are not what was written; take it from a backup (tidewater doctor --deep finds all)"
)]
struct Damaged(Path, Range<u64>);

#[derive(Debug, thiserror::Error)]
#[error("data files are only read here")]
struct ReadOnly;

fn read_only<T>() -> Result<T> {
    Err(Error::NotSupported { source: Box::new(ReadOnly) })
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files of {}", self.files.len(), self.store)
    }
}

impl Checked {
    /// Reads whole blocks around the ranges, and of them what was asked for.
    async fn read(&self, path: &Path, bytes: u64, blocks: &Blocks, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut wanted: Vec<Range<u64>> = ranges.iter().map(|range| Blocks::around(range, bytes)).collect();
        wanted.sort_unstable_by_key(|range| range.start);
        wanted.dedup_by(|next, last| {
            let is_one = next.start <= last.end;
            if is_one {
                last.end = last.end.max(next.end);
            }
            is_one
        });
        let read = self.store.get_ranges(path, &wanted).await?;
        for (range, bytes) in wanted.iter().zip(&read) {
            if bytes.len() as u64 != range.end - range.start || !blocks.hold(range.start, bytes) {
                let source = Box::new(Damaged(path.clone(), range.clone()));
                return Err(Error::Generic { store: "tidewater", source });
            }
        }
        let part = |range: &Range<u64>| {
            let at = wanted.partition_point(|whole| whole.start <= range.start) - 1;
            let from = (range.start - wanted[at].start) as usize;
            read[at].slice(from..from + (range.end - range.start) as usize)
        };
        Ok(ranges.iter().map(part).collect())
    }
}

#[async_trait]
impl ObjectStore for Checked {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let file = self.files.get(location).and_then(|file| Some((file.bytes, file.blocks.as_ref()?)));
        let Some((size, blocks)) = file.filter(|_| !options.head) else {
            return self.store.get_opts(location, options).await;
        };
        let range = match &options.range {
            None => 0..size,
            Some(range) => range
                .as_range(size)
                .map_err(|source| Error::Generic { store: "tidewater", source: Box::new(source) })?,
        };
        let read = self.read(location, size, blocks, std::slice::from_ref(&range)).await?;
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: DateTime::UNIX_EPOCH,
            size,
            e_tag: None,
            version: None,
        };
        let payload = GetResultPayload::Stream(stream::iter(read.into_iter().map(Ok)).boxed());
        Ok(GetResult { payload, meta, range, attributes: Default::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.files.get(location).map(|file| (file.bytes, &file.blocks)) {
            Some((bytes, Some(blocks))) => self.read(location, bytes, blocks, ranges).await,
            _ => self.store.get_ranges(location, ranges).await,
        }
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        async { read_only() }.into_stream().boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        async { read_only() }.into_stream().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        read_only()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }
}
