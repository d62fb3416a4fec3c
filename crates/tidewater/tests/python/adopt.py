"""A folder as Arc writes it, and what a server and DuckDB find of it once it is adopted.

adopt.py make ARC: writes the folder and its arc.db; prints files and rows of each measurement.
adopt.py check URL TOKEN FOLDER ARC: compares server, attached catalog and the files as they lay; prints statements tried.
adopt.py many ARC COUNT: so many small files.
"""

import datetime
import decimal
import json
import pathlib
import sqlite3
import sys
import urllib.error
import urllib.request

import duckdb
import pyarrow
import pyarrow.parquet

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
HOUR = 3_600_000_000
FIRST = int(START.timestamp()) * 1_000_000


def write(arc, database, measurement, at_us, columns, by_day=False, tags=None, **options):
    """One file, named and placed as Arc does it."""
    at = START + datetime.timedelta(microseconds=at_us - FIRST)
    folder = pathlib.Path(arc, database, measurement, at.strftime("%Y/%m/%d" if by_day else "%Y/%m/%d/%H"))
    folder.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(columns)
    if tags:
        table = table.replace_schema_metadata({"arc:tags": tags})
    name = f"{measurement}_{at:%Y%m%d_%H%M%S}_{len(list(folder.iterdir())):09}{'_daily' if by_day else ''}.parquet"
    pyarrow.parquet.write_table(table, folder / name, **{"compression": "zstd", **options})
    return folder / name


def utc(values, unit="us"):
    return pyarrow.array(values, pyarrow.timestamp(unit, tz="UTC"))


def rows(first, count, step, k=0):
    at = [first + i * step for i in range(count)]
    return {
        "time": utc(at),
        "host": [f"h{(i + k) % 7}" for i in range(count)],
        "usage": [None if i % 11 == 3 else (i * 37 + k) % 1000 / 10 for i in range(count)],
        "n": [(i * 7 + k) * 10**9 for i in range(count)],
        "ok": [i % 3 > 0 for i in range(count)],
    }


def make(arc):
    for hour in range(36):
        for k in range(2):
            write(arc, "prod", "cpu", FIRST + hour * HOUR, rows(FIRST + hour * HOUR + k, 100, 30_000_000, hour + k),
                  tags="host", compression="snappy" if k else "zstd")
    # merged by Arc: a day in one file, small pages, and a column that the hours lack
    day = rows(FIRST + 3 * 24 * HOUR, 5_000, 17_000_000)
    write(arc, "prod", "cpu", FIRST + 3 * 24 * HOUR, {**day, "note": [f"n{i % 5}" for i in range(5_000)]}, by_day=True,
          tags="host", row_group_size=700)
    # what a log of fixes tells of: whole numbers first, a fraction later; here the fractions decide
    for hour in range(4):
        v = [1, 2, 3] if hour < 3 else [1.5, 2.0, None]
        write(arc, "prod", "mixed", FIRST + hour * HOUR, {"time": utc([FIRST + hour * HOUR + i for i in range(3)]), "v": v})
    # columns of other programs: small types, milliseconds, no zone
    small = {
        "Time": pyarrow.array([FIRST // 1000 + i for i in range(50)], pyarrow.timestamp("ms")),
        "i8": pyarrow.array([i - 25 for i in range(50)], pyarrow.int8()),
        "u16": pyarrow.array([i * 1000 for i in range(50)], pyarrow.uint16()),
        "u64": pyarrow.array([2**64 - 1 - i for i in range(50)], pyarrow.uint64()),
        "f32": pyarrow.array([i / 3 for i in range(50)], pyarrow.float32()),
        # a dictionary with a value that no row has
        "city": pyarrow.DictionaryArray.from_arrays(pyarrow.array([0, 1, None, 2, 3] * 10), ["Köln", "東京", "", "x", "nowhere"]),
    }
    write(arc, "iot", "small", FIRST, small, compression="none")
    # not to be used as they lie: nanoseconds, a date, decimals; empty tags
    write(arc, "iot", "odd", FIRST, {
        "time": utc([(FIRST + i) * 1000 for i in range(20)], "ns"),
        "day": pyarrow.array([20_454 + i for i in range(20)], pyarrow.date32()),
        "price": pyarrow.array([i for i in range(20)], pyarrow.decimal128(12, 2)),
    })
    write(arc, "iot", "tagged", FIRST, {"time": utc([FIRST, FIRST + 1]), "room": ["", "a"], "t": [1.0, 2.0]}, tags="room")
    # a text among numbers, and a file that a disk has cut
    for hour in range(3):
        v = [1, 2, 3] if hour < 2 else ["one"]
        write(arc, "prod", "clash", FIRST + hour * HOUR, {"time": utc([FIRST + hour * HOUR + i for i in range(len(v))]), "v": v})
    cut = write(arc, "prod", "cpu", FIRST + 40 * HOUR, rows(FIRST, 10, 1))
    cut.write_bytes(cut.read_bytes()[:-100])
    pathlib.Path(arc, "_compaction_state", "hourly").mkdir(parents=True)
    pathlib.Path(arc, "_compaction_state", "hourly", "x.parquet").write_text("no file of rows")
    db = sqlite3.connect(pathlib.Path(arc, "arc.db"))
    db.executescript("""
        CREATE TABLE retention_policies (id INTEGER PRIMARY KEY, name TEXT, database TEXT, measurement TEXT,
            retention_days INTEGER, buffer_days INTEGER, is_active INTEGER, created_at TEXT, updated_at TEXT, tier TEXT);
        INSERT INTO retention_policies VALUES (1, 'keep a year', 'prod', 'cpu', 36500, 7, 1, 'x', 'x', 'hot'),
            (2, 'off', 'iot', NULL, 30000, 0, 0, 'x', 'x', NULL);
        CREATE TABLE continuous_queries (id INTEGER PRIMARY KEY, name TEXT, description TEXT, database TEXT,
            source_measurement TEXT, destination_measurement TEXT, query TEXT, interval TEXT, retention_days INTEGER,
            delete_source_after_days INTEGER, is_active INTEGER, created_at TEXT, updated_at TEXT, last_processed_time TEXT);
        INSERT INTO continuous_queries VALUES (1, 'hourly', NULL, 'prod', 'cpu', 'cpu_1h',
            'SELECT time_bucket(INTERVAL ''1 hour'', time) AS time, host, avg(usage) AS usage FROM cpu
             WHERE time >= {start_time} AND time < {end_time} GROUP BY 1, 2', '1h', NULL, NULL, 0, 'x', 'x', NULL),
            (2, 'broken', NULL, 'prod', 'cpu', 'x', 'SELECT nonsense(', '1h', NULL, NULL, 0, 'x', 'x', NULL);
        CREATE TABLE api_tokens (id INTEGER, token_hash TEXT);
        INSERT INTO api_tokens VALUES (1, 'h');
        CREATE TABLE mqtt_subscriptions (id INTEGER);
    """)
    db.commit()


def many(arc, count):
    for i in range(count):
        write(arc, "bulk", "m", FIRST + i // 10 * HOUR, rows(FIRST + i // 10 * HOUR + i % 10, 100, 30_000_000, i), tags="host")


STATEMENTS = {
    "prod.cpu": (
        "SELECT count(*), count(usage), count(note), min(time), max(time), sum(n) FROM {t}",
        "SELECT host, count(*), round(sum(usage), 6), bool_or(ok) FROM {t} GROUP BY host ORDER BY host",
        "SELECT count(*), sum(n) FROM {t} WHERE time >= '2026-01-01T05:00:00Z' AND time < '2026-01-02T02:30:00Z'",
        "SELECT time, host, usage, n FROM {t} WHERE usage > 97 AND host = 'h3' ORDER BY time, host, n LIMIT 50",
        "SELECT note, count(*) FROM {t} WHERE note IS NOT NULL GROUP BY note ORDER BY note",
    ),
    "prod.mixed": ("SELECT time, v FROM {t} ORDER BY time",),
    "iot.small": (
        "SELECT time, i8, u16, u64, f32, city FROM {t} ORDER BY time",
        "SELECT count(*) FROM {t} WHERE i8 > 3 AND f32 > 9.5 AND u16 < 49000 AND time < '2026-01-01T00:00:00.045Z'",
        "SELECT count(*), min(city), max(u64) FROM {t} WHERE city <> 'x'",
        "SELECT DISTINCT city FROM {t} ORDER BY city",
    ),
    "iot.odd": ("SELECT count(*), min(time), sum(price) FROM {t}",),
    "iot.tagged": ("SELECT time, nullif(room, '') AS room, t FROM {t} ORDER BY time",),
    "prod.clash": ("SELECT count(*) FROM {t}",),
}


def loose(rows):
    """Rows whose decimals are floats, as a measurement keeps them."""
    return [tuple(float(v) if isinstance(v, decimal.Decimal) else v for v in row) for row in rows]


def check(url, token, folder, arc):
    from lake import attach

    def server(sql):
        headers = {"authorization": f"Bearer {token}", "x-tidewater-read": "committed"}
        request = urllib.request.Request(f"{url}/api/v1/query/arrow", json.dumps({"sql": sql}).encode(), headers)
        try:
            return pyarrow.ipc.open_stream(urllib.request.urlopen(request).read()).read_all().to_pylist()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{sql}: {error.read()}") from None

    def plain(found):
        def value(v):
            return v.astimezone(datetime.timezone.utc).replace(tzinfo=None) if isinstance(v, datetime.datetime) and v.tzinfo else v
        return [tuple(value(v) for v in row) for row in found]

    lake, files = attach(folder), duckdb.connect()
    for con in (lake, files):
        con.execute("SET TimeZone = 'UTC'")
    tried = 0
    for name, statements in STATEMENTS.items():
        database, measurement = name.split(".")
        lay = [str(p) for p in pathlib.Path(arc, database, measurement).rglob("*.parquet")]
        # what no program can read, and what was refused
        lay = [p for p in lay if "cpu_20260102_160000" not in p and "clash_20260101_02" not in p]
        source = f"read_parquet({lay}, union_by_name=true)"
        for statement in statements:
            wanted = plain(files.sql(statement.format(t=source)).fetchall())
            ours = plain(tuple(row.values()) for row in server(statement.format(t=name)))
            attached = plain(lake.sql(statement.format(t=f'lake."{database}"."{measurement}"')).fetchall())
            assert loose(ours) == loose(wanted), f"{name}: {statement}\nserver {ours[:5]}\nfiles  {wanted[:5]}"
            assert loose(attached) == loose(wanted), f"{name}: {statement}\nattached {attached[:5]}\nfiles    {wanted[:5]}"
            tried += 1
    print(json.dumps({"tried": tried}))


{"make": make, "check": check, "many": lambda arc, count: many(arc, int(count))}[sys.argv[1]](*sys.argv[2:])
