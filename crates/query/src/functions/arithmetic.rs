use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, Scalar};
use datafusion::arrow::compute;
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    binary_expr, cast,
};
use sqlparser::ast::BinaryOperator;
use std::sync::{Arc, LazyLock};

use super::time::naive;

pub fn all() -> Vec<ScalarUDF> {
    vec![
        super::udf(Divide::new()),
        super::udf(Integer::new("tw_integer_divide")),
        super::udf(Integer::new("tw_modulo")),
        super::udf(Negative { signature: Signature::any(1, Volatility::Immutable) }),
    ]
}

/// Sums, differences and products of 64-bit integers that fail where the result has no place: the engine's own go on at
/// the other end. And sums of dates and intervals, and texts put together.
#[derive(Debug)]
pub struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let kind = match expr.op {
            BinaryOperator::StringConcat => return Ok(concatenated(expr, schema)),
            BinaryOperator::Plus => Checked::Plus,
            BinaryOperator::Minus => Checked::Minus,
            BinaryOperator::Multiply => Checked::Times,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let [Some(left), Some(right)] = types(&expr, schema) else { return Ok(PlannerResult::Original(expr)) };
        // a date and an interval are a timestamp: hours must not be lost
        match (kind, &left, &right) {
            (Checked::Plus, DataType::Date32, DataType::Interval(_)) => {
                return Ok(PlannerResult::Planned(cast(expr.left, naive()) + expr.right));
            }
            (Checked::Minus, DataType::Date32, DataType::Interval(_)) => {
                return Ok(PlannerResult::Planned(cast(expr.left, naive()) - expr.right));
            }
            (Checked::Plus, DataType::Interval(_), DataType::Date32) => {
                return Ok(PlannerResult::Planned(cast(expr.right, naive()) + expr.left));
            }
            _ => {}
        }
        if !left.is_signed_integer() || !right.is_signed_integer() {
            return Ok(PlannerResult::Original(expr));
        }
        static ALL: LazyLock<[Arc<ScalarUDF>; 3]> = LazyLock::new(|| {
            [Checked::Plus, Checked::Minus, Checked::Times].map(|kind| Arc::new(super::udf(CheckedOp::new(kind))))
        });
        let function = Arc::clone(&ALL[kind as usize]);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr.left, expr.right]))))
    }
}

/// The types of both sides; what has none yet is for the engine to judge.
fn types(expr: &RawBinaryExpr, schema: &DFSchema) -> [Option<DataType>; 2] {
    [&expr.left, &expr.right].map(|side| side.get_type(schema).ok())
}

/// `a || b` as texts, unless they are lists.
fn concatenated(expr: RawBinaryExpr, schema: &DFSchema) -> PlannerResult<RawBinaryExpr> {
    let [Some(left), Some(right)] = types(&expr, schema) else { return PlannerResult::Original(expr) };
    if left.is_list() || right.is_list() {
        return PlannerResult::Original(expr);
    }
    let text = |side: Expr, ty: DataType| match super::to_text(&ty) {
        Some(function) => cast(function.call(vec![side]), DataType::Utf8View),
        None if ty == DataType::Utf8View => side,
        None => cast(side, DataType::Utf8View),
    };
    let sides = vec![text(expr.left, left), text(expr.right, right)];
    PlannerResult::Planned(super::udf(super::texts::Concat::new()).call(sides))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Checked {
    Plus,
    Minus,
    Times,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedOp {
    kind: Checked,
    signature: Signature,
}

impl CheckedOp {
    fn new(kind: Checked) -> Self {
        Self { kind, signature: Signature::exact(vec![DataType::Int64; 2], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for CheckedOp {
    fn name(&self) -> &str {
        match self.kind {
            Checked::Plus => "tw_plus",
            Checked::Minus => "tw_minus",
            Checked::Times => "tw_times_integer",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let of = match self.kind {
            Checked::Plus => numeric::add,
            Checked::Minus => numeric::sub,
            Checked::Times => numeric::mul,
        };
        // a constant is not spread over the rows
        let [left, right] = [0, 1].map(|at| match &args.args[at] {
            ColumnarValue::Array(array) => Ok((Arc::clone(array), false)),
            ColumnarValue::Scalar(value) => value.to_array().map(|array| (array, true)),
        });
        let ((left, is_left_one), (right, is_right_one)) = (left?, right?);
        let done = match (is_left_one, is_right_one) {
            (false, false) => of(&left, &right)?,
            (true, false) => of(&Scalar::new(left), &right)?,
            (false, true) => of(&left, &Scalar::new(right))?,
            (true, true) => return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&of(&left, &right)?, 0)?)),
        };
        Ok(ColumnarValue::Array(done))
    }
}

/// `-x`. Of floats there is one NaN, which is greater than all: the machine's own negation makes one that is less.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Negative {
    signature: Signature,
}

impl ScalarUDFImpl for Negative {
    fn name(&self) -> &str {
        "tw_negative"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn simplify(&self, mut args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match context.get_data_type(&args[0])? {
            DataType::Float64 => Ok(ExprSimplifyResult::Original(args)),
            _ => Ok(ExprSimplifyResult::Simplified(Expr::Negative(Box::new(args.remove(0))))),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        let Some(floats) = values.as_primitive_opt::<Float64Type>() else {
            return Ok(ColumnarValue::Array(numeric::neg(&values)?));
        };
        let negated: Float64Array = floats.unary(|v| if v.is_nan() { f64::NAN } else { -v });
        Ok(ColumnarValue::Array(Arc::new(negated)))
    }
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
            // of floats it is a division as any other, as in DuckDB
            (l, r) if divides => Some(l / r),
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
