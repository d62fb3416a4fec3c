//! Promises, asked of the real binary over HTTP. One test binary: each links the engine again.

// the name by which the targets of `fuzz/` ask for their macro
extern crate self as libfuzzer_sys;

/// libFuzzer's macro, for `fuzz`: a function over bytes.
#[macro_export]
macro_rules! fuzz_target {
    (|$input:ident: &[u8]| $body:block) => {
        pub fn run($input: &[u8]) {
            $body
        }
    };
    (|$input:ident: &str| $body:block) => {
        pub fn run(bytes: &[u8]) {
            let Ok($input) = std::str::from_utf8(bytes) else { return };
            $body
        }
    };
}

mod access;
mod adopt;
mod api;
mod backup;
mod cache;
mod clients;
mod compaction;
mod continuous;
mod crash;
mod dashboards;
mod deletes;
mod deploy;
mod differential;
mod door;
mod eyes;
mod failpoints;
mod faults;
mod fuzz;
mod harness;
mod hostile;
mod imports;
mod jobs;
mod operation;
mod oracle;
mod origins;
mod points;
mod pool;
mod prompt;
mod queries;
mod results;
mod retention;
mod spots;
mod supervision;
mod tables;
mod together;
mod torture;
