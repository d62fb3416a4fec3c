//! CSV files: what the first reading found, the second finds again.
#![no_main]

use wire::import::TimeFormat;
use wire::import::csv::{Columns, Options, Pieces};

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let tags = ["host".to_owned()].into_iter().filter(|_| file.len().is_multiple_of(2)).collect();
    let delimiter = if file.first() == Some(&b'\t') { b'\t' } else { b',' };
    let (time_column, time_format) = ("time".to_owned(), TimeFormat::Auto);
    let options = Options { time_column, time_format, delimiter, skip_rows: 0, tags };
    let Ok(columns) = Columns::read(file, &options, |_| false) else { return };
    let names = columns.names().count();
    let Ok(pieces) = Pieces::open(file, columns, options, "t") else { return };
    for piece in pieces {
        let Ok(batches) = piece else { return };
        for batch in batches {
            assert!(batch.columns.len() < names);
            assert!(batch.columns.iter().all(|c| c.array.len() == batch.rows()));
        }
    }
});
