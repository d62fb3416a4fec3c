//! The corpus of InfluxData's Go module `github.com/influxdata/line-protocol/v2` v2.2.1 (`testdata/corpus.json`, MIT: see
//! `data/line-protocol-LICENSE`), one case a line: text, precision, time of lines without one, and the points that it
//! means, or none where it is invalid.

use std::collections::BTreeMap;
use std::io::Read as _;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt32Type, UInt64Type};
use base64::Engine as _;
use model::time::Precision;
use model::{Batch, Role};
use serde_json::Value;

const CORPUS: &[u8] = include_bytes!("data/line-protocol-v2.2.1.jsonl.gz");

/// Measurement, tags, fields as text, nanoseconds.
type Point = (String, BTreeMap<String, String>, BTreeMap<String, String>, i128);

fn bytes(value: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(value.as_str().expect("text")).expect("base64")
}

fn name(value: &Value) -> String {
    String::from_utf8_lossy(&bytes(value)).into_owned()
}

fn meant(point: &Value) -> Point {
    let tags = point["tags"].as_array().expect("tags").iter().map(|t| (name(&t[0]), name(&t[1])));
    let field = |f: &Value| {
        let value = match f[1].as_str().expect("a type") {
            "string" => format!("{:?}", name(&f[2])),
            "float" => format!("{:?}", f[2].as_str().expect("text").parse::<f64>().expect("a float")),
            "int" => format!("{}i", f[2]),
            "uint" => format!("{}u", f[2]),
            _ => f[2].to_string(),
        };
        (name(&f[0]), value)
    };
    let fields = point["fields"].as_array().expect("fields").iter().map(field).collect();
    (name(&point["name"]), tags.collect(), fields, point["time"].as_i64().expect("a time").into())
}

fn found(batches: &[Batch]) -> Vec<Point> {
    let mut points = Vec::new();
    for batch in batches {
        for row in 0..batch.rows() {
            let ns = batch.time_ns.as_ref().map_or(0, |ns| ns[row]);
            let mut point = (
                batch.table.to_string(),
                BTreeMap::new(),
                BTreeMap::new(),
                i128::from(batch.time[row]) * 1000 + i128::from(ns),
            );
            for column in batch.columns.iter().filter(|c| c.array.is_valid(row)) {
                let array = &column.array;
                let text = || {
                    let dictionary = array.as_dictionary::<UInt32Type>();
                    dictionary.values().as_string::<i32>().value(dictionary.keys().value(row) as usize).to_owned()
                };
                let value = match array.data_type() {
                    DataType::Boolean => array.as_boolean().value(row).to_string(),
                    DataType::Int64 => format!("{}i", array.as_primitive::<Int64Type>().value(row)),
                    DataType::UInt64 => format!("{}u", array.as_primitive::<UInt64Type>().value(row)),
                    DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
                    _ if column.role == Role::Tag => text(),
                    _ => format!("{:?}", text()),
                };
                let into = if column.role == Role::Tag { &mut point.1 } else { &mut point.2 };
                into.insert(column.name.to_string(), value);
            }
            points.push(point);
        }
    }
    points.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
    points
}

/// Where we differ on purpose, by the text of the case.
fn difference(text: &str) -> Option<&'static str> {
    let begins = |c: char| text.starts_with(c);
    Some(match text {
        // InfluxDB's servers know no other escapes in strings than \" and \\
        _ if ["m v=\"\\n\"", "m v=\"\\r\"", "m v=\"\\t\""].contains(&text) => "escape in a string",
        _ if text.contains("t=t,T=T") => "columns whose names differ in case alone",
        _ if text.contains(",time=v0 ") => "a tag called time",
        _ if text.contains("e=-0") => "the sign of a zero, which the corpus does not keep",
        _ if begins('\t') => "white space before a line, which InfluxDB's servers skip",
        _ if begins('#') => "a control character in a comment",
        _ => return None,
    })
}

#[test]
fn every_valid_case_means_what_the_corpus_says_and_no_invalid_one_passes() {
    let mut text = String::new();
    flate2::read::GzDecoder::new(CORPUS).read_to_string(&mut text).expect("gzip");
    let (mut valid, mut invalid, mut wrong, mut differ) = (0, 0, Vec::new(), BTreeMap::new());
    let mut note = |text: &str, how: String| match difference(text) {
        Some(why) => *differ.entry(why).or_insert(0) += 1,
        None => wrong.push(how),
    };
    for case in text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a case")) {
        let precision = Precision::parse(case["precision"].as_str().expect("a precision")).expect("known");
        let input = bytes(&case["text"]);
        let now = case["now"].as_i64().expect("a time");
        let decoded = tidewater_wire::line_protocol::decode(&input, precision, now.div_euclid(1000));
        let shown = String::from_utf8_lossy(&input);
        match (&case["points"], decoded) {
            (Value::Null, Ok(d)) if d.bad == 0 => note(&shown, format!("passed: {shown:?} as {:?}", found(&d.batches))),
            (Value::Null, _) => invalid += 1,
            (_, Err(error)) => note(&shown, format!("refused: {shown:?}: {error}")),
            (_, Ok(d)) if d.bad > 0 => note(&shown, format!("refused: {shown:?}: {:?}", d.errors)),
            (Value::Array(points), Ok(d)) => {
                let mut wanted: Vec<Point> = points.iter().map(meant).collect();
                wanted.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
                // the time of a line without one is the server's, to the microsecond
                let found = found(&d.batches);
                let cut = |points: &[Point]| {
                    points.iter().map(|p| (p.0.clone(), p.1.clone(), p.2.clone())).collect::<Vec<_>>()
                };
                let same_time = found
                    .iter()
                    .zip(&wanted)
                    .all(|(a, b)| a.3 == b.3 || (b.3 == i128::from(now) && a.3 == b.3.div_euclid(1000) * 1000));
                if cut(&found) == cut(&wanted) && same_time {
                    valid += 1;
                } else {
                    note(&shown, format!("differs: {shown:?}\n  found  {found:?}\n  wanted {wanted:?}"));
                }
            }
            (other, _) => panic!("{other}"),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        wrong.len() + valid + invalid,
        wrong[..wrong.len().min(60)].join("\n")
    );
    assert_eq!(
        differ.into_iter().collect::<Vec<_>>(),
        [
            ("a control character in a comment", 1),
            ("a tag called time", 2),
            ("columns whose names differ in case alone", 4),
            ("escape in a string", 3),
            ("the sign of a zero, which the corpus does not keep", 2),
            ("white space before a line, which InfluxDB's servers skip", 3),
        ]
    );
    assert_eq!((valid, invalid), (395 - 11, 6_220 - 4));
}
