//! The parser's patience. It tries some forms in two ways, and each of these again within: an error behind a long name or
//! deep nesting would keep it for hours.

use std::any::TypeId;
use std::cell::Cell;

use model::limits;
use sqlparser::ast::Expr;
use sqlparser::dialect::{Dialect, DuckDbDialect};
use sqlparser::parser::{Parser, ParserError};

/// DuckDB's dialect, for so many expressions that the parser begins to read.
#[derive(Debug)]
pub(super) struct Patience(Cell<usize>);

impl Patience {
    pub(super) fn with(tokens: usize) -> Self {
        Self(Cell::new(limits::SQL_TRIES + tokens * limits::SQL_TRIES_A_TOKEN))
    }

    /// Whether the parser gave up because of it.
    pub(super) fn is_over(&self) -> bool {
        self.0.get() == 0
    }
}

macro_rules! as_in_duckdb {
    ($($says:ident)*) => { $(fn $says(&self) -> bool { DuckDbDialect.$says() })* };
}

impl Dialect for Patience {
    fn dialect(&self) -> TypeId {
        DuckDbDialect.dialect()
    }

    /// Asked before each expression; the error is the one that no other try follows.
    fn parse_prefix(&self, _: &mut Parser) -> Option<Result<Expr, ParserError>> {
        self.0.set(self.0.get().saturating_sub(1));
        self.is_over().then_some(Err(ParserError::RecursionLimitExceeded))
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        DuckDbDialect.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        DuckDbDialect.is_identifier_part(ch)
    }

    // all that sqlparser's own says differently from the common one
    as_in_duckdb! {
        supports_trailing_commas supports_filter_during_aggregation supports_group_by_expr
        supports_bitwise_shift_operators supports_named_fn_args_with_eq_operator
        supports_named_fn_args_with_assignment_operator supports_dictionary_syntax support_map_literal_syntax
        supports_lambda_functions allow_extract_single_quotes supports_explain_with_utility_options
        supports_load_extension supports_array_typedef_with_brackets supports_from_first_select supports_order_by_all
        supports_select_wildcard_exclude supports_notnull_operator supports_install supports_detach
        supports_select_wildcard_replace supports_comma_separated_trim
    }
}
