//! Forms of FROM that the planner lacks, as those that it has.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    SetExpr, Statement, TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut,
};

use super::{arguments_of_table, asof, call, select_of, tokens, whole};
use crate::{Error, guard};

/// What must be done before the guard judges: `USING` of a RIGHT or FULL JOIN whose shared columns are all named, as ON
/// with a coalesce of both sides' columns; ASOF joins; VALUES alone with DuckDB's names of its columns.
pub(super) fn prepare(statement: &mut Statement) -> Result<(), Error> {
    if let ControlFlow::Break(error) = statement.visit(&mut Shared) {
        return Err(error);
    }
    let Statement::Query(query) = statement else { return Ok(()) };
    let SetExpr::Values(values) = &*query.body else { return Ok(()) };
    let width = values.rows.first().map_or(0, |row| row.len());
    let names: Vec<String> = (0..width).map(|n| format!("col{n}")).collect();
    let frame = format!("SELECT * FROM (SELECT 1) AS valueslist({})", names.join(", "));
    let mut frame = whole(tokens(&frame)?, |parser| parser.parse_statement())?;
    let select = select_of(&mut frame)?;
    if let Some(TableWithJoins { relation: TableFactor::Derived { subquery, .. }, .. }) = select.from.first_mut() {
        std::mem::swap(&mut subquery.body, &mut query.body);
    }
    if let Statement::Query(made) = frame {
        query.body = made.body;
    }
    Ok(())
}

struct Shared;

impl VisitorMut for Shared {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        using_both(select);
        asof::rewrite(select).map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }
}

/// The name by which a relation's columns are called.
pub(super) fn name_of(relation: &TableFactor) -> Option<Ident> {
    match relation {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, .. } => name.0.last().and_then(ObjectNamePart::as_ident).cloned(),
        _ => None,
    }
}

pub(super) fn column(of: &Ident, name: &Ident) -> Expr {
    Expr::CompoundIdentifier(vec![of.clone(), name.clone()])
}

/// `l.a = r.a AND l.b = r.b`.
fn equal(left: &Ident, right: &Ident, columns: &[Ident]) -> Option<JoinConstraint> {
    let each = columns.iter().map(|name| {
        let sides = [left, right].map(|side| Box::new(column(side, name)));
        let [left, right] = sides;
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right }
    });
    let both = |left, right| Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(right) };
    each.reduce(both).map(JoinConstraint::On)
}

pub(super) fn idents(names: &[ObjectName]) -> Option<Vec<Ident>> {
    names.iter().map(|name| name.0.first().and_then(ObjectNamePart::as_ident).cloned()).collect()
}

/// Gives a subquery that has no name one.
fn named(relation: &mut TableFactor, name: &str) {
    if let TableFactor::Derived { alias: alias @ None, .. } = relation {
        *alias = Some(TableAlias { explicit: true, name: Ident::new(name), columns: Vec::new(), at: None });
    }
}

fn using_both(select: &mut Select) {
    let [TableWithJoins { relation, joins }] = select.from.as_mut_slice() else { return };
    let [join] = joins.as_mut_slice() else { return };
    named(relation, "tw_left");
    named(&mut join.relation, "tw_right");
    let (Some(left), Some(right)) = (name_of(relation), name_of(&join.relation)) else { return };
    let (JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) | JoinOperator::FullOuter(constraint)) =
        &mut join.join_operator
    else {
        return;
    };
    let JoinConstraint::Using(names) = constraint else { return };
    let Some(columns) = idents(names) else { return };
    let is_star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let mut finder = Coalescing { left: &left, right: &right, columns: &columns, has_query: false, replaces: false };
    let _ = select.projection.visit(&mut finder);
    let _ = select.selection.visit(&mut finder);
    if finder.has_query || select.projection.iter().any(is_star) {
        return;
    }
    let Some(on) = equal(&left, &right, &columns) else { return };
    *constraint = on;
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item
            && columns.iter().any(|c| c.value == name.value)
        {
            *item = SelectItem::ExprWithAlias { expr: Expr::Identifier(name.clone()), alias: name.clone() };
        }
    }
    let mut coalescing = Coalescing { replaces: true, ..finder };
    let _ = select.projection.visit(&mut coalescing);
    let _ = select.selection.visit(&mut coalescing);
    let _ = select.group_by.visit(&mut coalescing);
    let _ = select.having.visit(&mut coalescing);
    let _ = select.qualify.visit(&mut coalescing);
}

/// Puts a coalesce of both sides in place of shared columns.
struct Coalescing<'a> {
    left: &'a Ident,
    right: &'a Ident,
    columns: &'a [Ident],
    has_query: bool,
    replaces: bool,
}

impl VisitorMut for Coalescing<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.has_query = true;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && self.replaces
            && self.columns.iter().any(|c| c.value == name.value)
        {
            *expr = call("coalesce", vec![column(self.left, name), column(self.right, name)]);
        }
        ControlFlow::Continue(())
    }
}

/// What a relation is to the planner: unnest as its own form, the column of a series under its name.
pub(super) fn rewrite_factor(factor: &mut TableFactor) {
    let TableFactor::Table { name, args: Some(args), alias, .. } = factor else { return };
    let function = name.to_string();
    if !guard::TABLE_FUNCTIONS.contains(&function.as_str()) {
        return;
    }
    let column = || vec![TableAliasColumnDef { name: Ident::new(&function), data_type: None }];
    let alias = match alias.take() {
        Some(alias) if alias.columns.is_empty() => TableAlias { columns: column(), ..alias },
        Some(alias) => alias,
        None => TableAlias { explicit: true, name: Ident::new(&function), columns: column(), at: None },
    };
    *factor = match function.as_str() {
        "unnest" => TableFactor::UNNEST {
            alias: Some(alias),
            array_exprs: arguments_of_table(args),
            with_offset: false,
            with_offset_alias: None,
            with_ordinality: false,
        },
        _ => {
            let TableFactor::Table { alias: place, .. } = factor else { return };
            *place = Some(alias);
            return;
        }
    };
}

/// SEMI and ANTI joins USING columns, as ON; EXISTS among what is selected, as a count.
pub(super) fn rewrite_select(select: &mut Select) -> Result<(), Error> {
    for TableWithJoins { relation, joins } in &mut select.from {
        let mut left = name_of(relation);
        for join in joins {
            let right = name_of(&join.relation);
            match &mut join.join_operator {
                op @ JoinOperator::Semi(_) => {
                    if let JoinOperator::Semi(constraint) = op.clone() {
                        *op = JoinOperator::LeftSemi(constraint);
                    }
                }
                op @ JoinOperator::Anti(_) => {
                    if let JoinOperator::Anti(constraint) = op.clone() {
                        *op = JoinOperator::LeftAnti(constraint);
                    }
                }
                _ => {}
            }
            if let JoinOperator::LeftSemi(constraint) | JoinOperator::LeftAnti(constraint) = &mut join.join_operator
                && let JoinConstraint::Using(names) = constraint
                && let (Some(left), Some(right), Some(columns)) = (&left, &right, idents(names))
                && let Some(on) = equal(left, right, &columns)
            {
                *constraint = on;
            }
            // which of several relations a column is of, only the planner knows
            left = None;
        }
    }
    let mut counting = Counting(None);
    let _ = select.projection.visit(&mut counting);
    counting.0.map_or(Ok(()), Err)
}

/// The engine has no EXISTS among what is selected.
struct Counting(Option<Error>);

impl VisitorMut for Counting {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Exists { subquery, negated } = expr else { return ControlFlow::Continue(()) };
        match counted(subquery) {
            Ok(count) => {
                let op = if *negated { BinaryOperator::Eq } else { BinaryOperator::Gt };
                let zero = Box::new(Expr::value(Value::Number("0".into(), false)));
                let compared = Expr::BinaryOp { left: Box::new(Expr::Subquery(count)), op, right: zero };
                *expr = Expr::Nested(Box::new(compared));
            }
            Err(error) => self.0 = Some(error),
        }
        ControlFlow::Continue(())
    }
}

/// `SELECT count(*) FROM (…)`.
fn counted(subquery: &Query) -> Result<Box<Query>, Error> {
    let mut frame = whole(tokens("SELECT count(*) FROM (SELECT 1) AS tw_found")?, |parser| parser.parse_statement())?;
    let select = select_of(&mut frame)?;
    if let Some(TableWithJoins { relation: TableFactor::Derived { subquery: inner, .. }, .. }) = select.from.first_mut()
    {
        **inner = subquery.clone();
    }
    match frame {
        Statement::Query(query) => Ok(query),
        _ => Err(Error::Internal("a SELECT is no SELECT".into())),
    }
}
