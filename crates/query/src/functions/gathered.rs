//! Aggregates that look at every value at once: quantiles, the mode, and their kin, exact as DuckDB has them.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, MapArray, RecordBatch, StructArray, UInt32Array, UInt64Array,
    new_empty_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
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

const KINDS: [(&str, Kind); 13] = [
    ("tw_quantile_cont", Kind::Continuous),
    ("quantile_disc", Kind::Discrete),
    ("median", Kind::Median),
    ("mode", Kind::Mode { is_least: false }),
    ("tw_least_mode", Kind::Mode { is_least: true }),
    ("mad", Kind::Deviation),
    ("entropy", Kind::Entropy),
    ("product", Kind::Product),
    ("histogram", Kind::Histogram),
    ("tw_increase", Kind::Rise { is_counter: true, per_second: false }),
    ("tw_rate", Kind::Rise { is_counter: true, per_second: true }),
    ("tw_delta", Kind::Rise { is_counter: false, per_second: false }),
    ("tw_derivative", Kind::Rise { is_counter: false, per_second: true }),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Between two values.
    Continuous,
    /// A value that is there.
    Discrete,
    Median,
    /// The most frequent value; of equals the first, or the least.
    Mode {
        is_least: bool,
    },
    /// The median of the distances from the median.
    Deviation,
    /// Of the frequencies, in bits.
    Entropy,
    Product,
    /// How often each value is there, as a map in the order of values.
    Histogram,
    /// How far a value rose from the first time to the last; what falls is a counter that began again at zero.
    Rise {
        is_counter: bool,
        per_second: bool,
    },
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
            (ty, Kind::Mode { .. } | Kind::Discrete | Kind::Entropy | Kind::Histogram | Kind::Rise { .. }) => {
                ty.clone()
            }
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
            Kind::Entropy | Kind::Rise { .. } => DataType::Float64,
            Kind::Histogram => histogram_type(&types[0]),
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
    match fraction {
        0.0 => low,
        // infinities are no ends of a line
        _ if (high - low).is_infinite() => low * (1.0 - fraction) + high * fraction,
        _ => low + (high - low) * fraction,
    }
}

fn middle(sorted: &[f64]) -> f64 {
    let place = (sorted.len() - 1) as f64 * 0.5;
    between(sorted[place.floor() as usize], sorted[place.ceil() as usize], place.fract())
}

fn histogram_type(of: &DataType) -> DataType {
    let fields = vec![Field::new("key", of.clone(), false), Field::new("value", DataType::UInt64, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields.into()), false)), false)
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

/// Times (microseconds) and values of rows of the two, in the order of time; what lacks one of them is left out.
fn points(rows: &ArrayRef) -> Result<Vec<(i64, f64)>> {
    let [times, values] = rows.as_struct().columns() else { return exec_err!("rows are not of a time and a value") };
    let times = compute::cast(times, &naive())?;
    let (times, values) = (times.as_primitive::<TimestampMicrosecondType>(), values.as_primitive::<Float64Type>());
    let mut points: Vec<(i64, f64)> = times.iter().zip(values).filter_map(|(time, value)| time.zip(value)).collect();
    points.sort_by_key(|(time, _)| *time);
    Ok(points)
}

/// How far the points rise, none of fewer than two; `per_second` none where all are of one time.
fn rise(points: &[(i64, f64)], is_counter: bool, per_second: bool) -> Option<f64> {
    let [first, .., last] = points else { return None };
    let step = |pair: &[(i64, f64)]| if pair[1].1 < pair[0].1 { pair[1].1 } else { pair[1].1 - pair[0].1 };
    let rise = if is_counter { points.windows(2).map(step).sum() } else { last.1 - first.1 };
    let seconds = last.0.wrapping_sub(first.0) as u64 as f64 / 1e6;
    if per_second { (seconds > 0.0).then(|| rise / seconds) } else { Some(rise) }
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
                (_, Kind::Rise { .. }) => Ok(ScalarValue::Float64(None)),
                (_, Kind::Histogram) => ScalarValue::try_from(&histogram_type(&self.ty)),
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
            Kind::Mode { is_least } => {
                let values = if is_least { compute::sort(&values, None)? } else { values };
                let all = frequencies(&values)?;
                let Some((_, first)) = all.into_iter().max_by_key(|(count, first)| (*count, usize::MAX - first)) else {
                    return exec_err!("a mode of nothing");
                };
                ScalarValue::try_from_array(&values, first)
            }
            Kind::Histogram => {
                let mut all = frequencies(&values)?;
                // each value's first place, in the order of values
                let order = compute::sort_to_indices(&values, None, None)?;
                let mut rank = vec![0u32; values.len()];
                order.values().iter().zip(0..).for_each(|(place, at)| rank[*place as usize] = at);
                all.sort_by_key(|(_, first)| rank[*first]);
                let firsts: UInt32Array = all.iter().map(|(_, first)| Some(*first as u32)).collect();
                let keys = compute::take(&values, &firsts, None)?;
                let counts: UInt64Array = all.iter().map(|(count, _)| Some(*count as u64)).collect();
                let DataType::Map(entries, _) = histogram_type(&self.ty) else {
                    return exec_err!("a histogram is a map");
                };
                let DataType::Struct(fields) = entries.data_type() else { return exec_err!("a map has entries") };
                let rows = StructArray::new(fields.clone(), vec![keys, Arc::new(counts)], None);
                let offsets = OffsetBuffer::from_lengths([rows.len()]);
                Ok(ScalarValue::Map(Arc::new(MapArray::try_new(entries, offsets, rows, None, false)?)))
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
            Kind::Rise { is_counter, per_second } => {
                Ok(ScalarValue::Float64(rise(&points(&values)?, is_counter, per_second)))
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
