use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Where wall-clock time comes from. Everything that stamps, ages or schedules asks one.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Microseconds since 1970 in UTC.
    fn now_us(&self) -> i64;

    /// Microseconds since the machine started, sleep included: nobody can set it.
    fn boot_us(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the door to the clock")]
    fn now_us(&self) -> i64 {
        match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(d) => d.as_micros() as i64,
            Err(e) => -(e.duration().as_micros() as i64),
        }
    }

    #[expect(unsafe_code, reason = "std has no clock that counts sleep and cannot be set")]
    fn boot_us(&self) -> i64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: it writes to the one struct that it is given
        unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
        time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
    }
}

/// A clock that moves when it is told to.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    wall: Arc<AtomicI64>,
    boot: Arc<AtomicI64>,
}

impl ManualClock {
    pub fn at(now_us: i64) -> Self {
        Self { wall: Arc::new(AtomicI64::new(now_us)), boot: Arc::default() }
    }

    /// Time passes.
    pub fn advance_us(&self, by_us: i64) {
        self.wall.fetch_add(by_us, Ordering::SeqCst);
        self.boot.fetch_add(by_us, Ordering::SeqCst);
    }

    /// Somebody sets the clock, forward or back.
    pub fn jump_us(&self, by_us: i64) {
        self.wall.fetch_add(by_us, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }

    fn boot_us(&self) -> i64 {
        self.boot.load(Ordering::SeqCst)
    }
}
