//! Every bound of the system. The unit is in the name; the reason stands beside it.

/// Longest database name: file systems and dashboards show it.
pub const DATABASE_NAME_BYTES: usize = 64;
/// Longest table, tag or field name: what Telegraf and OTel emit stays far below.
pub const ITEM_NAME_BYTES: usize = 255;
/// Longest slug of a name in a path: 255-byte file systems, ids are appended.
pub const SLUG_BYTES: usize = 100;
/// Columns of one table: readers load every column row of a catalog after each schema change.
pub const TABLE_COLUMNS: usize = 2_000;
/// Tables of one server: measured limit of the catalog (`first query after a schema change`).
pub const TABLES: usize = 10_000;
/// Columns of all tables together: measured limit of the catalog.
pub const CATALOG_COLUMNS: usize = 1_000_000;
/// Nesting of a MessagePack body: the deepest legal shape has four levels.
pub const MSGPACK_DEPTH: usize = 8;
/// Cells (rows × columns) one request may carry: bounds padding of sparse rows.
pub const REQUEST_CELLS: usize = 64 << 20;
/// Tables one request may touch.
pub const REQUEST_TABLES: usize = 1_000;
/// Bad lines or items an answer names: a longer list helps nobody.
pub const REPORTED_LINES: usize = 1_000;
/// Bytes of one string value.
pub const STRING_VALUE_BYTES: usize = 16 << 20;
/// Members of a gzip or zstd body: each costs a decoder reset.
pub const INFLATE_MEMBERS: usize = 10_000;
/// Distinct values a dictionary column may hold in one hot generation.
pub const DICTIONARY_VALUES: usize = 65_536;
/// Rows after which a column's share of distinct values is judged.
pub const DICTIONARY_JUDGED_ROWS: usize = 65_536;
/// Times a request is resolved again after a schema change under it.
pub const RESOLVE_ATTEMPTS: usize = 8;
/// One log segment.
pub const LOG_SEGMENT_BYTES: u64 = 64 << 20;
/// Free space with which a commit of the catalog begins: its log of changes grows to about so much.
pub const COMMIT_BYTES: u64 = 4 << 20;
/// Bytes one group commit gathers: a sync costs the same up to about this size.
pub const LOG_GROUP_BYTES: usize = 8 << 20;
/// Requests one group commit gathers.
pub const LOG_GROUP_RECORDS: usize = 4_096;
/// Requests that wait for the log; more are refused with a retry hint.
pub const LOG_QUEUE_RECORDS: usize = 8_192;
/// Rows of one hot chunk after coalescing: one engine batch reads several.
pub const HOT_CHUNK_ROWS: usize = 65_536;
/// Chunks of one size that are merged into one of the next.
pub const HOT_CHUNK_FANOUT: usize = 8;
/// Rows of one Parquet row group: larger ones lose pruning (measured).
pub const ROW_GROUP_ROWS: usize = 122_880;
/// Hours that get a file of their own in one flush of one table.
pub const FLUSH_HOUR_FILES: usize = 12;
/// Wider files of one flush of one table (day, month or year).
pub const FLUSH_WIDE_FILES: usize = 4;
/// Catalog jobs that share one transaction.
pub const CATALOG_SHARED_JOBS: usize = 256;
/// Snapshots kept in the catalog unless younger than the expiry age.
pub const SNAPSHOTS: usize = 2_000;
/// Longest SQL text.
pub const SQL_BYTES: usize = 1 << 20;
/// Nesting of SQL expressions and queries.
pub const SQL_DEPTH: usize = 50;
/// Expressions that the parser of SQL begins to read at most, each in about a microsecond: so many, and so many for each token.
pub const SQL_TRIES: usize = 100_000;
pub const SQL_TRIES_A_TOKEN: usize = 8;
/// Buckets that gap filling adds to one group: what one chart shows has thousands.
pub const GAPFILL_BUCKETS: usize = 1_000_000;
/// Imports that run at once: each has a file on disk and a part of the hot memory.
pub const IMPORTS: usize = 2;
/// Imports that are known by their content.
pub const KNOWN_IMPORTS: usize = 100_000;
/// Idempotency keys remembered.
pub const IDEMPOTENCY_KEYS: usize = 1_000_000;
/// How long an idempotency key is remembered, in seconds.
pub const IDEMPOTENCY_SECONDS: i64 = 24 * 3600;
/// Longest idempotency key.
pub const IDEMPOTENCY_KEY_BYTES: usize = 255;
/// Longest remembered answer to a keyed request.
pub const IDEMPOTENCY_ANSWER_BYTES: usize = 4 << 10;

/// Rows from which on a column with few values is kept as its values and their rows.
pub const SPARSE_ROWS: usize = 64;
/// A column is kept so when fewer than one row in this many has a value.
pub const SPARSE_SHARE: usize = 8;
/// Rows × columns that a flush lays out at a time.
pub const FLUSH_SLICE_CELLS: usize = 8 << 20;
/// Files that one round of cleaning removes from the disk.
pub const REMOVED_FILES: usize = 10_000;
/// Files that one merge takes.
pub const MERGED_FILES: usize = 64;
/// Merges that are remembered for the history.
pub const COMPACTION_HISTORY: usize = 10_000;
/// Live files of all tables that compaction aims to stay below.
pub const LIVE_FILES: usize = 10_000;
/// Bytes of files up to which a write that brings a float rewrites an integer column.
pub const WIDENED_BYTES: u64 = 64 << 20;
/// Retention policies of one server.
pub const RETENTION_POLICIES: usize = 10_000;
/// Executions of all policies that are remembered.
pub const RETENTION_EXECUTIONS: usize = 1_000;
/// Jobs that requests started and that run at once; more get 503.
pub const RUNNING_JOBS: usize = 8;
/// Jobs that are remembered.
pub const JOB_RECORDS: usize = 10_000;
/// Jobs that a client gets in one list.
pub const LISTED_JOBS: usize = 1_000;
/// Continuous queries of one server.
pub const CONTINUOUS_QUERIES: usize = 1_000;
/// Executions of one continuous query that are remembered.
pub const CONTINUOUS_EXECUTIONS: usize = 1_000;
/// Changed ranges that one continuous query has to compute again; more become one.
pub const TOUCHED_RANGES: usize = 10_000;
/// Rows that one run of a continuous query writes in one commit.
pub const CONTINUOUS_ROWS: usize = 2_000_000;
/// Tokens of one server.
pub const TOKENS: usize = 10_000;
/// Scopes of one token: each is a pattern that a check may have to try.
pub const TOKEN_SCOPES: usize = 100;
/// Audit events that wait to be written; what comes beyond is counted as dropped.
pub const AUDIT_WAITING: usize = 10_000;
/// Audit events that are kept, whatever their age.
pub const AUDIT_EVENTS: usize = 1_000_000;
/// Queries that ended and are remembered for lists.
pub const QUERY_HISTORY: usize = 1_000;
/// Bytes of a statement that lists of queries show.
pub const LISTED_SQL_BYTES: usize = 4 << 10;
/// Connections beyond `server.max_connections` that are answered once: health, or that there is no room.
pub const GUEST_CONNECTIONS: usize = 64;
/// Header fields of a request: clients send a dozen.
pub const HEADERS: usize = 100;
/// Bytes of a request body that is no payload: statements are shorter than [`SQL_BYTES`], escapes make them longer.
pub const SMALL_BODY_BYTES: u64 = 4 << 20;
/// Messages of the log that `/api/v1/logs` remembers.
pub const LOG_MESSAGES: usize = 10_000;
/// Bytes of one of them.
pub const LOG_MESSAGE_BYTES: usize = 4 << 10;
/// Databases that `/metrics` shows by name, the largest first; the rest are summed up.
pub const METRIC_DATABASES: usize = 50;
/// Backups that a list shows, the newest.
pub const LISTED_BACKUPS: usize = 1_000;
/// Bytes beyond those that a body may have which are taken off the wire, so that its client hears why.
pub const DISCARDED_BYTES: u64 = 64 << 20;
