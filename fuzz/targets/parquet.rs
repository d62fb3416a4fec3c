//! Parquet files of anybody.
#![no_main]

use std::io::Write as _;

use wire::import::TimeFormat;
use wire::import::parquet::{Options, Pieces};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // a panic of the decoder that the product catches is no finding; any other ends the process all the same
    #[cfg(fuzzing)]
    std::panic::set_hook(Box::new(|_| {}));
    let mut file = tempfile::tempfile_in("/dev/shm").expect("memory for a file");
    file.write_all(bytes).expect("written");
    let options = Options { time_column: "time".into(), time_format: TimeFormat::Auto, tags: Vec::new() };
    let Ok(pieces) = Pieces::open(file, options, "t") else { return };
    for piece in pieces.take(64) {
        let Ok(batches) = piece else { return };
        assert!(batches.iter().all(|b| b.columns.iter().all(|c| c.array.len() == b.rows())));
    }
});
