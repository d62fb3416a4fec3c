"""Reads one answer in every format, as the readers of the field do."""

import gzip
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import duckdb
import msgpack
import pandas
import pyarrow
import pyarrow.csv
import pyarrow.parquet

url, token = sys.argv[1:3]


def send(path, body, headers=None, kind="application/json"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {token}", "content-type": kind, **(headers or {})}
    with urllib.request.urlopen(urllib.request.Request(url + path, data, headers)) as answer:
        return answer.headers, answer.read()


rows = 3000
lines = "".join(
    f'm,host=h{i % 7} i={i}i,u={i * 6_000_000_000_000_000}u,f={i / 3},b={"tf"[i % 2]},s="a,\\"b\\" {i}" {1_700_000_000_000_000_000 + i * 1_000_000_007}\n'
    for i in range(rows)
)
lines += "m,host=h0 i=-9223372036854775808i 1\n"
send("/api/v1/write/line-protocol", lines.encode(), kind="text/plain")
sql = "SELECT time, host, i, u, f, b, s FROM m ORDER BY time"
total = rows + 1

# JSON is what the others are held against
said = json.loads(send("/api/v1/query", {"sql": sql})[1])
names, wanted = said["columns"], said["data"]
assert said["row_count"] == total and names == ["time", "host", "i", "u", "f", "b", "s"], said["columns"]
assert wanted[0] == ["1970-01-01T00:00:00Z", "h0", -9223372036854775808, None, None, None, None], wanted[0]
assert wanted[-1][2:] == [2999, 17994000000000000000, 2999 / 3, False, 'a,"b" 2999'], wanted[-1]


def same(frame, what):
    frame = frame.sort_values("time").reset_index(drop=True)
    assert len(frame) == total, (what, len(frame))
    times = pandas.to_datetime(frame["time"], utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    expected = pandas.to_datetime([r[0] for r in wanted], utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    assert (times.array == expected.array).all(), what
    for i, name in enumerate(names[1:], 1):
        for got, want in zip(frame[name].tolist(), (r[i] for r in wanted)):
            missing = got is None or got is pandas.NA or (isinstance(got, float) and math.isnan(got))
            if want is None:
                assert missing, (what, name, got)
            elif name == "f":
                assert got == want, (what, name, got, want)
            elif name in "iu":
                # a column with nulls is one of floats in pandas
                assert got == want or float(got) == float(want), (what, name, got, want)
            else:
                assert not missing and str(got).lower() == str(want).lower(), (what, name, got, want)


headers, body = send("/api/v1/query", {"sql": sql, "format": "ndjson"})
assert headers["content-type"] == "application/jsonl"
assert [list(json.loads(line).values()) for line in body.decode().splitlines()] == wanted

headers, body = send("/api/v1/query", {"sql": sql}, {"accept": "text/csv"})
same(pandas.read_csv(io.BytesIO(body), dtype={"u": "float64"}), "pandas of CSV")
nulls = pyarrow.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
same(pyarrow.csv.read_csv(io.BytesIO(body), convert_options=nulls).to_pandas(), "pyarrow of CSV")
with tempfile.NamedTemporaryFile(suffix=".csv") as file:
    file.write(body)
    file.flush()
    same(duckdb.sql(f"SELECT * FROM read_csv('{file.name}')").df(), "duckdb of CSV")


headers, body = send("/api/v1/query/msgpack", {"sql": sql})
assert headers["content-type"] == "application/msgpack"
packed = msgpack.unpackb(body, strict_map_key=False)
assert list(packed) == ["success", "columns", "types", "data", "row_count", "execution_time_ms", "timestamp"], list(packed)
assert packed["columns"] == names and packed["row_count"] == total and isinstance(packed["execution_time_ms"], int)
assert packed["types"] == ["timestamp[us]", "utf8", "int64", "uint64", "float64", "bool", "utf8"], packed["types"]
frame = pandas.DataFrame({n: pandas.Series(c, dtype=object) for n, c in zip(names, packed["data"])})
frame["time"] = pandas.to_datetime(frame["time"].astype("int64"), unit="us", utc=True).map(lambda t: t.isoformat())
same(frame, "msgpack")

headers, body = send("/api/v1/query/arrow", {"sql": sql})
table = pyarrow.ipc.open_stream(body).read_all()
assert [str(f.type) for f in table.schema] == [
    "timestamp[us, tz=UTC]", "string", "int64", "uint64", "double", "bool", "string"], table.schema
same(table.to_pandas(), "Arrow")

headers, body = send("/api/v1/query", {"sql": sql}, {"accept": "application/vnd.apache.parquet"})
table = pyarrow.parquet.read_table(io.BytesIO(body))
same(table.to_pandas(), "Parquet")
assert duckdb.from_arrow(table).count("*").fetchone() == (total,)

# numbers that other clients know: sums of integers are 64-bit integers in Arrow
headers, body = send("/api/v1/query/arrow", {"sql": "SELECT count(*), sum(i) AS n, sum(f) AS f FROM m WHERE i > 0"})
table = pyarrow.ipc.open_stream(body).read_all()
assert [str(f.type) for f in table.schema] == ["int64", "int64", "double"], table.schema
assert table["n"].to_pylist() == [2999 * 3000 // 2]
exact = {"x-tidewater-arrow-decimals": "true"}
headers, body = send("/api/v1/query/arrow", {"sql": "SELECT sum(u) AS n FROM m"}, exact)
assert pyarrow.ipc.open_stream(body).read_all()["n"].to_pylist() == [sum(i * 6_000_000_000_000_000 for i in range(rows))]
try:
    send("/api/v1/query/arrow", {"sql": "SELECT sum(u) AS n FROM m"})
    raise AssertionError("a sum beyond 64 bits is no 64-bit integer")
except urllib.error.HTTPError as error:
    said = json.load(error)
    assert error.code == 400 and said["code"] == "unsupported" and '"n"' in said["error"], said

# no rows, and the columns all the same
none = "SELECT time, host, i FROM m WHERE i = 5000 ORDER BY time"
assert json.loads(send("/api/v1/query", {"sql": none})[1])["columns"] == ["time", "host", "i"]
assert send("/api/v1/query", {"sql": none, "format": "csv"})[1] == b"time,host,i\n"
assert msgpack.unpackb(send("/api/v1/query/msgpack", {"sql": none})[1])["data"] == [[], [], []]
reader = pyarrow.ipc.open_stream(send("/api/v1/query/arrow", {"sql": none})[1])
batches = list(reader)
assert [b.num_rows for b in batches] == [0] and batches[0].schema.names == ["time", "host", "i"], batches
empty = pyarrow.parquet.read_table(io.BytesIO(send("/api/v1/query", {"sql": none, "format": "parquet"})[1]))
assert empty.num_rows == 0 and empty.schema.names == ["time", "host", "i"]

# a reader of two years ago, which the environment keeps beside its own (`older.txt`)
older = """
import json, pathlib, sys
import pyarrow, pyarrow.parquet
folder = pathlib.Path(sys.argv[1])
read = lambda name: pyarrow.ipc.open_stream((folder / name).read_bytes()).read_all()
tables = [read("rows"), read("none"), pyarrow.parquet.read_table(folder / "parquet")]
told = [[t.num_rows, [str(f.type) for f in t.schema], t.column("i").to_pylist()[-3:]] for t in tables]
print(json.dumps([pyarrow.__version__, *told]))
"""
with tempfile.TemporaryDirectory() as folder:
    bodies = {"rows": ("arrow", sql), "none": ("arrow", none), "parquet": ("parquet", sql)}
    for name, (form, statement) in bodies.items():
        pathlib.Path(folder, name).write_bytes(send("/api/v1/query", {"sql": statement, "format": form})[1])
    env = {**os.environ, "PYTHONPATH": os.path.join(sys.prefix, "older")}
    read = subprocess.run([sys.executable, "-c", older, folder], env=env, check=True, capture_output=True, text=True)
version, *read = json.loads(read.stdout)
assert version == "18.0.0" != pyarrow.__version__, version
types = ["timestamp[us, tz=UTC]", "string", "int64", "uint64", "double", "bool", "string"]
last = [2997, 2998, 2999]
assert read == [[total, types, last], [0, types[:3], []], [total, types, last]], read

# bodies are compressed for those that say so, and only for them
plain = send("/api/v1/query", {"sql": sql})
assert plain[0]["content-encoding"] is None
headers, body = send("/api/v1/query", {"sql": sql}, {"accept-encoding": "gzip"})
assert headers["content-encoding"] == "gzip" and len(body) < len(plain[1]) / 3
assert json.loads(gzip.decompress(body))["data"] == wanted
headers, body = send("/api/v1/query/arrow", {"sql": sql}, {"accept-encoding": "zstd, gzip;q=0.5"})
assert headers["content-encoding"] == "zstd"
same(pyarrow.ipc.open_stream(pyarrow.input_stream(io.BytesIO(body), compression="zstd")).read_all().to_pandas(), "zstd")
few = {"sql": "SELECT * FROM m"}, {"accept-encoding": "gzip"}
assert send("/api/v1/query/estimate", *few)[0]["content-encoding"] is None, "nothing is gained on a few bytes"
headers, body = send("/api/v1/query", {"sql": sql, "format": "parquet"}, {"accept-encoding": "gzip"})
assert headers["content-encoding"] is None, "Parquet is compressed in itself"
