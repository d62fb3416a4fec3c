"""Requests as the field's programs send them, byte for byte over a socket: Telegraf's three outputs, Go's InfluxDB
client, the OpenTelemetry exporter, Grafana's plugin, Superset's dialects, arcctl.

Usage: fixtures.py URL TOKEN; prints one JSON object: what each was answered.
"""

import base64
import gzip
import json
import socket
import sys
import urllib.parse

import msgpack
import pyarrow.ipc

url, token = sys.argv[1:3]
host = urllib.parse.urlsplit(url).netloc
NOW = 1_767_225_600  # 2026-01-01T00:00Z
MS = NOW * 1_000


def exchange(head, body=b"", chunked=False):
    """Sends lines of a head and a body; the status, headers and body of the answer."""
    lines = [head[0] + " HTTP/1.1", f"Host: {host}", *head[1:]]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        parts = [body[i:i + 700] for i in range(0, len(body), 700)]
        body = b"".join(f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in parts) + b"0\r\n\r\n"
    elif body or head[0].startswith("POST"):
        lines.append(f"Content-Length: {len(body)}")
    name, port = host.rsplit(":", 1)
    with socket.create_connection((name, int(port)), timeout=30) as stream:
        stream.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = stream.makefile("rb")
        status = int(answer.readline().split()[1])
        headers = {}
        while (line := answer.readline().strip()):
            key, _, value = line.decode().partition(":")
            headers[key.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            content = b""
            while (size := int(answer.readline(), 16)):
                content += answer.read(size)
                answer.readline()
        else:
            content = answer.read(int(headers.get("content-length", 0)))
    return status, headers, content


def rows(sql, database="default"):
    head = ["POST /api/v1/query", f"Authorization: Bearer {token}", "Content-Type: application/json", f"x-arc-database: {database}"]
    status, _, body = exchange(head, json.dumps({"sql": sql}).encode())
    assert status == 200, f"{sql}: {status} {body}"
    return json.loads(body)["data"]


def schema(body):
    table = pyarrow.ipc.open_stream(body).read_all()
    return [(f.name, str(f.type)) for f in table.schema], table.to_pylist()


seen = {}


def check(name, status, wanted, found=None, expected=None):
    assert status == wanted, f"{name}: {status}"
    assert found == expected, f"{name}: {found}, not {expected}"
    seen[name] = status


TELEGRAF = "User-Agent: Telegraf/1.37.0 Go/1.25.3"
LINES = "".join(
    f"cpu,cpu=cpu{i},host=node-1 usage_idle={90 + i}.5,usage_user={i}i {NOW}{i:09}\n" for i in range(4)
) + f'system,host=node-1 load1=0.25,n_users=2u,uptime_format="1 day,  2:03",up=true {NOW}000000000\n'

# outputs.influxdb_v2: chunked, gzip, no precision
head = ["POST /api/v2/write?bucket=v2&org=influx", f"Authorization: Token {token}", "Content-Encoding: gzip",
        "Content-Type: text/plain; charset=utf-8", TELEGRAF, "Accept-Encoding: gzip"]
status, _, _ = exchange(head, gzip.compress(LINES.encode()), chunked=True)
check("telegraf influxdb_v2", status, 204, rows("SELECT cpu, usage_idle, usage_user FROM cpu ORDER BY cpu", "v2"),
      [[f"cpu{i}", 90.5 + i, i] for i in range(4)])
status, _, _ = exchange(head, gzip.compress(LINES.encode()), chunked=True)
check("telegraf influxdb_v2, sent again", status, 204, rows("SELECT count(*) FROM cpu", "v2"), [[4]])

# outputs.influxdb: first CREATE DATABASE, Basic
basic = "Authorization: Basic " + base64.b64encode(f"telegraf:{token}".encode()).decode()
form = urllib.parse.urlencode({"q": 'CREATE DATABASE "v1"'}).encode()
status, _, _ = exchange(["POST /query", basic, "Content-Type: application/x-www-form-urlencoded", TELEGRAF], form)
check("telegraf influxdb, create database", status, 200)
status, _, _ = exchange(["POST /write?db=v1", basic, "Content-Encoding: gzip", "Content-Type: text/plain; charset=utf-8", TELEGRAF],
                        gzip.compress(LINES.encode()), chunked=True)
check("telegraf influxdb", status, 204, rows("SELECT load1, n_users, uptime_format, up FROM system", "v1"), [[0.25, 2, "1 day,  2:03", True]])

# outputs.arc: an array of maps, milliseconds, nil where a point lacks a field
maps = [
    {"columns": {"time": [MS, MS + 1], "host": ["node-1", "node-2"], "usage_idle": [90.5, None], "procs": [7, 300], "big": [2**64 - 1, None]}, "m": "cpu"},
    {"m": "mem", "columns": {"used": [2**40], "host": ["node-1"], "time": [MS], "ok": [True]}},
]
status, _, _ = exchange(["POST /api/v1/write/msgpack", f"x-api-key: {token}", "x-arc-database: arc", "Content-Encoding: gzip",
                         "Content-Type: application/msgpack", TELEGRAF], gzip.compress(msgpack.packb(maps)))
check("telegraf arc", status, 204,
      rows("SELECT epoch_ms(time) AS t, host, usage_idle, procs, big FROM cpu ORDER BY time", "arc"),
      [[MS, "node-1", 90.5, 7, 2**64 - 1], [MS + 1, "node-2", None, 300, None]])
check("telegraf arc, second map", status, 204, rows("SELECT host, used, ok FROM mem", "arc"), [["node-1", 2**40, True]])

# Go's influxdb-client v2 says no content type
status, _, _ = exchange(["POST /api/v2/write?bucket=go&org=o&precision=ns", f"Authorization: Token {token}", "User-Agent: influxdb-client-go/2.14.0"],
                        f"m,tag=a\\ b v=1i {NOW}000000123".encode())
check("influxdb-client-go", status, 204, rows("SELECT tag, v FROM m", "go"), [["a b", 1]])

# the OpenTelemetry exporter: columns, milliseconds
status, _, _ = exchange(["POST /api/v1/write/msgpack", f"Authorization: Bearer {token}", "x-arc-database: otel", "Content-Encoding: gzip",
                         "Content-Type: application/msgpack", "User-Agent: Go-http-client/1.1"],
                        gzip.compress(msgpack.packb({"m": "http_server_duration", "columns": {"time": [MS], "value": [12.5], "service.name": ["shop"]}})))
check("opentelemetry", status, 204, rows('SELECT "service.name", value FROM http_server_duration', "otel"), [["shop", 12.5]])

# Grafana's plugin: health over Arrow, macros as it expands them, chunks of a range with one schema
grafana = ["POST /api/v1/query/arrow", f"Authorization: Bearer {token}", "Content-Type: application/json", "X-Arc-Database: v2"]
status, headers, body = exchange(grafana, b'{"sql":"SHOW DATABASES"}')
check("grafana health", status, 200, "v2" in [r["database"] for r in schema(body)[1]], True)
filled = "SELECT to_timestamp((epoch_ns(time) // 1000000000 // 60) * 60) AS time, host, avg(usage_idle) AS value FROM cpu WHERE time >= '{}' AND time < '{}' GROUP BY 1, 2 ORDER BY 1"
answers = []
for begin, end in (("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"), ("2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z")):
    status, _, body = exchange(grafana, json.dumps({"sql": filled.format(begin, end)}).encode())
    assert status == 200, body
    answers.append(schema(body))
check("grafana chunks", status, 200, (answers[0][0], len(answers[0][1]), len(answers[1][1])), (answers[1][0], 1, 0))
status, _, body = exchange(grafana, b'{"sql":"SELECT time_bucket(INTERVAL \'1m\', time) AS time, max(usage_user) AS value FROM cpu GROUP BY 1 ORDER BY 1"}')
check("grafana interval", status, 200, schema(body)[1][0]["value"], 3)
for sql in ("SHOW TABLES", "SELECT DISTINCT host FROM v2.cpu"):
    status, _, _ = exchange(grafana, json.dumps({"sql": sql}).encode())
    check(f"grafana variable: {sql}", status, 200)

# Superset's dialects: fields that nobody reads, a token of its own header
superset = ["POST /api/v1/query", f"X-API-Key: {token}", "Content-Type: application/json", "Accept: application/json", "User-Agent: python-requests/2.32.3"]
for sql, expected in (("SELECT 1", [[1]]), ("SELECT * FROM v2.cpu LIMIT 1", None), ("SHOW TABLES FROM v2", None)):
    status, _, body = exchange(superset, json.dumps({"sql": sql, "limit": 10_000, "format": "json", "timeout": 30}).encode())
    data = json.loads(body)["data"]
    check(f"superset: {sql}", status, 200, data if expected else bool(data), expected or True)

# launchpad, as Node's fetch sends it: every call of its client, lists that are bare, a switch that is sent alone
node = [f"Authorization: Bearer {token}", "Connection: keep-alive", "Accept: */*", "Accept-Language: *", "Sec-Fetch-Mode: cors", "User-Agent: node"]


def launchpad(method, path, body=None, database=None):
    head = [f"{method} {path}", *node, *(["Content-Type: application/json"] if body is not None else []), *([f"x-arc-database: {database}"] if database else [])]
    status, _, content = exchange(head, b"" if body is None else json.dumps(body).encode())
    return status, json.loads(content) if content else None


cq = "SELECT date_trunc('hour', time) AS time, avg(usage_idle) AS idle FROM cpu WHERE time >= {start_time} AND time < {end_time} GROUP BY 1"
for method, path, body, wanted, holds in (
    ("GET", "/health", None, 200, lambda a: a["status"] == "ok"),
    ("POST", "/api/v1/databases", {"name": "pad"}, 201, lambda a: True),
    ("GET", "/api/v1/databases", None, 200, lambda a: "pad" in [d["name"] for d in a["databases"]]),
    ("GET", "/api/v1/measurements?database=v2", None, 200, lambda a: "cpu" in [m["measurement"] for m in a["measurements"]]),
    ("POST", "/api/v1/query", {"sql": "SELECT count(*) AS n FROM v2.cpu"}, 200, lambda a: a["data"] == [[4]]),
    ("GET", "/api/v1/metrics", None, 200, lambda a: isinstance(a, dict)),
    ("GET", "/api/v1/metrics/endpoints", None, 200, lambda a: isinstance(a, dict)),
    ("GET", "/api/v1/metrics/timeseries/system?duration_minutes=30", None, 200, lambda a: isinstance(a, dict)),
    ("GET", "/api/v1/metrics/timeseries/application?duration_minutes=30", None, 200, lambda a: isinstance(a, dict)),
    ("GET", "/api/v1/metrics/timeseries/api?duration_minutes=30", None, 200, lambda a: isinstance(a, dict)),
    ("GET", "/api/v1/logs?limit=10", None, 200, lambda a: isinstance(a["logs"], list)),
    ("POST", "/api/v1/auth/tokens", {"name": "pad", "permissions": ["read"]}, 201, lambda a: a["token"]),
    ("GET", "/api/v1/auth/tokens", None, 200, lambda a: "pad" in [t["name"] for t in a["tokens"]]),
    ("POST", "/api/v1/retention", {"name": "pad", "database": "v2", "measurement": "cpu", "retention_days": 30000, "buffer_days": 7, "is_active": True}, 201, lambda a: a["id"]),
    ("GET", "/api/v1/retention", None, 200, lambda a: a[0]["name"] == "pad"),
    ("PUT", "/api/v1/retention/{retention}", {"is_active": False}, 200, lambda a: (a["is_active"], a["retention_days"]) == (False, 30000)),
    ("DELETE", "/api/v1/retention/{retention}", None, 200, lambda a: True),
    ("POST", "/api/v1/continuous_queries", {"name": "pad", "database": "v2", "source_measurement": "cpu", "destination_measurement": "cpu_1h", "query": cq, "interval": "1h", "is_active": True}, 201, lambda a: a["query"] == cq),
    ("GET", "/api/v1/continuous_queries", None, 200, lambda a: a[0]["name"] == "pad"),
    ("PUT", "/api/v1/continuous_queries/{continuous_queries}", {"is_active": False}, 200, lambda a: (a["is_active"], a["query"]) == (False, cq)),
    ("DELETE", "/api/v1/continuous_queries/{continuous_queries}", None, 200, lambda a: True),
):
    for kind in ("retention", "continuous_queries"):
        if "{" + kind + "}" in path:
            path = path.replace("{" + kind + "}", str(launchpad("GET", f"/api/v1/{kind}")[1][0]["id"]))
    status, answer = launchpad(method, path, body)
    name = path.split("?")[0]
    name = "/".join("N" if part.isdigit() else part for part in name.split("/"))
    assert status == wanted and holds(answer), f"launchpad {method} {path}: {status} {answer}"
    seen[f"launchpad: {method} {name}"] = status

# arcctl: a chunked body, an import as a form
status, _, _ = exchange(["POST /api/v1/write/line-protocol", f"Authorization: Bearer {token}", "x-arc-database: ctl", "User-Agent: arcctl/0.1"], LINES.encode(), chunked=True)
check("arcctl write", status, 204, rows("SELECT count(*) FROM cpu", "ctl"), [[4]])
part = b'--X\r\nContent-Disposition: form-data; name="file"; filename="chunk.lp.gz"\r\nContent-Type: application/octet-stream\r\n\r\n' + gzip.compress(LINES.encode()) + b"\r\n--X--\r\n"
status, _, body = exchange(["POST /api/v1/import/lp?precision=ns", f"Authorization: Bearer {token}", "x-arc-database: tsm", "Content-Type: multipart/form-data; boundary=X"], part, chunked=True)
check("tsm2arc import", status, 200, (json.loads(body)["status"], json.loads(body)["result"]["rows_imported"]), ("ok", 5))

tle = (b"ISS (ZARYA)\n1 25544U 98067A   08264.51782528 -.00002182  00000-0 -11606-4 0  2927\n"
       b"2 25544  51.6416 247.4627 0006703 130.5360 325.0288 15.72125391563537\n")
part = b'--X\r\nContent-Disposition: form-data; name="file"; filename="stations.tle"\r\nContent-Type: application/octet-stream\r\n\r\n' + tle + b"\r\n--X--\r\n"
status, _, body = exchange(["POST /api/v1/import/tle", f"Authorization: Bearer {token}", "x-arc-database: tle", "x-arc-measurement: orbits", "Content-Type: multipart/form-data; boundary=X", "User-Agent: arcctl/0.1"], part, chunked=True)
result = json.loads(body)["result"]
check("arcctl import tle", status, 200, (result["measurement"], result["satellite_count"], result["rows_imported"]), ("orbits", 1, 1))

# others knock without a token
status, _, _ = exchange(["GET /settings", "User-Agent: questdb/1.0"])
check("questdb settings", status, 401)
status, headers, _ = exchange(["GET /ping", "User-Agent: influx/1.6.7"])
check("influx ping", status, 204, "x-influxdb-version" in headers, True)
print(json.dumps(seen))
