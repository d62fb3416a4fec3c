//! Aggregates that look at every value at once: quantiles, the mode, and their kin, exact as DuckDB has them.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, new_empty_array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema, TimestampMicrosecondType};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Signature, Volatility};

use super::time::{naive, timestamp};

/// None has a name that is an alias of one of the engine's: which of the two an alias means is chance.
pub fn all() -> Vec<AggregateUDF> {
    KINDS.iter().map(|(name, kind)| AggregateUDF::from(Gathered::new(name, *kind))).collect()
}

const KINDS: [(&str, Kind); 7] = [
    ("tw_quantile_cont", Kind::Continuous),
    ("quantile_disc", Kind::Discrete),
    ("median", Kind::Median),
    ("mode", Kind::Mode),
    ("mad", Kind::Deviation),
    ("entropy", Kind::Entropy),
    ("product", Kind::Product),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Between two values.
    Continuous,
    /// A value that is there.
    Discrete,
    Median,
    /// The most frequent value; of equals the first.
    Mode,
    /// The median of the distances from the median.
    Deviation,
    /// Of the frequencies, in bits.
    Entropy,
    Product,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Gathered {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl Gathered {
    fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn takes_shares(&self) -> bool {
        matches!(self.kind, Kind::Continuous | Kind::Discrete)
    }
}

impl AggregateUDFImpl for Gathered {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let wanted = if self.takes_shares() { 2 } else { 1 };
        if types.len() != wanted {
            return plan_err!("{} takes {wanted} arguments", self.name);
        }
        let value = match (&types[0], self.kind) {
            (ty, Kind::Mode | Kind::Discrete | Kind::Entropy) => ty.clone(),
            (ty, _) if ty.is_numeric() || ty.is_null() => DataType::Float64,
            (DataType::Timestamp(_, Some(_)), Kind::Continuous | Kind::Median) => timestamp(),
            (DataType::Timestamp(_, None) | DataType::Date32, Kind::Continuous | Kind::Median) => naive(),
            (other, _) => return plan_err!("{} of {other} is not defined", self.name),
        };
        let mut coerced = vec![value];
        if let Some(share) = types.get(1) {
            coerced.push(match share {
                DataType::List(_) | DataType::FixedSizeList(..) => DataType::new_list(DataType::Float64, true),
                _ => DataType::Float64,
            });
        }
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let one = match self.kind {
            Kind::Entropy => DataType::Float64,
            _ => types[0].clone(),
        };
        Ok(match types.get(1) {
            Some(DataType::List(_)) => DataType::new_list(one, true),
            _ => one,
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return plan_err!("{}(DISTINCT …) is not defined", self.name);
        }
        let ty = args.expr_fields[0].data_type().clone();
        let shares = match args.exprs.get(1) {
            None => Shares::One(0.5),
            Some(expr) => {
                let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
                match expr.evaluate(&nothing) {
                    Ok(ColumnarValue::Scalar(share)) => Shares::of(&share, self.name)?,
                    _ => return plan_err!("the share of {} is a constant from 0 to 1, or a list of such", self.name),
                }
            }
        };
        Ok(Box::new(Gathering { kind: self.kind, ty, shares, parts: Vec::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(args.input_fields[0].data_type().clone(), true);
        Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "values"), item, true))])
    }
}

/// Which quantiles are asked for.
#[derive(Debug)]
enum Shares {
    One(f64),
    Many(Vec<f64>),
}

impl Shares {
    fn of(share: &ScalarValue, name: &str) -> Result<Self> {
        let within = |share: f64| match (0.0..=1.0).contains(&share) {
            true => Ok(share),
            false => plan_err!("the share of {name} is {share}, and must lie between 0 and 1"),
        };
        match share {
            ScalarValue::Float64(Some(share)) => Ok(Shares::One(within(*share)?)),
            ScalarValue::List(list) => {
                let values = list.value(0);
                let values = values.as_primitive::<Float64Type>();
                Ok(Shares::Many(values.iter().flatten().map(within).collect::<Result<_>>()?))
            }
            _ => plan_err!("the share of {name} is a constant from 0 to 1, or a list of such"),
        }
    }
}

#[derive(Debug)]
struct Gathering {
    kind: Kind,
    ty: DataType,
    shares: Shares,
    parts: Vec<ArrayRef>,
}

/// Parts after which they are put together.
const PARTS: usize = 64;

impl Gathering {
    fn push(&mut self, values: &ArrayRef) -> Result<()> {
        if values.len() > values.null_count() {
            // a copy of what is there: slices would keep whole batches
            let present = compute::is_not_null(values)?;
            self.parts.push(compute::filter(values, &present)?);
        }
        if self.parts.len() >= PARTS {
            self.parts = vec![self.all()?];
        }
        Ok(())
    }

    fn all(&self) -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = self.parts.iter().map(|p| p.as_ref()).collect();
        if parts.is_empty() {
            return Ok(new_empty_array(&self.ty));
        }
        Ok(compute::concat(&parts)?)
    }

    fn quantile(&self, sorted: &ArrayRef, share: f64) -> Result<ScalarValue> {
        let n = sorted.len();
        if self.kind == Kind::Discrete {
            let index = (n as f64 - (n as f64 - share * n as f64).floor()).max(1.0) as usize - 1;
            return ScalarValue::try_from_array(sorted, index.min(n - 1));
        }
        let place = (n - 1) as f64 * share;
        let (low, high, fraction) = (place.floor() as usize, place.ceil() as usize, place.fract());
        if let Some(us) = sorted.as_primitive_opt::<TimestampMicrosecondType>() {
            let (low, high) = (us.value(low), us.value(high));
            let apart = (i128::from(high) - i128::from(low)) as f64;
            let between = low.saturating_add((apart * fraction).round() as i64);
            let zone = match &self.ty {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            return Ok(ScalarValue::TimestampMicrosecond(Some(between), zone));
        }
        let values = sorted.as_primitive::<Float64Type>();
        Ok(ScalarValue::Float64(Some(between(values.value(low), values.value(high), fraction))))
    }
}

fn between(low: f64, high: f64, fraction: f64) -> f64 {
    if fraction == 0.0 { low } else { low + (high - low) * fraction }
}

fn middle(sorted: &[f64]) -> f64 {
    let place = (sorted.len() - 1) as f64 * 0.5;
    between(sorted[place.floor() as usize], sorted[place.ceil() as usize], place.fract())
}

/// How often each value is there, and where it is first.
fn frequencies(values: &ArrayRef) -> Result<Vec<(usize, usize)>> {
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    let rows = converter.convert_columns(&[Arc::clone(values)])?;
    let mut counts: HashMap<_, (usize, usize)> = HashMap::new();
    for (i, row) in rows.iter().enumerate() {
        counts.entry(row).or_insert((0, i)).0 += 1;
    }
    Ok(counts.into_values().collect())
}

impl Accumulator for Gathering {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.push(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        (0..lists.len()).filter(|i| lists.is_valid(*i)).try_for_each(|i| self.push(&lists.value(i)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![SingleRowListArrayBuilder::new(self.all()?).build_list_scalar()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let values = self.all()?;
        if values.is_empty() {
            return match (&self.shares, self.kind) {
                (Shares::Many(_), _) => ScalarValue::try_from(&DataType::new_list(self.ty.clone(), true)),
                (_, Kind::Entropy) => Ok(ScalarValue::Float64(Some(0.0))),
                _ => ScalarValue::try_from(&self.ty),
            };
        }
        match self.kind {
            Kind::Continuous | Kind::Discrete | Kind::Median => {
                let sorted = compute::sort(&values, None)?;
                match &self.shares {
                    Shares::One(share) => self.quantile(&sorted, *share),
                    Shares::Many(shares) => {
                        let all = shares.iter().map(|s| self.quantile(&sorted, *s)).collect::<Result<Vec<_>>>()?;
                        Ok(ScalarValue::List(ScalarValue::new_list(&all, &self.ty, true)))
                    }
                }
            }
            Kind::Mode => {
                let all = frequencies(&values)?;
                let Some((_, first)) = all.into_iter().max_by_key(|(count, first)| (*count, usize::MAX - first)) else {
                    return exec_err!("a mode of nothing");
                };
                ScalarValue::try_from_array(&values, first)
            }
            Kind::Entropy => {
                let n = values.len() as f64;
                let bits = |(count, _): (usize, usize)| -(count as f64 / n) * (count as f64 / n).log2();
                Ok(ScalarValue::Float64(Some(frequencies(&values)?.into_iter().map(bits).sum::<f64>().max(0.0))))
            }
            Kind::Deviation => {
                let sorted = compute::sort(&values, None)?;
                let center = middle(sorted.as_primitive::<Float64Type>().values());
                let mut distances: Vec<f64> =
                    sorted.as_primitive::<Float64Type>().values().iter().map(|v| (v - center).abs()).collect();
                distances.sort_by(f64::total_cmp);
                Ok(ScalarValue::Float64(Some(middle(&distances))))
            }
            Kind::Product => {
                let values: &Float64Array = values.as_primitive::<Float64Type>();
                Ok(ScalarValue::Float64(Some(values.values().iter().product())))
            }
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.parts.iter().map(|p| p.get_array_memory_size() + size_of::<ArrayRef>()).sum::<usize>()
    }
}
