"""bench_query.py URL TOKEN WORK RUNS: the fourteen queries of the TSBS cpu-only shape, over HTTP as Arrow, beside
DuckDB in process over sorted Parquet of the same rows; then latencies of writes and /health under a heavy query.

1 000 hosts, a row each 10 s for 24 h: 8.64 M rows of ten floats. Runs alternate; medians count.
"""
import http.client
import json
import math
import os
import statistics
import sys
import threading
import time

import duckdb
import msgpack
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

url, token, work, runs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
FIELDS = ["user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"]
HOSTS, STEP_S, HOURS, START_US = 1000, 10, 24, 1_767_225_600_000_000
STEPS_A_REQUEST = 10
address = url.removeprefix("http://")


class Connection:
    def __init__(self):
        self.http = http.client.HTTPConnection(address, timeout=120)

    def send(self, method, path, body=b""):
        # what is kept of an earlier run is no computation
        self.http.request(method, path, body, {"authorization": f"Bearer {token}", "cache-control": "no-cache"})
        response = self.http.getresponse()
        answer = response.read()
        assert response.status in (200, 204), (path, response.status, answer[:300])
        return answer

    def query(self, sql):
        return self.send("POST", "/api/v1/query/arrow", json.dumps({"sql": sql}).encode())


def load():
    """The same rows to the server as they would come, by time, and to Parquet, an hour a file, sorted by host."""
    rng = np.random.default_rng(1)
    hosts = np.array([f"host_{i}" for i in range(HOSTS)])
    regions = np.array(["us-east-1", "us-west-1", "eu-west-1", "eu-central-1", "ap-southeast-1", "sa-east-1"])
    regions = regions[rng.integers(0, 6, HOSTS)]
    level = rng.uniform(0, 100, (HOSTS, len(FIELDS)))
    server, n, names = Connection(), 3600 // STEP_S, [f"usage_{f}" for f in FIELDS]
    tags = {"hostname": hosts.tolist() * STEPS_A_REQUEST, "region": regions.tolist() * STEPS_A_REQUEST}
    for hour in range(HOURS):
        values = np.empty((n, HOSTS, len(FIELDS)))
        for i, step in enumerate(rng.normal(0, 1, values.shape)):
            level = np.clip(level + step, 0, 100)
            values[i] = np.floor(level)
        stamps = START_US + hour * 3_600_000_000 + np.arange(n) * STEP_S * 1_000_000
        for at in range(0, n, STEPS_A_REQUEST):
            part = values[at : at + STEPS_A_REQUEST].reshape(-1, len(FIELDS))
            columns = {"time": np.repeat(stamps[at : at + STEPS_A_REQUEST], HOSTS).tolist(), **tags}
            columns |= {name: part[:, k].tolist() for k, name in enumerate(names)}
            server.send("POST", "/api/v1/write/msgpack", msgpack.packb({"m": "cpu", "columns": columns}))
        by_host = values.transpose(1, 0, 2).reshape(-1, len(FIELDS))
        table = {"time": pa.array(np.tile(stamps, HOSTS), pa.timestamp("us"))}
        table |= {"hostname": pa.array(np.repeat(hosts, n)), "region": pa.array(np.repeat(regions, n))}
        table |= {name: pa.array(by_host[:, k]) for k, name in enumerate(names)}
        pq.write_table(pa.table(table), f"{work}/h{hour:02}.parquet", compression="zstd", row_group_size=122_880)
    server.send("POST", "/api/v1/write/line-protocol/flush")


def queries():
    maxima = ", ".join(f"max(usage_{f})" for f in FIELDS[:5])
    eight = "'host_3','host_77','host_154','host_299','host_402','host_600','host_811','host_998'"
    hours = lambda a, b: f"time >= '2026-01-01T{a:02}:00:00Z' and time < '2026-01-01T{b:02}:00:00Z'"
    by = lambda unit: f"select date_trunc('{unit}', time) m"
    means = lambda n: ", ".join(f"avg(usage_{f})" for f in FIELDS[:n])
    double = lambda n: f"{by('hour')}, hostname, {means(n)} from cpu where {hours(6, 18)} group by 1, 2 order by 1, 2"
    one = "hostname = 'host_77'"
    return {
        "single-1-1-1": f"{by('minute')}, max(usage_user) from cpu where {one} and {hours(8, 9)} group by 1 order by 1",
        "single-1-1-12": f"{by('minute')}, max(usage_user) from cpu where {one} and {hours(8, 20)} group by 1 order by 1",
        "single-5-8-1": f"{by('minute')}, {maxima} from cpu where hostname in ({eight}) and {hours(8, 9)} group by 1 order by 1",
        "cpu-max-all-8": f"{by('hour')}, {maxima} from cpu where hostname in ({eight}) and {hours(8, 16)} group by 1 order by 1",
        "double-1": double(1),
        "double-5": double(5),
        "double-all": double(10),
        "high-cpu-1": f"select * from cpu where usage_user > 90 and {one} and {hours(6, 18)}",
        "high-cpu-all": f"select * from cpu where usage_user > 90 and {hours(6, 18)}",
        "groupby-orderby-limit": f"{by('minute')}, max(usage_user) from cpu where time < '2026-01-01T18:00:00Z' group by 1 order by 1 desc limit 5",
        "count": "select count(*) from cpu",
        "region-aggregate": "select region, avg(usage_user), min(usage_system), max(usage_idle) from cpu group by 1",
        "distinct": "select count(distinct hostname) from cpu",
        "lastpoint": "select * from (select *, row_number() over (partition by hostname order by time desc) rn from cpu) t where rn = 1",
    }


def timed(work_):
    began = time.perf_counter()
    answer = work_()
    return (time.perf_counter() - began) * 1e3, answer


def compare():
    server, db = Connection(), duckdb.connect()
    db.execute(f"SET threads = {os.cpu_count()}")
    db.execute(f"CREATE VIEW cpu AS SELECT * FROM read_parquet('{work}/*.parquet')")
    print("| query | Tidewater, HTTP Arrow, ms | DuckDB in process, ms | ratio | rows |\n|---|---|---|---|---|")
    ratios = []
    for name, sql in queries().items():
        ours, theirs, rows = [], [], 0
        for i in range(runs + 1):
            ms, body = timed(lambda: server.query(sql))
            answer = pa.ipc.open_stream(body).read_all()
            other_ms, reference = timed(lambda: db.execute(sql).fetch_arrow_table())
            rows = answer.num_rows
            assert rows == reference.num_rows, f"{name}: {rows} rows, DuckDB has {reference.num_rows}"
            if i > 0:  # the first of each warms up
                ours.append(ms)
                theirs.append(other_ms)
        a, b = statistics.median(ours), statistics.median(theirs)
        ratios.append(a / b)
        print(f"| {name} | {a:.1f} | {b:.1f} | {a / b:.2f} | {rows} |", flush=True)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f"| geometric mean | | | {mean:.2f} | |\n")


def under_load():
    """p99 of /health and of durable 1 000-row writes, alone and while double-all runs without a pause."""
    heavy = queries()["double-all"]
    line = "".join(f"other,host=h{i} v={i}i {1_767_225_600_000_000_000 + i}\n" for i in range(1000)).encode()
    print("| while | /health p50 | p99 | 1 000-row write p50 | p99 ms |\n|---|---|---|---|---|")
    for state in ("idle", "a heavy query runs"):
        stop, finished = threading.Event(), []

        def burden():
            connection = Connection()
            while not stop.is_set():
                connection.query(heavy)
                finished.append(1)

        thread = threading.Thread(target=burden)
        if state != "idle":
            thread.start()
        connection, health, writes = Connection(), [], []
        end = time.monotonic() + 10
        while time.monotonic() < end:
            health.append(timed(lambda: connection.send("GET", "/health"))[0])
            writes.append(timed(lambda: connection.send("POST", "/api/v1/write/line-protocol", line))[0])
        stop.set()
        if state != "idle":
            thread.join()
            assert finished, "no heavy query ended meanwhile"
        at = lambda values, share: sorted(values)[int((len(values) - 1) * share)]
        cells = (at(health, 0.5), at(health, 0.99), at(writes, 0.5), at(writes, 0.99))
        print(f"| {state} | " + " | ".join(f"{c:.2f}" for c in cells) + " |", flush=True)


load()
compare()
under_load()
