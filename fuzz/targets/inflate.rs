//! Compressed bodies: never more than was allowed comes out.
#![no_main]

const MAX: u64 = 1 << 16;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    // magic bytes decide for gzip and zstd, whatever is named
    for encoding in [None, Some("deflate")] {
        if let Ok(plain) = wire::inflate::inflate(body, encoding, MAX) {
            assert!(plain.len() as u64 <= MAX);
        }
    }
});
