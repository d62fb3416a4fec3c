//! Conditions of deletes.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = query::syntax::parse_condition(text);
});
