//! Line protocol: every line is stored, refused with its number, or no point.
#![no_main]

use model::time::Precision;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    // one of them for each body: all three would take three times as long to find the same
    let precision = [Precision::Nanosecond, Precision::Auto, Precision::Hour][body.len() % 3];
    let Ok(decoded) = wire::line_protocol::decode(body, precision, 1_767_225_600_000_000) else { return };
    let rows: usize = decoded.batches.iter().map(model::Batch::rows).sum();
    assert_eq!(rows + decoded.bad, decoded.lines);
    let lines = body.iter().filter(|b| **b == b'\n').count() as u32 + 1;
    assert!(decoded.errors.iter().all(|e| (1..=lines).contains(&e.number)));
    for batch in &decoded.batches {
        assert!(batch.columns.iter().all(|c| c.array.len() == batch.rows()));
    }
});
