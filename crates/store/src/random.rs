//! The door to randomness.

/// 16 random bytes: log ids, instance ids.
#[expect(clippy::disallowed_methods, reason = "this is the door to randomness")]
pub fn bytes16() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}

/// A random UUID as text.
#[expect(clippy::disallowed_methods, reason = "this is the door to randomness")]
pub fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// 256 random bits in hexadecimal.
pub fn secret() -> String {
    // two version-4 UUIDs carry 244 random bits; a third fills the fixed ones
    let (a, b, c) = (bytes16(), bytes16(), bytes16());
    a.iter().zip(&c).map(|(x, y)| x ^ y.rotate_left(4)).chain(b).map(|x| format!("{x:02x}")).collect()
}
