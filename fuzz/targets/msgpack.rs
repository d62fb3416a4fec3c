//! MessagePack bodies: whatever comes, a batch is whole or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    if let Ok(batches) = wire::msgpack::decode(body, 1_767_225_600_000_000) {
        for batch in batches {
            assert!(batch.columns.iter().all(|c| c.array.len() == batch.rows()));
            assert!(batch.time_ns.as_ref().is_none_or(|ns| ns.len() == batch.rows()));
        }
    }
});
