use arrow::array::{DictionaryArray, NullArray};
use arrow::datatypes::UInt32Type;

use super::*;
use crate::BatchColumn;

fn column(id: u64, name: &str, ty: ColumnType, role: Role) -> Column {
    Column { id: ColumnId(id), name: name.into(), ty, role, provisional: false, persisted: true }
}

fn schema() -> TableSchema {
    TableSchema::new(vec![
        column(1, "time", ColumnType::Timestamp, Role::Time),
        column(2, "Host", ColumnType::Utf8, Role::Tag),
        column(3, "v", ColumnType::Int64, Role::Field),
        column(4, "x", ColumnType::Float64, Role::None),
    ])
}

fn batch(name: &str, role: Role, array: ArrayRef) -> Batch {
    Batch {
        table: "t".into(),
        time: vec![0; array.len()].into(),
        time_ns: None,
        columns: vec![BatchColumn { name: name.into(), role, array }],
        origin: Vec::new(),
    }
}

fn ready(schema: &TableSchema, batch: &Batch) -> Fitted {
    match schema.fit(batch) {
        Ok(Fit::Ready(fitted)) => fitted,
        other => panic!("not ready: {other:?}"),
    }
}

#[test]
fn numbers_are_converted_only_where_nothing_is_lost() {
    let ok = ready(&schema(), &batch("V", Role::Field, Arc::new(Float64Array::from(vec![20.0, -3.0]))));
    assert_eq!(ok.columns[1].1.as_primitive::<Int64Type>().values(), &[20, -3]);
    let (rows, error) =
        schema().fit(&batch("v", Role::Field, Arc::new(Float64Array::from(vec![1.0, 20.5, 2.5])))).unwrap_err();
    assert_eq!(rows, [1, 2]);
    assert!(error.to_string().contains("\"v\" is int64, but row 2 brings float64 20.5"), "{error}");
    let big = Int64Array::from(vec![1 << 53, (1 << 53) + 1]);
    assert_eq!(schema().fit(&batch("x", Role::None, Arc::new(big))).unwrap_err().0, [1]);
    let max = UInt64Array::from(vec![u64::MAX]);
    assert_eq!(schema().fit(&batch("v", Role::None, Arc::new(max))).unwrap_err().0, [0]);
}

#[test]
fn a_fractional_float_widens_an_int_column_that_no_file_holds() {
    let mut columns = schema().columns().to_vec();
    columns[2].persisted = false;
    let young = TableSchema::new(columns);
    match young.fit(&batch("v", Role::Field, Arc::new(Float64Array::from(vec![20.5])))).unwrap() {
        Fit::Needs(changes) => {
            assert_eq!(changes, [Change::Replace { from: ColumnId(3), ty: ColumnType::Float64, role: Role::Field }])
        }
        Fit::Ready(_) => panic!("20.5 is no int"),
    }
}

#[test]
fn the_first_use_as_tag_or_field_fixes_the_role() {
    let text = || Arc::new(DictionaryArray::<UInt32Type>::from_iter(["a"])) as ArrayRef;
    let (_, error) = schema().fit(&batch("host", Role::Field, text())).unwrap_err();
    assert_eq!(error.code(), Code::RoleConflict);
    assert_eq!(ready(&schema(), &batch("host", Role::None, text())).columns[1].0, ColumnId(2));
    match schema().fit(&batch("x", Role::Field, Arc::new(Float64Array::from(vec![1.0])))).unwrap() {
        Fit::Needs(c) => assert_eq!(c, [Change::SetRole { column: ColumnId(4), role: Role::Field }]),
        Fit::Ready(_) => panic!("the role is new"),
    }
}

#[test]
fn nan_in_a_string_column_is_null() {
    let fitted = ready(&schema(), &batch("host", Role::Tag, Arc::new(Float64Array::from(vec![f64::NAN]))));
    assert_eq!(fitted.columns.len(), 1, "only time is left");
}

#[test]
fn a_column_of_nulls_takes_the_type_of_its_first_value() {
    match schema().fit(&batch("new", Role::None, Arc::new(NullArray::new(2)))).unwrap() {
        Fit::Needs(c) => assert_eq!(
            c,
            [Change::Add { name: "new".into(), ty: ColumnType::Utf8, role: Role::None, provisional: true }]
        ),
        Fit::Ready(_) => panic!("the column is new"),
    }
}
