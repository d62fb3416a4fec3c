//! Two-line element sets: every entry is a row or named.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let Ok(decoded) = wire::tle::decode(body, "t") else { return };
    let rows: usize = decoded.batches.iter().map(model::Batch::rows).sum();
    assert_eq!(rows + decoded.bad, decoded.entries);
});
