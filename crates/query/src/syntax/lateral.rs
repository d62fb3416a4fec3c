//! Aliases that the same SELECT uses again: `SELECT n + 1 AS a, a * 2 AS b … WHERE a > 3`.
//!
//! A column of that name goes before, and only the planner knows columns: it is asked first, and what it does not know is
//! looked for here.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Select, SelectItem, Statement, VisitMut, VisitorMut};

/// Puts what an alias stands for in its place, wherever a SELECT that has it names it; false where none does.
pub(crate) fn inline_alias(statement: &mut Statement, name: &str) -> bool {
    let mut inliner = Inliner { name, changed: false };
    let _ = statement.visit(&mut inliner);
    inliner.changed
}

struct Inliner<'a> {
    name: &'a str,
    changed: bool,
}

impl VisitorMut for Inliner<'_> {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let place = select
            .projection
            .iter()
            .position(|item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.value == self.name));
        let Some(place) = place else { return ControlFlow::Continue(()) };
        let SelectItem::ExprWithAlias { expr: meaning, .. } = select.projection[place].clone() else {
            return ControlFlow::Continue(());
        };
        let mut replacer = Replacer { name: self.name, meaning: &meaning, depth: 0, count: 0 };
        for (at, item) in select.projection.iter_mut().enumerate() {
            if at > place {
                let _ = item.visit(&mut replacer);
            }
        }
        let _ = select.selection.visit(&mut replacer);
        let _ = select.having.visit(&mut replacer);
        let _ = select.qualify.visit(&mut replacer);
        self.changed |= replacer.count > 0;
        ControlFlow::Continue(())
    }
}

/// The most places that one alias is put into: each may hold others.
const PLACES: usize = 100;

struct Replacer<'a> {
    name: &'a str,
    meaning: &'a Expr,
    /// Of queries inside, which have aliases of their own.
    depth: usize,
    count: usize,
}

impl VisitorMut for Replacer<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && self.depth == 0
            && name.value == self.name
            && self.count < PLACES
        {
            *expr = Expr::Nested(Box::new(self.meaning.clone()));
            self.count += 1;
        }
        ControlFlow::Continue(())
    }
}
