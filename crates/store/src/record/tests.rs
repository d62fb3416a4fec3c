use arrow::array::{Float64Array, Int64Array, UInt64Array};
use proptest::prelude::*;

use super::*;

/// Time, text, float and boolean of one row.
type Row = (i64, Option<String>, Option<f64>, Option<bool>);

fn part(values: &[Row]) -> Part {
    let time = TimestampMicrosecondArray::from(values.iter().map(|v| v.0).collect::<Vec<_>>()).with_timezone("UTC");
    let text: DictionaryArray<UInt32Type> = values.iter().map(|v| v.1.as_deref()).collect();
    let float: Float64Array = values.iter().map(|v| v.2).collect();
    let bool: BooleanArray = values.iter().map(|v| v.3).collect();
    let (time_min, time_max) = values.iter().fold((i64::MAX, i64::MIN), |(a, b), v| (a.min(v.0), b.max(v.0)));
    Part {
        table: TableId(7),
        rows: values.len(),
        time_min,
        time_max,
        columns: [
            (1, Arc::new(time) as ArrayRef),
            (2, Arc::new(text)),
            (3, Arc::new(float)),
            (9, Arc::new(bool)),
            (10, Arc::new(Int64Array::from(vec![i64::MIN; values.len()]))),
            (11, Arc::new(UInt64Array::from(vec![u64::MAX; values.len()]))),
        ]
        .map(|(id, array)| (ColumnId(id), PartColumn::new(array)))
        .into(),
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(values in proptest::collection::vec(
        (-1_000_000i64..1_000_000, proptest::option::of("[a-zé]{0,12}"), proptest::option::of(any::<f64>()), any::<Option<bool>>()), 1..700,
    )) {
        let part = part(&values);
        let key = IdempotencyKey { key: [3; 32], body: [4; 32], answer: b"answer".to_vec() };
        let body = encode(&[part.clone(), part.clone()], Some(&key));
        let (parts, found) = decode(&body).unwrap();
        prop_assert_eq!(found, Some(key));
        prop_assert_eq!(parts.len(), 2);
        prop_assert_eq!((parts[1].table, parts[1].rows, parts[1].time_min, parts[1].time_max), (part.table, part.rows, part.time_min, part.time_max));
        for ((id, column), (wanted_id, wanted)) in parts[1].columns.iter().zip(&part.columns) {
            prop_assert_eq!(id, wanted_id);
            prop_assert_eq!(format!("{column:?}"), format!("{wanted:?}"));
        }
    }

    #[test]
    fn hardly_filled_columns_take_the_room_of_their_values(
        at in proptest::collection::btree_map(0usize..5_000, ("[a-z]{1,3}", any::<f64>(), any::<bool>()), 0..40),
    ) {
        let rows: Vec<Row> = (0..5_000)
            .map(|i| match at.get(&i) {
                Some((text, float, bool)) => (i as i64, Some(text.clone()), Some(*float), Some(*bool)),
                None => (i as i64, None, None, None),
            })
            .collect();
        let mut part = part(&rows);
        part.columns.truncate(4);
        prop_assert!(part.columns[1..].iter().all(|(_, c)| c.values.len() == at.len()));
        let body = encode(std::slice::from_ref(&part), None);
        prop_assert!(body.len() < 5_000 * 8 + 40 * 40 + 200, "{}", body.len());
        let (parts, _) = decode(&body).unwrap();
        prop_assert_eq!(format!("{:?}", parts[0].columns), format!("{:?}", part.columns));
    }

    #[test]
    fn a_cut_body_is_an_error_and_never_a_panic(cut in 1usize..200) {
        let body = encode(&[part(&[(1, Some("a".into()), None, Some(true))])], None);
        prop_assert!(decode(&body[..body.len() - cut.min(body.len())]).is_err());
    }
}

/// A record whose checksum holds and whose numbers are wrong is an error: no number makes room for more than there is.
#[test]
fn no_number_of_a_record_is_believed() {
    let rows: Vec<Row> = (0..40).map(|i| (i, Some(format!("t{i}")), Some(0.5), None)).collect();
    let body = encode(&[part(&rows)], None);
    let before = decode(&body).unwrap().0[0].rows;
    assert_eq!(before, 40);
    for at in 0..body.len() - 4 {
        for number in [u32::MAX, 0x4000_0001, 0x8000_0000, 41] {
            let mut broken = body.clone();
            broken[at..at + 4].copy_from_slice(&number.to_le_bytes());
            if let Ok((parts, _)) = decode(&broken) {
                assert!(parts.iter().all(|p| p.rows <= body.len()), "{number} at {at}");
            }
        }
    }
}
