"""imports.py URL TOKEN FOLDER: files larger than the server's memory, by the clients' own form uploads.

Prints one JSON object: rows sent and found of a CSV and a Parquet file, and whether all values came back equal.
"""

import http.client
import json
import pathlib
import sys
import time
import urllib.parse

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.ipc
import pyarrow.parquet

url, token, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
START, ROWS, PARTS = 1_767_225_600_000_000, 250_000, 16


def part(k):
    rng = numpy.random.default_rng(k)
    at = START + (numpy.arange(ROWS, dtype="int64") + k * ROWS) * 20_000
    return pyarrow.table({
        "time": pyarrow.array(at, pyarrow.timestamp("us")),
        "host": pyarrow.array([f"host_{i}" for i in range(100)]).take(pyarrow.array(rng.integers(0, 100, ROWS))),
        "usage": rng.normal(50, 20, ROWS),
        "n": rng.integers(-(2**62), 2**62, ROWS),
        "note": pyarrow.array([f"note {i} of some length" for i in range(1_000)]).take(
            pyarrow.array(rng.integers(0, 1_000, ROWS))
        ),
    })


def ask(path, body, headers):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
    # a body without a length goes in chunks
    chunked = not isinstance(body, bytes)
    headers = {"authorization": f"Bearer {token}", **headers, **({"transfer-encoding": "chunked"} if chunked else {})}
    connection.request("POST", path, body, headers, encode_chunked=chunked)
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, content
    return content


def query(sql):
    return pyarrow.ipc.open_stream(ask("/api/v1/query/arrow", json.dumps({"sql": sql}).encode(), {})).read_all()


def send(kind, path):
    began = time.monotonic()
    with open(path, "rb") as file:
        head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'

        def body():
            yield head
            while chunk := file.read(1 << 20):
                yield chunk
            yield b"\r\n--B--\r\n"

        kinds = {"content-type": "multipart/form-data; boundary=B", "x-arc-database": "default"}
        answer = ask(f"/api/v1/import/{kind}?measurement={kind}&tags=host", body(), kinds)
    return json.loads(answer)["result"]["rows_imported"], time.monotonic() - began


csv, parquet = folder / "rows.csv", folder / "rows.parquet"
with open(csv, "wb") as out, pyarrow.parquet.ParquetWriter(parquet, part(0).schema) as writer:
    for k in range(PARTS):
        table = part(k)
        writer.write_table(table)
        columns = [table["time"].cast("int64").to_pylist(), table["host"].to_pylist(), table["usage"].to_pylist(),
                   table["n"].to_pylist(), table["note"].to_pylist()]
        if k == 0:
            out.write(b"time,host,usage,n,note\n")
        out.write("".join(f"{t},{h},{u!r},{n},{s}\n" for t, h, u, n, s in zip(*columns)).encode())
report = {"csv_bytes": csv.stat().st_size, "parquet_bytes": parquet.stat().st_size}
equal = True
for kind, path in (("csv", csv), ("parquet", parquet)):
    rows, seconds = send(kind, path)
    report[f"{kind}_rows"], report[f"{kind}_seconds"] = rows, round(seconds, 2)
    report[f"{kind}_count"] = query(f"SELECT count(*) FROM {kind}").column(0)[0].as_py()
    for k in (0, PARTS - 1):
        wanted = part(k).slice(0, 20_000)
        first, last = (wanted["time"][i].cast("int64").as_py() for i in (0, -1))
        found = query(
            f"SELECT time, host, usage, n, note FROM {kind} WHERE time BETWEEN make_timestamp({first})"
            f" AND make_timestamp({last}) ORDER BY time"
        )
        for name in ("host", "usage", "n", "note"):
            equal = equal and found[name].cast(wanted[name].type).combine_chunks().equals(wanted[name].combine_chunks())
report["equal"] = equal
print(json.dumps(report))
