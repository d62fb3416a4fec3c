use std::collections::HashMap;
use std::fmt;

use model::fold;
use sqlparser::ast::{
    BinaryOperator, Expr, Ident, LimitClause, ObjectName, Offset, OffsetRows, OrderBy, OrderByKind, SetExpr, Statement,
    TableFactor, Value,
};
use sqlparser::parser::Parser;

use super::{Kind, Parsed, also, condition, fold_tokens, prepared, tokens, whole};
use crate::Error;

/// Rows of one table. Each text is parsed by itself, as what it is: none can reach beyond its place.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub table: String,
    /// Names or expressions with commas between them; none: all.
    pub columns: Option<String>,
    pub condition: Option<String>,
    /// Times from the first on and before the second.
    pub from: Option<String>,
    pub to: Option<String>,
    pub order_by: Option<String>,
    pub limit: u64,
    pub offset: u64,
}

/// For lists of queries; it is never parsed.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SELECT {} FROM \"{}\"", self.columns.as_deref().unwrap_or("*"), self.table)?;
        let from = self.from.as_ref().map(|from| format!("time >= '{from}'"));
        let to = self.to.as_ref().map(|to| format!("time < '{to}'"));
        let conditions: Vec<String> = [self.condition.clone(), from, to].into_iter().flatten().collect();
        if !conditions.is_empty() {
            write!(f, " WHERE {}", conditions.join(" AND "))?;
        }
        if let Some(order) = &self.order_by {
            write!(f, " ORDER BY {order}")?;
        }
        write!(f, " LIMIT {} OFFSET {}", self.limit, self.offset)
    }
}

impl Selection {
    pub(super) fn parse(&self) -> Result<Parsed, Error> {
        let frame = whole(tokens("SELECT * FROM t")?, |parser| parser.parse_statement())?;
        let lost = || Error::Internal("a SELECT is no SELECT".into());
        let Statement::Query(mut query) = frame else { return Err(lost()) };
        let SetExpr::Select(select) = &mut *query.body else { return Err(lost()) };
        let Some(TableFactor::Table { name, .. }) = select.from.first_mut().map(|f| &mut f.relation) else {
            return Err(lost());
        };
        *name = ObjectName::from(vec![Ident::with_quote('"', fold(&self.table))]);
        let mut aliases = HashMap::new();
        if let Some(columns) = &self.columns {
            let (tokens, named) = fold_tokens(tokens(columns)?);
            select.projection = whole(tokens, |parser| parser.parse_projection())?;
            aliases = named;
        }
        let mut filter = None;
        if let Some(text) = &self.condition {
            also(&mut filter, condition(text)?);
        }
        for (op, bound) in [(BinaryOperator::GtEq, &self.from), (BinaryOperator::Lt, &self.to)] {
            if let Some(text) = bound {
                let (left, right) = (Expr::Identifier(Ident::new("time")), Value::SingleQuotedString(text.clone()));
                also(&mut filter, Expr::BinaryOp { left: left.into(), op, right: Expr::value(right).into() });
            }
        }
        select.selection = filter.map(|f| *f);
        if let Some(text) = &self.order_by {
            let (tokens, _) = fold_tokens(tokens(text)?);
            let listed = whole(tokens, |parser| parser.parse_comma_separated(Parser::parse_order_by_expr))?;
            query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(listed), interpolate: None });
        }
        let number = |n: u64| Expr::value(Value::Number(n.to_string(), false));
        query.limit_clause = Some(LimitClause::LimitOffset {
            limit: Some(number(self.limit)),
            offset: Some(Offset { value: number(self.offset), rows: OffsetRows::None }),
            limit_by: Vec::new(),
        });
        Ok(Parsed { kind: Kind::Query(Box::new(prepared(Statement::Query(query))?)), aliases })
    }
}
