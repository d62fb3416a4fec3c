//! The text of a token: `tw_<id>_<secret>_<crc>`. The secret is 256 random bits in hexadecimal; the checksum
//! (crc32c of what stands before it) tells a typo from a wrong secret without asking anybody.

/// The text of a new token.
pub fn make(id: i64, secret: &str) -> String {
    let body = format!("tw_{id}_{secret}");
    format!("{body}_{}", sum_of(&body))
}

fn sum_of(body: &str) -> String {
    format!("{:08x}", crc32c::crc32c(body.as_bytes()))
}

/// Whether the text is one of ours that was cut or mistyped. Texts of another form were chosen by an operator.
pub fn is_mistyped(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("tw_") else { return false };
    match text.rsplit_once('_') {
        // before tokens had ids they were tw_ and the secret
        _ if !rest.contains('_') => false,
        // letter by letter: a sum that lost a leading zero is the same number
        Some((body, sum)) => sum != sum_of(body),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_or_missing_character_shows() {
        // one whose sum begins with a zero
        let mut secrets = std::iter::repeat_with(store::random::secret);
        let text = secrets.find_map(|s| Some(make(7, &s)).filter(|t| t.contains("_0"))).expect("one of sixteen");
        assert!(!is_mistyped(&text) && text.starts_with("tw_7_"));
        assert!(!is_mistyped("chosen by an operator, 32 letters") && !is_mistyped("tw_0123"));
        for at in 4..text.len() {
            let mut cut = text.clone();
            cut.remove(at);
            assert!(is_mistyped(&cut), "without {at}");
            let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
            let mut changed = text.clone();
            changed.replace_range(at..=at, other);
            assert!(is_mistyped(&changed), "changed at {at}");
        }
    }
}
