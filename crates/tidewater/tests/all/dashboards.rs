//! What charts ask for that DuckDB has not: buckets without rows, and rates of counters.

use serde_json::{Value, json};

use super::harness::{Server, folder};

const HOUR: i64 = 3_600_000_000_000;

/// Two hosts from 2026-01-01T00:00Z: `a` in hours 0, 1 and 4, `b` in hour 2 alone.
fn filled(server: &Server) {
    let at = |hour: i64| 1_767_225_600_000_000_000 + hour * HOUR;
    server.lines(&format!(
        "cpu,host=a usage=1 {}\ncpu,host=a usage=3 {}\ncpu,host=a usage=9 {}\ncpu,host=b usage=5 {}",
        at(0),
        at(1),
        at(4),
        at(2)
    ));
}

const DAY: &str = "time >= TIMESTAMP '2026-01-01 00:00:00' AND time < TIMESTAMP '2026-01-01 06:00:00'";

/// The hours and what is selected besides, of a query whose first column is the bucket.
fn hours(server: &Server, sql: &str) -> Value {
    let rows = server.rows(sql);
    let hour = |row: &Value| {
        let mut row = row.as_array().expect("a row").clone();
        let text = row[0].as_str().expect("a time").to_owned();
        row[0] = json!(text[11..13].parse::<i64>().expect("an hour"));
        Value::Array(row)
    };
    rows.as_array().expect("rows").iter().map(hour).collect()
}

#[test]
fn buckets_without_rows_are_rows() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    filled(&server);
    let sql = format!(
        "SELECT time_bucket_gapfill(INTERVAL '1 hour', time) AS t, host, avg(usage) AS v, coalesce(count(*), 0) AS n, \
         locf(avg(usage)), interpolate(avg(usage)) FROM cpu WHERE {DAY} GROUP BY t, host ORDER BY host, t"
    );
    let wanted = json!([
        [0, "a", 1.0, 1, 1.0, 1.0],
        [1, "a", 3.0, 1, 3.0, 3.0],
        [2, "a", null, 0, 3.0, 5.0],
        [3, "a", null, 0, 3.0, 7.0],
        [4, "a", 9.0, 1, 9.0, 9.0],
        [5, "a", null, 0, 9.0, null],
        [0, "b", null, 0, null, null],
        [1, "b", null, 0, null, null],
        [2, "b", 5.0, 1, 5.0, 5.0],
        [3, "b", null, 0, 5.0, null],
        [4, "b", null, 0, 5.0, null],
        [5, "b", null, 0, 5.0, null],
    ]);
    assert_eq!(hours(&server, &sql), wanted);
    server.flush();
    assert_eq!(hours(&server, &sql), wanted, "from files");
    assert_eq!(hours(&server, &sql.replace("GROUP BY t, host", "GROUP BY 1, 2")), wanted, "by places");
    let outer = format!("SELECT * FROM ({sql}) WHERE v IS NULL AND host = 'a' ORDER BY t");
    assert_eq!(hours(&server, &outer), json!([wanted[2], wanted[3], wanted[5]]), "below another query");
}

#[test]
fn what_is_filled_goes_from_where_the_query_begins_to_where_it_ends() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    filled(&server);
    let bucket = "time_bucket_gapfill(INTERVAL '1 hour', time)";
    let ask = |condition: &str, group: &str| {
        let sql = format!("SELECT {group} AS t, sum(usage) FROM cpu {condition} GROUP BY t ORDER BY t");
        hours(&server, &sql)
    };
    // nothing is said: from the first row to the last
    assert_eq!(ask("", bucket), json!([[0, 1.0], [1, 3.0], [2, 5.0], [3, null], [4, 9.0]]));
    let one_side = "WHERE time > TIMESTAMP '2026-01-01 01:30:00'";
    assert_eq!(ask(one_side, bucket), json!([[1, null], [2, 5.0], [3, null], [4, 9.0]]));
    let between = "WHERE time BETWEEN '2026-01-01T03:00:00Z' AND '2026-01-01T05:00:00Z'";
    assert_eq!(ask(between, bucket), json!([[3, null], [4, 9.0], [5, null]]));
    let said = "time_bucket_gapfill(INTERVAL '1 hour', time, TIMESTAMP '2026-01-01 03:00:00', TIMESTAMP '2026-01-01 06:00:00')";
    assert_eq!(ask("WHERE time >= '2026-01-01T04:00:00Z'", said), json!([[3, null], [4, 9.0], [5, null]]));
    // what has no group at all has its buckets too
    let nothing = "WHERE host = 'z' AND time >= TIMESTAMP '2026-01-01' AND time < TIMESTAMP '2026-01-01 02:00:00'";
    assert_eq!(ask(nothing, bucket), json!([[0, null], [1, null]]));
    let having =
        format!("SELECT {bucket} AS t, sum(usage) FROM cpu WHERE {DAY} GROUP BY t HAVING sum(usage) > 4 ORDER BY t");
    let above_four = json!([[0, null], [1, null], [2, 5.0], [3, null], [4, 9.0], [5, null]]);
    assert_eq!(hours(&server, &having), above_four, "HAVING asks for what there is");
    // months are not all of one length
    let months = server.rows(
        "SELECT time_bucket_gapfill(INTERVAL '1 month', time, TIMESTAMP '2026-01-01', TIMESTAMP '2026-04-01') AS t, \
         count(*) FROM cpu GROUP BY t ORDER BY t",
    );
    let months: Vec<_> = months.as_array().expect("rows").iter().map(|r| (r[0].to_string(), r[1].clone())).collect();
    let starts: Vec<&str> = months.iter().map(|(t, _)| &t[1..8]).collect();
    assert_eq!((starts, &months[0].1), (vec!["2026-01", "2026-02", "2026-03"], &json!(4)));
}

#[test]
fn gaps_are_refused_where_they_cannot_be_filled() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    filled(&server);
    for (sql, says) in [
        ("SELECT time_bucket_gapfill(INTERVAL '1 hour', time) FROM cpu", "GROUP BY"),
        ("SELECT locf(usage) FROM cpu", "time_bucket_gapfill"),
        (
            "SELECT time_bucket(INTERVAL '1 hour', time) AS t, locf(avg(usage)) FROM cpu GROUP BY t",
            "time_bucket_gapfill",
        ),
        (
            "SELECT time_bucket_gapfill(INTERVAL '1 hour', time) AS t, locf(avg(usage)) FROM cpu GROUP BY ALL",
            "name the groups",
        ),
        (
            "SELECT time_bucket_gapfill(INTERVAL '1 microsecond', time) AS t, count(*) FROM cpu \
             WHERE time >= TIMESTAMP '2026-01-01' AND time < TIMESTAMP '2026-01-02' GROUP BY t",
            "1000000 buckets",
        ),
        (
            "SELECT time_bucket_gapfill(INTERVAL '1 microsecond', time) AS t, count(*) FROM cpu GROUP BY t",
            "1000000 buckets",
        ),
        ("SELECT time_bucket_gapfill(INTERVAL '0 hours', time) AS t, count(*) FROM cpu GROUP BY t", "positive"),
        (
            "SELECT date_trunc('day', time_bucket_gapfill(INTERVAL '1 hour', time)) AS t, count(*) FROM cpu GROUP BY t",
            "group of its own",
        ),
    ] {
        let (status, _, text) = server.refusal(sql);
        assert_eq!(status, 400, "{sql}");
        assert!(text.contains(says), "{sql}: {text}");
    }
}

#[test]
fn rates_of_counters_see_where_they_began_again() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    // ten seconds apart; the counter of host a begins again at 3, that of host b rises
    let (a, b) = ([10, 40, 3, 13], [0, 5, 5, 25]);
    let lines: Vec<String> = (0..4)
        .flat_map(|i| {
            let at = 1_767_225_600_000_000_000 + i as i64 * 10_000_000_000;
            [format!("net,host=a bytes={}i {at}", a[i]), format!("net,host=b bytes={}i {at}", b[i])]
        })
        .rev() // the order in which rows came does not matter
        .collect();
    server.lines(&lines.join("\n"));
    let whole = "SELECT host, increase(bytes, time), rate(bytes, time), delta(bytes, time), derivative(bytes, time) \
                 FROM net GROUP BY host ORDER BY host";
    let third = 1.0 / 30.0;
    let wanted = json!([["a", 43.0, 43.0 * third, 3.0, 3.0 * third], ["b", 25.0, 25.0 * third, 25.0, 25.0 * third]]);
    let close = |got: &Value, wanted: &Value| {
        let rows = |v: &Value| v.as_array().expect("rows").clone();
        for (got, wanted) in rows(got).iter().zip(rows(wanted).iter()) {
            for (got, wanted) in rows(got).iter().zip(rows(wanted).iter()) {
                match (got.as_f64(), wanted.as_f64()) {
                    (Some(g), Some(w)) => assert!((g - w).abs() < 1e-9, "{g} {w}"),
                    _ => assert_eq!(got, wanted),
                }
            }
        }
        assert_eq!(rows(got).len(), rows(wanted).len());
    };
    close(&server.rows(whole), &wanted);
    server.flush();
    close(&server.rows(whole), &wanted);
    let steps = "SELECT increase(bytes, time) OVER w, rate(bytes, time) OVER w, delta(bytes, time) OVER w, \
                 derivative(bytes, time) OVER w FROM net WHERE host = 'a' WINDOW w AS (PARTITION BY host ORDER BY time) \
                 ORDER BY time";
    let wanted =
        json!([[null, null, null, null], [30.0, 3.0, 30.0, 3.0], [3.0, 0.3, -37.0, -3.7], [10.0, 1.0, 10.0, 1.0],]);
    close(&server.rows(steps), &wanted);
    // of one row nothing rises, and of two at one time nothing a second
    let one = "SELECT increase(bytes, time), rate(bytes, time), delta(bytes, time) FROM net WHERE bytes = 40";
    assert_eq!(server.rows(one), json!([[null, null, null]]));
    let twins =
        "SELECT increase(bytes, TIMESTAMP '2026-01-01'), rate(bytes, TIMESTAMP '2026-01-01') FROM net WHERE host = 'b'";
    assert_eq!(server.rows(twins)[0][1], Value::Null);
    // a filter is of the rows before they are counted
    let some = "SELECT increase(bytes, time) FILTER (WHERE bytes > 5) FROM net WHERE host = 'a'";
    assert_eq!(server.rows(some), json!([[43.0]]));
}

#[test]
fn the_newest_row_of_each_series_is_found_in_large_merged_files() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    // a day of 100 hosts, a row a minute; some end early, and the last is there once
    let mut lines = String::new();
    for minute in 0..1_440i64 {
        for number in 0..100i64 {
            let ends = if number % 10 == 3 { 100 + number } else { 1_440 };
            if minute < ends && (number < 99 || minute == 7) {
                let at = (1_767_225_600_000_000 + minute * 60_000_000 + number) * 1_000;
                lines += &format!("cpu,host=h{number} v={}i {at}\n", minute * 1_000 + number);
            }
        }
        if minute % 200 == 199 || minute == 1_439 {
            server.lines(&std::mem::take(&mut lines));
        }
    }
    server.flush();
    let merged = server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    assert_eq!(merged.status, 200, "{merged:?}");
    let files = server.rows("SHOW TABLES")[0][3].as_i64().expect("a count");
    let ranked = |condition: &str| {
        format!(
            "SELECT host, v, time FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time DESC) AS rn \
             FROM cpu {condition}) WHERE rn = 1 ORDER BY host"
        )
    };
    // what the optimizer does not recognise reads every row
    let plain = |condition: &str| {
        format!(
            "SELECT c.host, c.v, c.time FROM cpu c JOIN (SELECT host, max(time) AS t, count(*) FROM cpu {condition} GROUP BY host) m \
             ON c.host = m.host AND c.time = m.t ORDER BY c.host"
        )
    };
    for condition in [
        "",
        "WHERE v % 7 = 3",
        "WHERE length(host) < 3",
        "WHERE time < TIMESTAMP '2026-01-01 12:00:00'",
        "WHERE time > TIMESTAMP '2026-01-01 23:59:30'",
        "WHERE host = 'h99'",
    ] {
        let (sql, wanted) = (ranked(condition), server.rows(&plain(condition)));
        let explained = server.query(&format!("EXPLAIN {sql}")).to_string();
        assert!(explained.contains("LatestExec"), "{condition}: {explained}");
        assert_eq!(server.rows(&sql), wanted, "{condition}");
    }
    assert_eq!(server.rows(&ranked("")).as_array().expect("rows").len(), 100);
    let fold = "SELECT host, arg_max(v, time) AS v, max(time) AS t FROM cpu GROUP BY host ORDER BY host";
    // of each host the value rises with time
    let (found, wanted) =
        (server.rows(fold), server.rows("SELECT host, max(v), count(*) FROM cpu GROUP BY host ORDER BY host"));
    for (found, wanted) in found.as_array().expect("rows").iter().zip(wanted.as_array().expect("rows")) {
        assert_eq!((&found[0], &found[1]), (&wanted[0], &wanted[1]));
    }
    // hot rows are newer than all that
    server.lines("cpu,host=h7 v=-1i 1767400000000000000");
    assert_eq!(server.rows(&ranked("WHERE host IN ('h7', 'h13')")), server.rows(&plain("WHERE host IN ('h7', 'h13')")));
    assert!(files < 24, "a day is one file or a few: {files}");
}
