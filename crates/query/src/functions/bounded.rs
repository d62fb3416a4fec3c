//! Functions whose result may be much larger than what they are given. The memory of a query is counted by the operators
//! that hold rows; what a function makes of one batch is counted here, before it is made.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

use super::is_text;
use super::texts::spans;
use super::time::{DAY, naive};

/// Bytes that one function may make of one batch.
pub const MOST_BYTES: usize = 128 << 20;

/// How much a function may make, at most, of arguments of so many rows.
type Size = fn(&[ColumnarValue], usize) -> Result<u128>;

/// Functions that are bounded, by their names.
const BOUNDED: [(&str, Size); 22] = [
    ("repeat", repeated),
    ("lpad", padded),
    ("rpad", padded),
    ("replace", replaced),
    ("regexp_replace", replaced_by_pattern),
    ("concat", sum),
    ("concat_ws", joined),
    ("overlay", sum),
    ("array_to_string", elements_joined),
    ("string_to_array", split),
    ("array_concat", sum),
    ("array_append", sum),
    ("array_prepend", sum),
    ("make_array", sum),
    ("flatten", sum),
    ("encode", doubled),
    ("translate", doubled),
    ("array_repeat", repeated),
    ("array_resize", padded),
    ("range", series),
    ("generate_series", series),
    ("strftime", formatted),
];

/// Puts a bound on functions that are registered.
///
/// # Errors
/// One of them is not.
pub fn bind(context: &SessionContext) -> Result<()> {
    for (at, (name, _)) in BOUNDED.iter().enumerate() {
        context.register_udf(super::udf(Bounded { inner: context.udf(name)?, at }));
    }
    Ok(())
}

/// Refuses what would be larger than the bound.
pub fn check(name: &str, bytes: u128) -> Result<()> {
    if bytes <= MOST_BYTES as u128 {
        return Ok(());
    }
    exec_err!(
        "{name} would make up to {bytes} bytes of one batch of rows, and {MOST_BYTES} are the most; ask for less at once"
    )
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    /// Which of `BOUNDED` it is.
    at: usize,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (name, size) = BOUNDED[self.at];
        check(name, size(&args.args, args.number_rows)?)?;
        self.inner.invoke_with_args(args)
    }
}

/// Bytes of a value in all rows.
fn bytes(value: &ColumnarValue, rows: usize) -> Result<u128> {
    Ok(match value {
        ColumnarValue::Array(array) => lengths(array)?.iter().sum(),
        ColumnarValue::Scalar(scalar) => lengths(&scalar.to_array()?)?.iter().sum::<u128>() * rows as u128,
    })
}

/// Bytes of each row.
fn lengths(array: &ArrayRef) -> Result<Vec<u128>> {
    if is_text(array.data_type()) {
        let texts = cast(array, &DataType::Utf8View)?;
        return Ok(texts.as_string_view().iter().map(|text| text.map_or(0, str::len) as u128).collect());
    }
    // lists and what else has no length of its own: the same for each row
    let each = array.get_array_memory_size().div_ceil(array.len().max(1)) as u128;
    Ok(vec![each; array.len()])
}

/// Numbers of each row, for those below 0 and for NULL 0.
fn numbers(value: &ColumnarValue, rows: usize) -> Result<Vec<u128>> {
    let numbers = cast(&value.to_array(rows)?, &DataType::Int64)?;
    Ok(numbers.as_primitive::<Int64Type>().iter().map(|n| u128::try_from(n.unwrap_or(0)).unwrap_or(0)).collect())
}

/// All of the arguments.
pub fn sum(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    args.iter().map(|arg| bytes(arg, rows)).sum()
}

/// Twice the bytes, or a longer character for each.
fn doubled(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    Ok(sum(args, rows)? * 2)
}

/// The first argument so often as the second says.
fn repeated(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    let [value, times, ..] = args else { return Ok(0) };
    let (each, times) = (lengths(&value.to_array(rows)?)?, numbers(times, rows)?);
    Ok(each.iter().zip(times).map(|(bytes, times)| bytes.max(&1) * times).sum())
}

/// As long as the second argument says: characters of a text, or elements of a list.
fn padded(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    let [_, length, ..] = args else { return Ok(0) };
    let filler = args.get(2).map_or(Ok(1), |fill| bytes(fill, 1))?.clamp(1, 16);
    Ok(numbers(length, rows)?.iter().map(|length| length * filler).sum())
}

fn replaced(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    let [text, from, to] = args else { return Ok(0) };
    let [text, from, to] = [text, from, to].map(|arg| arg.to_array(rows));
    let (text, from, to) = (text?, from?, to?);
    let rough = lengths(&text)?.iter().sum::<u128>() * lengths(&to)?.into_iter().max().unwrap_or(0).max(1);
    if rough <= MOST_BYTES as u128 {
        return Ok(rough);
    }
    let [text, from, to] = [&text, &from, &to].map(|array| cast(array, &DataType::Utf8View));
    let (text, from, to) = (text?, from?, to?);
    let rows = text.as_string_view().iter().zip(from.as_string_view()).zip(to.as_string_view());
    let one = |((text, from), to): ((Option<&str>, Option<&str>), Option<&str>)| {
        let (Some(text), Some(from), Some(to)) = (text, from, to) else { return 0 };
        text.len() as u128 + text.matches(from).count() as u128 * to.len() as u128
    };
    Ok(rows.map(one).sum())
}

/// A replacement for each character, and each group of it.
fn replaced_by_pattern(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    let [text, _, to, flags @ ..] = args else { return Ok(0) };
    let (text, to) = (lengths(&text.to_array(rows)?)?, lengths(&to.to_array(rows)?)?);
    let is_once = flags.is_empty();
    let one = |(text, to): (&u128, &u128)| if is_once { text * to.max(&1) + to } else { (text + 1) * to + text };
    // seldom is each character one: what is far below is let pass
    Ok(text.iter().zip(&to).map(one).sum::<u128>() / 16)
}

fn joined(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    let [separator, values @ ..] = args else { return Ok(0) };
    Ok(sum(values, rows)? + bytes(separator, rows)? * values.len() as u128)
}

/// What stands between elements, for each byte of the list.
fn elements_joined(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    let [list, between @ ..] = args else { return Ok(0) };
    let lists = list.to_array(rows)?;
    let elements = match lists.data_type() {
        DataType::List(_) => lists.as_list::<i32>().values().len(),
        _ => lists.get_array_memory_size(),
    };
    let between: u128 = between.iter().map(|text| bytes(text, 1)).sum::<Result<u128>>()?;
    Ok(lists.get_array_memory_size() as u128 + elements as u128 * between)
}

/// Each byte may become a text of its own.
fn split(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    Ok(args.first().map_or(Ok(0), |text| bytes(text, rows))? * 5)
}

/// A format, of which each directive becomes some ten characters.
fn formatted(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    args.iter().filter(|arg| is_text(&arg.data_type())).map(|format| Ok(bytes(format, rows)? * 12)).sum()
}

/// Numbers or times from one to another.
fn series(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    let steps = |at: usize| -> Result<Option<Vec<i128>>> {
        let Some(arg) = args.get(at) else { return Ok(None) };
        let array = arg.to_array(rows)?;
        Ok(Some(match array.data_type() {
            DataType::Interval(_) => {
                let us = |span: IntervalMonthDayNano| {
                    let days = i128::from(span.months) * 28 + i128::from(span.days);
                    days * i128::from(DAY) + i128::from(span.nanoseconds / 1_000)
                };
                let spans = spans(&array)?;
                spans.as_primitive::<IntervalMonthDayNanoType>().iter().map(|span| span.map_or(0, us)).collect()
            }
            ty => {
                let us = if ty.is_integer() || ty.is_null() {
                    cast(&array, &DataType::Int64)?
                } else {
                    cast(&cast(&array, &naive())?, &DataType::Int64)?
                };
                us.as_primitive::<Int64Type>().iter().map(|n| i128::from(n.unwrap_or(0))).collect()
            }
        }))
    };
    let (first, second, third) = (steps(0)?, steps(1)?, steps(2)?);
    let Some(first) = first else { return Ok(0) };
    let (from, to) = match second {
        Some(second) => (first, second),
        None => (vec![0; first.len()], first),
    };
    let step = third.unwrap_or_else(|| vec![1; from.len()]);
    let one = |((from, to), step): ((&i128, &i128), &i128)| (to - from).unsigned_abs() / step.unsigned_abs().max(1);
    Ok(from.iter().zip(&to).zip(&step).map(one).sum::<u128>() * 8)
}
