//! Megabytes of answer that each encoder makes a second, on one core: `cargo xtask bench encode`.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::UInt32Type;
use tidewater_wire::encode::{ArrowOptions, Aside, EncodeError, Ending, Format, Left, Options};

const ROWS: usize = 8192;
const BATCHES: u64 = 200;
const RUNS: usize = 5;

/// What is put aside is kept in memory: the disk is not what is measured.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Aside for Memory {
    fn put(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.0.len() as u64;
        self.0.extend_from_slice(bytes);
        Ok(at)
    }

    fn get(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let at = at as usize;
        bytes.copy_from_slice(&self.0[at..at + bytes.len()]);
        Ok(())
    }
}

/// Numbers that look like chance: Marsaglia's xorshift (2003).
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed), |x| {
        let x = x ^ (x << 13);
        let x = x ^ (x >> 7);
        Some(x ^ (x << 17))
    })
}

fn columns() -> Vec<(&'static str, ArrayRef)> {
    let some = |seed| numbers(seed).take(ROWS);
    let times: TimestampMicrosecondArray =
        some(1).zip(0..).map(|(n, i)| Some(1_767_225_600_000_000 + i * 1_000_000 + (n % 1_000) as i64)).collect();
    let hosts: Vec<String> = some(2).map(|n| format!("host_{}", n % 100)).collect();
    let tags: DictionaryArray<UInt32Type> = hosts.iter().map(|h| Some(h.as_str())).collect();
    let floats: Float64Array = some(3).map(|n| Some(n as f64 / u64::MAX as f64 * 100.0)).collect();
    let short: Float64Array = some(4).map(|n| Some((n % 1_000) as f64 / 10.0)).collect();
    let integers: Int64Array = some(5).map(|n| Some(n as i64 >> (n % 60))).collect();
    let texts: StringArray = some(6).map(|n| Some(format!("what happened was {n:x}, \"said\" so"))).collect();
    vec![
        ("time", Arc::new(times.with_timezone("UTC"))),
        ("host", Arc::new(tags)),
        ("all_digits", Arc::new(floats)),
        ("one_digit", Arc::new(short)),
        ("integer", Arc::new(integers)),
        ("text", Arc::new(texts)),
    ]
}

/// Bytes of an answer of that many rows, and how long its making took.
fn encode(format: Format, batch: &RecordBatch) -> Result<(u64, Duration), EncodeError> {
    let options = Options {
        warning: None,
        with_profile: false,
        arrow: ArrowOptions::default(),
        aside: Box::new(Memory::default()),
    };
    let began = Instant::now();
    let mut encoder = format.encoder(&batch.schema(), options)?;
    let (mut out, mut bytes) = (Vec::new(), 0);
    encoder.begin(&mut out)?;
    for _ in 0..BATCHES {
        encoder.batch(&mut out, batch)?;
        bytes += out.len() as u64;
        out.clear();
    }
    let ending = Ending { rows: BATCHES * ROWS as u64, timestamp: "2026-01-01T00:00:00Z".into(), ..Ending::default() };
    while encoder.end(&mut out, &ending)? == Left::More {
        bytes += out.len() as u64;
        out.clear();
    }
    Ok((bytes + out.len() as u64, began.elapsed()))
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let columns = columns();
    let mut shapes = vec![("all of them", columns.clone())];
    shapes.extend(columns.into_iter().map(|column| (column.0, vec![column])));
    let names: Vec<&str> = shapes.iter().map(|(name, _)| *name).collect();
    println!("MB/s of answers of {} rows, medians of {RUNS}\n", BATCHES * ROWS as u64);
    println!("| format | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    for format in Format::ALL {
        let mut line = format!("| {format:?} |");
        for (_, columns) in &shapes {
            let batch = RecordBatch::try_from_iter(columns.clone())?;
            let rate = || encode(format, &batch).map(|(bytes, took)| bytes as f64 / 1e6 / took.as_secs_f64());
            let rates = (0..RUNS).map(|_| rate()).collect::<Result<Vec<_>, _>>()?;
            line += &format!(" {:.0} |", median(rates));
        }
        println!("{line}");
    }
    Ok(())
}
