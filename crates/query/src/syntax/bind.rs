use std::collections::HashMap;
use std::ops::ControlFlow;

use serde_json::Value as Json;
use sqlparser::ast::{Array, Expr, Statement, UnaryOperator, Value, VisitMut, VisitorMut};

use crate::Error;

/// Values of placeholders: they become literals of the syntax tree, never text, so that a value is a value whatever it
/// says, and the same statement with other values is another statement.
#[derive(Debug, Clone, Default)]
pub enum Params {
    #[default]
    None,
    /// Of `?` in their order, or `$1`, `$2` ….
    Listed(Vec<Json>),
    /// Of `$name`.
    Named(HashMap<String, Json>),
}

/// Puts the values in the place of the placeholders.
///
/// # Errors
/// A placeholder has no value, a listed value no placeholder, or a value is an object.
pub(super) fn bind(statement: &mut Statement, params: &Params) -> Result<(), Error> {
    if matches!(params, Params::None) {
        return Ok(()); // the guard names what has no value
    }
    let mut binder = Binder { params, next: 0, used: 0 };
    if let ControlFlow::Break(error) = statement.visit(&mut binder) {
        return Err(error);
    }
    match params {
        Params::Listed(values) if values.len() > binder.used => Err(Error::Invalid(format!(
            "params has {} values, and the statement has places for {}",
            values.len(),
            binder.used
        ))),
        _ => Ok(()),
    }
}

struct Binder<'a> {
    params: &'a Params,
    /// The place of the next `?`.
    next: usize,
    /// The last place that has been filled, counted from one.
    used: usize,
}

impl VisitorMut for Binder<'_> {
    type Break = Error;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Value(value) = expr else { return ControlFlow::Continue(()) };
        let Value::Placeholder(placeholder) = &value.value else { return ControlFlow::Continue(()) };
        match self.value(placeholder).and_then(|v| literal(placeholder, v)) {
            Ok(literal) => {
                *expr = literal;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl<'a> Binder<'a> {
    fn value(&mut self, placeholder: &str) -> Result<&'a Json, Error> {
        let name = placeholder.trim_start_matches(['$', '?', ':', '@']);
        match self.params {
            Params::Listed(values) => {
                let place = match name {
                    "" => {
                        self.next += 1;
                        self.next
                    }
                    digits => digits.parse().map_err(|_| {
                        Error::Invalid(format!("{placeholder} is named, and params is a list: make it an object"))
                    })?,
                };
                self.used = self.used.max(place);
                let value = place.checked_sub(1).and_then(|i| values.get(i));
                value.ok_or_else(|| {
                    Error::Invalid(format!("{placeholder} has no value: params has {} values", values.len()))
                })
            }
            Params::Named(values) => {
                let value = values.get(name);
                value.ok_or_else(|| Error::Invalid(format!("{placeholder} has no value: params names no {name:?}")))
            }
            Params::None => Err(Error::Invalid(format!("{placeholder} has no value"))),
        }
    }
}

/// A JSON value as a literal.
fn literal(placeholder: &str, value: &Json) -> Result<Expr, Error> {
    let number = |text: String| Expr::value(Value::Number(text, false));
    Ok(match value {
        Json::Null => Expr::value(Value::Null),
        Json::Bool(value) => Expr::value(Value::Boolean(*value)),
        Json::Number(value) => {
            let text = value.to_string();
            match text.strip_prefix('-') {
                Some(positive) => {
                    let expr = Box::new(number(positive.to_owned()));
                    Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Minus, expr }))
                }
                None => number(text),
            }
        }
        Json::String(text) => Expr::value(Value::SingleQuotedString(text.clone())),
        Json::Array(items) => {
            let elem = items.iter().map(|item| literal(placeholder, item)).collect::<Result<_, _>>()?;
            Expr::Array(Array { elem, named: false })
        }
        Json::Object(_) => {
            return Err(Error::Invalid(format!(
                "the value of {placeholder} is an object: give a number, text, bool, null or list"
            )));
        }
    })
}
