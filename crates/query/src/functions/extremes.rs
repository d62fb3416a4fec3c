//! `min` and `max` in which NaN is greater than every number, of groups as of whole tables.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs,
};

pub fn all() -> Vec<AggregateUDF> {
    vec![AggregateUDF::from(Extreme { inner: Max::new() }), AggregateUDF::from(Extreme { inner: Min::new() })]
}

/// The engine's own, but for groups of floats: there it keeps what follows a NaN.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme<T> {
    inner: T,
}

impl<T: AggregateUDFImpl + PartialEq + Eq + std::hash::Hash> AggregateUDFImpl for Extreme<T> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match args.return_field.data_type() {
            DataType::Float64 => Ok(Box::new(Floats::new(self.name() == "max"))),
            _ => self.inner.create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(args)
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.value_from_stats(args)
    }

    fn set_monotonicity(&self, ty: &DataType) -> SetMonotonicity {
        self.inner.set_monotonicity(ty)
    }
}

/// The greatest or least float of each group.
#[derive(Debug)]
struct Floats {
    is_max: bool,
    values: Vec<f64>,
    seen: Vec<bool>,
}

impl Floats {
    fn new(is_max: bool) -> Self {
        Self { is_max, values: Vec::new(), seen: Vec::new() }
    }

    #[inline]
    fn meet(&mut self, group: usize, value: f64) {
        let known = &mut self.values[group];
        let is_beyond = match self.is_max {
            true => value > *known || value.is_nan(),
            false => value < *known || known.is_nan(),
        };
        if is_beyond || !self.seen[group] {
            *known = value;
            self.seen[group] = true;
        }
    }
}

impl GroupsAccumulator for Floats {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.values.resize(total, 0.0);
        self.seen.resize(total, false);
        let values: &Float64Array = values[0].as_primitive();
        if values.null_count() == 0 && filter.is_none() {
            groups.iter().zip(values.values()).for_each(|(group, value)| self.meet(*group, *value));
            return Ok(());
        }
        for (row, group) in groups.iter().enumerate() {
            let is_meant = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if is_meant && values.is_valid(row) {
                self.meet(*group, values.value(row));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update_batch(states, groups, None, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let values = emit.take_needed(&mut self.values);
        let seen = emit.take_needed(&mut self.seen);
        Ok(Arc::new(Float64Array::new(values.into(), Some(NullBuffer::from(seen)))))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(filter) = filter else { return Ok(vec![Arc::clone(&values[0])]) };
        let out = compute::not(&compute::prep_null_mask_filter(filter))?;
        let kept = compute::nullif(values[0].as_primitive::<Float64Type>(), &out)?;
        Ok(vec![kept])
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<f64>() + self.seen.capacity()
    }
}
