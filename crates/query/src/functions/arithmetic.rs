use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, binary_expr, cast,
};
use std::sync::Arc;

pub fn all() -> Vec<ScalarUDF> {
    vec![
        super::udf(Divide::new()),
        super::udf(Integer::new("tw_integer_divide")),
        super::udf(Integer::new("tw_modulo")),
    ]
}

fn is_integer(ty: &DataType) -> bool {
    ty.is_integer() || ty.is_null()
}

/// `/`: always a float division, as in DuckDB; by zero it is NULL for integers' sake.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Divide {
    signature: Signature,
}

impl Divide {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Divide {
    fn name(&self) -> &str {
        "tw_divide"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, _: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Float64, DataType::Float64])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let mut args = args.into_iter();
        let (Some(left), Some(right)) = (args.next(), args.next()) else {
            return datafusion::common::internal_err!("/ has two operands");
        };
        let float = |e| cast(e, DataType::Float64);
        Ok(ExprSimplifyResult::Simplified(binary_expr(float(left), Operator::Divide, float(right))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        Ok(ColumnarValue::Array(compute::kernels::numeric::div(&arrays[0], &arrays[1])?))
    }
}

/// `//` and `%`: integers stay integers, floats stay floats, division by an integer zero is NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Integer {
    name: &'static str,
    signature: Signature,
}

impl Integer {
    fn new(name: &'static str) -> Self {
        Self { name, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn ints(&self, left: &ArrayRef, right: &ArrayRef) -> ArrayRef {
        let (left, right) = (left.as_primitive::<Int64Type>(), right.as_primitive::<Int64Type>());
        let divides = self.name == "tw_integer_divide";
        let value = |(l, r): (Option<i64>, Option<i64>)| match (l?, r?) {
            (_, 0) => None,
            (l, r) if divides => l.checked_div(r),
            (l, r) => l.checked_rem(r).or(Some(0)),
        };
        Arc::new(left.iter().zip(right).map(value).collect::<Int64Array>())
    }

    fn floats(&self, left: &ArrayRef, right: &ArrayRef) -> ArrayRef {
        let (left, right) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
        let divides = self.name == "tw_integer_divide";
        let value = |(l, r): (Option<f64>, Option<f64>)| match (l?, r?) {
            (l, r) if divides => Some((l / r).trunc()),
            (l, r) => Some(l % r),
        };
        Arc::new(left.iter().zip(right).map(value).collect::<Float64Array>())
    }
}

impl ScalarUDFImpl for Integer {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        let ty = if args.iter().all(is_integer) { DataType::Int64 } else { DataType::Float64 };
        Ok(vec![ty.clone(), ty])
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        Ok(if args.iter().all(is_integer) { DataType::Int64 } else { DataType::Float64 })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let result = match arrays[0].data_type() {
            DataType::Int64 => self.ints(&arrays[0], &arrays[1]),
            _ => self.floats(&arrays[0], &arrays[1]),
        };
        Ok(ColumnarValue::Array(result))
    }
}
