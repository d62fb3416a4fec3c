//! Schedules of policies: when they are due is after now, and found in bounded time.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    let zone = if second.is_empty() { "UTC" } else { second };
    if first.len() < 200
        && let Ok(schedule) = store::schedule::Schedule::parse(first, zone, 0)
    {
        let now = 1_767_225_600_000_000;
        assert!(schedule.next_us(now, 7).is_none_or(|next| next > now));
    }
});
