//! Named places where a test may end the process: `TIDEWATER_FAILPOINT=name` or `name:n` (the n-th
//! time it is reached). Without the variable a hit is one relaxed load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct Armed {
    name: String,
    left: AtomicU64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Ends the process as kill -9 would, when the test asked for it here.
pub fn hit(name: &'static str) {
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("TIDEWATER_FAILPOINT").ok()?;
        let (name, n) = text.split_once(':').map_or((text.as_str(), 1), |(a, n)| (a, n.parse().unwrap_or(1)));
        Some(Armed { name: name.to_owned(), left: AtomicU64::new(n) })
    });
    if let Some(armed) = armed.as_ref().filter(|a| a.name == name)
        && armed.left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}
