use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, Decimal256Array,
    DictionaryArray, DurationMicrosecondArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int64Array,
    IntervalMonthDayNanoArray, IntervalYearMonthArray, LargeStringArray, ListArray, MapBuilder, NullArray, StringArray,
    StringBuilder, StringViewArray, StructArray, Time32SecondArray, Time64NanosecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, IntervalMonthDayNano, i256};
use arrow::ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::*;

/// A file in memory.
#[derive(Debug, Default)]
struct Memory(Vec<u8>);

impl Aside for Memory {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<u64> {
        let at = self.0.len() as u64;
        self.0.extend_from_slice(bytes);
        Ok(at)
    }

    fn get(&mut self, at: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        let at = at as usize;
        bytes.copy_from_slice(&self.0[at..at + bytes.len()]);
        Ok(())
    }
}

fn options(arrow: ArrowOptions) -> Options {
    Options { warning: None, with_profile: false, arrow, aside: Box::new(Memory::default()) }
}

fn encoded(format: Format, batches: &[RecordBatch], arrow: ArrowOptions) -> Result<Vec<u8>, EncodeError> {
    let mut encoder = format.encoder(&batches[0].schema(), options(arrow))?;
    let mut out = Vec::new();
    encoder.begin(&mut out)?;
    let mut ending = Ending { timestamp: "2026-01-01T00:00:00Z".into(), ..Ending::default() };
    for batch in batches {
        encoder.batch(&mut out, batch)?;
        ending.rows += batch.num_rows() as u64;
    }
    while encoder.end(&mut out, &ending)? == Left::More {}
    Ok(out)
}

/// A column with its first value as JSON, as CSV and as MessagePack, and its word in `types`.
type Golden = (ArrayRef, &'static str, &'static str, Vec<u8>, &'static str);

/// A column of every type: its value in the first row, as JSON, as CSV, as MessagePack, and its word in `types`. The
/// second row is null.
fn golden() -> Vec<Golden> {
    fn a(array: impl arrow::array::Array + 'static) -> ArrayRef {
        Arc::new(array)
    }
    let int = |n: i64| [&[0xd3][..], &n.to_be_bytes()].concat();
    let uint = |n: u64| [&[0xcf][..], &n.to_be_bytes()].concat();
    let float = |n: f64| [&[0xcb][..], &n.to_be_bytes()].concat();
    let text = |t: &str| [&[0xa0 | t.len() as u8][..], t.as_bytes()].concat();
    let days: i32 = 19_782; // 2024-02-29
    let at = 1_709_211_845_006i64; // 2024-02-29T13:04:05.006Z
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    let fields = vec![Field::new("a", DataType::Int64, true), Field::new("b\"", DataType::Utf8, true)];
    let columns = vec![a(Int64Array::from(vec![Some(7), None])), a(StringArray::from(vec![Some("x"), None]))];
    let valid = arrow::buffer::NullBuffer::from(vec![true, false]);
    let structs = StructArray::new(fields.into(), columns, Some(valid));
    let mut map = MapBuilder::new(None, StringBuilder::new(), arrow::array::Int64Builder::new());
    map.keys().append_value("k");
    map.values().append_value(-1);
    map.append(true).unwrap();
    map.append(false).unwrap();
    let dictionary: DictionaryArray<Int32Type> = [Some("é,\"\n"), None].into_iter().collect();
    let wide = || Decimal128Array::from(vec![Some(i128::from(i64::MIN) * 10), None]);
    vec![
        (a(NullArray::new(2)), "null", "", vec![0xc0], "null"),
        (a(BooleanArray::from(vec![Some(true), None])), "true", "true", vec![0xc3], "bool"),
        (a(Int8Array::from(vec![Some(-128), None])), "-128", "-128", vec![0xd0, 0x80], "int8"),
        (
            a(Int64Array::from(vec![Some(i64::MIN), None])),
            "-9223372036854775808",
            "-9223372036854775808",
            int(i64::MIN),
            "int64",
        ),
        (
            a(UInt64Array::from(vec![Some(u64::MAX), None])),
            "18446744073709551615",
            "18446744073709551615",
            uint(u64::MAX),
            "uint64",
        ),
        (
            a(Float32Array::from(vec![Some(0.1), None])),
            "0.1",
            "0.1",
            [&[0xca][..], &0.1f32.to_be_bytes()].concat(),
            "float32",
        ),
        (a(Float64Array::from(vec![Some(0.1), None])), "0.1", "0.1", float(0.1), "float64"),
        (a(Float64Array::from(vec![Some(f64::NAN), None])), "null", "nan", float(f64::NAN), "float64"),
        (a(Float64Array::from(vec![Some(f64::INFINITY), None])), "null", "inf", float(f64::INFINITY), "float64"),
        (
            a(Float64Array::from(vec![Some(f64::NEG_INFINITY), None])),
            "null",
            "-inf",
            float(f64::NEG_INFINITY),
            "float64",
        ),
        (a(StringArray::from(vec![Some(""), None])), r#""""#, r#""""#, text(""), "utf8"),
        (a(LargeStringArray::from(vec![Some("a b"), None])), r#""a b""#, "a b", text("a b"), "utf8"),
        (
            a(StringViewArray::from(vec![Some("a\"\\\n\u{1}é"), None])),
            r#""a\"\\\n\u0001é""#,
            "\"a\"\"\\\n\u{1}é\"",
            text("a\"\\\n\u{1}é"),
            "utf8",
        ),
        (a(dictionary), r#""é,\"\n""#, "\"é,\"\"\n\"", text("é,\"\n"), "utf8"),
        (
            a(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None])),
            r#""00ff""#,
            "00ff",
            vec![0xc4, 2, 0, 255],
            "binary",
        ),
        (
            a(BinaryViewArray::from(vec![Some(&b"\x00\xff"[..]), None])),
            r#""00ff""#,
            "00ff",
            vec![0xc4, 2, 0, 255],
            "binary",
        ),
        (
            a(FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some([1u8, 2]), None].into_iter(), 2).unwrap()),
            r#""0102""#,
            "0102",
            vec![0xc4, 2, 1, 2],
            "binary",
        ),
        // a sum of integers: 38 digits, no fraction
        (
            a(wide().with_precision_and_scale(38, 0).unwrap()),
            "-92233720368547758080",
            "-92233720368547758080",
            float(-92_233_720_368_547_758_080.0),
            "decimal(38, 0)",
        ),
        (
            a(Decimal128Array::from(vec![Some(i128::from(u64::MAX)), None]).with_precision_and_scale(38, 0).unwrap()),
            "18446744073709551615",
            "18446744073709551615",
            uint(u64::MAX),
            "decimal(38, 0)",
        ),
        (
            a(Decimal128Array::from(vec![Some(-125), None]).with_precision_and_scale(10, 2).unwrap()),
            "-1.25",
            "-1.25",
            float(-1.25),
            "decimal(10, 2)",
        ),
        (
            a(Decimal256Array::from(vec![Some(i256::from(5)), None]).with_precision_and_scale(50, 1).unwrap()),
            "0.5",
            "0.5",
            float(0.5),
            "decimal(50, 1)",
        ),
        (
            a(Date32Array::from(vec![Some(days), None])),
            r#""2024-02-29T00:00:00Z""#,
            "2024-02-29",
            vec![0xcd, 0x4d, 0x46],
            "date32",
        ),
        (
            a(Date64Array::from(vec![Some(-86_400_000), None])),
            r#""1969-12-31T00:00:00Z""#,
            "1969-12-31",
            vec![0xff],
            "date32",
        ),
        (
            a(TimestampSecondArray::from(vec![Some(253_402_300_800), None])),
            r#""+10000-01-01T00:00:00Z""#,
            "+10000-01-01T00:00:00Z",
            uint(253_402_300_800),
            "timestamp[s]",
        ),
        (
            a(TimestampMillisecondArray::from(vec![Some(at), None]).with_timezone("Europe/Berlin")),
            r#""2024-02-29T13:04:05.006Z""#,
            "2024-02-29T13:04:05.006Z",
            uint(at as u64),
            "timestamp[ms]",
        ),
        (
            a(TimestampMicrosecondArray::from(vec![Some(-1), None]).with_timezone("UTC")),
            r#""1969-12-31T23:59:59.999999Z""#,
            "1969-12-31T23:59:59.999999Z",
            vec![0xff],
            "timestamp[us]",
        ),
        (
            a(TimestampNanosecondArray::from(vec![Some(at * 1_000_000 + 7), None])),
            r#""2024-02-29T13:04:05.006000007Z""#,
            "2024-02-29T13:04:05.006000007Z",
            uint(at as u64 * 1_000_000 + 7),
            "timestamp[ns]",
        ),
        (
            a(Time32SecondArray::from(vec![Some(86_399), None])),
            r#""23:59:59""#,
            "23:59:59",
            text("23:59:59"),
            "string_encoded",
        ),
        (
            a(Time64NanosecondArray::from(vec![Some(1), None])),
            r#""00:00:00.000000001""#,
            "00:00:00.000000001",
            text("00:00:00.000000001"),
            "string_encoded",
        ),
        (
            a(DurationMicrosecondArray::from(vec![Some(-90_061_500_000), None])),
            r#""-25:01:01.500""#,
            "-25:01:01.500",
            text("-25:01:01.500"),
            "string_encoded",
        ),
        (
            a(IntervalMonthDayNanoArray::from(vec![Some(IntervalMonthDayNano::new(14, -3, 14_706_007_000_000)), None])),
            r#""1 year 2 months -3 days 04:05:06.007""#,
            "1 year 2 months -3 days 04:05:06.007",
            [&[0xd9, 36][..], b"1 year 2 months -3 days 04:05:06.007"].concat(),
            "string_encoded",
        ),
        (
            a(IntervalYearMonthArray::from(vec![Some(0), None])),
            r#""00:00:00""#,
            "00:00:00",
            text("00:00:00"),
            "string_encoded",
        ),
        (a(list), "[1,null]", "\"[1,null]\"", vec![0x92, 1, 0xc0], "list"),
        (
            a(structs),
            r#"{"a":7,"b\"":"x"}"#,
            "\"{\"\"a\"\":7,\"\"b\\\"\"\"\":\"\"x\"\"}\"",
            [&[0x82, 0xa1, b'a', 7, 0xa2, b'b', b'"'][..], &[0xa1, b'x']].concat(),
            "struct",
        ),
        (a(map.finish()), r#"{"k":-1}"#, "\"{\"\"k\"\":-1}\"", vec![0x81, 0xa1, b'k', 0xff], "map"),
    ]
}

/// The same table of types for every format.
fn every_type() -> RecordBatch {
    let columns = golden().into_iter().enumerate().map(|(i, (array, ..))| (format!("c{i}"), array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

#[test]
fn json_says_every_type() {
    let batch = every_type();
    let text = String::from_utf8(encoded(Format::Json, &[batch], ArrowOptions::default()).unwrap()).unwrap();
    let of = |value: fn(&Golden) -> String| golden().iter().map(value).collect::<Vec<_>>().join(",");
    let names = (0..golden().len()).map(|i| format!("\"c{i}\"")).collect::<Vec<_>>().join(",");
    let (types, first, second) = (of(|g| format!("{:?}", g.4)), of(|g| g.1.to_owned()), of(|_| "null".to_owned()));
    assert_eq!(
        text,
        format!(
            "{{\"success\":true,\"columns\":[{names}],\"types\":[{types}],\"data\":[[{first}],[{second}]],\
             \"row_count\":2,\"execution_time_ms\":0.000,\"timestamp\":\"2026-01-01T00:00:00Z\"}}"
        )
    );
}

#[test]
fn objects_say_what_the_envelope_says() {
    let batch = every_type();
    let objects: Vec<String> = [|g: usize| golden()[g].1.to_owned(), |_| "null".to_owned()]
        .iter()
        .map(|value| {
            let members: Vec<String> = (0..golden().len()).map(|i| format!("\"c{i}\":{}", value(i))).collect();
            format!("{{{}}}", members.join(","))
        })
        .collect();
    let lines = encoded(Format::JsonLines, std::slice::from_ref(&batch), ArrowOptions::default()).unwrap();
    assert_eq!(String::from_utf8(lines).unwrap(), format!("{}\n", objects.join("\n")));
    let array = encoded(Format::JsonArray, &[batch.slice(0, 1), batch.slice(1, 1)], ArrowOptions::default()).unwrap();
    assert_eq!(String::from_utf8(array).unwrap(), format!("[{}]", objects.join(",")));
}

#[test]
fn csv_says_every_type() {
    let batch = every_type();
    let text = String::from_utf8(encoded(Format::Csv, &[batch], ArrowOptions::default()).unwrap()).unwrap();
    let names: Vec<String> = (0..golden().len()).map(|i| format!("c{i}")).collect();
    let first: Vec<&str> = golden().iter().map(|g| g.2).collect();
    assert_eq!(text, format!("{}\n{}\n{}\n", names.join(","), first.join(","), ",".repeat(first.len() - 1)));
}

#[test]
fn a_single_null_is_no_empty_line_of_csv() {
    let batch =
        RecordBatch::try_from_iter([("", Arc::new(Int64Array::from(vec![None, Some(1)])) as ArrayRef)]).unwrap();
    let text = encoded(Format::Csv, &[batch], ArrowOptions::default()).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "\"\"\n\"\"\n1\n");
}

#[test]
fn msgpack_says_every_type_and_columns_that_were_put_aside_are_whole() {
    let batch = every_type();
    let of = |g: &Golden, rows: usize| [g.3.as_slice(), &[0xc0]].concat().repeat(rows / 2);
    // the second is beyond what waits in memory
    for copies in [1usize, 20_000] {
        let bytes = encoded(Format::Msgpack, &vec![batch.clone(); copies], ArrowOptions::default()).unwrap();
        let mut at = 0;
        for (i, g) in golden().iter().enumerate() {
            let values = of(g, 2 * copies);
            let length = match 2 * copies {
                2 => vec![0x92],
                n => [&[0xdc][..], &(n as u16).to_be_bytes()].concat(),
            };
            let wanted = [length, values].concat();
            let found = bytes[at..].windows(wanted.len()).position(|w| w == wanted);
            at += found.unwrap_or_else(|| panic!("column {i} of {copies} copies")) + wanted.len();
        }
        let tail = b"\xa9row_count";
        assert_eq!(&bytes[at..at + tail.len()], tail, "nothing stands behind the last column");
        assert!(bytes.starts_with(b"\x87\xa7success\xc3\xa7columns"));
    }
}

#[test]
fn arrow_has_types_that_old_readers_know_and_at_least_one_batch() {
    let batch = every_type();
    let read = |batch: RecordBatch, options| {
        let bytes = encoded(Format::Arrow, &[batch], options)?;
        let batches = StreamReader::try_new(bytes.as_slice(), None)?.collect::<Result<Vec<_>, _>>()?;
        Ok::<_, EncodeError>(batches)
    };
    // one decimal is beyond 64 bits
    let error = read(batch.clone(), ArrowOptions::default()).unwrap_err().to_string();
    assert!(error.contains("\"c17\"") && error.contains("x-tidewater-arrow-decimals"), "{error}");
    let kept: Vec<usize> = (0..batch.num_columns()).filter(|i| ![17, 18].contains(i)).collect();
    let fitting = batch.project(&kept).unwrap();
    for options in
        [ArrowOptions::default(), ArrowOptions { compression: Some(CompressionType::ZSTD), ..Default::default() }]
    {
        let batches = read(fitting.clone(), options).unwrap();
        assert_eq!((batches.len(), batches[0].num_rows()), (1, 2));
        for field in batches[0].schema().fields() {
            let text = field.data_type().to_string();
            assert!(!text.contains("View") && !text.contains("Decimal") && !text.contains("Large"), "{text}");
            assert!(!matches!(field.data_type(), DataType::Dictionary(..)) && field.is_nullable());
        }
        let json =
            |b: &RecordBatch| encoded(Format::JsonLines, std::slice::from_ref(b), ArrowOptions::default()).unwrap();
        // but for the second unit, which microseconds hold to year 10000 all the same, nothing reads otherwise
        assert_eq!(
            String::from_utf8(json(&batches[0])).unwrap().replace(".006000Z", ".006007Z"),
            String::from_utf8(json(&fitting)).unwrap().replace(".006000007Z", ".006Z"),
        );
    }
    let decimals = read(batch.clone(), ArrowOptions { decimals: true, ..Default::default() }).unwrap();
    assert_eq!(decimals[0].column(17).data_type(), &DataType::Decimal128(38, 0));
    let words = read(fitting.clone(), ArrowOptions { dictionaries: true, ..Default::default() }).unwrap();
    assert!(words[0].schema().fields().iter().any(|f| matches!(f.data_type(), DataType::Dictionary(..))));
    let none = read(fitting.slice(0, 0), ArrowOptions::default()).unwrap();
    assert_eq!(none.iter().map(RecordBatch::num_rows).collect::<Vec<_>>().first(), Some(&0));
}

#[test]
fn parquet_comes_back_equal() {
    let batch = every_type();
    let bytes = encoded(Format::Parquet, &[batch.clone(), batch.clone()], ArrowOptions::default()).unwrap();
    let read = ParquetRecordBatchReader::try_new(bytes::Bytes::from(bytes), 1_024).unwrap();
    let batches: Vec<RecordBatch> = read.collect::<Result<_, _>>().unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
    let csv = |batches: &[RecordBatch]| {
        String::from_utf8(encoded(Format::Csv, batches, ArrowOptions::default()).unwrap()).unwrap()
    };
    let nanoseconds = |text: String| text.replace(".006000007Z", ".006Z");
    assert_eq!(nanoseconds(csv(&batches)), nanoseconds(csv(&[batch.clone(), batch])));
}

#[test]
fn an_answer_without_rows_keeps_its_columns() {
    let batch = every_type().slice(0, 0);
    for format in Format::ALL {
        let bytes =
            encoded(format, std::slice::from_ref(&batch), ArrowOptions { decimals: true, ..Default::default() })
                .unwrap();
        let names = match format {
            Format::JsonArray => b"[]".to_vec(),
            Format::JsonLines => Vec::new(),
            _ => b"c34".to_vec(),
        };
        assert!(bytes.windows(names.len().max(1)).any(|w| w == names) || bytes == names, "{format:?}");
    }
}

#[test]
fn instants_are_those_of_a_calendar() {
    use super::cell::instant;
    let text = |us: i64| {
        let mut out = Vec::new();
        instant(&mut out, i128::from(us) * 1_000);
        String::from_utf8(out).unwrap()
    };
    // every 9 973 999 999 µs of some centuries
    let mut us = -62_000_000_000_000_000i64;
    while us < 250_000_000_000_000_000 {
        let time = chrono::DateTime::from_timestamp_micros(us).unwrap();
        let format = match time.timestamp_subsec_micros() {
            0 => chrono::SecondsFormat::Secs,
            n if n % 1_000 == 0 => chrono::SecondsFormat::Millis,
            _ => chrono::SecondsFormat::Micros,
        };
        assert_eq!(text(us), time.to_rfc3339_opts(format, true));
        us += 997_399_999_999;
    }
}
