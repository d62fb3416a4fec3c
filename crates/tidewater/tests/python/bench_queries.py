"""bench_queries.py URL TOKEN load|flushed|compacted|restarted WORK SEED: the shapes of TSBS devops, and three more, over a
small set, against DuckDB on the same rows. Floats within 1e-9, multisets where no order is asked."""
import datetime
import json
import math
import os
import sys
import urllib.request

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

url, token, step, work, seed = sys.argv[1:6]
FIELDS = ["user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"]
HOSTS, STEP_S, HOURS, START = 100, 60, 24, 1_767_225_600
reference = f"{work}/reference.parquet"


def post(path, body, headers={}):
    request = urllib.request.Request(url + path, body, {"authorization": f"Bearer {token}", **headers})
    with urllib.request.urlopen(request) as response:
        return response.read()


def load():
    rng = np.random.default_rng(int(seed))
    regions = np.array(["us-east-1", "us-west-1", "eu-west-1"])[rng.integers(0, 3, HOSTS)]
    level = rng.uniform(0, 100, (HOSTS, len(FIELDS)))
    columns = {"time": [], "hostname": [], "region": [], **{f"usage_{f}": [] for f in FIELDS}}
    for i in range(HOURS * 3600 // STEP_S):
        level = np.clip(level + rng.normal(0, 2, level.shape), 0, 100)
        time = START + i * STEP_S
        values, lines = np.floor(level), []
        for h in range(HOSTS):
            fields = ",".join(f"usage_{f}={values[h, k]:.1f}" for k, f in enumerate(FIELDS))
            lines.append(f"cpu,hostname=host_{h},region={regions[h]} {fields} {time}")
            columns["time"].append(time * 1_000_000)
            columns["hostname"].append(f"host_{h}")
            columns["region"].append(regions[h])
        for k, f in enumerate(FIELDS):
            columns[f"usage_{f}"].extend(values[:, k])
        post("/api/v1/write/line-protocol?precision=s", "\n".join(lines).encode())
    columns["time"] = pa.array(columns["time"], pa.timestamp("us"))
    pq.write_table(pa.table(columns), reference)


if step == "load":
    load()
five = ", ".join(f"max(usage_{f})" for f in FIELDS[:5])
avg = lambda n: ", ".join(f"avg(usage_{f})" for f in FIELDS[:n])
eight = "hostname in ('host_3','host_77','host_15','host_29','host_40','host_60','host_81','host_98')"
day = lambda a, b: f"time >= '2026-01-01T{a:02}:00:00Z' and time < '2026-01-01T{b:02}:00:00Z'"
QUERIES = {
    "single-1-1-1": f"select date_trunc('minute', time) m, max(usage_user) from cpu where hostname = 'host_77' and {day(8, 9)} group by 1 order by 1",
    "single-1-1-12": f"select date_trunc('minute', time) m, max(usage_user) from cpu where hostname = 'host_77' and {day(8, 20)} group by 1 order by 1",
    "single-1-8-1": f"select date_trunc('minute', time) m, max(usage_user) from cpu where {eight} and {day(8, 9)} group by 1 order by 1",
    "single-5-1-1": f"select date_trunc('minute', time) m, {five} from cpu where hostname = 'host_77' and {day(8, 9)} group by 1 order by 1",
    "single-5-1-12": f"select date_trunc('minute', time) m, {five} from cpu where hostname = 'host_77' and {day(8, 20)} group by 1 order by 1",
    "single-5-8-1": f"select date_trunc('minute', time) m, {five} from cpu where {eight} and {day(8, 9)} group by 1 order by 1",
    "cpu-max-all-1": f"select date_trunc('hour', time) m, {five} from cpu where hostname = 'host_77' and {day(8, 16)} group by 1 order by 1",
    "cpu-max-all-8": f"select date_trunc('hour', time) m, {five} from cpu where {eight} and {day(8, 16)} group by 1 order by 1",
    "double-1": f"select date_trunc('hour', time) m, hostname, {avg(1)} from cpu where {day(6, 18)} group by 1, 2 order by 1, 2",
    "double-5": f"select date_trunc('hour', time) m, hostname, {avg(5)} from cpu where {day(6, 18)} group by 1, 2 order by 1, 2",
    "double-all": f"select date_trunc('hour', time) m, hostname, {avg(10)} from cpu where {day(6, 18)} group by 1, 2 order by 1, 2",
    "high-cpu-1": f"select * from cpu where usage_user > 90 and hostname = 'host_77' and {day(6, 18)}",
    "high-cpu-all": f"select * from cpu where usage_user > 90 and {day(6, 18)}",
    "groupby-orderby-limit": "select date_trunc('minute', time) m, max(usage_user) from cpu where time < '2026-01-01T18:00:00Z' group by 1 order by 1 desc limit 5",
    "count": "select count(*) from cpu",
    "region-aggregate": "select region, avg(usage_user), min(usage_system), max(usage_idle) from cpu group by 1",
    "distinct": "select count(distinct hostname) from cpu",
    "lastpoint": "select * from (select *, row_number() over (partition by hostname order by time desc) rn from cpu) t where rn = 1",
}
db = duckdb.connect()
db.execute(f"CREATE VIEW cpu AS SELECT * FROM '{reference}'")


def cell(value):
    if hasattr(value, "timestamp"):
        return int(value.replace(tzinfo=datetime.timezone.utc).timestamp())
    return value


def same(a, b):
    return a == b or (isinstance(a, float) and math.isclose(a, b, rel_tol=1e-9))


equal = 0
for name, sql in QUERIES.items():
    body = post("/api/v1/query/arrow", json.dumps({"sql": sql}).encode())
    ours_table = pa.ipc.open_stream(body).read_all()
    cursor = db.execute(sql)
    columns = [d[0] for d in cursor.description]
    theirs = [[cell(v) for v in row] for row in cursor.fetchall()]
    assert sorted(ours_table.column_names) == sorted(columns), f"{name}: {ours_table.column_names} {columns}"
    picked = ours_table.select(columns)
    ours = [[cell(v) for v in row.values()] for row in picked.to_pylist()] if len(set(columns)) == len(columns) else None
    if "order by 1" not in sql:
        ours, theirs = sorted(ours), sorted(theirs)
    assert len(ours) == len(theirs), f"{name}: {len(ours)} rows, DuckDB has {len(theirs)}"
    for x, y in zip(ours, theirs):
        assert all(same(a, b) for a, b in zip(x, y)), f"{name}: {x} is not {y}"
    assert theirs or name == "high-cpu-1", f"{name} answers nothing: the data are wrong"
    equal += 1
print(json.dumps({"step": step, "equal": equal}))
