//! What the prompt knows while a statement is typed: names to complete, where it ends, colours.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::words::{Kind, pieces, statements};
use super::{COMMANDS, Format};
use crate::client::{Server, text};

/// Names are asked for again when they are so old.
const NAMES_AGE: Duration = Duration::from_secs(10);
/// Candidates that are listed.
const CANDIDATES: usize = 200;
/// Every function with a statement that a test holds.
const FUNCTIONS: &str = include_str!("../../../../docs/functions.md");

/// Those that DuckDB has not, and that list therefore neither.
const OWN_FUNCTIONS: [&str; 7] =
    ["time_bucket_gapfill", "locf", "interpolate", "increase", "rate", "delta", "derivative"];

const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "ASOF",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COLUMNS",
    "CROSS",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXCLUDE",
    "EXPLAIN",
    "FALSE",
    "FILTER",
    "FIRST",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LAST",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MATERIALIZED",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "QUALIFY",
    "RANGE",
    "RECURSIVE",
    "REPLACE",
    "RIGHT",
    "ROWS",
    "SELECT",
    "SHOW",
    "SUMMARIZE",
    "TABLES",
    "THEN",
    "TIMESTAMP",
    "TRUE",
    "TRY_CAST",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Names as the server has them, for those who may read them.
#[derive(Debug, Default)]
struct Names {
    /// Database → measurement → columns.
    tables: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    asked: Option<Instant>,
}

/// Helps who types.
pub struct Assistant {
    server: Server,
    pub database: RefCell<String>,
    names: RefCell<Names>,
    functions: Vec<String>,
    hinter: HistoryHinter,
}

impl Assistant {
    pub fn new(server: Server, database: &str) -> Self {
        let functions = FUNCTIONS.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let functions = OWN_FUNCTIONS.into_iter().chain(functions);
        Self {
            server,
            database: RefCell::new(database.to_owned()),
            names: RefCell::default(),
            functions: functions.map(str::to_owned).collect(),
            hinter: HistoryHinter::new(),
        }
    }

    /// Asks for names that are old; a server that does not answer leaves them as they are.
    fn look(&self) {
        let mut names = self.names.borrow_mut();
        if names.asked.is_some_and(|at| at.elapsed() < NAMES_AGE) {
            return;
        }
        names.asked = Some(Instant::now());
        let sql =
            "SELECT table_schema, table_name, column_name FROM information_schema.columns ORDER BY ordinal_position";
        let answer = self.server.ask("POST", "/api/v1/query", &[], Some(&serde_json::json!({"sql": sql})));
        let Ok(body) = answer else { return };
        names.tables.clear();
        for row in body["data"].as_array().into_iter().flatten() {
            let columns = names.tables.entry(text(&row[0])).or_default().entry(text(&row[1])).or_default();
            columns.push(text(&row[2]));
        }
    }

    /// What may stand where `word` begins, behind `before`; in the order in which it is likeliest.
    fn candidates(&self, before: &str, word: &str) -> Vec<Pair> {
        let names = self.names.borrow();
        let database = self.database.borrow();
        let of =
            |database: &str| names.tables.iter().find(|(name, _)| name.eq_ignore_ascii_case(database)).map(|(_, t)| t);
        let here = of(&database);
        let words: Vec<&str> = pieces(before).iter().map(|p| &before[p.at.clone()]).collect();
        let last = words.last().copied().unwrap_or_default();
        let is = |wanted: &[&str]| wanted.iter().any(|w| last.eq_ignore_ascii_case(w));
        let mut found: Vec<String> = Vec::new();
        let quoted = |name: &String| quoted(name);
        if let Some((qualifier, _)) = word.rsplit_once('.') {
            let behind = |name: &String| format!("{qualifier}.{}", quoted(name));
            if let Some(tables) = of(qualifier.trim_matches('"')) {
                found.extend(tables.keys().map(behind));
            }
            let table = aliased(&words, qualifier).unwrap_or(qualifier);
            let columns =
                here.and_then(|t| t.iter().find(|(name, _)| name.eq_ignore_ascii_case(table.trim_matches('"'))));
            found.extend(columns.into_iter().flat_map(|(_, columns)| columns.iter().map(behind)));
        } else if is(&["from", "join", "describe", "summarize", "into", "d"]) {
            found.extend(here.into_iter().flat_map(|t| t.keys().map(quoted)));
            found.extend(names.tables.keys().map(|name| format!("{}.", quoted(name))));
        } else {
            // columns of what stands anywhere in the statement, else of everything
            let is_named = |name: &str| words.iter().any(|w| w.trim_matches('"').eq_ignore_ascii_case(name));
            let tables = || here.into_iter().flatten();
            let any_named = tables().any(|(name, _)| is_named(name));
            let columns = tables().filter(|(name, _)| !any_named || is_named(name)).flat_map(|(_, columns)| columns);
            found.extend(columns.map(quoted));
            found.extend(self.functions.iter().map(|name| format!("{name}(")));
            let typed_small = word.chars().any(char::is_lowercase);
            found
                .extend(KEYWORDS.iter().map(|word| if typed_small { word.to_lowercase() } else { (*word).to_owned() }));
            found.extend(tables().map(|(name, _)| quoted(name)));
        }
        let begins = |candidate: &String| {
            let plain = candidate.replace('"', "");
            plain.len() >= word.len()
                && plain.is_char_boundary(word.len())
                && plain[..word.len()].eq_ignore_ascii_case(word)
        };
        let mut seen = std::collections::HashSet::new();
        found.retain(|candidate| begins(candidate) && seen.insert(candidate.clone()));
        found.truncate(CANDIDATES);
        found.into_iter().map(|name| Pair { display: name.clone(), replacement: name }).collect()
    }
}

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !KEYWORDS.iter().any(|k| k.eq_ignore_ascii_case(name));
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The table that a statement calls so: `FROM cpu c`, `JOIN cpu AS c`.
fn aliased<'a>(words: &[&'a str], alias: &str) -> Option<&'a str> {
    words.windows(3).find_map(|w| match w {
        [lead, table, name] if is_source(lead) && name.eq_ignore_ascii_case(alias) => Some(*table),
        [table, is_as, name] if is_as.eq_ignore_ascii_case("as") && name.eq_ignore_ascii_case(alias) => Some(*table),
        _ => None,
    })
}

fn is_source(word: &str) -> bool {
    ["from", "join", ","].iter().any(|w| word.eq_ignore_ascii_case(w))
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..pos];
        if before.starts_with('\\') && !before.contains(' ') {
            let commands = COMMANDS.iter().filter(|(name, ..)| name.starts_with(before));
            let pair = |name: &str, needs: &str| Pair {
                display: name.to_owned(),
                replacement: if needs.is_empty() { name.to_owned() } else { format!("{name} ") },
            };
            return Ok((0, commands.map(|(name, needs, _)| pair(name, needs)).collect()));
        }
        let is_of_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let start = before.char_indices().rev().take_while(|(_, c)| is_of_word(*c)).last().map_or(pos, |(at, _)| at);
        if before.starts_with("\\format ") {
            let formats = Format::NAMES.iter().filter(|name| name.starts_with(&before[start..]));
            let pair = |name: &&str| Pair { display: (*name).to_owned(), replacement: (*name).to_owned() };
            return Ok((start, formats.map(pair).collect()));
        }
        self.look();
        Ok((start, self.candidates(&line[..start], &before[start..])))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_whole(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Whether what was typed can be run: it is nothing, a command, or ends with a semicolon.
pub fn is_whole(text: &str) -> bool {
    let text = text.trim();
    let is_word = ["exit", "quit", "help"].contains(&text);
    is_word || text.starts_with('\\') || statements(text).1.is_empty()
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, context: &Context<'_>) -> Option<String> {
        // history holds whole statements; a hint of many lines would tear the prompt
        self.hinter.hint(line, pos, context).filter(|hint| !line.is_empty() && !hint.contains('\n'))
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let (mut out, mut from) = (String::with_capacity(line.len() * 2), 0);
        for piece in pieces(line) {
            let word = &line[piece.at.clone()];
            let colour = match piece.kind {
                Kind::Word if KEYWORDS.iter().any(|k| k.eq_ignore_ascii_case(word)) => "1;34",
                Kind::Text => "32",
                Kind::Number => "36",
                Kind::Comment => "2",
                _ => continue,
            };
            out += &line[from..piece.at.start];
            out += &format!("\x1b[{colour}m{word}\x1b[0m");
            from = piece.at.end;
        }
        out += &line[from..];
        Cow::Owned(out)
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Owned(format!("\x1b[1;36m{prompt}\x1b[0m"))
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

impl Helper for Assistant {}
