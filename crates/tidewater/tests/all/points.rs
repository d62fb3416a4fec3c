//! Tables of InfluxDB's routes keep one row a point, as InfluxDB does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Server, folder, python};

/// Host, region and nanoseconds.
type Key = (Option<u8>, Option<u8>, i64);
type Fields = (Option<i64>, Option<f64>);

const BASE_NS: i64 = 1_700_006_400_000_000_000;
const MEASUREMENT: &str = "/api/v1/databases/default/measurements/cpu";

/// The points as they ought to be.
#[derive(Default)]
struct Reference(BTreeMap<Key, Fields>);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

impl Reference {
    fn write(&mut self, server: &Server, random: &mut Random) {
        let mut lines = String::new();
        for _ in 0..1 + random.below(40) {
            let mut tag = |name: &str| match random.below(4) {
                3 => (None, String::new()),
                n => (Some(n as u8), format!(",{name}={n}")),
            };
            let ((host, host_text), (region, region_text)) = (tag("host"), tag("region"));
            let time = BASE_NS + random.below(6) as i64 * 1_200_000_000_000 + random.below(2) as i64;
            let (a, b) = (random.below(9) as i64, random.below(9) as f64 / 2.0);
            let (fields, values) = match random.below(3) {
                0 => (format!("a={a}i"), (Some(a), None)),
                1 => (format!("b={b}"), (None, Some(b))),
                _ => (format!("a={a}i,b={b}"), (Some(a), Some(b))),
            };
            lines += &format!("cpu{host_text}{region_text} {fields} {time}\n");
            let point = self.0.entry((host, region, time)).or_default();
            *point = (values.0.or(point.0), values.1.or(point.1));
        }
        let reply = server.send("POST", "/api/v2/write?bucket=default&org=o", &[], lines.as_bytes());
        assert_eq!(reply.status, 204, "{reply:?}");
    }

    fn check(&self, server: &Server, when: &str) {
        let text = |tag: &Option<u8>| tag.map_or(Value::Null, |t| json!(t.to_string()));
        let mut wanted: Vec<Value> = self
            .0
            .iter()
            .map(|((host, region, time), (a, b))| json!([text(host), text(region), time - BASE_NS, a, b]))
            .collect();
        let ns = format!("epoch_us(time) * 1000 + coalesce(time_ns, 0) - {BASE_NS}");
        let sql = format!("SELECT host, region, {ns} AS at, a, b FROM cpu");
        let mut found = server.rows(&sql).as_array().expect("rows").clone();
        let in_order = |rows: &mut Vec<Value>| rows.sort_by_key(|row| row.to_string());
        in_order(&mut wanted);
        in_order(&mut found);
        assert_eq!(found, wanted, "{when}");
        // what could pass below by mistake: predicates on fields, counts, bounds, limits, the newest row
        let count = |keep: &dyn Fn(&Fields) -> bool| self.0.values().filter(|fields| keep(fields)).count();
        let counted = server.rows("SELECT count(*), count(a), count(*) FILTER (WHERE a = 3 AND b > 1) FROM cpu");
        let both = |f: &Fields| f.0 == Some(3) && f.1.is_some_and(|b| b > 1.0);
        assert_eq!(counted, json!([[self.0.len(), count(&|f| f.0.is_some()), count(&both)]]), "{when}");
        let filtered = server.rows("SELECT count(*) FROM cpu WHERE a = 3 AND b > 1 AND host IS NOT NULL");
        let tagged = self.0.iter().filter(|((host, ..), f)| host.is_some() && both(f)).count();
        assert_eq!(filtered, json!([[tagged]]), "{when}");
        let limited = server.rows(&format!("SELECT a FROM cpu LIMIT {}", self.0.len() + 5));
        assert_eq!(limited.as_array().map(Vec::len), Some(self.0.len()), "{when}");
        let top = server.rows("SELECT a FROM cpu WHERE a IS NOT NULL ORDER BY a DESC, time LIMIT 1");
        let most = self.0.values().filter_map(|f| f.0).max();
        assert_eq!(top, most.map_or(json!([]), |most| json!([[most]])), "{when}");
        let newest = server.rows("SELECT max(time) = (SELECT time FROM cpu ORDER BY time DESC LIMIT 1) FROM cpu");
        assert_eq!(newest[0][0], if self.0.is_empty() { Value::Null } else { json!(true) }, "{when}");
        let last = server.rows("SELECT last(a ORDER BY time, time_ns) FROM cpu WHERE host = '1' AND region = '1'");
        let points = self.0.iter().filter(|((host, region, _), _)| *host == Some(1) && *region == Some(1));
        if let Some((_, (a, _))) = points.max_by_key(|((.., time), _)| *time) {
            assert_eq!(last, json!([[a]]), "{when}");
        }
    }
}

fn compact(server: &Server) {
    let done = server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    assert_eq!(done.status, 200, "{done:?}");
}

#[test]
fn t51_a_point_is_one_row_hot_in_files_merged_deleted_and_restarted() {
    let dir = folder();
    let settings = ["compaction.enabled=false", "ingest.max_quiet_age_ms=3600000"];
    let mut server = Server::start(dir.path(), &settings);
    let (mut reference, mut random) = (Reference::default(), Random(7));
    for round in 0..24 {
        reference.write(&server, &mut random);
        match random.below(6) {
            0 | 1 => server.flush(),
            2 => {
                server.flush();
                compact(&server);
            }
            3 => {
                let bound = random.below(3) as i64;
                let body = json!({"database": "default", "measurement": "cpu", "where": format!("a = {bound} AND b > 1"),
                    "confirm": true});
                let done = server.send("POST", "/api/v1/delete", &[], body.to_string().as_bytes());
                let before = reference.0.len();
                reference.0.retain(|_, (a, b)| !(*a == Some(bound) && b.is_some_and(|b| b > 1.0)));
                assert_eq!(done.json()["deleted_count"], json!(before - reference.0.len()), "{round}: {done:?}");
            }
            4 => {
                server.kill();
                server = Server::start(dir.path(), &settings);
            }
            _ => {}
        }
        reference.check(&server, &format!("round {round}"));
    }
    // readers from outside see versions until a merge has made them one
    server.flush();
    let switched = |server: &Server, mode: &str| {
        let body = json!({"mode": mode}).to_string();
        let done = server.send("PUT", MEASUREMENT, &[], body.as_bytes());
        assert_eq!(done.status, 200, "{done:?}");
    };
    switched(&server, "append");
    reference.check(&server, "every row is kept from now on");
    python("catalog_check.py", &[server.data().to_str().expect("a plain path")]);
    let twice = format!("cpu,host=9 a=1i {BASE_NS}");
    for _ in 0..2 {
        server.send("POST", "/api/v2/write?bucket=default&org=o", &[], twice.as_bytes());
    }
    assert_eq!(server.rows("SELECT count(*) FROM cpu WHERE host = '9'"), json!([[2]]));
    switched(&server, "last");
    assert_eq!(server.rows("SELECT count(*) FROM cpu WHERE host = '9'"), json!([[1]]));
    server.kill();
    let server = Server::start(dir.path(), &settings);
    reference.0.insert((Some(9), None, BASE_NS), (Some(1), None));
    reference.check(&server, "one row a point again");
    let refused = server.send("PUT", MEASUREMENT, &[], br#"{"mode": "first"}"#);
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_parameter")), "{refused:?}");
}
