//! `locf` and `interpolate`: what stands where a group has no value for a bucket, as windows over its buckets.

use sqlparser::ast::{
    Expr, Function, GroupByExpr, Ident, NullTreatment, OrderByExpr, OrderByOptions, Select, SelectItem, Value,
    VisitMut, VisitorMut, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};
use std::ops::ControlFlow;

use super::{arguments, call, macros};
use crate::Error;

/// The name of the function whose buckets are filled.
pub const GAPFILL: &str = "time_bucket_gapfill";

/// Names of the functions.
pub(super) const FILLERS: [&str; 2] = ["locf", "interpolate"];

/// The buckets of one group in their order.
#[derive(Clone)]
struct Order {
    groups: Vec<Expr>,
    bucket: Expr,
}

/// Puts windows in place of `locf(x)` and `interpolate(x)` among what is selected.
///
/// # Errors
/// The query has no buckets that are filled, or its groups cannot be told from its aggregates.
pub(super) fn fill_values(select: &mut Select) -> Result<(), Error> {
    let mut finder = Finder { order: None, found: false };
    let _ = select.projection.visit(&mut finder);
    if !finder.found {
        return Ok(());
    }
    let order = Order::of(select)?;
    let mut filler = Finder { order: Some(order), found: false };
    let _ = select.projection.visit(&mut filler);
    Ok(())
}

/// Finds the calls, and replaces them where it knows by what.
struct Finder {
    order: Option<Order>,
    found: bool,
}

impl VisitorMut for Finder {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = function.name.to_string();
        let Ok([value]) = <[Expr; 1]>::try_from(arguments(function)) else { return ControlFlow::Continue(()) };
        if !FILLERS.contains(&name.as_str()) {
            return ControlFlow::Continue(());
        }
        self.found = true;
        if let Some(order) = &self.order {
            *expr = if name == "locf" { order.nearest(&value, true) } else { order.between(&value) };
        }
        ControlFlow::Continue(())
    }
}

impl Order {
    fn of(select: &Select) -> Result<Self, Error> {
        let unknown =
            || Error::Invalid(format!("locf and interpolate belong to a query that groups by {GAPFILL}(width, time)"));
        let selected = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
            _ => None,
        };
        let alias = |name: &Ident| {
            select.projection.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if alias.value == name.value => Some(expr.clone()),
                _ => None,
            })
        };
        let GroupByExpr::Expressions(groups, _) = &select.group_by else {
            let what = "locf or interpolate with GROUP BY ALL".into();
            return Err(Error::Unsupported { what, instead: "name the groups".into() });
        };
        let meant = |expr: &Expr| match expr {
            Expr::Identifier(name) => alias(name).unwrap_or_else(|| expr.clone()),
            Expr::Value(value) => match &value.value {
                Value::Number(place, _) => place
                    .parse::<usize>()
                    .ok()
                    .and_then(|place| selected(select.projection.get(place.checked_sub(1)?)?))
                    .unwrap_or_else(|| expr.clone()),
                _ => expr.clone(),
            },
            other => other.clone(),
        };
        let (buckets, groups): (Vec<Expr>, Vec<Expr>) = groups.iter().map(meant).partition(is_bucket);
        let bucket = buckets.into_iter().next().ok_or_else(unknown)?;
        Ok(Self { groups, bucket })
    }

    /// The nearest value from here back, or ahead.
    fn nearest(&self, value: &Expr, is_back: bool) -> Expr {
        let Expr::Function(function) = call(if is_back { "last_value" } else { "first_value" }, vec![value.clone()])
        else {
            return value.clone();
        };
        let (start_bound, end_bound) = match is_back {
            true => (WindowFrameBound::Preceding(None), WindowFrameBound::CurrentRow),
            false => (WindowFrameBound::CurrentRow, WindowFrameBound::Following(None)),
        };
        let options = OrderByOptions { asc: Some(true), nulls_first: None };
        let window = WindowSpec {
            window_name: None,
            partition_by: self.groups.clone(),
            order_by: vec![OrderByExpr { expr: self.bucket.clone(), options, with_fill: None }],
            window_frame: Some(WindowFrame { units: WindowFrameUnits::Rows, start_bound, end_bound: Some(end_bound) }),
        };
        Expr::Function(Function {
            null_treatment: Some(NullTreatment::IgnoreNulls),
            over: Some(WindowType::WindowSpec(window)),
            ..function
        })
    }

    /// On the straight line between the values before and after.
    fn between(&self, value: &Expr) -> Expr {
        let time = macros::filled(&macros::BUCKET_OF_VALUE, &[value.clone(), self.bucket.clone()]);
        let [before, after] = [true, false].map(|is_back| (self.nearest(value, is_back), self.nearest(&time, is_back)));
        let parts = [value.clone(), self.bucket.clone(), before.0, before.1, after.0, after.1];
        macros::filled(&macros::ON_THE_LINE, &parts)
    }
}

fn is_bucket(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if function.name.to_string() == GAPFILL)
}
