//! Functions whose meaning is DuckDB's where the engine's own differs.

mod arithmetic;
mod dates;
mod extremes;
mod gathered;
mod meaning;
mod spans;
mod sum;
mod time;
mod values;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

pub use arithmetic::CheckedIntegers;
pub use time::{Steps, naive, timestamp};

/// Puts them into a session's registry, over the engine's own where names are equal.
pub fn register(context: &SessionContext) {
    let own = [time::all(), arithmetic::all(), dates::all(), meaning::all(), spans::all(), values::all()];
    for function in own.into_iter().flatten() {
        context.register_udf(function);
    }
    gathered::all().into_iter().chain(extremes::all()).for_each(|function| context.register_udaf(function));
    context.register_udaf(AggregateUDF::from(sum::ExactSum::new()));
}

fn udf(function: impl datafusion::logical_expr::ScalarUDFImpl + 'static) -> ScalarUDF {
    ScalarUDF::new_from_shared_impl(Arc::new(function))
}
