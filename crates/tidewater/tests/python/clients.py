"""clients.py URL TOKEN: the Arc client and the InfluxDB v2 client, each the way its users use it."""
import sys

import pandas as pd
from arc_client import ArcClient
from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS

url, token = sys.argv[1:3]
host, port = url.removeprefix("http://").split(":")


def equal(found, wanted, what):
    assert found == wanted, f"{what}: {found!r} is not {wanted!r}"


base = 1_700_000_000_000_000
with ArcClient(host=host, port=int(port), token=token, database="arc") as arc:
    equal(arc.health().status, "ok", "health")
    arc.write.write_columnar(measurement="cpu", columns={"time": [base, base + 1], "host": ["a", "b"], "usage": [1.5, None]})
    arc.write.write_records([{"measurement": "mem", "time": base, "fields": {"used": 5}, "tags": {"host": "a"}}])
    arc.write.write_line_protocol(f"disk,path=/ free=1i {base * 1000}")
    frame = pd.DataFrame({"time": [base + 2, base + 3], "host": ["c", "d"], "usage": [3.5, 4.5]})
    arc.write.write_dataframe(frame, measurement="cpu", time_column="time", tag_columns=["host"])
    answer = arc.query.query("SELECT count(*), sum(usage) FROM cpu")
    equal(answer.data, [[4, 9.5]], "query")
    equal(arc.query.query_arrow("SELECT host FROM cpu ORDER BY host").column(0).to_pylist(), ["a", "b", "c", "d"], "arrow")
    equal(list(arc.query.query_pandas("SELECT usage FROM cpu WHERE host = 'a'")["usage"]), [1.5], "pandas")
    names = sorted(m.measurement for m in arc.query.list_measurements(database="arc"))
    equal(names, ["cpu", "disk", "mem"], "measurements")

with InfluxDBClient(url=url, token=token, org="o", enable_gzip=True) as influx:
    assert influx.ping(), "ping"
    with influx.write_api(write_options=SYNCHRONOUS) as api:
        api.write("bucket", "o", Point("cpu").tag("host", "a, =b").field("v", 1.5).field("i", 3).time(base, WritePrecision.US))
        for precision, time in [("s", 1_700_000_100), ("ms", 1_700_000_200_000), ("us", 1_700_000_300_000_000), ("ns", 1_700_000_400_000_000_000)]:
            api.write("bucket", "o", f"cpu,host=p v=1 {time}", write_precision=precision)
    with influx.write_api(write_options=WriteOptions(batch_size=50, flush_interval=100)) as api:
        for i in range(200):
            api.write("bucket", "o", f"batched,host=h{i % 3} v={i} {1_700_000_000_000_000_000 + i}")

with ArcClient(host=host, port=int(port), token=token, database="bucket") as arc:
    equal(arc.query.query("SELECT v, i FROM cpu WHERE host = 'a, =b'").data, [[1.5, 3]], "influx point")
    times = [row[0] for row in arc.query.query("SELECT time FROM cpu WHERE host = 'p' ORDER BY time").data]
    equal(times, ["2023-11-14T22:15:00Z", "2023-11-14T22:16:40Z", "2023-11-14T22:18:20Z", "2023-11-14T22:20:00Z"], "precisions")
    equal(arc.query.query("SELECT count(*), sum(v) FROM batched").data, [[200, 19900.0]], "batching")
print("ok")
