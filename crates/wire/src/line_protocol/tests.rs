use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, UInt32Type, UInt64Type};
use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_700_000_000_000_000;

fn lines(body: &str) -> Decoded {
    decode(body.as_bytes(), Precision::Nanosecond, NOW).unwrap()
}

fn text(batch: &Batch, column: &str, row: usize) -> Option<String> {
    let array = &batch.columns.iter().find(|c| &*c.name == column)?.array;
    let dictionary = array.as_dictionary::<UInt32Type>();
    dictionary
        .is_valid(row)
        .then(|| dictionary.values().as_string::<i32>().value(dictionary.keys().value(row) as usize).to_owned())
}

#[test]
fn t08_escapes_mean_what_influxdb_documents() {
    let d = lines("c\\,p\\ u,t\\=ag\\ 1=v\\,a\\=l\\ ue,p=C:\\dir f\\ 1=\"q\\\"uo\\\\te, \\n=x\",g=1 1\n");
    assert!(d.errors.is_empty(), "{:?}", d.errors);
    let batch = &d.batches[0];
    assert_eq!(&*batch.table, "c,p u");
    assert_eq!(text(batch, "t=ag 1", 0).unwrap(), "v,a=l ue");
    assert_eq!(text(batch, "p", 0).unwrap(), "C:\\dir");
    assert_eq!(text(batch, "f 1", 0).unwrap(), "q\"uo\\te, \\n=x");
}

#[test]
fn t08_comments_blank_lines_and_crlf_are_no_points() {
    let d = lines("# a comment\r\n\r\n  \ncpu v=1 1\r\ncpu v=2\r\n");
    assert_eq!((d.lines, d.bad), (2, 0));
    assert_eq!(&d.batches[0].time[..], &[0, NOW]);
    assert_eq!(d.batches[0].time_ns.as_ref().unwrap()[0], 1);
}

#[test]
fn t08_a_string_may_span_lines_and_an_open_quote_costs_one_line() {
    let d = lines("log m=\"two\nlines\" 1\nlog m=\"open 2\nlog m=\"fine\" 3");
    assert_eq!((d.batches[0].rows(), d.bad), (2, 1), "{d:?}");
    assert_eq!(text(&d.batches[0], "m", 0).unwrap(), "two\nlines");
    let long = "x".repeat(64 << 10);
    let d = lines(&format!("log m=\"{long}\" 1"));
    assert_eq!(text(&d.batches[0], "m", 0).unwrap(), long);
}

#[test]
fn t09_one_bad_line_among_good_ones_is_named_and_the_others_are_kept() {
    let body: String =
        (1..=1000).map(|i| if i == 500 { "cpu v= 1\n".into() } else { format!("cpu v={i} {i}\n") }).collect();
    let d = lines(&body);
    assert_eq!(d.batches[0].rows(), 999);
    assert_eq!(d.errors.iter().map(|e| e.number).collect::<Vec<_>>(), [500]);
}

#[test]
fn t06_a_missing_field_is_null() {
    let d = lines("m a=1i 1\nm b=2i 2\nm a=3i,b=4i 3\n");
    let array = |name: &str| &d.batches[0].columns.iter().find(|c| &*c.name == name).unwrap().array;
    assert_eq!(array("a").as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None, Some(3)]);
    assert_eq!(array("b").as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [None, Some(2), Some(4)]);
}

#[test]
fn every_value_form_is_read() {
    let d = lines("m i=-5i,u=18446744073709551615u,f=1e3,g=.5,t=T,x=true,y=F,s=\"\" 1");
    assert!(d.errors.is_empty(), "{:?}", d.errors);
    let array = |name: &str| &d.batches[0].columns.iter().find(|c| &*c.name == name).unwrap().array;
    assert_eq!(array("u").as_primitive::<UInt64Type>().value(0), u64::MAX);
    assert_eq!(array("f").as_primitive::<Float64Type>().value(0), 1000.0);
    assert!(array("t").as_boolean().value(0) && !array("y").as_boolean().value(0));
    for bad in [
        "m v=1x",
        "m v=nan",
        "m v=inf",
        "m v=9223372036854775808i",
        "m v=-1u",
        "m v=abc",
        "m v",
        "m",
        ",a=b v=1",
        "m,a v=1",
        "m,=b v=1",
        "m,a= v=1",
        "m v=1 1 2",
        "m v=1 x",
    ] {
        assert_eq!(lines(bad).bad, 1, "{bad}");
    }
}

#[test]
fn a_field_named_as_a_tag_of_the_line_gets_another_name() {
    let d = lines("m,host=a host=1 1");
    assert_eq!(d.batches[0].columns.iter().map(|c| &*c.name).collect::<Vec<_>>(), ["host", "host_value"]);
}

#[test]
fn time_and_time_ns_are_the_servers_own_names() {
    for bad in ["m,time=a v=1 1", "m time=1 1", "m TIME_NS=1 1"] {
        assert_eq!(lines(bad).bad, 1, "{bad}");
    }
}

#[test]
fn t07_every_precision_scales() {
    for (name, us) in [
        ("ns", 0),
        ("n", 0),
        ("u", 5),
        ("us", 5),
        ("µ", 5),
        ("ms", 5_000),
        ("s", 5_000_000),
        ("m", 300_000_000),
        ("h", 18_000_000_000),
    ] {
        let d = decode(b"m v=1 5", Precision::parse(name).unwrap(), NOW).unwrap();
        assert_eq!(d.batches[0].time[0], us, "{name}");
    }
    assert_eq!(Precision::parse("d"), None);
}

#[test]
fn two_spellings_of_one_name_in_a_line_are_refused() {
    assert_eq!(lines("m a=1,A=2 1").bad, 1);
    let d = lines("m a=1 1\nm A=2 2");
    assert_eq!((d.bad, d.batches[0].columns.len()), (0, 1));
}

#[test]
fn a_line_of_another_type_is_bad_and_the_column_stays() {
    let d = lines("m v=1 1\nm v=\"a\" 2\nm v=3 3");
    assert_eq!((d.batches[0].rows(), d.errors[0].number), (2, 2));
    let d = lines("m v=1i 1\nm v=2.5 2");
    assert_eq!(d.batches[0].columns[0].array.as_primitive::<Float64Type>().values(), &[1.0, 2.5]);
}

#[test]
fn real_files_are_read_whole() {
    for (file, points) in [
        (&include_bytes!("../../fixtures/air_and_water.lp")[..], None),
        (include_bytes!("../../fixtures/metrics.lp"), None),
        (include_bytes!("../../fixtures/prometheus.lp"), None),
    ] {
        let d = decode(file, Precision::Nanosecond, NOW).unwrap();
        let expected = points.unwrap_or(file.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count());
        assert_eq!((d.bad, d.batches.iter().map(Batch::rows).sum::<usize>()), (0, expected), "{:?}", d.errors);
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&body, Precision::Nanosecond, NOW);
    }

    #[test]
    fn hostile_lines_never_panic_and_every_line_is_stored_or_named(body in "[a-c,= \\\\\"\n#0-9it.]{0,200}") {
        let d = decode(body.as_bytes(), Precision::Auto, NOW).unwrap();
        prop_assert_eq!(d.batches.iter().map(Batch::rows).sum::<usize>() + d.bad, d.lines);
    }

    #[test]
    fn what_is_written_is_read(
        tag in "[^\\\\\n\r\t\u{0}-\u{1f}\u{7f}-\u{9f}]{1,20}", value in "[^\u{0}]{0,40}", int in any::<i64>(), float in -1e300f64..1e300,
        time in -9_000_000_000_000_000_000i64..9_000_000_000_000_000_000,
    ) {
        let escape = |s: &str| s.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ");
        let body = format!(
            "m,t={} s=\"{}\",i={int}i,f={float} {time}",
            escape(&tag), value.replace('\\', "\\\\").replace('"', "\\\"")
        );
        let d = decode(body.as_bytes(), Precision::Nanosecond, NOW).unwrap();
        prop_assert!(d.errors.is_empty(), "{:?} {}", d.errors, body);
        let batch = &d.batches[0];
        prop_assert_eq!(text(batch, "t", 0).unwrap(), tag);
        prop_assert_eq!(text(batch, "s", 0).unwrap(), value);
        prop_assert_eq!(batch.columns.iter().find(|c| &*c.name == "i").unwrap().array.as_primitive::<Int64Type>().value(0), int);
        prop_assert_eq!(batch.columns.iter().find(|c| &*c.name == "f").unwrap().array.as_primitive::<Float64Type>().value(0), float);
        let ns = batch.time_ns.as_ref().map_or(0, |n| i64::from(n[0]));
        prop_assert_eq!(i128::from(batch.time[0]) * 1000 + i128::from(ns), i128::from(time));
    }
}
