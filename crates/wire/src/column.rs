use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, DictionaryArray, Float64Array, Int64Array, NullArray, UInt32Array,
    UInt64Array,
};
use arrow::buffer::NullBuffer;
use model::intern::Interner;
use model::schema::EXACT_FLOAT;

use crate::Fault;

/// One value as a decoder reads it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Str(&'a str),
}

impl Value<'_> {
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "boolean",
            Value::Int(_) => "int64",
            Value::UInt(_) => "uint64",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
        }
    }

    fn text(&self) -> String {
        match self {
            Value::Bool(v) => v.to_string(),
            Value::Int(v) => v.to_string(),
            Value::UInt(v) => v.to_string(),
            Value::Float(v) => v.to_string(),
            Value::Str(v) => format!("{:?}", v.chars().take(100).collect::<String>()),
        }
    }
}

#[derive(Debug)]
pub enum Values {
    /// Only nulls so far; the first value decides.
    Nulls,
    Bool(Vec<bool>),
    Int(Vec<i64>),
    UInt(Vec<u64>),
    Float(Vec<f64>),
    Str {
        keys: Vec<u32>,
        interner: Box<Interner>,
    },
}

/// A column while it is decoded: values in order of rows, nulls for rows it does not have.
#[derive(Debug)]
pub struct ColumnBuilder {
    pub values: Values,
    len: usize,
    /// Absent while every row has a value.
    validity: Option<BooleanBufferBuilder>,
}

impl Default for ColumnBuilder {
    fn default() -> Self {
        Self { values: Values::Nulls, len: 0, validity: None }
    }
}

macro_rules! each {
    ($values:expr, $v:ident => $body:expr) => {
        match $values {
            Values::Nulls => {}
            Values::Bool($v) => $body,
            Values::Int($v) => $body,
            Values::UInt($v) => $body,
            Values::Float($v) => $body,
            Values::Str { keys: $v, .. } => $body,
        }
    };
}

impl ColumnBuilder {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends nulls until the column has `rows` rows.
    pub fn pad(&mut self, rows: usize) {
        let missing = rows - self.len;
        if missing == 0 {
            return;
        }
        if !matches!(self.values, Values::Nulls) {
            self.validity().append_n(missing, false);
            each!(&mut self.values, v => v.resize(rows, Default::default()));
        }
        self.len = rows;
    }

    fn validity(&mut self) -> &mut BooleanBufferBuilder {
        let len = self.len;
        self.validity.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(len + 64);
            bits.append_n(len, true);
            bits
        })
    }

    /// Whether `value` can join the values before it without loss.
    pub fn accepts(&self, name: &str, value: Value<'_>) -> Result<(), Fault> {
        let fits = match (&self.values, value) {
            (Values::Nulls, _)
            | (Values::Bool(_), Value::Bool(_))
            | (Values::Int(_), Value::Int(_))
            | (Values::UInt(_), Value::UInt(_))
            | (Values::Float(_), Value::Float(_))
            | (Values::Str { .. }, Value::Str(_)) => true,
            (Values::Float(_), Value::Int(v)) => v.unsigned_abs() <= EXACT_FLOAT,
            (Values::Float(_), Value::UInt(v)) => v <= EXACT_FLOAT,
            (Values::Int(ints), Value::Float(_)) => ints.iter().all(|v| v.unsigned_abs() <= EXACT_FLOAT),
            (Values::UInt(ints), Value::Float(_)) => ints.iter().all(|v| *v <= EXACT_FLOAT),
            (Values::Int(ints), Value::UInt(v)) => v <= i64::MAX as u64 || ints.iter().all(|v| *v >= 0),
            (Values::UInt(ints), Value::Int(v)) => v >= 0 || ints.iter().all(|v| *v <= i64::MAX as u64),
            (Values::Str { .. }, Value::Float(v)) => v.is_nan(),
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.conflict(name, value)) }
    }

    pub fn conflict(&self, name: &str, value: Value<'_>) -> Fault {
        let stored = match self.values {
            Values::Nulls => "null",
            Values::Bool(_) => "boolean",
            Values::Int(_) => "int64",
            Values::UInt(_) => "uint64",
            Values::Float(_) => "float64",
            Values::Str { .. } => "string",
        };
        Fault::Mixed { column: name.to_owned(), stored, given: value.type_name(), value: value.text() }
    }

    /// Appends a value that [`ColumnBuilder::accepts`] has accepted.
    #[inline]
    pub fn push(&mut self, value: Value<'_>) {
        match (&mut self.values, value) {
            (Values::Bool(all), Value::Bool(v)) => all.push(v),
            (Values::Int(all), Value::Int(v)) => all.push(v),
            (Values::UInt(all), Value::UInt(v)) => all.push(v),
            (Values::Float(all), Value::Float(v)) => all.push(v),
            (Values::Str { keys, interner }, Value::Str(v)) => keys.push(interner.intern(v)),
            _ => return self.push_other(value),
        }
        if let Some(bits) = &mut self.validity {
            bits.append(true);
        }
        self.len += 1;
    }

    #[cold]
    fn push_other(&mut self, value: Value<'_>) {
        match (&mut self.values, value) {
            (Values::Nulls, _) => self.start(value),
            (Values::Float(_), Value::Int(v)) => return self.push(Value::Float(v as f64)),
            (Values::Float(_), Value::UInt(v)) => return self.push(Value::Float(v as f64)),
            (Values::Int(_), Value::UInt(v)) if v <= i64::MAX as u64 => return self.push(Value::Int(v as i64)),
            (Values::UInt(_), Value::Int(v)) if v >= 0 => return self.push(Value::UInt(v as u64)),
            (Values::Str { .. }, Value::Float(_)) => return self.pad(self.len + 1), // NaN
            (Values::Int(all), Value::Float(_)) => {
                self.values = Values::Float(all.iter().map(|v| *v as f64).collect());
            }
            (Values::UInt(all), Value::Float(_)) => {
                self.values = Values::Float(all.iter().map(|v| *v as f64).collect());
            }
            (Values::Int(all), Value::UInt(_)) => {
                self.values = Values::UInt(all.iter().map(|v| *v as u64).collect());
            }
            (Values::UInt(all), Value::Int(_)) => {
                self.values = Values::Int(all.iter().map(|v| *v as i64).collect());
            }
            _ => unreachable!("accepts() came first"),
        }
        self.push(value)
    }

    /// The first value decides the type; the rows before it are null.
    fn start(&mut self, value: Value<'_>) {
        let n = self.len;
        self.values = match value {
            Value::Bool(_) => Values::Bool(vec![false; n]),
            Value::Int(_) => Values::Int(vec![0; n]),
            Value::UInt(_) => Values::UInt(vec![0; n]),
            Value::Float(_) => Values::Float(vec![0.0; n]),
            Value::Str(_) => Values::Str { keys: vec![0; n], interner: Box::default() },
        };
        if n > 0 {
            let mut bits = BooleanBufferBuilder::new(n + 64);
            bits.append_n(n, false);
            self.validity = Some(bits);
        }
    }

    /// Gives the column `n` values at once, written straight into `values`.
    pub fn extended(&mut self, n: usize) {
        if let Some(bits) = &mut self.validity {
            bits.append_n(n, true);
        }
        self.len += n;
    }

    /// The finished Arrow array.
    pub fn finish(self) -> ArrayRef {
        let nulls = self.validity.map(|mut bits| NullBuffer::new(bits.finish())).filter(|n| n.null_count() > 0);
        match self.values {
            Values::Nulls => Arc::new(NullArray::new(self.len)),
            Values::Bool(v) => Arc::new(BooleanArray::new(v.into(), nulls)),
            Values::Int(v) => Arc::new(Int64Array::new(v.into(), nulls)),
            Values::UInt(v) => Arc::new(UInt64Array::new(v.into(), nulls)),
            Values::Float(v) => Arc::new(Float64Array::new(v.into(), nulls)),
            Values::Str { keys, interner } => {
                let keys = UInt32Array::new(keys.into(), nulls);
                Arc::new(DictionaryArray::new(keys, Arc::new(interner.values())))
            }
        }
    }
}
