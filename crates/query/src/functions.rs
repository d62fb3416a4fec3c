//! Functions whose meaning is DuckDB's where the engine's own differs.

mod arithmetic;
mod dates;
mod gathered;
mod meaning;
mod sum;
mod time;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

/// Puts them into a session's registry, over the engine's own where names are equal.
pub fn register(context: &SessionContext) {
    for function in time::all().into_iter().chain(arithmetic::all()).chain(dates::all()).chain(meaning::all()) {
        context.register_udf(function);
    }
    gathered::all().into_iter().for_each(|function| context.register_udaf(function));
    context.register_udaf(AggregateUDF::from(sum::ExactSum::new()));
}

fn udf(function: impl datafusion::logical_expr::ScalarUDFImpl + 'static) -> ScalarUDF {
    ScalarUDF::new_from_shared_impl(Arc::new(function))
}
