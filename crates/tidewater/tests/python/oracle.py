"""DuckDB beside a server on the same rows: what each says of a statement, and whether that is the same.

A script's first two arguments are URL and TOKEN of the server.
"""

import datetime
import decimal
import json
import math
import sys
import urllib.error
import urllib.request

import duckdb
import msgpack
import pyarrow

url, token = sys.argv[1:3]
EPOCH = datetime.datetime(1970, 1, 1)


def send(path, body, headers=None):
    headers = {"authorization": f"Bearer {token}", **(headers or {})}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, data, headers)) as answer:
        return answer.read()


def write(table, columns):
    send("/api/v1/write/msgpack", msgpack.packb({"m": table, "columns": columns}))


def fill():
    hour = 3_600_000_000
    start = 1_711_836_000_000_000  # 2024-03-30T22:00Z: clocks in Berlin go forward three hours later
    times = [start + i * hour // 3 for i in range(30)] + [start + 3 * 24 * hour + i * hour for i in range(6)]
    notes = ["abc", "ABC", "bab", " x ", "é", "", None, "a,b", "aab", "b"]
    rows = [(t, h, i) for i, t in enumerate(times) for h in "abc"]
    write("cpu", {
        "time": [t for t, _, _ in rows],
        "host": [h for _, h, _ in rows],
        "region": [None if h == "c" else "eu" if h == "a" else "us" for _, h, _ in rows],
        "usage": [None if i % 11 == 5 else (i * 37 + ord(h)) % 100 / 100 for _, h, i in rows],
        "n": [(i * 7 + ord(h)) % 10 for _, h, i in rows],
        "ok": [None if i % 13 == 3 else (i + ord(h)) % 3 > 0 for _, h, i in rows],
        "note": [notes[(i + ord(h)) % len(notes)] for _, h, i in rows],
    })
    write("hosts", {"time": [start] * 4, "host": list("abdz"), "rack": ["r1", "r2", "r2", None]})
    write("events", {
        "time": [start, start + hour, start + 2 * hour],
        "host": ["a", "b", "a"],
        "kind": ["boot", "boot", "halt"],
    })
    inf = math.inf
    write("edge", {
        "time": [start + i for i in range(9)],
        "id": list(range(9)),
        "big": [2**63 - 1, -(2**63), 0, 1, -1, None, 2**53 + 1, 10, 7],
        "f": [0.0, -0.0, 1.5, math.nan, inf, -inf, None, 1e308, 5e-324],
    })


def duck():
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    for table in ["cpu", "hosts", "events", "edge"]:
        rows = pyarrow.ipc.open_stream(send("/api/v1/query/arrow", {"sql": f"SELECT * FROM {table}"})).read_all()
        con.register("rows", rows)
        con.execute(f"CREATE TABLE {table} AS SELECT * FROM rows")
        con.unregister("rows")
    return con


def us(value):
    if value.tzinfo is not None:
        value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return (value - EPOCH) // datetime.timedelta(microseconds=1)


def span(value):
    days, seconds = value.days, value.seconds + value.microseconds / 1e6
    return f"{days} days {seconds:.6f}"


def of_duckdb(value):
    if isinstance(value, datetime.datetime):
        return ("time", us(value))
    if isinstance(value, datetime.date):
        return ("date", (value - EPOCH.date()).days)
    if isinstance(value, datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return span(value)
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (list, tuple)):
        return [of_duckdb(v) for v in value]
    if isinstance(value, dict):
        return {str(of_duckdb(k)): of_duckdb(v) for k, v in value.items()}
    return value


DIVIDE = {"timestamp[s]": 1e-6, "timestamp[ms]": 1e-3, "timestamp[us]": 1, "timestamp[ns]": 1000}


def of_tidewater(value, kind):
    if value is None:
        return None
    if kind in DIVIDE:
        return ("time", int(value // DIVIDE[kind]) if DIVIDE[kind] >= 1 else int(value / DIVIDE[kind]))
    if kind == "date32":
        return ("date", value)
    if isinstance(value, dict):
        return {str(k): v for k, v in value.items()}
    return value


def equal(a, b):
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b or (isinstance(a, bool) and isinstance(b, bool) and a == b)
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, (list, tuple)):
        a = list(a.values())  # DuckDB's structs without names come as tuples
        return equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


def key(row):
    return repr([(v is None, isinstance(v, float) and math.isnan(v), f"{v:.9g}" if isinstance(v, (int, float)) else str(v)) for v in row])


def judge(con, sql):
    try:
        done = con.execute(sql)
        names, wanted = [d[0] for d in done.description], [[of_duckdb(v) for v in r] for r in done.fetchall()]
    except Exception as error:
        names, wanted = None, str(error).splitlines()[0]
    try:
        said = msgpack.unpackb(send("/api/v1/query/msgpack", {"sql": sql}), strict_map_key=False)
    except urllib.error.HTTPError as error:
        body = json.loads(error.read())
        if names is None and error.code < 500:
            return "equal", ""
        if error.code == 400 and body["code"] in ("unsupported", "syntax_error", "invalid_query"):
            return "refused", body["error"]
        return "wrong", f"{error.code} {body}"
    except Exception as error:  # an answer that was cut
        return ("equal", "") if names is None else ("wrong", f"cut: {error}")
    if names is None:
        return "wider", wanted
    got = [[of_tidewater(v, t) for v, t in zip(r, said["types"])] for r in zip(*said["data"])]
    if said["columns"] != names:
        return "wrong", f"names {said['columns']}, DuckDB has {names}"
    if "ORDER BY" not in sql.upper():
        got, wanted = sorted(got, key=key), sorted(wanted, key=key)
    if not equal(got, wanted):
        pairs = [(g, w) for g, w in zip(got, wanted) if not equal(g, w)]
        return "wrong", f"{len(got)} and {len(wanted)} rows; {pairs[:2]}"
    return "equal", ""
