//! The allow-list over the syntax tree.
//!
//! The planner silently ignores or misreads some nodes (a table's `VERSION` and `SAMPLE` are
//! dropped, `SETTINGS` is forgotten), so whatever is not named here is refused. Structs are taken
//! apart without `..`: a field that a new parser version adds fails to compile until it is judged.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, GroupByExpr, JoinConstraint, JoinOperator, LimitClause,
    NamedWindowDefinition, ObjectName, OrderBy, OrderByKind, Query, Select, SelectFlavor, SelectItem, SetExpr,
    SetOperator, SetQuantifier, Statement, TableAlias, TableFactor, TableFunctionArgs, TableWithJoins, Values, Visit,
    Visitor, WildcardAdditionalOptions,
};

use crate::Error;

/// Functions that may stand in a FROM clause.
pub const TABLE_FUNCTIONS: [&str; 3] = ["generate_series", "range", "unnest"];

/// Refuses every statement but a query made of forms that mean here what they say.
pub fn check(statement: &Statement) -> Result<(), Error> {
    if !matches!(statement, Statement::Query(_)) {
        let word = statement.to_string().split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        return refuse(format!("statement {word}"), "this endpoint answers one SELECT, SHOW or EXPLAIN");
    }
    let mut guard = Guard { depth: 0 };
    match statement.visit(&mut guard) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

fn refuse<T>(what: impl Into<String>, instead: impl Into<String>) -> Result<T, Error> {
    Err(Error::Unsupported { what: what.into(), instead: instead.into() })
}

struct Guard {
    depth: usize,
}

impl Visitor for Guard {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        self.depth += 1;
        if self.depth > model::limits::SQL_DEPTH {
            return ControlFlow::Break(Error::Syntax("queries are nested too deeply".into()));
        }
        flow(check_query(query))
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        flow(check_factor(factor))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        flow(check_expr(expr))
    }
}

fn flow(result: Result<(), Error>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

fn check_query(query: &Query) -> Result<(), Error> {
    let Query {
        with: _,
        body,
        order_by,
        limit_clause,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    if !locks.is_empty() || for_clause.is_some() {
        return refuse("FOR UPDATE or FOR JSON", "leave it out");
    }
    if settings.is_some() || format_clause.is_some() {
        return refuse("SETTINGS or FORMAT", "choose the format by the endpoint or the Accept header");
    }
    if !pipe_operators.is_empty() {
        return refuse("the pipe operator |>", "nest the query instead");
    }
    if fetch.is_some() {
        return refuse("FETCH", "use LIMIT");
    }
    if let Some(OrderBy { kind, interpolate }) = order_by {
        if interpolate.is_some() {
            return refuse("INTERPOLATE", "leave it out");
        }
        if let OrderByKind::Expressions(list) = kind
            && list.iter().any(|e| e.with_fill.is_some())
        {
            return refuse("WITH FILL", "join generate_series instead");
        }
    }
    match limit_clause {
        None | Some(LimitClause::OffsetCommaLimit { offset: _, limit: _ }) => {}
        Some(LimitClause::LimitOffset { limit: _, offset: _, limit_by }) if limit_by.is_empty() => {}
        Some(LimitClause::LimitOffset { .. }) => return refuse("LIMIT BY", "use row_number() in a subquery"),
    }
    check_body(body)
}

fn check_body(body: &SetExpr) -> Result<(), Error> {
    match body {
        SetExpr::Select(select) => check_select(select),
        SetExpr::Query(_) => Ok(()), // visited on its own
        // the planner gives every row that has a twin, not as often as it has one
        SetExpr::SetOperation {
            op: SetOperator::Intersect | SetOperator::Except,
            set_quantifier: SetQuantifier::All | SetQuantifier::AllByName,
            left: _,
            right: _,
        } => refuse("INTERSECT ALL or EXCEPT ALL", "use it without ALL"),
        SetExpr::SetOperation { left, op, set_quantifier: _, right } => match op {
            SetOperator::Union | SetOperator::Except | SetOperator::Intersect => {
                check_body(left)?;
                check_body(right)
            }
            SetOperator::Minus => refuse("MINUS", "use EXCEPT"),
        },
        SetExpr::Values(Values { explicit_row: _, value_keyword: _, rows: _ }) => Ok(()),
        _ => refuse("a statement inside a query", "use SELECT"),
    }
}

fn check_select(select: &Select) -> Result<(), Error> {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    let unknown = !optimizer_hints.is_empty()
        || select_modifiers.is_some()
        || top.is_some()
        || exclude.is_some()
        || into.is_some()
        || !lateral_views.is_empty()
        || prewhere.is_some()
        || !connect_by.is_empty()
        || !cluster_by.is_empty()
        || !distribute_by.is_empty()
        || !sort_by.is_empty()
        || value_table_mode.is_some();
    if unknown {
        return refuse(
            "a clause of this SELECT",
            "use FROM, WHERE, GROUP BY, HAVING, WINDOW, QUALIFY, ORDER BY, LIMIT",
        );
    }
    match flavor {
        SelectFlavor::Standard | SelectFlavor::FromFirst | SelectFlavor::FromFirstNoSelect => {}
    }
    match distinct {
        None | Some(Distinct::All | Distinct::Distinct | Distinct::On(_)) => {}
    }
    match group_by {
        GroupByExpr::Expressions(_, modifiers) if modifiers.is_empty() => {}
        GroupByExpr::All(modifiers) if modifiers.is_empty() => {}
        _ => return refuse("a GROUP BY modifier", "use ROLLUP (…) or CUBE (…)"),
    }
    for NamedWindowDefinition(_, _) in named_window {}
    projection.iter().try_for_each(check_item)?;
    let is_star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let is_natural = |join: &sqlparser::ast::Join| {
        matches!(
            &join.join_operator,
            JoinOperator::Join(JoinConstraint::Natural)
                | JoinOperator::Inner(JoinConstraint::Natural)
                | JoinOperator::Left(JoinConstraint::Natural)
                | JoinOperator::LeftOuter(JoinConstraint::Natural)
        )
    };
    // the planner gives its columns in an order of its own
    if projection.iter().any(is_star) && from.iter().flat_map(|f| &f.joins).any(is_natural) {
        return refuse("* of a NATURAL JOIN", "name the columns, or join USING (a, b)");
    }
    from.iter().try_for_each(check_from)
}

fn check_item(item: &SelectItem) -> Result<(), Error> {
    let options = match item {
        SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { expr: _, alias: _ } => return Ok(()),
        SelectItem::QualifiedWildcard(_, options) | SelectItem::Wildcard(options) => options,
        SelectItem::ExprWithAliases { .. } => return refuse("several aliases for one expression", "use one"),
    };
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude: _,
        opt_except: _,
        opt_replace: _,
        opt_rename,
        opt_alias,
    } = options;
    if opt_ilike.is_some() || opt_rename.is_some() || opt_alias.is_some() {
        return refuse("ILIKE or RENAME of *", "name the columns, or use EXCLUDE and REPLACE");
    }
    Ok(())
}

fn check_from(from: &TableWithJoins) -> Result<(), Error> {
    let TableWithJoins { relation: _, joins } = from;
    for join in joins {
        let sqlparser::ast::Join { relation: _, global, join_operator } = join;
        // the parser takes POSITIONAL and ASOF for the alias of the table before them
        if *global {
            return refuse("GLOBAL JOIN", "leave GLOBAL out");
        }
        // the shared column would be the left side's, which is NULL where there is only a right one
        if let JoinOperator::Right(c) | JoinOperator::RightOuter(c) | JoinOperator::FullOuter(c) = join_operator
            && matches!(c, JoinConstraint::Using(_) | JoinConstraint::Natural)
        {
            return refuse(
                "USING or NATURAL in a RIGHT or FULL JOIN",
                "join ON a.x = b.x and select coalesce(a.x, b.x)",
            );
        }
        match join_operator {
            JoinOperator::Join(_)
            | JoinOperator::Inner(_)
            | JoinOperator::Left(_)
            | JoinOperator::LeftOuter(_)
            | JoinOperator::Right(_)
            | JoinOperator::RightOuter(_)
            | JoinOperator::FullOuter(_)
            | JoinOperator::CrossJoin(_)
            | JoinOperator::Semi(_)
            | JoinOperator::LeftSemi(_)
            | JoinOperator::RightSemi(_)
            | JoinOperator::Anti(_)
            | JoinOperator::LeftAnti(_)
            | JoinOperator::RightAnti(_) => {}
            _ => return refuse("this kind of join", "use INNER, LEFT, RIGHT, FULL, CROSS, SEMI or ANTI JOIN"),
        }
    }
    Ok(())
}

fn check_alias(alias: &Option<TableAlias>) -> Result<(), Error> {
    let Some(TableAlias { explicit, name, columns: _, at }) = alias else { return Ok(()) };
    if at.is_some() {
        return refuse("AT", "leave it out");
    }
    let word = name.value.to_ascii_lowercase();
    if !explicit
        && name.quote_style.is_none()
        && matches!(word.as_str(), "positional" | "asof" | "semi" | "anti" | "version")
    {
        return refuse(format!("{} here", word.to_ascii_uppercase()), "put the alias behind AS");
    }
    Ok(())
}

fn check_factor(factor: &TableFactor) -> Result<(), Error> {
    match factor {
        TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            check_alias(alias)?;
            let unread = !with_hints.is_empty()
                || *with_ordinality
                || !partitions.is_empty()
                || json_path.is_some()
                || !index_hints.is_empty();
            if version.is_some() {
                return refuse("reading a table AT a version", "the newest snapshot is always read");
            }
            if sample.is_some() {
                return refuse("TABLESAMPLE", "filter on a hash instead");
            }
            if unread {
                return refuse("a modifier of a table", "name the table alone");
            }
            match args {
                None => check_table_name(name),
                Some(TableFunctionArgs { args: _, settings: None }) => check_table_function(name),
                Some(_) => refuse("SETTINGS", "leave it out"),
            }
        }
        TableFactor::Derived { lateral, subquery: _, alias, sample } => {
            check_alias(alias)?;
            let _ = lateral; // the planner knows which it can join
            if sample.is_some() {
                return refuse("TABLESAMPLE", "filter on a hash instead");
            }
            Ok(())
        }
        TableFactor::NestedJoin { table_with_joins, alias } => {
            check_alias(alias)?;
            check_from(table_with_joins)
        }
        TableFactor::UNNEST { alias, array_exprs: _, with_offset, with_offset_alias, with_ordinality } => {
            check_alias(alias)?;
            if *with_offset || with_offset_alias.is_some() || *with_ordinality {
                return refuse("WITH OFFSET or WITH ORDINALITY", "use row_number()");
            }
            Ok(())
        }
        _ => refuse("this form in FROM", "use a table, a subquery or generate_series, range, unnest"),
    }
}

fn check_table_name(name: &ObjectName) -> Result<(), Error> {
    let parts = name.0.len();
    if parts > 2 || name.0.iter().any(|p| p.as_ident().is_none()) {
        return refuse(format!("table name {name}"), "use table or database.table");
    }
    if name.0.iter().filter_map(|p| p.as_ident()).any(|i| i.quote_style == Some('\'')) {
        return refuse("a file in place of a table", "write the data to a table first");
    }
    Ok(())
}

fn check_table_function(name: &ObjectName) -> Result<(), Error> {
    let word = name.to_string().to_ascii_lowercase();
    if TABLE_FUNCTIONS.contains(&word.as_str()) {
        return Ok(());
    }
    refuse(format!("table function {word}"), format!("only {} may stand in FROM", TABLE_FUNCTIONS.join(", ")))
}

fn check_expr(expr: &Expr) -> Result<(), Error> {
    match expr {
        Expr::Function(function) => check_function(function),
        Expr::Cast { format: Some(_), .. } => refuse("CAST … FORMAT", "use strptime or to_char"),
        Expr::Value(value) if matches!(value.value, sqlparser::ast::Value::Placeholder(_)) => {
            refuse(format!("the placeholder {value} without a value"), "send its value in \"params\"")
        }
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::CompoundFieldAccess { root: _, access_chain: _ }
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::IsDistinctFrom(_, _)
        | Expr::IsNotDistinctFrom(_, _)
        | Expr::InList { expr: _, list: _, negated: _ }
        | Expr::InSubquery { expr: _, subquery: _, negated: _ }
        | Expr::Between { expr: _, negated: _, low: _, high: _ }
        | Expr::BinaryOp { left: _, op: _, right: _ }
        | Expr::Like { negated: _, any: false, expr: _, pattern: _, escape_char: _ }
        | Expr::ILike { negated: _, any: false, expr: _, pattern: _, escape_char: _ }
        | Expr::SimilarTo { negated: _, expr: _, pattern: _, escape_char: _ }
        | Expr::UnaryOp { op: _, expr: _ }
        | Expr::Cast { kind: _, expr: _, data_type: _, array: _, format: None }
        | Expr::AtTimeZone { timestamp: _, time_zone: _ }
        | Expr::Extract { field: _, syntax: _, expr: _ }
        | Expr::Ceil { expr: _, field: _ }
        | Expr::Floor { expr: _, field: _ }
        | Expr::Position { expr: _, r#in: _ }
        | Expr::Substring { expr: _, substring_from: _, substring_for: _, special: _, shorthand: _ }
        | Expr::Trim { trim_where: _, trim_what: _, expr: _, trim_characters: _ }
        | Expr::Nested(_)
        | Expr::Value(_)
        | Expr::TypedString(_)
        | Expr::Case { case_token: _, end_token: _, operand: _, conditions: _, else_result: _ }
        | Expr::Dictionary(_)
        | Expr::Map(_)
        | Expr::AnyOp { left: _, compare_op: BinaryOperator::Eq, right: _, is_some: _ }
        | Expr::AllOp { left: _, compare_op: BinaryOperator::NotEq, right: _ }
        | Expr::Exists { subquery: _, negated: _ }
        | Expr::Subquery(_)
        | Expr::GroupingSets(_)
        | Expr::Cube(_)
        | Expr::Rollup(_)
        | Expr::Tuple(_)
        | Expr::Array(_)
        | Expr::Interval(_)
        | Expr::Wildcard(_)
        | Expr::QualifiedWildcard(_, _) => Ok(()),
        other => refuse(format!("the expression {}", short(other)), "see docs/sql.md for what is"),
    }
}

fn short(expr: &Expr) -> String {
    expr.to_string().chars().take(60).collect()
}

fn check_function(function: &Function) -> Result<(), Error> {
    let Function { name, uses_odbc_syntax, parameters, args, filter: _, null_treatment: _, over: _, within_group: _ } =
        function;
    if *uses_odbc_syntax || !matches!(parameters, FunctionArguments::None) {
        return refuse(format!("this form of {name}"), "write name(arguments)");
    }
    let FunctionArguments::List(FunctionArgumentList { duplicate_treatment: _, args, clauses }) = args else {
        return Ok(());
    };
    let is_column = |arg: &FunctionArg| {
        matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(_) | Expr::CompoundIdentifier(_))))
    };
    // constants have other types here until they meet a column
    if name.to_string() == "typeof" && !args.iter().all(is_column) {
        return refuse("typeof of an expression", "use DESCRIBE SELECT …");
    }
    for clause in clauses {
        match clause {
            FunctionArgumentClause::IgnoreOrRespectNulls(_) | FunctionArgumentClause::OrderBy(_) => {}
            _ => return refuse(format!("a clause inside {name}(…)"), "leave it out"),
        }
    }
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(_) | FunctionArgExpr::Wildcard) => {}
            _ => return refuse(format!("a named argument of {name}"), "give the arguments by position"),
        }
    }
    Ok(())
}
