//! Functions whose meaning is DuckDB's where the engine's own differs.

mod arithmetic;
mod bounded;
mod dates;
mod extremes;
mod gathered;
mod meaning;
mod reading;
mod spans;
mod sum;
mod texts;
mod time;
mod values;

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

pub use arithmetic::Operators;
pub use bounded::MOST_BYTES;
pub use meaning::ROUNDED;
pub use reading::{interval, negated};
pub use time::{Steps, naive, timestamp};

/// Puts them into a session's registry, over the engine's own where names are equal.
///
/// # Errors
/// The engine lacks a function that is to be bounded.
pub fn register(context: &SessionContext) -> Result<()> {
    let own =
        [time::all(), arithmetic::all(), dates::all(), meaning::all(), reading::all(), spans::all(), values::all()];
    for function in own.into_iter().flatten().chain([udf(texts::Text::new()), udf(texts::Concat::new())]) {
        context.register_udf(function);
    }
    bounded::bind(context)?;
    gathered::all().into_iter().chain(extremes::all()).for_each(|function| context.register_udaf(function));
    context.register_udaf(AggregateUDF::from(sum::ExactSum::new()));
    Ok(())
}

/// `CAST` and `TRY_CAST` as DuckDB means them, where the engine means something else: what is to be cast instead of a value
/// of a type. None where they agree.
pub fn to_cast(from: &DataType, to: &DataType, is_tried: bool) -> Option<Arc<ScalarUDF>> {
    let function = if is_text(to) && texts::Text::matters(from) {
        udf(texts::Text::new())
    } else if is_text(from) {
        udf(reading::Read::new(reading::Kind::of(to)?, is_tried))
    } else if to.is_integer() && meaning::is_rounded(from) {
        meaning::rounded()
    } else {
        return None;
    };
    Some(Arc::new(function))
}

/// What makes a text of a value that stands where texts do; none where the engine does it right.
pub fn to_text(from: &DataType) -> Option<Arc<ScalarUDF>> {
    texts::Text::matters(from).then(|| Arc::new(udf(texts::Text::new())))
}

/// A text, or one of few that repeat.
pub fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn udf(function: impl datafusion::logical_expr::ScalarUDFImpl + 'static) -> ScalarUDF {
    ScalarUDF::new_from_shared_impl(Arc::new(function))
}
