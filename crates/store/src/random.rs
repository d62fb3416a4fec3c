//! The door to randomness: the operating system's.

use std::cell::RefCell;

/// 16 random bytes: log ids, instance ids.
pub fn bytes16() -> [u8; 16] {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    bytes
}

/// One random byte.
pub fn byte() -> u8 {
    bytes16()[0]
}

/// UUIDs that one call of the system yields: every request carries one.
const UUIDS: usize = 64;

/// A random UUID as text.
pub fn uuid() -> String {
    thread_local! {
        static UNUSED: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
    }
    let bytes = UNUSED.with_borrow_mut(|unused| {
        if unused.is_empty() {
            unused.resize(UUIDS, [0; 16]);
            fill(unused.as_flattened_mut());
        }
        unused.pop()
    });
    uuid::Builder::from_random_bytes(bytes.unwrap_or_else(bytes16)).into_uuid().to_string()
}

/// 256 random bits in hexadecimal.
pub fn secret() -> String {
    let mut bytes = [0; 32];
    fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[expect(clippy::disallowed_methods, reason = "this is the door to randomness")]
fn fill(bytes: &mut [u8]) {
    // a system without randomness can neither name files nor make tokens
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}
