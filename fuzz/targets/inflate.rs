//! Compressed bodies: never more than was allowed comes out.
#![no_main]

const MAX: u64 = 1 << 20;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    for encoding in [None, Some("gzip"), Some("zstd"), Some("deflate")] {
        if let Ok(plain) = wire::inflate::inflate(body, encoding, MAX) {
            assert!(plain.len() as u64 <= MAX.max(body.len() as u64));
        }
    }
});
