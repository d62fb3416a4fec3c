//! Comma-separated values (RFC 4180), read twice: once for the types of its columns, once for its rows.
//!
//! A column is integers, numbers, booleans or text, the first of these that every cell is; a column of a table that
//! is text already stays text. An empty cell is NULL, of a column of text the empty text.

use std::borrow::Cow;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use arrow::buffer::ScalarBuffer;
use csv::{ByteRecord, Reader, ReaderBuilder};
use model::{Batch, BatchColumn, Role, fold, limits};

use super::{ImportError, PIECE_BYTES, PIECE_ROWS, TimeFormat, cell};
use crate::column::{ColumnBuilder, Value};

/// How a file is written.
#[derive(Debug, Clone)]
pub struct Options {
    pub delimiter: u8,
    /// Lines before the header.
    pub skip_rows: usize,
    pub time_column: String,
    pub time_format: TimeFormat,
    /// Columns that are tags.
    pub tags: Vec<String>,
}

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Every cell is empty: a later file may say what it is.
    Empty,
    Int,
    /// Integers of which some are beyond 63 bits, and none is negative.
    UInt,
    Float,
    Bool,
    Text,
}

/// What all cells so far can be.
#[derive(Debug, Clone, Copy)]
struct Can {
    int: bool,
    uint: bool,
    float: bool,
    bool: bool,
    /// There was a cell that is not empty.
    is_used: bool,
}

impl Can {
    const ALL: Can = Can { int: true, uint: true, float: true, bool: true, is_used: false };

    fn look(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.is_used = true;
        self.bool = self.bool && boolean(text).is_some();
        if !(self.int || self.uint || self.float) {
            return;
        }
        let is_whole = || text.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b'+');
        if !self.int && !self.uint && !is_whole() {
            self.float = number(text).is_some();
            return;
        }
        match text.parse::<i64>() {
            Ok(v) => {
                self.uint = self.uint && v >= 0;
                self.float = self.float && v.unsigned_abs() <= model::schema::EXACT_FLOAT;
            }
            Err(_) => {
                let is_wide = text.parse::<u64>().is_ok();
                self.int = false;
                self.uint = self.uint && is_wide;
                self.float = self.float && !is_wide && number(text).is_some();
            }
        }
    }

    fn kind(self) -> Kind {
        match self {
            Can { is_used: false, .. } => Kind::Empty,
            Can { int: true, .. } => Kind::Int,
            Can { uint: true, .. } => Kind::UInt,
            Can { float: true, .. } => Kind::Float,
            Can { bool: true, .. } => Kind::Bool,
            _ => Kind::Text,
        }
    }
}

fn number(text: &str) -> Option<f64> {
    fast_float2::parse(text).ok()
}

fn boolean(text: &str) -> Option<bool> {
    if text == "1" || text.eq_ignore_ascii_case("true") {
        return Some(true);
    }
    (text == "0" || text.eq_ignore_ascii_case("false")).then_some(false)
}

/// The columns of a file.
#[derive(Debug, Clone)]
pub struct Columns {
    names: Vec<Arc<str>>,
    kinds: Vec<Kind>,
    time: usize,
}

impl Columns {
    /// Reads a whole file for the types of its columns; `is_text` knows columns that stay text.
    ///
    /// # Errors
    /// There is no header, it names a column twice or none, or lacks the column of times; a row has another number of
    /// cells; a cell is no UTF-8.
    pub fn read(input: impl Read, options: &Options, is_text: impl Fn(&str) -> bool) -> Result<Self, ImportError> {
        let mut rows = Rows::open(input, options)?;
        let names = rows.header()?;
        let time = names.iter().position(|n| fold(n) == fold(&options.time_column)).ok_or_else(|| {
            let known = names.join(", ");
            ImportError::File(format!(
                "there is no column {:?} of times; name it in time_column, of {known}",
                options.time_column
            ))
        })?;
        let mut can = vec![Can::ALL; names.len()];
        while rows.next()? {
            let cells = rows.cells(&names)?;
            for (at, can) in can.iter_mut().enumerate().filter(|(at, _)| *at != time) {
                can.look(cells.get(at)?);
            }
        }
        let is_tag = |name: &str| options.tags.iter().any(|t| fold(t) == fold(name));
        if let Some(lost) = options.tags.iter().find(|t| names.iter().all(|n| fold(n) != fold(t))) {
            return Err(ImportError::File(format!("there is no column {lost:?}, which is to be a tag")));
        }
        let kind = |(name, can): (&Arc<str>, &Can)| if is_tag(name) || is_text(name) { Kind::Text } else { can.kind() };
        let kinds = names.iter().zip(&can).map(kind).collect();
        Ok(Self { names, kinds, time })
    }

    /// Names as the file has them, the time first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let others = self.names.iter().enumerate().filter(|(at, _)| *at != self.time).map(|(_, name)| &**name);
        ["time"].into_iter().chain(others)
    }
}

/// The records of a file.
struct Rows<R> {
    reader: Reader<BufReader<R>>,
    record: ByteRecord,
    skipped: u64,
}

impl<R: Read> Rows<R> {
    fn open(input: R, options: &Options) -> Result<Self, ImportError> {
        let mut input = BufReader::with_capacity(1 << 20, input);
        let skipped = options.skip_rows as u64;
        for _ in 0..options.skip_rows {
            skip_line(&mut input)?;
        }
        let reader =
            ReaderBuilder::new().delimiter(options.delimiter).has_headers(false).flexible(true).from_reader(input);
        Ok(Self { reader, record: ByteRecord::new(), skipped })
    }

    fn header(&mut self) -> Result<Vec<Arc<str>>, ImportError> {
        if !self.next()? {
            return Err(ImportError::File("the file is empty: its first line names the columns".into()));
        }
        let mut names: Vec<Arc<str>> = Vec::with_capacity(self.record.len());
        for (at, name) in self.record.iter().enumerate() {
            let name = if at == 0 { name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name) } else { name };
            let name = std::str::from_utf8(name).map_err(|_| self.broken("the header is no UTF-8"))?.trim();
            if name.is_empty() {
                return Err(self.broken(format!("column {} has no name", at + 1)));
            }
            if names.iter().any(|known| fold(known) == fold(name)) {
                return Err(self.broken(format!("column {name:?} stands twice in the header")));
            }
            names.push(name.into());
        }
        if names.len() > limits::TABLE_COLUMNS {
            return Err(self.broken(format!("{} columns are more than {}", names.len(), limits::TABLE_COLUMNS)));
        }
        Ok(names)
    }

    /// The number of the line where the record begins, from 1.
    fn line(&self) -> u64 {
        let began = self.record.position().map_or(0, csv::Position::line);
        // it began to look there: empty lines may have come before the record
        let own = 1 + memchr::memchr_iter(b'\n', self.record.as_slice()).count() as u64;
        began.max(self.reader.position().line().saturating_sub(own)) + self.skipped
    }

    fn broken(&self, reason: impl Into<String>) -> ImportError {
        ImportError::Line { line: self.line(), reason: reason.into() }
    }

    /// Reads the next record that is no empty line; false at the end.
    fn next(&mut self) -> Result<bool, ImportError> {
        self.reader.read_byte_record(&mut self.record).map_err(|e| match e.into_kind() {
            csv::ErrorKind::Io(error) => ImportError::Io(error),
            other => ImportError::File(format!("{other:?}")),
        })
    }

    /// The cells of the record, one for each name.
    fn cells<'a>(&'a self, names: &'a [Arc<str>]) -> Result<Cells<'a, R>, ImportError> {
        if self.record.len() != names.len() {
            return Err(self.broken(format!("{} cells, and the header names {}", self.record.len(), names.len())));
        }
        // looked at once for all cells; what is broken in one is named when it is asked for
        let text = std::str::from_utf8(self.record.as_slice()).ok();
        Ok(Cells { rows: self, names, text })
    }
}

/// The cells of one record.
struct Cells<'a, R> {
    rows: &'a Rows<R>,
    names: &'a [Arc<str>],
    /// All of them without what is between, if that is UTF-8.
    text: Option<&'a str>,
}

impl<'a, R: Read> Cells<'a, R> {
    fn get(&self, at: usize) -> Result<&'a str, ImportError> {
        let record = &self.rows.record;
        let whole = self.text.and_then(|text| text.get(record.range(at)?));
        let text = whole.map_or_else(|| std::str::from_utf8(&record[at]), Ok);
        text.map_err(|_| self.broken(at, &String::from_utf8_lossy(&record[at]), "is no UTF-8"))
    }

    fn broken(&self, at: usize, value: &str, reason: impl Into<Cow<'static, str>>) -> ImportError {
        cell(self.rows.line(), &self.names[at], value, reason)
    }
}

fn skip_line(input: &mut impl io::BufRead) -> io::Result<()> {
    loop {
        let (found, used) = {
            let buffer = input.fill_buf()?;
            match memchr::memchr(b'\n', buffer) {
                Some(at) => (true, at + 1),
                None => (buffer.is_empty(), buffer.len()),
            }
        };
        input.consume(used);
        if found {
            return Ok(());
        }
    }
}

/// The rows of a file in pieces.
pub struct Pieces<R> {
    rows: Rows<R>,
    columns: Columns,
    options: Options,
    table: Arc<str>,
    is_over: bool,
}

impl<R: Read> Pieces<R> {
    /// # Errors
    /// As [`Columns::read`].
    pub fn open(input: R, columns: Columns, options: Options, table: &str) -> Result<Self, ImportError> {
        let mut rows = Rows::open(input, &options)?;
        rows.header()?;
        Ok(Self { rows, columns, options, table: table.into(), is_over: false })
    }

    fn piece(&mut self) -> Result<Option<Batch>, ImportError> {
        let Columns { names, kinds, time } = &self.columns;
        let mut builders: Vec<ColumnBuilder> = names.iter().map(|_| ColumnBuilder::default()).collect();
        let (mut times, mut origin, mut bytes) = (Vec::new(), Vec::new(), 0);
        while times.len() < PIECE_ROWS && bytes < PIECE_BYTES {
            if !self.rows.next()? {
                self.is_over = true;
                break;
            }
            let row = times.len();
            bytes += self.rows.record.as_slice().len();
            let cells = self.rows.cells(names)?;
            for (at, builder) in builders.iter_mut().enumerate() {
                let text = cells.get(at)?;
                if at == *time {
                    let us = self.options.time_format.of_text(text.trim());
                    times.push(us.map_err(|reason| cells.broken(at, text, reason))?);
                    continue;
                }
                let is_tag = || self.options.tags.iter().any(|t| fold(t) == fold(&names[at]));
                let value = match kinds[at] {
                    Kind::Text if text.is_empty() && is_tag() => None,
                    Kind::Text if text.len() > limits::STRING_VALUE_BYTES => {
                        return Err(cells.broken(at, text, "is longer than a value may be"));
                    }
                    Kind::Text => Some(Value::Str(text)),
                    Kind::Empty => None,
                    _ if text.is_empty() => None,
                    kind => {
                        let value = match kind {
                            Kind::Int => text.parse().ok().map(Value::Int),
                            Kind::UInt => text.parse().ok().map(Value::UInt),
                            Kind::Float => number(text).map(Value::Float),
                            _ => boolean(text).map(Value::Bool),
                        };
                        // the file was read before: it is another one now
                        let changed = || cells.broken(at, text, "has changed while it was read");
                        Some(value.ok_or_else(changed)?)
                    }
                };
                if let Some(value) = value {
                    builder.pad(row);
                    builder.push(value);
                }
            }
            origin.push(u32::try_from(self.rows.line()).unwrap_or(u32::MAX));
        }
        let rows = times.len();
        if rows == 0 {
            return Ok(None);
        }
        let column = |(at, mut builder): (usize, ColumnBuilder)| {
            builder.pad(rows);
            let is_tag = self.options.tags.iter().any(|t| fold(t) == fold(&names[at]));
            let role = if is_tag { Role::Tag } else { Role::None };
            BatchColumn { name: Arc::clone(&names[at]), role, array: builder.finish() }
        };
        let columns = builders.into_iter().enumerate().filter(|(at, _)| at != time).map(column).collect();
        Ok(Some(Batch {
            table: Arc::clone(&self.table),
            time: ScalarBuffer::from(times),
            time_ns: None,
            columns,
            origin,
        }))
    }
}

impl<R: Read> Iterator for Pieces<R> {
    type Item = Result<Vec<Batch>, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let piece = self.piece();
        self.is_over |= piece.is_err();
        piece.map(|batch| batch.map(|batch| vec![batch])).transpose()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{DataType, Float64Type, Int64Type};

    use super::*;

    fn options() -> Options {
        let (time_column, time_format) = ("time".to_owned(), TimeFormat::Auto);
        Options { delimiter: b',', skip_rows: 0, time_column, time_format, tags: Vec::new() }
    }

    fn read(text: &str, options: Options) -> Result<Vec<Batch>, ImportError> {
        let columns = Columns::read(text.as_bytes(), &options, |name| name == "zip")?;
        let pieces = Pieces::open(text.as_bytes(), columns, options, "t")?;
        Ok(pieces.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    #[test]
    fn a_column_is_the_narrowest_type_that_every_cell_is() {
        let text = "\u{feff}time,i,u,f,b,s,zip,big\n\
                    2026-01-01T00:00:00Z,1,18446744073709551615,1,true,x,01234,9007199254740993\n\
                    2026-01-01 00:00:01.5,,1,2.5,FALSE,\"a,\"\"b\"\"\nc\",1,1\n\n1767225602,-3,2,nan,0,,2,1.5\n";
        let batches = read(text, options()).unwrap();
        let [batch] = batches.as_slice() else { panic!("{} batches", batches.len()) };
        assert_eq!(batch.time.as_ref(), [1_767_225_600_000_000, 1_767_225_601_500_000, 1_767_225_602_000_000]);
        assert_eq!(batch.origin, [2, 3, 6], "a text may go over lines");
        let types: Vec<_> = batch.columns.iter().map(|c| c.array.data_type().clone()).collect();
        let text = DataType::Dictionary(DataType::UInt32.into(), DataType::Utf8.into());
        let (int, float) = (DataType::Int64, DataType::Float64);
        // of an integer beyond 2^53 and a fraction no number can be both
        let wanted = [int, DataType::UInt64, float, DataType::Boolean, text.clone(), text.clone(), text];
        assert_eq!(types, wanted);
        let ints = batch.columns[0].array.as_primitive::<Int64Type>();
        assert_eq!((ints.value(0), ints.is_null(1), ints.value(2)), (1, true, -3));
        assert!(batch.columns[2].array.as_primitive::<Float64Type>().value(2).is_nan());
        let texts = arrow::compute::cast(&batch.columns[4].array, &DataType::Utf8).unwrap();
        let texts = texts.as_string::<i32>();
        assert_eq!((texts.value(1), texts.value(2)), ("a,\"b\"\nc", ""));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_column_and_value() {
        for (text, says) in [
            ("", "the file is empty"),
            ("a,b\n", "there is no column \"time\""),
            ("time,a,A\n", "column \"A\" stands twice"),
            ("time,\n", "column 2 has no name"),
            ("time,a\n1,2\n1,2,3\n", "line 3: 3 cells, and the header names 2"),
            ("time,a\n1,2\nyesterday,2\n", "line 3, column \"time\": \"yesterday\" is no time"),
            ("time,a\n99999999999999999999999,2\n", "line 2, column \"time\""),
            ("time,a\n,2\n", "line 2, column \"time\": \"\" is no time"),
            ("time,a\nnan,2\n", "line 2, column \"time\": \"nan\" time is not a finite number"),
            ("time,a\n-inf,2\n", "line 2, column \"time\": \"-inf\" time is not a finite number"),
        ] {
            let error = read(text, options()).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
        // of the second the cells are UTF-8 only together
        for bytes in [&b"time,a\n1,\xff\n"[..], b"time,a,b\n1,\xc3,\xa9\n"] {
            let error = Columns::read(bytes, &options(), |_| false).unwrap_err().to_string();
            assert!(error.contains("line 2, column \"a\"") && error.contains("UTF-8"), "{error}");
        }
    }

    #[test]
    fn delimiters_skipped_lines_formats_of_time_and_tags_are_options() {
        let text = "# written by hand\n\nwhen;host;v\n1767225600;a;1\n1767225601;;2\n";
        let more = Options {
            delimiter: b';',
            skip_rows: 2,
            time_column: "WHEN".into(),
            time_format: TimeFormat::parse("epoch_s").unwrap(),
            tags: vec!["Host".into()],
        };
        let batches = read(text, more.clone()).unwrap();
        assert_eq!(batches[0].origin, [4, 5]);
        assert_eq!((batches[0].columns[0].role, batches[0].columns[1].role), (Role::Tag, Role::None));
        assert_eq!(batches[0].columns[0].array.null_count(), 1, "a tag has no empty text");
        let lost = read(text, Options { tags: vec!["rack".into()], ..more }).unwrap_err();
        assert!(lost.to_string().contains("rack"), "{lost}");
    }

    #[test]
    fn times_keep_every_digit_that_they_have() {
        for (written, format, us) in [
            ("1767225600.123456", "", 1_767_225_600_123_456),
            ("1767225600.5", "epoch_s", 1_767_225_600_500_000),
            ("1767225600123456789", "", 1_767_225_600_123_456),
            ("1767225600123456789", "epoch_ns", 1_767_225_600_123_456),
            ("9007199254740993", "epoch_us", 9_007_199_254_740_993),
            ("2026-01-01T00:00:00.000001+01:00", "", 1_767_222_000_000_001),
            ("2026-01-01", "", 1_767_225_600_000_000),
            ("-1", "epoch_s", -1_000_000),
        ] {
            let more = Options { time_format: TimeFormat::parse(format).unwrap(), ..options() };
            let batches = read(&format!("time,empty\n{written},\n"), more).unwrap();
            assert_eq!(batches[0].time.as_ref(), [us], "{written} {format}");
            assert_eq!(
                batches[0].columns[0].array.data_type(),
                &DataType::Null,
                "nothing says what an empty column is"
            );
        }
    }

    #[test]
    fn long_files_come_in_pieces() {
        let mut text = String::from("time,v\n");
        (0..200_000).for_each(|i| text += &format!("{},{i}\n", 1_767_225_600 + i));
        let columns = Columns::read(text.as_bytes(), &options(), |_| false).unwrap();
        let pieces = Pieces::open(text.as_bytes(), columns, options(), "t").unwrap();
        let rows: Vec<usize> = pieces.map(|p| p.unwrap()[0].rows()).collect();
        assert!(rows.len() > 2 && rows.iter().all(|r| *r <= PIECE_ROWS));
        assert_eq!(rows.iter().sum::<usize>(), 200_000);
    }
}
