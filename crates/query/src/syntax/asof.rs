//! `l ASOF [LEFT] JOIN r ON l.k = r.k AND l.t >= r.t`: beside each row of the left the one row of the right that is
//! nearest in time.
//!
//! The parser has no such join. Its tokens come as a GLOBAL JOIN ([`mark`]), which nothing else can be, and its tree as a
//! join with the span in which each row of the right is the nearest: from its own time to that of the next.

use sqlparser::ast::{
    BinaryOperator, ExcludeSelectItem, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Select, SelectItem,
    SetExpr, Statement, TableAlias, TableFactor, TableWithJoins,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::relations::{column, idents, name_of};
use super::{select_of, tokens, whole};
use crate::Error;

/// The column that ends the span of a row of the right.
const END: &str = "tw_end";

/// Spells `ASOF [LEFT] JOIN` as a GLOBAL one; what was written as GLOBAL is a name.
pub(super) fn mark(tokens: &mut [TokenWithSpan]) {
    let joins = |at: Option<&TokenWithSpan>| {
        matches!(
            at.map(|t| &t.token),
            Some(Token::Word(Word { keyword: Keyword::JOIN | Keyword::LEFT | Keyword::INNER, quote_style: None, .. }))
        )
    };
    for at in 0..tokens.len() {
        let is_followed = joins(tokens.get(at + 1));
        let Token::Word(word) = &mut tokens[at].token else { continue };
        if word.keyword == Keyword::GLOBAL {
            word.keyword = Keyword::NoKeyword;
        }
        if is_followed && word.quote_style.is_none() && word.value.eq_ignore_ascii_case("asof") {
            tokens[at].token = Token::make_keyword("GLOBAL");
        }
    }
}

fn unclear() -> Error {
    Error::Unsupported {
        what: "this ASOF JOIN".into(),
        instead: "name both tables, and write ON l.key = r.key AND l.time >= r.time, or USING (key, time)".into(),
    }
}

/// What the join asks of a pair, taken apart.
struct Wanted {
    /// Equal pairs, of the left and the right.
    keys: Vec<(Expr, Expr)>,
    left: Expr,
    op: BinaryOperator,
    right: Expr,
}

/// Rewrites the ASOF joins of a SELECT.
///
/// # Errors
/// It is not clear which side a column belongs to.
pub(super) fn rewrite(select: &mut Select) -> Result<(), Error> {
    let mut found = Vec::new();
    for TableWithJoins { relation, joins } in &mut select.from {
        let mut first = name_of(relation);
        for join in joins {
            // which of several relations a shared column is of, only the planner knows
            let left = first.take();
            if join.global {
                rewrite_join(join, left.as_ref())?;
                found.extend(name_of(&join.relation));
            }
        }
    }
    for item in &mut select.projection {
        let options = match item {
            SelectItem::Wildcard(options) => options,
            SelectItem::QualifiedWildcard(_, options) => options,
            _ => continue,
        };
        if found.is_empty() {
            continue;
        }
        if options.opt_exclude.is_some() || found.len() > 1 {
            return Err(unclear());
        }
        options.opt_exclude = Some(ExcludeSelectItem::Single(ObjectName::from(vec![Ident::new(END)])));
    }
    Ok(())
}

fn rewrite_join(join: &mut Join, left: Option<&Ident>) -> Result<(), Error> {
    let right = name_of(&join.relation).ok_or_else(unclear)?;
    let constraint = match &mut join.join_operator {
        JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => c,
        _ => return Err(unclear()),
    };
    let wanted = match constraint {
        JoinConstraint::On(on) => wanted(on, &right)?,
        JoinConstraint::Using(names) => {
            // of the shared columns the last is the time
            let left = left.ok_or_else(unclear)?;
            let shared = idents(names).ok_or_else(unclear)?;
            let (time, keys) = shared.split_last().ok_or_else(unclear)?;
            let pair = |name: &Ident| (column(left, name), column(&right, name));
            let (left, right) = pair(time);
            Wanted { keys: keys.iter().map(pair).collect(), left, op: BinaryOperator::GtEq, right }
        }
        _ => return Err(unclear()),
    };
    let end = Expr::CompoundIdentifier(vec![right.clone(), Ident::new(END)]);
    // the next row of the right ends the span of one before; of one behind it is the row before
    let (end_op, ahead) = match wanted.op {
        BinaryOperator::GtEq => (BinaryOperator::Lt, true),
        BinaryOperator::Gt => (BinaryOperator::LtEq, true),
        BinaryOperator::LtEq => (BinaryOperator::Gt, false),
        _ => (BinaryOperator::GtEq, false),
    };
    let compare = |left: &Expr, op: BinaryOperator, right: &Expr| Expr::BinaryOp {
        left: Box::new(left.clone()),
        op,
        right: Box::new(right.clone()),
    };
    let within = Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(compare(&wanted.left, end_op, &end)),
        op: BinaryOperator::Or,
        right: Box::new(Expr::IsNull(Box::new(end.clone()))),
    }));
    let mut on = compare(&wanted.left, wanted.op.clone(), &wanted.right);
    for part in wanted.keys.iter().map(|(l, r)| compare(l, BinaryOperator::Eq, r)).chain([within]) {
        on = Expr::BinaryOp { left: Box::new(on), op: BinaryOperator::And, right: Box::new(part) };
    }
    *constraint = JoinConstraint::On(on);
    join.global = false;
    let keys: Vec<Expr> = wanted.keys.into_iter().map(|(_, key)| key).collect();
    join.relation = spans(join.relation.clone(), &right, keys, wanted.right, ahead)?;
    Ok(())
}

/// The right side with the column that ends each row's span.
fn spans(of: TableFactor, name: &Ident, keys: Vec<Expr>, time: Expr, ahead: bool) -> Result<TableFactor, Error> {
    let function = if ahead { "lead" } else { "lag" };
    let frame = format!("SELECT *, {function}(x) OVER (PARTITION BY x ORDER BY x) AS {END} FROM x");
    let mut frame = whole(tokens(&frame)?, |parser| parser.parse_statement())?;
    let select: &mut Select = select_of(&mut frame)?;
    if let Some(SelectItem::ExprWithAlias { expr: Expr::Function(call), .. }) = select.projection.get_mut(1) {
        let made = super::call(function, vec![time.clone()]);
        if let (Expr::Function(made), Some(sqlparser::ast::WindowType::WindowSpec(window))) = (made, &mut call.over) {
            call.args = made.args;
            window.partition_by = keys;
            window.order_by.iter_mut().for_each(|order| order.expr = time.clone());
        }
    }
    if let Some(from) = select.from.first_mut() {
        from.relation = of;
    }
    let Statement::Query(subquery) = frame else { return Err(unclear()) };
    debug_assert!(matches!(&*subquery.body, SetExpr::Select(_)));
    let alias = Some(TableAlias { explicit: true, name: name.clone(), columns: Vec::new(), at: None });
    Ok(TableFactor::Derived { lateral: false, subquery, alias, sample: None })
}

/// The parts of a condition: equal pairs and one comparison of times.
fn wanted(on: &Expr, right: &Ident) -> Result<Wanted, Error> {
    let mut parts = Vec::new();
    conjuncts(on, &mut parts);
    let is_of_right = |expr: &Expr| matches!(expr, Expr::CompoundIdentifier(parts) if parts.len() > 1 && parts[parts.len() - 2].value == right.value);
    let is_qualified = |expr: &Expr| matches!(expr, Expr::CompoundIdentifier(_));
    let (mut keys, mut compared) = (Vec::new(), None);
    for part in parts {
        let Expr::BinaryOp { left: a, op, right: b } = part else { return Err(unclear()) };
        let (l, op, r) = match (is_of_right(a), is_of_right(b)) {
            (false, true) if is_qualified(a) => (a, op.clone(), b),
            (true, false) if is_qualified(b) => (b, turned(op), a),
            _ => return Err(unclear()),
        };
        match op {
            BinaryOperator::Eq => keys.push(((**l).clone(), (**r).clone())),
            BinaryOperator::GtEq | BinaryOperator::Gt | BinaryOperator::LtEq | BinaryOperator::Lt
                if compared.is_none() =>
            {
                compared = Some(((**l).clone(), op, (**r).clone()));
            }
            _ => return Err(unclear()),
        }
    }
    let (left, op, right) = compared.ok_or_else(unclear)?;
    Ok(Wanted { keys, left, op, right })
}

fn turned(op: &BinaryOperator) -> BinaryOperator {
    match op {
        BinaryOperator::GtEq => BinaryOperator::LtEq,
        BinaryOperator::Gt => BinaryOperator::Lt,
        BinaryOperator::LtEq => BinaryOperator::GtEq,
        BinaryOperator::Lt => BinaryOperator::Gt,
        other => other.clone(),
    }
}

fn conjuncts<'a>(expr: &'a Expr, parts: &mut Vec<&'a Expr>) {
    match expr {
        Expr::Nested(inner) => conjuncts(inner, parts),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, parts);
            conjuncts(right, parts);
        }
        other => parts.push(other),
    }
}
