//! The one door for SQL text: DuckDB's dialect, one pass over the tokens that folds names,
//! the guard, then rewrites of forms that the planner lacks. SQL is never edited as text.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::arrow::datatypes::IntervalMonthDayNano;
use model::{Role, fold, limits};
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType as SqlType, DescribeAlias, DictionaryField, DuplicateTreatment,
    ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, Ident, Interval, LimitClause, MapEntry, ObjectName, ObjectNamePart, OrderBy, OrderByExpr,
    OrderByKind, OrderByOptions, Query, Select, SelectFlavor, SelectItem, SetExpr, Statement, Subscript, TableFactor,
    TableFunctionArgs, TimezoneInfo, UnaryOperator, Value, VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use sqlparser::dialect::DuckDbDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer, Word};

use crate::{Error, functions, guard, names};

/// Joins with the nearest row in time.
mod asof;
/// Values of placeholders.
mod bind;
/// Values of buckets that have none.
mod gaps;
/// Aliases that the same SELECT uses again.
mod lateral;
/// Functions that are others put together.
mod macros;
/// How long the parser tries.
mod patience;
/// Forms of FROM.
mod relations;
/// Rows of one table, asked for by parts instead of a statement.
mod selection;

pub use bind::Params;
pub use gaps::GAPFILL;
pub(crate) use lateral::inline_alias;
pub use selection::Selection;

use patience::Patience;

/// What a client wants to know.
#[derive(Debug, Clone)]
pub struct Ask {
    text: String,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Sql(Params, Option<u64>),
    Rows(Selection),
}

impl Ask {
    /// A statement without placeholders.
    pub fn sql(text: impl Into<String>) -> Self {
        Self::bound(text, Params::None, None)
    }

    /// A statement with the values of its placeholders, and the rows that are enough where it has no LIMIT.
    pub fn bound(text: impl Into<String>, params: Params, limit: Option<u64>) -> Self {
        Self { text: text.into(), form: Form::Sql(params, limit) }
    }

    pub fn rows(selection: Selection) -> Self {
        Self { text: selection.to_string(), form: Form::Rows(selection) }
    }

    /// As lists of queries show it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// One statement, ready for the planner.
#[derive(Debug)]
pub struct Parsed {
    pub kind: Kind,
    /// Folded name → the spelling of its alias in the text.
    pub aliases: HashMap<String, String>,
}

#[derive(Debug)]
pub enum Kind {
    Query(Box<Statement>),
    Explain {
        query: Box<Statement>,
        analyze: bool,
    },
    /// The columns of an answer.
    Describe(Box<Statement>),
    /// The columns of a table, by the parts of its name.
    DescribeTable(Vec<String>),
    ShowDatabases,
    ShowTables {
        database: Option<String>,
    },
    /// Tags or fields of one table, by the parts of its name, or of all tables.
    ShowKeys {
        role: Role,
        table: Option<Vec<String>>,
    },
    /// Minimum, maximum, averages and counts of each column of an answer.
    Summarize(Box<Statement>),
    /// How many rows an answer has.
    Estimate(Box<Statement>),
}

impl Parsed {
    /// The same as a question for the number of rows.
    ///
    /// # Errors
    /// It is no query.
    pub fn estimated(self) -> Result<Self, Error> {
        match self.kind {
            Kind::Query(statement) => Ok(Self { kind: Kind::Estimate(statement), ..self }),
            _ => Err(Error::Unsupported { what: "an estimate of this".into(), instead: "estimate a SELECT".into() }),
        }
    }
}

/// Parses, folds, binds, guards and rewrites one statement; a single trailing `;` is allowed.
pub fn parse(ask: &Ask) -> Result<Parsed, Error> {
    let (params, limit) = match &ask.form {
        Form::Rows(selection) => return selection.parse(),
        Form::Sql(params, limit) => (params, *limit),
    };
    let tokens = tokens(&ask.text)?;
    if let Some(kind) = show(&tokens)? {
        return Ok(Parsed { kind, aliases: HashMap::new() });
    }
    let (mut tokens, aliases) = fold_tokens(tokens);
    let is_summary =
        matches!(&tokens[0].token, Token::Word(word) if word.value == "summarize" && word.quote_style.is_none());
    if is_summary {
        tokens.remove(0);
        let is_query = matches!(
            tokens.first().map(|t| &t.token),
            Some(Token::LParen)
                | Some(Token::Word(Word { keyword: Keyword::SELECT | Keyword::WITH | Keyword::FROM, .. }))
        );
        if !is_query {
            let span = tokens.first().map_or_else(Span::empty, |t| t.span);
            tokens.insert(0, TokenWithSpan { token: Token::make_keyword("FROM"), span });
        }
    }
    let mut statement = whole(tokens, |parser| parser.parse_statement())?;
    bind::bind(&mut statement, params)?;
    if let (Statement::Query(query), Some(limit)) = (&mut statement, limit)
        && !is_summary
        && query.limit_clause.is_none()
        && query.fetch.is_none()
    {
        let limit = Some(Expr::value(Value::Number(limit.to_string(), false)));
        query.limit_clause = Some(LimitClause::LimitOffset { limit, offset: None, limit_by: Vec::new() });
    }
    let kind = match statement {
        other if is_summary => Kind::Summarize(Box::new(prepared(other)?)),
        Statement::Explain { describe_alias: DescribeAlias::Describe | DescribeAlias::Desc, statement, .. } => {
            Kind::Describe(Box::new(prepared(*statement)?))
        }
        Statement::ExplainTable { table_name, .. } => {
            let part = |part: ObjectNamePart| part.as_ident().map(|ident| ident.value.clone()).unwrap_or_default();
            Kind::DescribeTable(table_name.0.into_iter().map(part).collect())
        }
        Statement::Explain { analyze, statement, query_plan: false, estimate: false, options: None, .. } => {
            Kind::Explain { query: Box::new(prepared(*statement)?), analyze }
        }
        other => Kind::Query(Box::new(prepared(other)?)),
    };
    Ok(Parsed { kind, aliases })
}

/// Parses the text of a continuous query over one window (UTC microseconds, to the first instant after
/// it): its placeholders, quoted or not, become time literals.
///
/// # Errors
/// As [`parse`]; a placeholder is missing.
pub fn parse_window(sql: &str, window: (i64, i64)) -> Result<Parsed, Error> {
    let (tokens, aliases) = fold_tokens(bind_window(tokens(sql)?, window)?);
    let statement = whole(tokens, |parser| parser.parse_statement())?;
    Ok(Parsed { kind: Kind::Query(Box::new(prepared(statement)?)), aliases })
}

/// The tables that a continuous query names, each as its parts.
pub fn tables_of_window(sql: &str) -> Result<Vec<Vec<String>>, Error> {
    let Kind::Query(statement) = parse_window(sql, (0, 0))?.kind else { return Ok(Vec::new()) };
    let mut named = Vec::new();
    let _ = sqlparser::ast::visit_relations(&*statement, |name: &ObjectName| {
        named.push(parts(name));
        ControlFlow::<()>::Continue(())
    });
    Ok(named)
}

fn bind_window(tokens: Vec<TokenWithSpan>, window: (i64, i64)) -> Result<Vec<TokenWithSpan>, Error> {
    let bound = |name: &str| match name {
        "start_time" => Some(0),
        "end_time" => Some(1),
        _ => None,
    };
    let mut seen = [false; 2];
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 2);
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let which = match &token.token {
            Token::SingleQuotedString(text) => {
                text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).and_then(|t| bound(t.trim()))
            }
            Token::LBrace => match tokens.peek().map(|t| &t.token) {
                Some(Token::Word(word)) => {
                    let which = bound(&fold(&word.value));
                    if which.is_some() {
                        tokens.next();
                        let close = tokens.next().map(|t| t.token);
                        if close != Some(Token::RBrace) {
                            return Err(Error::Syntax(format!("a placeholder is not closed ({})", place(&token))));
                        }
                    }
                    which
                }
                _ => None,
            },
            _ => None,
        };
        let Some(which) = which else {
            out.push(token);
            continue;
        };
        seen[which] = true;
        let us = if which == 0 { window.0 } else { window.1 };
        let text = chrono::DateTime::from_timestamp_micros(us).unwrap_or_default().format("%F %T%.6f").to_string();
        let is_typed = matches!(out.last().map(|t| &t.token), Some(Token::Word(w)) if w.keyword == Keyword::TIMESTAMP);
        if !is_typed {
            out.push(TokenWithSpan { token: Token::make_keyword("TIMESTAMP"), span: token.span });
        }
        out.push(TokenWithSpan { token: Token::SingleQuotedString(text), span: token.span });
    }
    match seen {
        [true, true] => Ok(out),
        _ => Err(Error::Invalid(
            "the query must hold {start_time} and {end_time}, as in WHERE time >= {start_time} AND time < {end_time}"
                .into(),
        )),
    }
}

fn condition(text: &str) -> Result<Expr, Error> {
    let (tokens, _) = fold_tokens(tokens(text)?);
    whole(tokens, |parser| parser.parse_expr())
}

/// Parses a condition as `WHERE` takes it through the same door as a whole query.
pub fn parse_condition(text: &str) -> Result<Expr, Error> {
    let condition = condition(text)?;
    // it stands where a query's condition stands, so that guard and rewrites see what they know
    let mut frame = whole(self::tokens("SELECT 1")?, |parser| parser.parse_statement())?;
    *condition_of(&mut frame)? = Some(condition);
    let mut frame = prepared(frame)?;
    condition_of(&mut frame)?.take().ok_or_else(|| Error::Internal("a condition was lost".into()))
}

/// The tokens of one statement or expression.
fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, Error> {
    if text.len() > limits::SQL_BYTES {
        return Err(Error::TooLong { got: text.len() });
    }
    let tokens = Tokenizer::new(&DuckDbDialect {}, text).tokenize_with_location();
    Ok(respell(one_statement(tokens.map_err(|e| Error::Syntax(e.to_string()))?)?))
}

/// Parses with `parse`, which must leave nothing over.
fn whole<T>(
    tokens: Vec<TokenWithSpan>,
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T, Error> {
    let patience = Patience::with(tokens.len());
    let parser = Parser::new(&patience).with_recursion_limit(limits::SQL_DEPTH);
    let mut parser = parser.with_tokens_with_locations(tokens);
    let parsed = parse(&mut parser).map_err(|e| match patience.is_over() {
        true => Error::Syntax("this can be read in too many ways: look for an error behind a long name".into()),
        false => Error::Syntax(clean(&e.to_string())),
    })?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(Error::Syntax(format!("unexpected {} at {}", rest.token, place(&rest))));
    }
    Ok(parsed)
}

fn condition_of(statement: &mut Statement) -> Result<&mut Option<Expr>, Error> {
    Ok(&mut select_of(statement)?.selection)
}

/// The one SELECT that a statement of our own making is.
pub(crate) fn select_of(statement: &mut Statement) -> Result<&mut Select, Error> {
    if let Statement::Query(query) = statement
        && let SetExpr::Select(select) = &mut *query.body
    {
        return Ok(select);
    }
    Err(Error::Internal("a SELECT is no SELECT".into()))
}

fn prepared(mut statement: Statement) -> Result<Statement, Error> {
    relations::prepare(&mut statement)?;
    guard::check(&statement)?;
    match statement.visit(&mut Rewriter { room: limits::SQL_BYTES }) {
        ControlFlow::Continue(()) => Ok(statement),
        ControlFlow::Break(error) => Err(error),
    }
}

fn clean(text: &str) -> String {
    text.trim_start_matches("sql parser error: ").to_owned()
}

fn place(token: &TokenWithSpan) -> String {
    format!("Line: {}, Column: {}", token.span.start.line, token.span.start.column)
}

/// Drops trailing semicolons; refuses a second statement and an empty text.
fn one_statement(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Error> {
    let mut tokens: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    while matches!(tokens.last().map(|t| &t.token), Some(Token::SemiColon | Token::EOF)) {
        tokens.pop();
    }
    if tokens.is_empty() {
        return Err(Error::Syntax("the SQL text is empty".into()));
    }
    if let Some(second) = tokens.iter().find(|t| t.token == Token::SemiColon) {
        return Err(Error::Unsupported {
            what: format!("a second statement ({})", place(second)),
            instead: "send one statement a request".into(),
        });
    }
    Ok(tokens)
}

/// The forms of SHOW, which no parser form covers.
fn show(tokens: &[TokenWithSpan]) -> Result<Option<Kind>, Error> {
    let words: Vec<&str> = tokens
        .iter()
        .map(|t| match &t.token {
            Token::Word(word) => word.value.as_str(),
            Token::SingleQuotedString(text) => text.as_str(),
            _ => "",
        })
        .collect();
    if !words[0].eq_ignore_ascii_case("show") {
        return Ok(None);
    }
    let is = |i: usize, word: &str| words.get(i).is_some_and(|w| w.eq_ignore_ascii_case(word));
    if is(1, "databases") && words.len() == 2 {
        return Ok(Some(Kind::ShowDatabases));
    }
    if is(1, "tables") || is(1, "measurements") {
        if words.len() == 2 {
            return Ok(Some(Kind::ShowTables { database: None }));
        }
        if words.len() >= 4 && (is(2, "from") || is(2, "in")) {
            // a database name may hold dots and dashes, which the tokenizer takes apart
            let name: String = tokens[3..]
                .iter()
                .map(|t| match &t.token {
                    Token::Word(word) => word.value.clone(),
                    Token::SingleQuotedString(text) => text.clone(),
                    other => other.to_string(),
                })
                .collect();
            return Ok(Some(Kind::ShowTables { database: Some(name) }));
        }
    }
    let named = |at: usize| match words.len() > at + 1 && (is(at, "from") || is(at, "in")) {
        true => table_name(&tokens[at + 1..]).map(Some),
        false => Ok(None),
    };
    if is(1, "columns")
        && let Some(table) = named(2)?
    {
        return Ok(Some(Kind::DescribeTable(table)));
    }
    for (word, role) in [("tag", Role::Tag), ("field", Role::Field)] {
        if is(1, word) && is(2, "keys") {
            let table = named(3)?;
            if table.is_some() || words.len() == 3 {
                return Ok(Some(Kind::ShowKeys { role, table }));
            }
        }
    }
    Err(Error::Unsupported {
        what: "this SHOW".into(),
        instead: "use SHOW DATABASES, SHOW TABLES | MEASUREMENTS [FROM database], SHOW COLUMNS FROM table, \
                  SHOW TAG KEYS | FIELD KEYS [FROM table]"
            .into(),
    })
}

/// The parts of a table's name that the tokens are.
fn table_name(tokens: &[TokenWithSpan]) -> Result<Vec<String>, Error> {
    let (tokens, _) = fold_tokens(tokens.to_vec());
    Ok(parts(&whole(tokens, |parser| parser.parse_object_name(false))?))
}

fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(|p| p.as_ident()).map(|i| i.value.clone()).collect()
}

/// Forms of DuckDB that the parser does not have, as those that it has, token by token:
/// `x IN [1, 2]`, `WITH a AS MATERIALIZED (…)`, `sum(x) FILTER (x > 1)`, `lag(x IGNORE NULLS) OVER`, `a ** b`.
fn respell(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    asof::mark(&mut tokens);
    let is = |token: Option<&TokenWithSpan>, keyword: Keyword| matches!(token.map(|t| &t.token), Some(Token::Word(w)) if w.keyword == keyword && w.quote_style.is_none());
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    // for each bracket that is open, whether it is a list behind IN
    let mut open: Vec<bool> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let token = &tokens[i];
        let (last, next) = (out.last(), tokens.get(i + 1));
        let opens = |at: usize| tokens.get(at).is_some_and(|t| t.token == Token::LParen);
        if is(last, Keyword::AS) && is(Some(token), Keyword::MATERIALIZED) && opens(i + 1) {
            i += 1;
            continue;
        }
        if is(last, Keyword::AS) && is(Some(token), Keyword::NOT) && is(next, Keyword::MATERIALIZED) && opens(i + 2) {
            i += 2;
            continue;
        }
        match &token.token {
            Token::LBracket => {
                let is_list = is(last, Keyword::IN);
                open.push(is_list);
                let spelled = if is_list { Token::LParen } else { Token::LBracket };
                out.push(TokenWithSpan { token: spelled, span: token.span });
            }
            Token::RBracket => {
                let spelled = if open.pop() == Some(true) { Token::RParen } else { Token::RBracket };
                out.push(TokenWithSpan { token: spelled, span: token.span });
            }
            // the parser would take all that follows for the right side
            Token::Word(_) if is(Some(token), Keyword::IS) => {
                let words = |from: usize, wanted: &[Keyword]| {
                    wanted.iter().enumerate().all(|(n, keyword)| is(tokens.get(from + n), *keyword))
                };
                let (taken, op) = if words(i + 1, &[Keyword::DISTINCT, Keyword::FROM]) {
                    (2, DISTINCT)
                } else if words(i + 1, &[Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]) {
                    (3, NOT_DISTINCT)
                } else {
                    (0, "")
                };
                match taken {
                    0 => out.push(token.clone()),
                    _ => out.push(TokenWithSpan { token: Token::CustomBinaryOperator(op.into()), span: token.span }),
                }
                i += taken;
            }
            // @(x) is abs(x)
            Token::AtSign if next.is_some_and(|n| n.token == Token::LParen) => {
                out.push(TokenWithSpan { token: Token::make_word("abs", None), span: token.span });
            }
            // 1_000
            Token::Number(digits, false) if follows(token, next) => {
                let (mut digits, mut last) = (digits.clone(), token);
                while let Some(TokenWithSpan { token: Token::Word(word), .. }) = tokens.get(i + 1)
                    && follows(last, tokens.get(i + 1))
                {
                    digits += &word.value[1..].replace('_', "");
                    i += 1;
                    last = &tokens[i];
                }
                out.push(TokenWithSpan { token: Token::Number(digits, false), span: token.span });
            }
            // E'a\nb'
            Token::Word(Word { value, quote_style: None, .. })
                if value.eq_ignore_ascii_case("e")
                    && next.is_some_and(|n| {
                        n.span.start == token.span.end && matches!(n.token, Token::SingleQuotedString(_))
                    }) =>
            {
                if let Some(TokenWithSpan { token: Token::SingleQuotedString(text), span }) = next {
                    out.push(TokenWithSpan { token: Token::SingleQuotedString(unescaped(text)), span: *span });
                }
                i += 1;
            }
            Token::Mul if next.is_some_and(|n| n.token == Token::Mul && n.span.start == token.span.end) => {
                out.push(TokenWithSpan { token: Token::Caret, span: token.span });
                i += 1;
            }
            // f(x IGNORE NULLS) OVER … says it before the bracket
            Token::Word(_)
                if (is(Some(token), Keyword::IGNORE) || is(Some(token), Keyword::RESPECT))
                    && is(next, Keyword::NULLS)
                    && tokens.get(i + 2).is_some_and(|t| t.token == Token::RParen) =>
            {
                out.extend([tokens[i + 2].clone(), token.clone(), tokens[i + 1].clone()]);
                i += 2;
            }
            Token::LParen if is(last, Keyword::FILTER) && !is(next, Keyword::WHERE) => {
                let is_clause = out.len() > 1 && out[out.len() - 2].token == Token::RParen;
                out.push(token.clone());
                if is_clause {
                    out.push(TokenWithSpan { token: Token::make_keyword("WHERE"), span: token.span });
                }
            }
            _ => out.push(token.clone()),
        }
        i += 1;
    }
    out
}

/// Comparisons that the parser gets as operators: it knows how far their sides go.
const DISTINCT: &str = "IS DISTINCT FROM";
const NOT_DISTINCT: &str = "IS NOT DISTINCT FROM";

/// Whether a word of an underscore and digits stands right behind a token.
fn follows(token: &TokenWithSpan, next: Option<&TokenWithSpan>) -> bool {
    let Some(TokenWithSpan { token: Token::Word(word), span }) = next else { return false };
    let digits = word.value.strip_prefix('_').unwrap_or_default();
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit());
    is_number && digits.chars().all(|c| c.is_ascii_digit() || c == '_') && span.start == token.span.end
}

/// A text whose backslashes mean something.
fn unescaped(text: &str) -> String {
    let (mut out, mut characters) = (String::new(), text.chars());
    while let Some(c) = characters.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}

/// Folds every name, quoted or not; returns the spellings of aliases for the result.
fn fold_tokens(tokens: Vec<TokenWithSpan>) -> (Vec<TokenWithSpan>, HashMap<String, String>) {
    let mut aliases = HashMap::new();
    let mut after_as = false;
    let folded = tokens
        .into_iter()
        .map(|mut token| {
            let is_as = matches!(&token.token, Token::Word(w) if w.keyword == Keyword::AS);
            if let Token::Word(word) = &mut token.token {
                let folded = fold(&word.value);
                if after_as && folded != word.value {
                    aliases.insert(folded.clone(), word.value.clone());
                }
                word.value = folded;
            }
            after_as = is_as;
            token
        })
        .collect();
    (folded, aliases)
}

/// The forms that the planner lacks, as those that it has.
struct Rewriter {
    /// Bytes by which macros may still make the statement longer.
    room: usize,
}

impl VisitorMut for Rewriter {
    type Break = Error;

    /// Names of unnamed expressions are fixed before anything inside them is rewritten, `FROM t` is completed.
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        name_items(&mut query.body);
        order_all(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let filled = gaps::fill_values(select).and_then(|()| relations::rewrite_select(select));
        filled.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        relations::rewrite_factor(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Function(function) = expr
            && gaps::FILLERS.contains(&function.name.to_string().as_str())
        {
            let text = format!("{} takes one value, and stands among what is selected", function.name);
            return ControlFlow::Break(Error::Invalid(text));
        }
        if let Expr::Function(function) = expr
            && let Some((meaning, grown)) = macros::expand(function)
        {
            let Some(room) = self.room.checked_sub(grown) else {
                let (what, instead) = ("a statement that its functions make so long", "nest fewer of them");
                return ControlFlow::Break(Error::Unsupported { what: what.into(), instead: instead.into() });
            };
            (self.room, *expr) = (room, meaning);
        } else {
            rewrite(expr);
        }
        ControlFlow::Continue(())
    }
}

/// `ORDER BY ALL` by the places of what is selected: the planner takes columns alone.
fn order_all(query: &mut Query) {
    fn width(body: &SetExpr) -> Option<usize> {
        match body {
            SetExpr::Select(select) => {
                let is_one =
                    |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
                select.projection.iter().all(is_one).then_some(select.projection.len())
            }
            SetExpr::SetOperation { left, .. } => width(left),
            SetExpr::Query(inner) => width(&inner.body),
            SetExpr::Values(values) => values.rows.first().map(|row| row.len()),
            _ => None,
        }
    }
    let Some(width) = width(&query.body) else { return };
    let Some(OrderBy { kind, .. }) = &mut query.order_by else { return };
    let OrderByKind::All(options) = kind else { return };
    let place = |n: usize| OrderByExpr {
        expr: Expr::value(Value::Number(n.to_string(), false)),
        options: *options,
        with_fill: None,
    };
    *kind = OrderByKind::Expressions((1..=width).map(place).collect());
}

fn name_items(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            // of FROM t alone the planner would make rows without columns
            if select.flavor == SelectFlavor::FromFirstNoSelect {
                select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
            }
            select.flavor = SelectFlavor::Standard;
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) = item
                    && let Some(name) = names::of_expression(expr)
                {
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            name_items(left);
            name_items(right);
        }
        _ => {}
    }
}

fn rewrite(expr: &mut Expr) {
    match expr {
        // an interval is as long as it is, whatever it is written in
        Expr::BinaryOp { left, op, right }
            if macros::is_comparison(op) && [&**left, &**right].iter().any(|s| matches!(s, Expr::Interval(_))) =>
        {
            for side in [left, right] {
                **side = call("tw_interval_size", vec![(**side).clone()]);
            }
        }
        Expr::BinaryOp { left, op: BinaryOperator::Multiply, right } if is_interval(left) || is_interval(right) => {
            let (span, times) = if is_interval(left) { (left, right) } else { (right, left) };
            *expr = call("tw_times", vec![(**span).clone(), (**times).clone()]);
        }
        Expr::BinaryOp { left, op, right } => {
            let both = || vec![(**left).clone(), (**right).clone()];
            *expr = match op {
                BinaryOperator::Divide => call("tw_divide", both()),
                BinaryOperator::DuckIntegerDivide => call("tw_integer_divide", both()),
                BinaryOperator::Modulo => call("tw_modulo", both()),
                BinaryOperator::PGStartsWith => call("starts_with", both()),
                BinaryOperator::BitwiseXor => {
                    let float = |side| cast(side, SqlType::Double(ExactNumberInfo::None));
                    call("power", both().into_iter().map(float).collect())
                }
                BinaryOperator::Spaceship => Expr::IsNotDistinctFrom(left.clone(), right.clone()),
                BinaryOperator::Custom(op) if op == DISTINCT => Expr::IsDistinctFrom(left.clone(), right.clone()),
                BinaryOperator::Custom(op) if op == NOT_DISTINCT => {
                    Expr::IsNotDistinctFrom(left.clone(), right.clone())
                }
                BinaryOperator::PGRegexMatch => whole_match(left, right, false),
                BinaryOperator::PGRegexNotMatch => whole_match(left, right, true),
                _ => return,
            };
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: of } => match &mut **of {
            Expr::Value(_) => {}
            Expr::Interval(interval) => {
                if let Some((text, span)) = span_of(interval)
                    && let Some(span) = functions::negated(span)
                {
                    *text = in_units(span);
                    *expr = (**of).clone();
                }
            }
            _ => *expr = call("tw_negative", vec![(**of).clone()]),
        },
        Expr::SimilarTo { negated, expr: of, pattern, escape_char: None } => {
            *expr = whole_match(of, pattern, *negated);
        }
        Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr: of } => {
            let minus = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(Expr::Nested(of.clone())) };
            let one = Box::new(Expr::value(Value::Number("1".into(), false)));
            *expr =
                Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(minus), op: BinaryOperator::Minus, right: one }));
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            // x.f is x['f']
            for access in access_chain.iter_mut() {
                if let AccessExpr::Dot(Expr::Identifier(name)) = access {
                    let index = Expr::value(Value::SingleQuotedString(name.value.clone()));
                    *access = AccessExpr::Subscript(Subscript::Index { index });
                }
            }
            let is_place = |access: &AccessExpr| {
                let name =
                    |e: &Expr| matches!(e, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)));
                matches!(access, AccessExpr::Subscript(Subscript::Index { index }) if !name(index))
                    || matches!(access, AccessExpr::Subscript(Subscript::Slice { stride: None, .. }))
            };
            if !access_chain.iter().all(is_place) {
                return;
            }
            let open = |bound: Option<Expr>| bound.unwrap_or_else(|| Expr::value(Value::Null));
            let whole = (**root).clone();
            *expr = access_chain.drain(..).fold(whole, |of, access| match access {
                AccessExpr::Subscript(Subscript::Index { index }) => call("tw_element", vec![of, index]),
                AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. }) => {
                    call("tw_slice", vec![of, open(lower_bound), open(upper_bound)])
                }
                AccessExpr::Dot(_) => of,
            });
        }
        Expr::Dictionary(fields) => {
            let pair = |field: &DictionaryField| {
                [Expr::value(Value::SingleQuotedString(field.key.value.clone())), (*field.value).clone()]
            };
            *expr = call("named_struct", fields.iter().flat_map(pair).collect());
        }
        Expr::Map(map) => {
            let list = |part: fn(&MapEntry) -> &Expr| {
                call("make_array", map.entries.iter().map(|e| part(e).clone()).collect())
            };
            *expr = call("map", vec![list(|e| &e.key), list(|e| &e.value)]);
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            if let Expr::Subquery(subquery) = &**right {
                *expr = Expr::InSubquery { expr: left.clone(), subquery: subquery.clone(), negated: false };
            }
        }
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
            if let Expr::Subquery(subquery) = &**right {
                *expr = Expr::InSubquery { expr: left.clone(), subquery: subquery.clone(), negated: true };
            }
        }
        Expr::Cast { expr: of, data_type: ty, .. } => {
            if *ty == SqlType::HugeInt {
                // a whole number, though the type that it becomes has a point
                **of = call("tw_rounded", vec![(**of).clone()]);
            }
            if let Some(known) = type_of(ty) {
                *ty = known;
            }
        }
        Expr::Substring { expr: of, substring_from: Some(from), .. } if !matches!(**from, Expr::Value(_)) => {
            **from = call("tw_from_end", vec![(**of).clone(), (**from).clone()]);
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            *expr = call("tw_at_time_zone", vec![(**timestamp).clone(), (**time_zone).clone()]);
        }
        Expr::Interval(interval) => {
            while let Expr::Nested(inner) = &*interval.value {
                interval.value = inner.clone();
            }
            if let Some((text, span)) = span_of(interval) {
                *text = in_units(span);
            }
        }
        Expr::Extract { field, expr: of, .. } => {
            let field = field.to_string().trim_matches('\'').to_ascii_lowercase();
            let field = Expr::value(Value::SingleQuotedString(field));
            *expr = call("date_part", vec![field, (**of).clone()]);
        }
        Expr::Function(function) if function.over.is_none() && function.name.to_string() == "time_bucket" => {
            if let Some(zoned) = bucket_in_zone(function) {
                *expr = zoned;
            } else if arguments(function).get(1).is_some_and(is_date) {
                *expr = cast(expr.clone(), SqlType::Date);
            }
        }
        Expr::Function(function) if function.name.to_string() == "date_add" => {
            let [left, right] = [0, 1].map(|i| arguments(function).into_iter().nth(i));
            if let (Some(left), Some(right)) = (left, right) {
                let op = BinaryOperator::Plus;
                *expr = Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) };
                rewrite(expr);
            }
        }
        Expr::Function(function) if function.over.is_none() => {
            ordered_set(function);
            rewrite_aggregate(function);
        }
        _ => {}
    }
}

fn cast(expr: Expr, data_type: SqlType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// A type of DuckDB's by the name that the engine has for it.
fn type_of(ty: &SqlType) -> Option<SqlType> {
    Some(match ty {
        SqlType::HugeInt => SqlType::Decimal(ExactNumberInfo::PrecisionAndScale(38, 0)),
        SqlType::UBigInt | SqlType::UInt64 => SqlType::BigIntUnsigned(None),
        SqlType::UInt32 => SqlType::IntUnsigned(None),
        SqlType::USmallInt | SqlType::UInt16 => SqlType::SmallIntUnsigned(None),
        SqlType::UTinyInt | SqlType::UInt8 => SqlType::TinyIntUnsigned(None),
        SqlType::Datetime(None) => SqlType::Timestamp(None, TimezoneInfo::None),
        SqlType::Signed => SqlType::Int(None),
        SqlType::Custom(name, _) => match name.to_string().to_ascii_lowercase().as_str() {
            "uinteger" => SqlType::IntUnsigned(None),
            "int1" => SqlType::TinyInt(None),
            "short" => SqlType::SmallInt(None),
            "long" => SqlType::BigInt(None),
            "bpchar" => SqlType::Varchar(None),
            "logical" => SqlType::Boolean,
            _ => return None,
        },
        _ => return None,
    })
}

/// The text of an interval that stands in one, and what it means.
fn span_of(interval: &mut Interval) -> Option<(&mut String, IntervalMonthDayNano)> {
    let (Expr::Value(value), None) = (&mut *interval.value, &interval.leading_field) else { return None };
    let Value::SingleQuotedString(text) = &mut value.value else { return None };
    let span = functions::interval(text)?;
    Some((text, span))
}

/// `'1h30m'`, `'00:05'`, `'2 quarters ago'` in units that the engine reads.
fn in_units(span: IntervalMonthDayNano) -> String {
    format!("{} months {} days {} microseconds", span.months, span.days, span.nanoseconds / 1_000)
}

/// What is an interval by how it is written.
fn is_interval(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_interval(inner),
        Expr::Interval(_) => true,
        Expr::Function(function) => function.name.to_string() == "tw_times",
        _ => false,
    }
}

/// What is a date by how it is written.
fn is_date(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_date(inner),
        Expr::TypedString(typed) => matches!(typed.data_type, SqlType::Date),
        Expr::Cast { data_type: SqlType::Date, .. } => true,
        Expr::Function(function) => {
            matches!(function.name.to_string().as_str(), "make_date" | "current_date" | "today")
        }
        _ => false,
    }
}

/// Whether a regular expression matches all of a text (or does not): `regexp_like(text, '^(?s:pattern)$')`.
fn whole_match(text: &Expr, pattern: &Expr, negated: bool) -> Expr {
    let part = |t: &str| Box::new(Expr::value(Value::SingleQuotedString(t.into())));
    let join = |left, right| Expr::BinaryOp { left, op: BinaryOperator::StringConcat, right };
    let pattern = Box::new(Expr::Nested(Box::new(pattern.clone())));
    let whole = Expr::Nested(Box::new(join(Box::new(join(part("^(?s:"), pattern)), part(")$"))));
    let matches = call("regexp_like", vec![text.clone(), whole]);
    if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(matches) } } else { matches }
}

fn arguments(function: &Function) -> Vec<Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    expressions(&list.args)
}

fn arguments_of_table(args: &TableFunctionArgs) -> Vec<Expr> {
    expressions(&args.args)
}

fn expressions(args: &[FunctionArg]) -> Vec<Expr> {
    let expr = |a: &FunctionArg| match a {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e.clone()),
        _ => None,
    };
    args.iter().filter_map(expr).collect()
}

/// `time_bucket(width, time, 'zone')`: buckets of the clock on the wall there.
fn bucket_in_zone(function: &Function) -> Option<Expr> {
    let [width, time, zone] = arguments(function).try_into().ok()?;
    let is_zone = matches!(&zone, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)));
    let local = |time| call("tw_at_time_zone", vec![time, zone.clone()]);
    // its buckets are of instants: of a clock on the wall they are the same numbers
    let bucket =
        |time| cast(call("time_bucket", vec![width.clone(), time]), SqlType::Timestamp(None, TimezoneInfo::None));
    is_zone.then(|| local(bucket(local(time))))
}

/// `percentile_cont(share) WITHIN GROUP (ORDER BY x)` and its kin, as the functions that they are.
fn ordered_set(function: &mut Function) {
    let name = match function.name.to_string().as_str() {
        "mode" => "tw_least_mode",
        "percentile_cont" => "tw_quantile_cont",
        "percentile_disc" => "quantile_disc",
        _ => return,
    };
    let [OrderByExpr { expr, options, .. }] = function.within_group.as_slice() else { return };
    if options.asc == Some(false) {
        return;
    }
    let args = [vec![expr.clone()], arguments(function)].concat();
    let Expr::Function(plain) = call(name, args) else { return };
    *function = Function { filter: function.filter.take(), ..plain };
}

/// DuckDB's aggregates that take one row's value, as the engine's `first_value` and `last_value`.
fn rewrite_aggregate(function: &mut Function) {
    let (name, args) = (function.name.to_string(), arguments(function));
    let FunctionArguments::List(list) = &mut function.args else { return };
    let not_null = |e: &Expr| Expr::IsNotNull(Box::new(e.clone()));
    match (name.as_str(), args.as_slice()) {
        ("first", [_]) => function.name = ObjectName::from(vec![Ident::new("first_value")]),
        ("last", [_]) => function.name = ObjectName::from(vec![Ident::new("last_value")]),
        ("list_value" | "list_pack", _) => function.name = ObjectName::from(vec![Ident::new("make_array")]),
        ("any_value", [value]) => {
            function.name = ObjectName::from(vec![Ident::new("first_value")]);
            also(&mut function.filter, not_null(value));
        }
        ("arg_max" | "argmax" | "max_by" | "arg_min" | "argmin" | "min_by", [value, by]) if list.clauses.is_empty() => {
            let options = OrderByOptions { asc: Some(name.contains("min")), nulls_first: None };
            let order = OrderByExpr { expr: by.clone(), options, with_fill: None };
            list.clauses.push(FunctionArgumentClause::OrderBy(vec![order]));
            list.args.truncate(1);
            function.name = ObjectName::from(vec![Ident::new("first_value")]);
            also(&mut function.filter, not_null(value));
            also(&mut function.filter, not_null(by));
        }
        _ => {}
    }
}

fn also(filter: &mut Option<Box<Expr>>, condition: Expr) {
    let both = match filter.take() {
        Some(left) => {
            Expr::BinaryOp { left: Box::new(Expr::Nested(left)), op: BinaryOperator::And, right: Box::new(condition) }
        }
        None => condition,
    };
    *filter = Some(Box::new(both));
}

pub(crate) fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|a| FunctionArg::Unnamed(FunctionArgExpr::Expr(a))).collect();
    let duplicate_treatment: Option<DuplicateTreatment> = None;
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
