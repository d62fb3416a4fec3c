//! Functions of values of more than one type: parts of texts and lists, bits, what is finite.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int8Array, Int64Array, StringViewArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::functions_nested::expr_fn::{array_element, array_slice};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};

use super::is_text;

pub fn all() -> Vec<ScalarUDF> {
    let parts = [Part { name: "tw_element", signature: any(2) }, Part { name: "tw_slice", signature: any(3) }];
    let mut all: Vec<ScalarUDF> = parts.into_iter().map(super::udf).collect();
    all.push(super::udf(BitCount { signature: Signature::exact(vec![DataType::Int64], Volatility::Immutable) }));
    let from_end = Signature::exact(vec![DataType::Utf8View, DataType::Int64], Volatility::Immutable);
    all.push(super::udf(FromEnd { signature: from_end }));
    all.push(super::udf(Finite { signature: any(1) }));
    let floats = vec![DataType::Float64; 2];
    all.push(super::udf(NextAfter { signature: Signature::exact(floats, Volatility::Immutable) }));
    all.push(super::udf(TypeOf { signature: any(1) }));
    all
}

fn any(arguments: usize) -> Signature {
    Signature::any(arguments, Volatility::Immutable)
}

/// `x[i]` and `x[from:to]` of a list or a text, counted from 1, from the end below 0; an open end is NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Part {
    name: &'static str,
    signature: Signature,
}

impl Part {
    fn is_slice(&self) -> bool {
        self.name == "tw_slice"
    }
}

/// The characters from one to another, both included.
fn characters(text: &str, from: Option<i64>, to: Option<i64>) -> String {
    let n = text.chars().count() as i64;
    let place = |at: i64| if at < 0 { n.saturating_add(at).saturating_add(1) } else { at };
    let (from, to) = (place(from.unwrap_or(1)).max(1), place(to.unwrap_or(n)).min(n));
    let count = (to - from).saturating_add(1).max(0) as usize;
    text.chars().skip((from - 1) as usize).take(count).collect()
}

impl ScalarUDFImpl for Part {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match &types[0] {
            ty if is_text(ty) => Ok(DataType::Utf8View),
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                Ok(if self.is_slice() { types[0].clone() } else { item.data_type().clone() })
            }
            DataType::Null => Ok(DataType::Null),
            other => plan_err!("{other} has no parts: [ … ] is of lists and texts"),
        }
    }

    /// The engine's own functions take lists apart.
    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let ty = context.get_data_type(&args[0])?;
        if is_text(&ty) || ty.is_null() {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let is_null = |e: &Expr| matches!(e, Expr::Literal(value, _) if value.is_null());
        let or = |e: &Expr, end: i64| if is_null(e) { lit(end) } else { e.clone() };
        Ok(ExprSimplifyResult::Simplified(match args.as_slice() {
            [list, at] => array_element(list.clone(), at.clone()),
            [list, from, to] => array_slice(list.clone(), or(from, 1), or(to, -1), None),
            _ => return plan_err!("{} takes other arguments", self.name),
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        if arrays[0].data_type().is_null() {
            return Ok(ColumnarValue::Scalar(ScalarValue::Null));
        }
        if !is_text(arrays[0].data_type()) {
            return exec_err!("{} of a list is for the planner to replace", self.name);
        }
        let texts = cast(&arrays[0], &DataType::Utf8View)?;
        let places = arrays[1..].iter().map(|a| Ok(cast(a, &DataType::Int64)?)).collect::<Result<Vec<ArrayRef>>>()?;
        let place = |which: usize, row: usize| {
            let places = places[which].as_primitive::<Int64Type>();
            places.is_valid(row).then(|| places.value(row))
        };
        let part = |(row, text): (usize, Option<&str>)| {
            let text = text?;
            match self.is_slice() {
                true => Some(characters(text, place(0, row), place(1, row))),
                // there is no character 0
                false => {
                    place(0, row).map(|at| if at == 0 { String::new() } else { characters(text, Some(at), Some(at)) })
                }
            }
        };
        let parts: StringViewArray = texts.as_string_view().iter().enumerate().map(part).collect();
        Ok(ColumnarValue::Array(Arc::new(parts)))
    }
}

/// Where `substring(text FROM n)` begins when it counts from the end: n below 0. It may be before the first character.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FromEnd {
    signature: Signature,
}

impl ScalarUDFImpl for FromEnd {
    fn name(&self) -> &str {
        "tw_from_end"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let begin = |(text, from): (Option<&str>, Option<i64>)| match (text?, from?) {
            (text, from) if from < 0 => Some((text.chars().count() as i64 + 1).saturating_add(from)),
            (_, from) => Some(from),
        };
        let pairs = arrays[0].as_string_view().iter().zip(arrays[1].as_primitive::<Int64Type>());
        Ok(ColumnarValue::Array(Arc::new(pairs.map(begin).collect::<Int64Array>())))
    }
}

/// `bit_count(integer)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct BitCount {
    signature: Signature,
}

impl ScalarUDFImpl for BitCount {
    fn name(&self) -> &str {
        "bit_count"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        let counts: Int8Array = values.as_primitive::<Int64Type>().unary(|v| v.count_ones() as i8);
        Ok(ColumnarValue::Array(Arc::new(counts)))
    }
}

/// `isfinite(x)`: of floats those that are no infinity and no NaN, of all else everything.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Finite {
    signature: Signature,
}

impl ScalarUDFImpl for Finite {
    fn name(&self) -> &str {
        "isfinite"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        let finite: BooleanArray = if values.data_type().is_floating() {
            let values = cast(&values, &DataType::Float64)?;
            values.as_primitive::<Float64Type>().iter().map(|v| v.map(f64::is_finite)).collect()
        } else {
            (0..values.len()).map(|at| values.is_valid(at).then_some(true)).collect()
        };
        Ok(ColumnarValue::Array(Arc::new(finite)))
    }
}

/// `nextafter(x, towards)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NextAfter {
    signature: Signature,
}

impl ScalarUDFImpl for NextAfter {
    fn name(&self) -> &str {
        "nextafter"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [from, to] = [0, 1].map(|at: usize| arrays[at].as_primitive::<Float64Type>());
        let next = |(from, to): (Option<f64>, Option<f64>)| {
            let (from, to) = from.zip(to)?;
            Some(match from.partial_cmp(&to) {
                None => f64::NAN,
                Some(std::cmp::Ordering::Less) => from.next_up(),
                Some(std::cmp::Ordering::Greater) => from.next_down(),
                Some(std::cmp::Ordering::Equal) => to,
            })
        };
        let all: Float64Array = from.iter().zip(to).map(next).collect();
        Ok(ColumnarValue::Array(Arc::new(all)))
    }
}

/// `typeof(column)`: DuckDB's name of its type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf {
    signature: Signature,
}

impl ScalarUDFImpl for TypeOf {
    fn name(&self) -> &str {
        "typeof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = crate::plan::shown_type(&args.args[0].data_type());
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_text_are_counted_in_characters_from_either_end() {
        for (from, to, part) in [
            (Some(1), Some(1), "h"),
            (Some(2), Some(3), "éj"),
            (Some(-2), None, "jo"),
            (None, Some(2), "hé"),
            (None, None, "héjo"),
            (Some(3), Some(2), ""),
            (Some(9), None, ""),
            (Some(-9), Some(1), "h"),
            (Some(i64::MIN), Some(i64::MAX), "héjo"),
            (Some(i64::MAX), Some(i64::MAX), ""),
        ] {
            assert_eq!(characters("héjo", from, to), part, "{from:?} {to:?}");
        }
    }
}
