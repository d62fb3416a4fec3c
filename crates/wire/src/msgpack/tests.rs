use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt32Type};
use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_700_000_000_000_000;

/// A tiny writer of MessagePack, for tests only.
#[derive(Default, Clone)]
struct Pack(Vec<u8>);

impl Pack {
    fn map(n: usize) -> Self {
        Self(vec![0xdf]).raw(&(n as u32).to_be_bytes())
    }

    fn array(n: usize) -> Self {
        Self(vec![0xdd]).raw(&(n as u32).to_be_bytes())
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn key(self, text: &str) -> Self {
        self.raw(&[0xdb]).raw(&(text.len() as u32).to_be_bytes()).raw(text.as_bytes())
    }

    fn text(self, key: &str, value: &str) -> Self {
        self.key(key).key(value)
    }

    fn int(self, value: i64) -> Self {
        self.raw(&[0xd3]).raw(&value.to_be_bytes())
    }

    fn float(self, value: f64) -> Self {
        self.raw(&[0xcb]).raw(&value.to_be_bytes())
    }

    fn nil(self) -> Self {
        self.raw(&[0xc0])
    }

    fn with(self, other: Pack) -> Self {
        self.raw(&other.0)
    }

    fn ints(values: &[i64]) -> Self {
        values.iter().fold(Self::array(values.len()), |p, v| p.int(*v))
    }

    fn floats(values: &[f64]) -> Self {
        values.iter().fold(Self::array(values.len()), |p, v| p.float(*v))
    }

    fn texts(values: &[&str]) -> Self {
        values.iter().fold(Self::array(values.len()), |p, v| p.key(v))
    }
}

fn columnar(table: &str, columns: &[(&str, Pack)]) -> Pack {
    let map = columns.iter().fold(Pack::map(columns.len()), |p, (n, c)| p.key(n).with(c.clone()));
    Pack::map(2).key("columns").with(map).text("m", table)
}

fn row(table: &str, host: Option<&str>, tags: &[(&str, &str)], fields: &[(&str, i64)]) -> Pack {
    let tags = tags.iter().fold(Pack::map(tags.len()), |p, (k, v)| p.text(k, v));
    let fields = fields.iter().fold(Pack::map(fields.len()), |p, (k, v)| p.key(k).int(*v));
    let pack = Pack::map(4 + usize::from(host.is_some()))
        .text("m", table)
        .key("t")
        .int(1_700_000_000_123)
        .key("tags")
        .with(tags)
        .key("fields")
        .with(fields);
    host.into_iter().fold(pack, |p, h| p.text("h", h))
}

fn good(pack: &Pack) -> Vec<Batch> {
    decode(&pack.0, NOW).unwrap_or_else(|e| panic!("{e}"))
}

fn texts(batch: &Batch, column: &str) -> Vec<Option<String>> {
    let array = &batch.columns.iter().find(|c| &*c.name == column).unwrap_or_else(|| panic!("no {column}")).array;
    let d = array.as_dictionary::<UInt32Type>();
    (0..array.len())
        .map(|i| d.is_valid(i).then(|| d.values().as_string::<i32>().value(d.keys().value(i) as usize).to_owned()))
        .collect()
}

#[test]
fn all_four_shapes_are_read_also_mixed() {
    let cpu = columnar("cpu", &[("time", Pack::ints(&[1, 2])), ("v", Pack::floats(&[0.5, 1.5]))]);
    let mem = row("mem", Some("h1"), &[], &[("used", 5)]);
    for (body, rows) in [
        (cpu.clone(), 2),
        (mem.clone(), 1),
        (Pack::map(1).key("batch").with(Pack::array(3).with(cpu.clone()).with(mem.clone()).with(cpu.clone())), 5),
        (Pack::array(2).with(mem.clone()).with(cpu.clone()), 3),
    ] {
        assert_eq!(good(&body).iter().map(Batch::rows).sum::<usize>(), rows);
    }
}

#[test]
fn t05_the_unit_of_time_is_judged_value_by_value() {
    let body = columnar(
        "t",
        &[
            (
                "time",
                Pack::ints(&[
                    1_700_000_000,
                    1_700_000_000_123,
                    1_700_000_000_123_456,
                    1_700_000_000_123_456_789,
                    -1_700_000_000_123,
                ]),
            ),
            ("v", Pack::ints(&[1, 2, 3, 4, 5])),
        ],
    );
    assert_eq!(
        &good(&body)[0].time[..],
        &[
            1_700_000_000_000_000,
            1_700_000_000_123_000,
            1_700_000_000_123_456,
            1_700_000_000_123_456,
            -1_700_000_000_123_000
        ]
    );
}

#[test]
fn a_missing_or_empty_time_is_the_servers_clock() {
    for columns in [vec![("v", Pack::ints(&[1, 2]))], vec![("time", Pack::array(0)), ("v", Pack::ints(&[1, 2]))]] {
        assert_eq!(&good(&columnar("t", &columns))[0].time[..], &[NOW, NOW]);
    }
}

#[test]
fn t13_the_host_is_only_what_the_client_sent() {
    assert_eq!(texts(&good(&row("t", None, &[("host", "mine")], &[("v", 1)]))[0], "host"), [Some("mine".into())]);
    assert_eq!(texts(&good(&row("t", Some("h"), &[("dc", "x")], &[("v", 1)]))[0], "host"), [Some("h".into())]);
    assert_eq!(texts(&good(&row("t", None, &[], &[("v", 1)]))[0], "host"), [Some("unknown".into())]);
    assert!(decode(&row("t", Some("a"), &[("host", "b")], &[("v", 1)]).0, NOW).is_err());
    let columnar = good(&columnar("t", &[("v", Pack::ints(&[1]))]));
    assert!(columnar[0].columns.iter().all(|c| &*c.name != "host"));
}

#[test]
fn t10_a_bad_item_refuses_the_request_and_is_named() {
    let good = row("t", None, &[], &[("v", 1)]);
    let bad = Pack::map(1).text("m", "t");
    let error = decode(&Pack::array(3).with(good.clone()).with(good).with(bad).0, NOW).unwrap_err();
    assert_eq!(error.to_string(), "item 3: no field");
}

#[test]
fn t11_an_all_null_column_stays() {
    let body = columnar("t", &[("v", Pack::ints(&[1, 2])), ("none", Pack::array(2).nil().nil())]);
    let batch = &good(&body)[0];
    let column = batch.columns.iter().find(|c| &*c.name == "none").unwrap();
    assert_eq!((column.array.data_type(), column.array.len()), (&DataType::Null, 2));
}

#[test]
fn columns_of_one_request_widen_only_where_nothing_is_lost() {
    let mixed = Pack::array(3).int(1).float(2.5).nil();
    let batch = &good(&columnar("t", &[("v", mixed)]))[0];
    assert_eq!(
        batch.columns[0].array.as_primitive::<Float64Type>().iter().collect::<Vec<_>>(),
        [Some(1.0), Some(2.5), None]
    );
    for bad in [
        Pack::array(2).int(1).key("a"),
        Pack::array(2).key("a").int(1),
        Pack::array(2).raw(&[0xc3]).int(1),
        Pack::array(2).int(i64::MAX).float(0.5),
    ] {
        assert!(decode(&columnar("t", &[("v", bad)]).0, NOW).is_err());
    }
    let strings = &good(&columnar("t", &[("s", Pack::array(2).key("a").float(f64::NAN))]))[0];
    assert_eq!(texts(strings, "s"), [Some("a".into()), None]);
}

#[test]
fn columns_of_unequal_length_are_refused() {
    let error = decode(&columnar("t", &[("a", Pack::ints(&[1, 2])), ("b", Pack::ints(&[1]))]).0, NOW).unwrap_err();
    assert!(error.to_string().contains("\"b\" has 1 values where others have 2"), "{error}");
}

#[test]
fn two_spellings_of_one_name_join_unless_a_row_has_both() {
    let body = columnar("t", &[("Host", Pack::array(2).key("a").nil()), ("host", Pack::array(2).nil().key("b"))]);
    assert_eq!(texts(&good(&body)[0], "Host"), [Some("a".into()), Some("b".into())]);
    let both = columnar("t", &[("v", Pack::ints(&[1])), ("V", Pack::ints(&[2]))]);
    assert!(decode(&both.0, NOW).is_err());
}

#[test]
fn declared_lengths_and_depth_are_not_trusted() {
    let bombs = [
        vec![0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, b'm'],
        Pack::map(1).key("columns").raw(&[0xdf, 0x7f, 0xff, 0xff, 0xff]).0,
        Pack::map(1).key("x").raw(&[0x91; 5000]).nil().0,
    ];
    for bomb in bombs {
        assert!(decode(&bomb, NOW).is_err());
    }
}

#[test]
fn numbered_names_and_compact_fields_are_spelled_out() {
    let body =
        Pack::map(4).key("m").int(7).key("h").int(3).key("t").int(1_700_000_000).key("f").with(Pack::ints(&[5, 6]));
    let batch = &good(&body)[0];
    assert_eq!(&*batch.table, "measurement_7");
    assert_eq!(texts(batch, "host"), [Some("host_3".into())]);
    assert_eq!(batch.columns.iter().map(|c| &*c.name).collect::<Vec<_>>(), ["host", "field_0", "field_1"]);
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&body, NOW);
    }

    #[test]
    fn a_cut_or_changed_body_never_panics(cut in 0usize..200, at in 0usize..200, byte in any::<u8>()) {
        let mut body = Pack::array(2).with(row("mem", Some("h"), &[("a", "b")], &[("x", 1)])).with(columnar("c", &[("time", Pack::ints(&[1])), ("s", Pack::texts(&["x"]))])).0;
        let len = body.len();
        body[at % len] = byte;
        body.truncate(len - cut.min(len));
        let _ = decode(&body, NOW);
    }

    #[test]
    fn columns_survive(values in proptest::collection::vec(proptest::option::of(any::<i64>()), 1..50)) {
        let pack = values.iter().fold(Pack::array(values.len()), |p, v| match v { Some(v) => p.int(*v), None => p.nil() });
        let batch = &good(&columnar("t", &[("keep", Pack::ints(&vec![1; values.len()])), ("v", pack)]))[0];
        let array = &batch.columns[1].array;
        if values.iter().any(Option::is_some) {
            prop_assert_eq!(array.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), values);
        }
    }
}
