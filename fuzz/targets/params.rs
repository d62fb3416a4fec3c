//! What stands in parameters and headers of requests: names, durations, units, patterns.
#![no_main]

use model::time::Precision;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    let _ = model::DatabaseName::new(first);
    let _ = model::ItemName::new("measurement", first);
    if let Some(us) = model::time::parse_duration(first) {
        assert!(us > 0);
    }
    let _ = Precision::parse(first);
    let _ = wire::import::TimeFormat::parse(first);
    if first.len() + second.len() < 200 {
        let _ = model::pattern::matches(first, second);
    }
    if let Ok(number) = first.parse::<i64>() {
        for precision in [Precision::Auto, Precision::Nanosecond, Precision::Second, Precision::Hour] {
            if let Ok(at) = precision.instant(number) {
                assert!((0..1000).contains(&at.ns));
                assert!(precision.floor(at.us) <= at.us);
            }
        }
    }
});
