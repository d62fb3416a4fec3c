//! DuckDB's dialect, held against DuckDB: `tests/sql` is the corpus, a statement a line, a file a category.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use super::harness::{Server, TOKEN, folder, python};
use super::torture;

/// Categories in which nothing is refused.
const WHOLE: [&str; 6] = ["aggregates", "casts", "dashboards", "joins", "time", "windows"];
/// The most of the corpus that may be refused.
const REFUSED: f64 = 0.05;

fn corpus() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the folder: run `cargo xtask test`");
    PathBuf::from(package).join("tests/sql")
}

/// The statements of `docs/functions.md`.
fn examples() -> Vec<String> {
    let text = std::fs::read_to_string(corpus().join("../../../../docs/functions.md")).expect("the list of functions");
    let example = |line: &str| {
        let cell = line.split(" | ").nth(1)?.strip_suffix(" |")?;
        let inner = cell.strip_prefix('`').and_then(|c| c.strip_suffix('`'));
        let inner = inner.or_else(|| cell.strip_prefix("<code>")?.strip_suffix("</code>"))?;
        Some(inner.replace("&#124;", "|"))
    };
    text.lines().filter(|l| l.starts_with("| `")).filter_map(example).collect()
}

#[test]
fn each_statement_of_the_corpus_gives_duckdbs_answer_or_is_refused() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let said = python("differential.py", &[&server.url, TOKEN, corpus().to_str().expect("a path")]);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let known = std::fs::read_to_string(corpus().join("differences.txt")).expect("the known differences");
    let known: BTreeSet<&str> = known.lines().filter_map(|l| Some(l.split_once('\t')?.0)).collect();
    let (mut wrong, mut all, mut refused) = (BTreeSet::new(), 0, 0);
    for (category, found) in report.as_object().expect("categories") {
        let count = |verdict: &str| found["counts"][verdict].as_u64().unwrap_or(0);
        let total = ["equal", "refused", "wrong", "wider"].map(count).iter().sum::<u64>();
        println!("{category}: {total} statements, {} refused", count("refused"));
        all += total;
        refused += count("refused");
        assert!(!WHOLE.contains(&category.as_str()) || count("refused") == 0, "{category}: {}", found["listed"]);
        for listed in found["listed"].as_array().expect("a list") {
            if listed[0] == "wrong" {
                let statement = listed[1].as_str().expect("a statement");
                assert!(known.contains(statement), "{statement}: {}", listed[2]);
                wrong.insert(statement);
            }
        }
    }
    assert!(all >= 1_500, "{all} statements were tried");
    assert!(refused as f64 <= REFUSED * all as f64, "{refused} of {all} statements are refused");
    // the examples of the list of functions are among those that are equal
    let files = std::fs::read_dir(corpus()).expect("the corpus").flatten();
    let texts: Vec<String> = files.filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect();
    let statements: BTreeSet<&str> = texts.iter().flat_map(|t| t.lines()).collect();
    let categories = report.as_object().expect("categories").values();
    let listed = categories.flat_map(|found| found["listed"].as_array().expect("a list"));
    let unequal: BTreeSet<&str> = listed.filter_map(|l| l[1].as_str()).collect();
    let examples = examples();
    for example in &examples {
        assert!(statements.contains(example.as_str()), "no statement of the corpus: {example}");
        assert!(!unequal.contains(example.as_str()), "{example}");
    }
    assert!(examples.len() >= 200, "{} examples", examples.len());
    let gone: Vec<_> = known.difference(&wrong).collect();
    assert!(gone.is_empty(), "these are DuckDB's answers now: {gone:?}");
}

/// Twenty-three shapes, each so often.
const GENERATED: u64 = 23 * 220;

#[test]
fn statements_made_by_chance_give_duckdbs_answer_or_are_refused() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let (count, seed) = (torture::amount(GENERATED), torture::seed());
    let said = python("generated.py", &[&server.url, TOKEN, &seed.to_string(), &count.to_string()]);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let of = |verdict: &str| report["counts"][verdict].as_u64().unwrap_or(0);
    assert_eq!(of("wrong") + of("wider"), 0, "seed {seed}: {}", report["listed"]);
    assert_eq!(of("equal") + of("refused"), count);
    assert!(of("refused") * 100 <= count, "{}", report["listed"]);
    torture::figure(
        "differential",
        &format!("{} statements equal DuckDB's answer, {} refused, 0 wrong", of("equal"), of("refused")),
    );
}

#[test]
fn functions_that_are_others_put_together_cannot_grow_without_bound() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    // each of them takes its argument twice
    let nested = (0..40).fold("'x'".to_owned(), |inner, _| format!("regexp_extract({inner}, 'x')"));
    let (status, code, text) = server.refusal(&format!("SELECT {nested}"));
    assert_eq!((status, code.as_str()), (400, "unsupported"), "{text}");
    let few = (0..4).fold("'x'".to_owned(), |inner, _| format!("regexp_extract({inner}, 'x')"));
    assert_eq!(server.rows(&format!("SELECT {few}")), serde_json::json!([["x"]]));
}

#[test]
fn no_function_makes_more_than_memory_has() {
    let dir = folder();
    let server = Server::start(dir.path(), &["memory.budget=512MiB"]);
    let row = |i: u64| format!("t,host=h{} n={i}i {}\n", i % 7, 1_700_000_000_000_000_000 + i * 1_000_000_000);
    server.lines(&(0..20_000).map(row).collect::<String>());
    let doubled = |first: &str, twice: &str| {
        let name = |i: u8| format!("c{i}");
        let next = |i| format!("{} AS (SELECT {twice} v FROM {})", name(i), name(i - 1));
        format!("WITH c0 AS ({first}), {} ", (1..16).map(next).collect::<Vec<_>>().join(", "))
    };
    for sql in [
        "SELECT lpad('x', 2000000000, 'y')".to_owned(),
        "SELECT max(length(rpad(host, 1000000, 'y'))) FROM t".into(),
        "SELECT repeat(host, 1000000) FROM t".into(),
        "SELECT range(1000000000)".into(),
        "SELECT len(range(n * 1000000)) FROM t".into(),
        "SELECT unnest(range(1000000000)) LIMIT 1".into(),
        "SELECT len(generate_series(TIMESTAMP '1900-01-01', TIMESTAMP '2100-01-01', INTERVAL '1 second'))".into(),
        "SELECT len(array_repeat(1, 2000000000))".into(),
        "SELECT len(array_resize([1], 2000000000, 1))".into(),
        "SELECT length(replace(repeat('a', 100000), 'a', repeat('b', 100000)))".into(),
        "SELECT length(regexp_replace(repeat('a', 100000), 'a', repeat('b', 100000), 'g'))".into(),
        "SELECT length(array_to_string(range(1000000), repeat('b', 100000)))".into(),
        "SELECT max(length(strftime(time, repeat('%c', 100000)))) FROM t".into(),
        doubled("SELECT repeat('x', 100000) v", "v || v") + "SELECT length(v) FROM c15",
        doubled("SELECT repeat('x', 100) || host v FROM t", "v || v") + "SELECT max(length(v)) FROM c15",
        doubled("SELECT range(100000) v", "list_concat(v, v)") + "SELECT len(v) FROM c15",
        doubled("SELECT range(100000) v", "flatten([v, v])") + "SELECT len(v) FROM c15",
    ] {
        let (status, code, text) = server.refusal(&sql);
        assert_eq!((status, code.as_str()), (400, "invalid_query"), "{sql}: {text}");
        assert!(text.contains("ask for less at once"), "{sql}: {text}");
    }
    // a long constant stands in each row: 2 GB, if all were there at once
    for sql in [
        "SELECT max(length(host || repeat('x', 100000))) FROM t",
        "SELECT max(length(CASE WHEN n >= 0 THEN repeat('x', 100002) ELSE host END)) FROM t",
    ] {
        assert_eq!(server.rows(sql), serde_json::json!([[100_002]]), "{sql}");
    }
    assert_eq!(
        server.rows("SELECT sum(len(range(n % 10))), len(range(1000000)) FROM t"),
        serde_json::json!([[90_000, 1_000_000]])
    );
    let most_mib = server.memory_kib("VmHWM:") >> 10;
    assert!(most_mib <= 1_024, "{most_mib} MiB");
}

#[test]
fn the_ends_of_every_range_break_nothing() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines(
        "t v=1i -9223372036854775808\nt v=-9223372036854775808i 0\nt v=9223372036854775807i 9223372036854775807",
    );
    let (least, most) = ("TIMESTAMP '-290000-01-01 00:00:00'", "TIMESTAMP '290000-01-01 00:00:00'");
    for sql in [
        "SELECT strftime(time, '%z %Z %s %c %+ %D %:z %#z') FROM t",
        "SELECT strftime(time, '%') FROM t",
        "SELECT strftime(time, '%Q') FROM t",
        "SELECT strptime('99999999999-01-01', '%Y-%m-%d')",
        "SELECT try_strptime(repeat('9', 1000), '%Y')",
        "SELECT make_timestamp(9223372036854775807), make_timestamp(-9223372036854775807)",
        "SELECT make_timestamp(9223372036854775807, -1, 99, 24, 60, 'NaN'::DOUBLE)",
        "SELECT (INTERVAL '-2147483648 days')::VARCHAR, (INTERVAL '2147483647 months')::VARCHAR",
        "SELECT INTERVAL '-2147483648 days' > INTERVAL '2147483647 months'",
        "SELECT quantile_cont(time, 0.5), median(v), mode(v), mad(v), product(v), entropy(v), kurtosis(v) FROM t",
        "SELECT quantile_cont(v, 2) FROM t",
        "SELECT quantile_disc(v, [0, 1, 0.5]), quantile_cont(v, []) FROM t",
        "SELECT date_diff('century', time, make_timestamp(0)), date_sub('month', time, make_timestamp(0)) FROM t",
        "SELECT (v::DOUBLE * 1e300)::BIGINT FROM t",
        "SELECT ('Infinity'::DOUBLE)::INTEGER",
        "SELECT time AT TIME ZONE 'Nowhere/None' FROM t",
        "SELECT time AT TIME ZONE 'Europe/Berlin' AT TIME ZONE 'Asia/Tokyo' FROM t",
        "SELECT time_bucket(INTERVAL '1 hour', time, 'Asia/Kathmandu') FROM t",
        "SELECT regexp_extract('a', '(', 1), regexp_extract('a', 'a', 99)",
        "SELECT max(v, -1), min(v, 9223372036854775807), arg_max(v, time, 0) FROM t",
    ] {
        let reply = server.query_with(sql, &[]);
        assert!([200, 400].contains(&reply.status), "{sql}: {} {}", reply.status, String::from_utf8_lossy(&reply.body));
    }
    for function in ["date_diff", "date_sub"] {
        for unit in ["microsecond", "day", "week", "month", "year"] {
            let reply = server.query_with(&format!("SELECT {function}('{unit}', {least}, {most})"), &[]);
            assert!([200, 400].contains(&reply.status), "{function} {unit}: {}", String::from_utf8_lossy(&reply.body));
        }
    }
    assert_eq!(server.metric("tidewater_query_slots_replaced_total"), 0.0, "no query broke its slot");
}
