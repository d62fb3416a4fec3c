//! The door to randomness: the operating system's.

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

/// A random UUID as text.
pub fn uuid() -> String {
    uuid::Builder::from_random_bytes(bytes16()).into_uuid().to_string()
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
