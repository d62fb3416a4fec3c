"""duckdb_live.py URL TOKEN FOLDER: DuckDB attached while the server writes; counts never fall, and at
one snapshot its answers are the server's committed answers."""
import json
import sys
import threading
import urllib.request

from lake import attach

url, token, folder = sys.argv[1:4]


def post(path, body, headers={}):
    request = urllib.request.Request(url + path, body, {"authorization": f"Bearer {token}", **headers})
    with urllib.request.urlopen(request) as response:
        return dict(response.headers), response.read()


def write(first, count):
    lines = "\n".join(f"live,host=h{i % 5} v={i},n={i}i {1_700_000_000_000_000_000 + i * 60_000_000_000}" for i in range(first, first + count))
    post("/api/v1/write/line-protocol", lines.encode())


write(0, 100)
post("/api/v1/write/line-protocol/flush", b"")
stop = threading.Event()


def writer():
    n = 100
    while not stop.is_set():
        write(n, 50)
        n += 50


thread = threading.Thread(target=writer)
thread.start()
try:
    db = attach(folder)
    counts = [db.sql('SELECT count(*) FROM lake."default".live').fetchall()[0][0] for _ in range(200)]
finally:
    stop.set()
    thread.join()
assert counts == sorted(counts) and all(c % 50 == 0 for c in counts), counts
post("/api/v1/write/line-protocol/flush", b"")
for sql in (
    "SELECT count(*), sum(n), min(time), max(time) FROM {t}",
    "SELECT host, count(*), max(v) FROM {t} GROUP BY host ORDER BY host",
    "SELECT v FROM {t} WHERE time >= '2023-11-14T23:00:00Z' AND time < '2023-11-15T00:00:00Z' AND host = 'h3' ORDER BY v",
):
    headers, body = post("/api/v1/query", json.dumps({"sql": sql.format(t="live")}).encode(), {"x-tidewater-read": "committed"})
    snapshot = next(v for k, v in headers.items() if k.lower() == "x-tidewater-snapshot")
    ours = json.loads(body)["data"]
    theirs = db.sql(sql.format(t=f'lake."default".live AT (VERSION => {snapshot})')).fetchall()
    plain = [[v.strftime("%Y-%m-%dT%H:%M:%SZ") if hasattr(v, "strftime") else int(v) if isinstance(v, int) else v for v in row] for row in theirs]
    assert ours == plain, f"{sql}\n{ours}\n{plain}"
for statement in ("INSERT INTO lake.\"default\".live (v) VALUES (1)", "DROP TABLE lake.\"default\".live"):
    try:
        db.execute(statement)
    except Exception:
        continue
    raise SystemExit(f"a foreign writer got through: {statement}")
print(json.dumps({"reads": len(counts), "first": counts[0], "last": counts[-1]}))
