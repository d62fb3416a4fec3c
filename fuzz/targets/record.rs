//! Records of the log: what is read is written again to the same rows.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let Ok((parts, key)) = store::record::decode(body) else { return };
    let again = store::record::encode(&parts, key.as_ref());
    let (back, _) = store::record::decode(&again).expect("what was written is read");
    assert_eq!(parts.len(), back.len());
    assert!(parts.iter().zip(&back).all(|(a, b)| a.rows == b.rows && a.table == b.table));
});
