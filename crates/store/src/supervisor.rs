//! Background tasks under one supervisor. A task is a plain `run_once(now)`: its error or panic is
//! logged and counted, it is tried again after 1, 2, 4 … 60 s, and no other task notices. Each of these pauses is cut by
//! up to a tenth at random: what failed together does not come back together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use model::Clock;
use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::{failpoint, random};

/// How often a task's thread looks at the clock.
const TICK: Duration = Duration::from_millis(50);
const FIRST_BACKOFF_US: i64 = 1_000_000;
const MAX_BACKOFF_US: i64 = 60_000_000;

/// How long to wait after so many failures in a row (microseconds): 1, 2, 4 … 60 s.
pub fn backoff_us(failures: u32) -> i64 {
    match failures {
        0 => 0,
        n => (FIRST_BACKOFF_US << (n - 1).min(6)).min(MAX_BACKOFF_US),
    }
}

/// A pause cut by up to a tenth, by a random number.
fn jittered_us(pause_us: i64, random: u8) -> i64 {
    pause_us - pause_us / 10 * i64::from(random) / i64::from(u8::MAX)
}

/// What `/api/v1/jobs` shows of a task. Instants and durations are in microseconds.
#[derive(Debug, Clone)]
pub struct Status {
    pub name: &'static str,
    pub is_running: bool,
    pub runs: u64,
    pub failures: u64,
    pub consecutive_errors: u32,
    pub last_error: Option<String>,
    pub last_run_us: Option<i64>,
    /// `None`: only when it is asked for.
    pub next_run_us: Option<i64>,
    pub duration_us: i64,
    every_us: i64,
    /// When it runs next on the clock that nobody sets; `next_run_us` says the same for people.
    due_us: Option<i64>,
}

/// One moment on both clocks, in microseconds.
#[derive(Clone, Copy)]
struct Moment {
    wall_us: i64,
    boot_us: i64,
}

impl Moment {
    fn now(clock: &dyn Clock) -> Self {
        Self { wall_us: clock.now_us(), boot_us: clock.boot_us() }
    }
}

impl Status {
    fn new(name: &'static str, every_us: i64, now: Moment) -> Self {
        let mut status = Self {
            name,
            is_running: false,
            runs: 0,
            failures: 0,
            consecutive_errors: 0,
            last_error: None,
            last_run_us: None,
            next_run_us: None,
            duration_us: 0,
            every_us,
            due_us: None,
        };
        status.runs_in((every_us > 0).then_some(every_us), now);
        status
    }

    fn runs_in(&mut self, pause_us: Option<i64>, now: Moment) {
        self.next_run_us = pause_us.map(|pause| now.wall_us + pause);
        self.due_us = pause_us.map(|pause| now.boot_us + pause);
    }

    /// `running`, `idle`, or `backoff` after a failure.
    pub fn state(&self) -> &'static str {
        match (self.is_running, self.consecutive_errors) {
            (true, _) => "running",
            (false, 0) => "idle",
            (false, _) => "backoff",
        }
    }

    pub fn backoff_us(&self) -> i64 {
        backoff_us(self.consecutive_errors)
    }

    /// Whether it has never done its work since the start.
    pub fn never_worked(&self) -> bool {
        self.runs > 0 && self.failures == self.runs
    }

    fn is_due(&self, now: Moment) -> bool {
        self.due_us.is_some_and(|due| now.boot_us >= due)
    }

    fn ended(&mut self, outcome: std::result::Result<(), String>, began: Moment, now: Moment) {
        self.is_running = false;
        self.runs += 1;
        self.last_run_us = Some(began.wall_us);
        self.duration_us = now.boot_us - began.boot_us;
        match outcome {
            Ok(()) => {
                (self.consecutive_errors, self.last_error) = (0, None);
                self.runs_in((self.every_us > 0).then_some(self.every_us), now);
            }
            Err(error) => {
                self.failures += 1;
                self.consecutive_errors += 1;
                let times = self.consecutive_errors;
                tracing::error!(task = self.name, error, times, "a background task failed; it is tried again");
                self.last_error = Some(error);
                self.runs_in(Some(jittered_us(self.backoff_us(), random::byte())), now);
            }
        }
    }
}

#[derive(Debug)]
struct Task {
    status: Arc<Mutex<Status>>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Stop {
    is_set: AtomicBool,
    lock: Mutex<()>,
    moved: Condvar,
}

/// Runs tasks until it is stopped or dropped.
#[derive(Debug)]
pub struct Supervisor {
    clock: Arc<dyn Clock>,
    tasks: Mutex<Vec<Task>>,
    stop: Arc<Stop>,
}

impl Supervisor {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, tasks: Mutex::default(), stop: Arc::default() }
    }

    /// Runs `run_once` every so long on a thread of its own; zero: never.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn spawn(
        &self,
        name: &'static str,
        every: Duration,
        mut run_once: impl FnMut(i64) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (clock, stop) = (Arc::clone(&self.clock), Arc::clone(&self.stop));
        let now = Moment::now(&*clock);
        let status = Arc::new(Mutex::new(Status::new(name, every.as_micros() as i64, now)));
        let seen = Arc::clone(&status);
        let mut is_started = false;
        let run = move || {
            while stop.wait(TICK) {
                let began = Moment::now(&*clock);
                {
                    let mut status = seen.lock();
                    if !status.is_due(began) {
                        continue;
                    }
                    status.is_running = true;
                }
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    if !is_started {
                        failpoint::check("task.start", name)?;
                        is_started = true;
                    }
                    run_once(began.wall_us)
                }));
                let outcome = match outcome {
                    Ok(outcome) => outcome.map_err(|error| error.to_string()),
                    Err(panic) => Err(words(&*panic)),
                };
                seen.lock().ended(outcome, began, Moment::now(&*clock));
            }
        };
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(run)
            .map_err(Error::io("cannot start thread", name.as_ref()))?;
        self.tasks.lock().push(Task { status, thread });
        Ok(())
    }

    /// Every task in the order of its start.
    pub fn statuses(&self) -> Vec<Status> {
        self.tasks.lock().iter().map(|t| t.status.lock().clone()).collect()
    }

    pub fn status(&self, name: &str) -> Option<Status> {
        self.tasks.lock().iter().map(|t| t.status.lock()).find(|s| s.name == name).map(|s| s.clone())
    }

    /// Ends every task after the run at hand.
    pub fn stop(&self) {
        self.stop.set();
        for task in self.tasks.lock().drain(..) {
            let _ = task.thread.join();
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Stop {
    fn set(&self) {
        let _held = self.lock.lock();
        self.is_set.store(true, Ordering::SeqCst);
        self.moved.notify_all();
    }

    /// Waits so long; false when it is time to end.
    fn wait(&self, patience: Duration) -> bool {
        let mut held = self.lock.lock();
        if !self.is_set.load(Ordering::SeqCst) {
            self.moved.wait_for(&mut held, patience);
        }
        !self.is_set.load(Ordering::SeqCst)
    }
}

/// What a panic said.
pub fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_else(|| "without a word".into()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Instant;

    use model::ManualClock;

    use super::*;

    const START_US: i64 = 1_700_000_000_000_000;

    fn at(us: i64) -> Moment {
        Moment { wall_us: us, boot_us: us }
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn pauses_after_failures_double_up_to_a_minute_and_end_with_a_success() {
        let pauses: Vec<i64> = (1..10).map(|n| backoff_us(n) / 1_000_000).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        let mut status = Status::new("t", 5_000_000, at(0));
        let mut now = 0;
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            status.ended(Err("no".into()), at(now), at(now));
            let waits = status.next_run_us.unwrap() - now;
            assert!((pause * 900_000..=pause * 1_000_000).contains(&waits), "{waits} µs of {pause} s");
            assert_eq!((status.state(), status.backoff_us()), ("backoff", pause * 1_000_000));
            now += pause * 1_000_000;
        }
        assert!(status.never_worked());
        status.ended(Ok(()), at(now), at(now + 7));
        assert_eq!((status.consecutive_errors, status.last_error.clone(), status.state()), (0, None, "idle"));
        assert_eq!((status.next_run_us, status.duration_us), (Some(now + 5_000_007), 7));
        assert!(!status.never_worked());
    }

    #[test]
    fn a_pause_is_cut_by_up_to_a_tenth() {
        let pauses: Vec<i64> = (0..=u8::MAX).map(|n| jittered_us(60_000_000, n)).collect();
        assert_eq!((pauses[0], pauses[255]), (60_000_000, 54_000_000));
        assert!(pauses.is_sorted_by(|a, b| a > b), "each number is a pause of its own");
        let mut status = Status::new("t", 1_000_000, at(0));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            status.ended(Err("no".into()), at(0), at(0));
            seen.insert(status.next_run_us);
        }
        assert!(seen.len() > 20, "{} pauses", seen.len());
    }

    #[test]
    fn whoever_sets_the_clock_neither_puts_a_task_to_sleep_nor_wakes_it() {
        const DECADE_US: i64 = 315_576_000_000_000;
        let clock = ManualClock::at(START_US);
        let status = Status::new("t", 1_000_000, Moment::now(&clock));
        for jump_us in [-DECADE_US, 2 * DECADE_US] {
            clock.jump_us(jump_us);
            assert!(!status.is_due(Moment::now(&clock)));
        }
        clock.jump_us(-DECADE_US);
        clock.advance_us(1_000_000);
        assert!(status.is_due(Moment::now(&clock)));
    }

    #[test]
    fn a_task_that_fails_or_panics_is_tried_again_and_stops_no_other() {
        let clock = ManualClock::at(START_US);
        let supervisor = Supervisor::new(Arc::new(clock.clone()));
        let (failing, panicking, fine) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)), Arc::default());
        let count = |counter: &Arc<AtomicU32>| counter.load(Ordering::SeqCst);
        let counter = Arc::clone(&failing);
        supervisor
            .spawn("failing", Duration::from_secs(1), move |_| match counter.fetch_add(1, Ordering::SeqCst) {
                0 => Err(Error::QueueFull),
                _ => Ok(()),
            })
            .unwrap();
        let counter = Arc::clone(&panicking);
        supervisor
            .spawn("panicking", Duration::from_secs(1), move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
                panic!("on purpose")
            })
            .unwrap();
        let counter: Arc<AtomicU32> = Arc::clone(&fine);
        supervisor
            .spawn("fine", Duration::from_secs(1), move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
            .unwrap();
        let runs = |name: &str| supervisor.status(name).unwrap().runs;
        for round in 1..=3u64 {
            clock.advance_us(1_000_000);
            until("the fine task runs", || runs("fine") == round);
            until("the failing task runs", || runs("failing") == round);
            until("the panicking task runs after 1 s, not after 2", || runs("panicking") == round.min(2));
        }
        let seen = supervisor.status("panicking").unwrap();
        assert_eq!(seen.last_error.as_deref(), Some("it panicked: on purpose"));
        assert_eq!((seen.consecutive_errors, seen.backoff_us()), (2, 2_000_000));
        assert_eq!(supervisor.status("failing").unwrap().consecutive_errors, 0);
        supervisor.stop();
        assert_eq!((count(&failing), count(&panicking), count(&fine)), (3, 2, 3));
        assert!(supervisor.statuses().is_empty());
    }
}
