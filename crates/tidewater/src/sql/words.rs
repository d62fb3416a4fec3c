//! What a text of SQL is made of, as far as a prompt has to know it.

use std::ops::Range;

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Word,
    Number,
    /// In single quotes, or between dollars.
    Text,
    /// A name in double quotes.
    Quoted,
    Comment,
    End,
    Other,
}

/// One piece; `is_open`: the text ends within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub kind: Kind,
    pub at: Range<usize>,
    pub is_open: bool,
}

/// Cuts a text into pieces; spaces lie between them.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(first) = text[from..].chars().next() {
        let rest = &text[from..];
        let until = |end: Option<usize>| end.map_or((rest.len(), true), |end| (end, false));
        let run = |of: fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
        let (kind, (bytes, is_open)) = match first {
            c if c.is_whitespace() => {
                from += c.len_utf8();
                continue;
            }
            ';' => (Kind::End, (1, false)),
            '\'' => (Kind::Text, until(quoted(rest, '\''))),
            '"' => (Kind::Quoted, until(quoted(rest, '"'))),
            '$' if dollars(rest).is_some() => (Kind::Text, until(dollars(rest).flatten())),
            '-' if rest.starts_with("--") => {
                // it goes on until the line ends, and what stands behind it is missing nothing
                (Kind::Comment, (rest.find('\n').unwrap_or(rest.len()), false))
            }
            '/' if rest.starts_with("/*") => (Kind::Comment, until(rest.find("*/").map(|end| end + 2))),
            c if c.is_ascii_digit() => {
                (Kind::Number, (run(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_'), false))
            }
            c if c.is_alphabetic() || c == '_' => (Kind::Word, (run(|c| c.is_alphanumeric() || c == '_'), false)),
            c => (Kind::Other, (c.len_utf8(), false)),
        };
        found.push(Piece { kind, at: from..from + bytes, is_open });
        from += bytes;
    }
    found
}

/// Bytes up to the closing quote; a doubled one does not close.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += rest[at..].find(quote)? + 1;
        if !rest[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// Of a text that begins like `$tag$`: bytes up to where the same tag ends it.
fn dollars(rest: &str) -> Option<Option<usize>> {
    let tag = rest[1..].find('$').map(|end| &rest[..end + 2])?;
    let is_tag = tag[1..tag.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_')
        && !rest[1..].starts_with(|c: char| c.is_ascii_digit());
    is_tag.then(|| rest[tag.len()..].find(tag).map(|end| end + 2 * tag.len()))
}

/// Statements that semicolons end, and what stands behind the last of them.
pub fn statements(text: &str) -> (Vec<&str>, &str) {
    let (mut found, mut from, mut holds) = (Vec::new(), 0, false);
    for piece in pieces(text) {
        match piece.kind {
            Kind::End => {
                if holds {
                    found.push(text[from..piece.at.start].trim());
                }
                (from, holds) = (piece.at.end, false);
            }
            Kind::Comment => holds |= piece.is_open,
            _ => holds = true,
        }
    }
    (found, if holds { text[from..].trim() } else { "" })
}

/// Every statement of a script, of which the last needs no semicolon.
pub fn whole_script(text: &str) -> Vec<&str> {
    let (mut found, rest) = statements(text);
    found.extend((!rest.is_empty()).then_some(rest));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_end_statements_but_not_within_texts_names_and_comments() {
        let of = |text: &'static str| statements(text);
        assert_eq!(of("SELECT 1; SELECT 2"), (vec!["SELECT 1"], "SELECT 2"));
        assert_eq!(of("SELECT ';''' AS \"a;b\" ;;\n"), (vec!["SELECT ';''' AS \"a;b\""], ""));
        assert_eq!(of("SELECT $$a;b$$, $x$;$$;$x$; "), (vec!["SELECT $$a;b$$, $x$;$$;$x$"], ""));
        assert_eq!(of("SELECT 1 -- no; end\n+ 1; -- all; said"), (vec!["SELECT 1 -- no; end\n+ 1"], ""));
        assert_eq!(of("/* a;\n b */ SELECT /* ; */ 1;"), (vec!["/* a;\n b */ SELECT /* ; */ 1"], ""));
        assert_eq!(of("SELECT 'not closed; "), (vec![], "SELECT 'not closed;"));
        assert_eq!(of("SELECT $1; x"), (vec!["SELECT $1"], "x"));
        assert_eq!(of("/* open ; "), (vec![], "/* open ;"));
    }

    proptest::proptest! {
        #[test]
        fn pieces_cover_every_character_but_spaces(text in "[a-z0-9'\"$/*; \n\u{e9}-]{0,40}") {
            let mut at = 0;
            for piece in pieces(&text) {
                proptest::prop_assert!(text[at..piece.at.start].trim().is_empty());
                proptest::prop_assert!(piece.at.end > piece.at.start);
                at = piece.at.end;
            }
            proptest::prop_assert!(text[at..].trim().is_empty());
        }
    }
}
