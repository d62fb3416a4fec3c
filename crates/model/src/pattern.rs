/// Whether `text` is what `pattern` says, in which `*` is any text, also none.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    let parts: Vec<&str> = rest.split('*').collect();
    let (tail, middle) = parts.split_last().expect("split gives one part at least");
    for part in middle {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text) in
            [("*", ""), ("cpu*", "cpu"), ("*_raw", "x_raw"), ("a*b*c", "aXbYc"), ("a*a", "aa"), ("c*_*d", "cpu_load")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("cpu", "cpu2"), ("*_raw", "raw"), ("a*b*c", "aXcYb"), ("a*a", "a"), ("ab*ba", "aba"), ("", "x")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
