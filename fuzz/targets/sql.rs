//! The syntax door and the guard: any text is parsed, guarded and rewritten, or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = query::syntax::parse(&query::Ask::sql(text));
    let _ = query::syntax::tables_of_window(text);
});
