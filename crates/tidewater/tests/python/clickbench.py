"""ClickBench's forty-three queries on synthetic hits, by an imported Parquet file, against DuckDB on the same file.

Usage: clickbench.py URL TOKEN FOLDER; prints one JSON object. The queries stand as Arc's users send them: EventTime
and EventDate are the numbers that hits.parquet has. Where ORDER BY leaves a choice below LIMIT, the values that are
ordered by must be DuckDB's, and each row must be one of its rows.
"""

import http.client
import json
import math
import pathlib
import re
import sys
import urllib.parse

import duckdb
import numpy
import pyarrow
import pyarrow.ipc
import pyarrow.parquet

url, token, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
ROWS = 100_000
DAYS = "CounterID = 62 AND EventDate >= 15887 AND EventDate <= 15917"
SUMS = ", ".join(f"SUM(ResolutionWidth + {i})" if i else "SUM(ResolutionWidth)" for i in range(90))
QUERIES = [
    "SELECT COUNT(*) FROM hits",
    "SELECT COUNT(*) FROM hits WHERE AdvEngineID <> 0",
    "SELECT SUM(AdvEngineID), COUNT(*), AVG(ResolutionWidth) FROM hits",
    "SELECT AVG(UserID) FROM hits",
    "SELECT COUNT(DISTINCT UserID) FROM hits",
    "SELECT COUNT(DISTINCT SearchPhrase) FROM hits",
    "SELECT MIN(EventDate), MAX(EventDate) FROM hits",
    "SELECT AdvEngineID, COUNT(*) FROM hits WHERE AdvEngineID <> 0 GROUP BY AdvEngineID ORDER BY COUNT(*) DESC",
    "SELECT RegionID, COUNT(DISTINCT UserID) AS u FROM hits GROUP BY RegionID ORDER BY u DESC LIMIT 10",
    "SELECT RegionID, SUM(AdvEngineID), COUNT(*) AS c, AVG(ResolutionWidth), COUNT(DISTINCT UserID) FROM hits GROUP BY RegionID ORDER BY c DESC LIMIT 10",
    "SELECT MobilePhoneModel, COUNT(DISTINCT UserID) AS u FROM hits WHERE MobilePhoneModel <> '' GROUP BY MobilePhoneModel ORDER BY u DESC LIMIT 10",
    "SELECT MobilePhone, MobilePhoneModel, COUNT(DISTINCT UserID) AS u FROM hits WHERE MobilePhoneModel <> '' GROUP BY MobilePhone, MobilePhoneModel ORDER BY u DESC LIMIT 10",
    "SELECT SearchPhrase, COUNT(*) AS c FROM hits WHERE SearchPhrase <> '' GROUP BY SearchPhrase ORDER BY c DESC LIMIT 10",
    "SELECT SearchPhrase, COUNT(DISTINCT UserID) AS u FROM hits WHERE SearchPhrase <> '' GROUP BY SearchPhrase ORDER BY u DESC LIMIT 10",
    "SELECT SearchEngineID, SearchPhrase, COUNT(*) AS c FROM hits WHERE SearchPhrase <> '' GROUP BY SearchEngineID, SearchPhrase ORDER BY c DESC LIMIT 10",
    "SELECT UserID, COUNT(*) AS c FROM hits GROUP BY UserID ORDER BY c DESC LIMIT 10",
    "SELECT UserID, SearchPhrase, COUNT(*) AS c FROM hits GROUP BY UserID, SearchPhrase ORDER BY c DESC LIMIT 10",
    "SELECT UserID, SearchPhrase, COUNT(*) AS c FROM hits GROUP BY UserID, SearchPhrase LIMIT 10",
    "SELECT UserID, extract(minute FROM to_timestamp(EventTime)) AS m, SearchPhrase, COUNT(*) AS c FROM hits GROUP BY UserID, m, SearchPhrase ORDER BY c DESC LIMIT 10",
    "SELECT UserID FROM hits WHERE UserID = 435090932899640449",
    "SELECT COUNT(*) FROM hits WHERE URL LIKE '%google%'",
    "SELECT SearchPhrase, MIN(URL), COUNT(*) AS c FROM hits WHERE URL LIKE '%google%' AND SearchPhrase <> '' GROUP BY SearchPhrase ORDER BY c DESC LIMIT 10",
    "SELECT SearchPhrase, MIN(URL), MIN(Title), COUNT(*) AS c, COUNT(DISTINCT UserID) FROM hits WHERE Title LIKE '%Google%' AND URL NOT LIKE '%.google.%' AND SearchPhrase <> '' GROUP BY SearchPhrase ORDER BY c DESC LIMIT 10",
    "SELECT * FROM hits WHERE URL LIKE '%google%' ORDER BY EventTime LIMIT 10",
    "SELECT SearchPhrase FROM hits WHERE SearchPhrase <> '' ORDER BY EventTime LIMIT 10",
    "SELECT SearchPhrase FROM hits WHERE SearchPhrase <> '' ORDER BY SearchPhrase LIMIT 10",
    "SELECT SearchPhrase FROM hits WHERE SearchPhrase <> '' ORDER BY EventTime, SearchPhrase LIMIT 10",
    "SELECT CounterID, AVG(STRLEN(URL)) AS l, COUNT(*) AS c FROM hits WHERE URL <> '' GROUP BY CounterID HAVING COUNT(*) > 1000 ORDER BY l DESC LIMIT 25",
    "SELECT REGEXP_REPLACE(Referer, '^https?://(?:www\\.)?([^/]+)/.*$', '\\1') AS k, AVG(STRLEN(Referer)) AS l, COUNT(*) AS c, MIN(Referer) FROM hits WHERE Referer <> '' GROUP BY k HAVING COUNT(*) > 1000 ORDER BY l DESC LIMIT 25",
    f"SELECT {SUMS} FROM hits",
    "SELECT SearchEngineID, ClientIP, COUNT(*) AS c, SUM(IsRefresh), AVG(ResolutionWidth) FROM hits WHERE SearchPhrase <> '' GROUP BY SearchEngineID, ClientIP ORDER BY c DESC LIMIT 10",
    "SELECT WatchID, ClientIP, COUNT(*) AS c, SUM(IsRefresh), AVG(ResolutionWidth) FROM hits WHERE SearchPhrase <> '' GROUP BY WatchID, ClientIP ORDER BY c DESC LIMIT 10",
    "SELECT WatchID, ClientIP, COUNT(*) AS c, SUM(IsRefresh), AVG(ResolutionWidth) FROM hits GROUP BY WatchID, ClientIP ORDER BY c DESC LIMIT 10",
    "SELECT URL, COUNT(*) AS c FROM hits GROUP BY URL ORDER BY c DESC LIMIT 10",
    "SELECT 1, URL, COUNT(*) AS c FROM hits GROUP BY 1, URL ORDER BY c DESC LIMIT 10",
    "SELECT ClientIP, ClientIP - 1, ClientIP - 2, ClientIP - 3, COUNT(*) AS c FROM hits GROUP BY ClientIP, ClientIP - 1, ClientIP - 2, ClientIP - 3 ORDER BY c DESC LIMIT 10",
    f"SELECT URL, COUNT(*) AS PageViews FROM hits WHERE {DAYS} AND DontCountHits = 0 AND IsRefresh = 0 AND URL <> '' GROUP BY URL ORDER BY PageViews DESC LIMIT 10",
    f"SELECT Title, COUNT(*) AS PageViews FROM hits WHERE {DAYS} AND DontCountHits = 0 AND IsRefresh = 0 AND Title <> '' GROUP BY Title ORDER BY PageViews DESC LIMIT 10",
    f"SELECT URL, COUNT(*) AS PageViews FROM hits WHERE {DAYS} AND IsRefresh = 0 AND IsLink <> 0 AND IsDownload = 0 GROUP BY URL ORDER BY PageViews DESC LIMIT 10 OFFSET 1000",
    f"SELECT TraficSourceID, SearchEngineID, AdvEngineID, CASE WHEN (SearchEngineID = 0 AND AdvEngineID = 0) THEN Referer ELSE '' END AS Src, URL AS Dst, COUNT(*) AS PageViews FROM hits WHERE {DAYS} AND IsRefresh = 0 GROUP BY TraficSourceID, SearchEngineID, AdvEngineID, Src, Dst ORDER BY PageViews DESC LIMIT 10 OFFSET 1000",
    f"SELECT URLHash, EventDate, COUNT(*) AS PageViews FROM hits WHERE {DAYS} AND IsRefresh = 0 AND TraficSourceID IN (-1, 6) AND RefererHash = 3594120000172545465 GROUP BY URLHash, EventDate ORDER BY PageViews DESC LIMIT 10 OFFSET 100",
    f"SELECT WindowClientWidth, WindowClientHeight, COUNT(*) AS PageViews FROM hits WHERE {DAYS} AND IsRefresh = 0 AND DontCountHits = 0 AND URLHash = 2868770270353813622 GROUP BY WindowClientWidth, WindowClientHeight ORDER BY PageViews DESC LIMIT 10 OFFSET 10000",
    "SELECT DATE_TRUNC('minute', to_timestamp(EventTime)) AS M, COUNT(*) AS PageViews FROM hits WHERE CounterID = 62 AND EventDate >= 15900 AND EventDate <= 15901 AND IsRefresh = 0 AND DontCountHits = 0 GROUP BY DATE_TRUNC('minute', to_timestamp(EventTime)) ORDER BY DATE_TRUNC('minute', to_timestamp(EventTime)) LIMIT 10 OFFSET 1000",
]


def hits():
    rng = numpy.random.default_rng(43)

    def ints(low, high, size=ROWS):
        return rng.integers(low, high, size)

    def texts(values, share_of_empty=0.0):
        picked = numpy.array(values, dtype=object)[(rng.zipf(1.3, ROWS) - 1) % len(values)]
        picked[rng.random(ROWS) < share_of_empty] = ""
        return pyarrow.array(picked, pyarrow.string())

    at = 15887 * 86_400 + numpy.sort(ints(0, 31 * 86_400))
    sites = ["google.com", "www.google.ru", "example.org", "www.news.example", "shop.example"]
    pages = [f"http{'s' if i % 3 else ''}://{sites[i % 5]}/page/{i % 997}?q={i}" for i in range(4_000)]
    users = numpy.append(ints(-(2**62), 2**62, 5_000), 435090932899640449)
    hashes = numpy.append(ints(-(2**62), 2**62, 800), [3594120000172545465, 2868770270353813622])
    return pyarrow.table({
        "time": pyarrow.array(at * 1_000_000, pyarrow.timestamp("us")),
        "WatchID": ints(0, 2**62),
        "Title": texts([f"Page {i} {'Google' if i % 7 == 0 else 'News'}" for i in range(2_000)], 0.2),
        "EventTime": at,
        "EventDate": (at // 86_400).astype("int32"),
        "CounterID": numpy.where(rng.random(ROWS) < 0.7, 62, ints(0, 40)).astype("int32"),
        "ClientIP": ints(-(2**31), 2**31).astype("int32") // 65_536,
        "RegionID": ints(0, 300).astype("int32"),
        "UserID": users[rng.zipf(1.2, ROWS) % len(users)],
        "URL": texts(pages, 0.02),
        "Referer": texts(pages, 0.3),
        "IsRefresh": (rng.random(ROWS) < 0.1).astype("int16"),
        "ResolutionWidth": numpy.array([0, 1024, 1366, 1920, 2560])[ints(0, 5)].astype("int16"),
        "MobilePhone": ints(0, 60).astype("int16"),
        "MobilePhoneModel": texts([f"Model {i}" for i in range(120)], 0.8),
        "TraficSourceID": ints(-1, 10).astype("int16"),
        "SearchEngineID": numpy.where(rng.random(ROWS) < 0.6, 0, ints(1, 90)).astype("int16"),
        "SearchPhrase": texts([f"phrase {i}" for i in range(3_000)], 0.7),
        "AdvEngineID": numpy.where(rng.random(ROWS) < 0.9, 0, ints(1, 60)).astype("int16"),
        "WindowClientWidth": ints(0, 1_920).astype("int16"),
        "WindowClientHeight": ints(0, 1_080).astype("int16"),
        "IsLink": (rng.random(ROWS) < 0.5).astype("int16"),
        "IsDownload": (rng.random(ROWS) < 0.05).astype("int16"),
        "DontCountHits": (rng.random(ROWS) < 0.2).astype("int16"),
        "URLHash": hashes[rng.zipf(1.2, ROWS) % len(hashes)],
        "RefererHash": hashes[rng.zipf(1.2, ROWS) % len(hashes)],
    })


def ask(path, body, headers):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
    connection.request("POST", path, body, {"authorization": f"Bearer {token}", **headers})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, f"{answer.status} {content[:300]}"
    return content


def cell(value):
    if hasattr(value, "timestamp"):
        value = value.replace(tzinfo=None)
    return float(value) if type(value).__name__ == "Decimal" else value


def close(a, b):
    return a == b or (isinstance(a, (int, float)) and isinstance(b, (int, float)) and math.isclose(a, b, rel_tol=1e-9))


def key(row):
    return repr([f"{v:.9g}" if isinstance(v, (int, float)) and not isinstance(v, bool) else v for v in row])


file = folder / "hits.parquet"
pyarrow.parquet.write_table(hits(), file)
ask("/api/v1/import/parquet?measurement=hits", file.read_bytes(), {"content-type": "application/octet-stream", "x-arc-database": "clickbench"})
con = duckdb.connect()
con.execute("SET TimeZone = 'UTC'")
con.execute(f"CREATE VIEW hits AS SELECT * FROM '{file}'")
order = ", ".join(f'"{name}"' for name in pyarrow.parquet.read_schema(file).names)
equal, wrong = 0, []
for number, sql in enumerate(QUERIES):
    # DuckDB's answer with every row, and the values that the order leaves below the limit
    whole = re.sub(r" LIMIT \d+( OFFSET \d+)?$", "", sql)
    limit = re.search(r" LIMIT (\d+)(?: OFFSET (\d+))?$", sql)
    asked = sql.replace("SELECT *", f"SELECT {order}")
    try:
        body = ask("/api/v1/query/arrow", json.dumps({"sql": asked}).encode(), {"x-arc-database": "clickbench"})
        table = pyarrow.ipc.open_stream(body).read_all()
        columns = [table.column(i).to_pylist() for i in range(table.num_columns)]
        got = [[cell(v) for v in row] for row in zip(*columns)] if columns else []
        wanted = [[cell(v) for v in row] for row in con.execute(whole).fetchall()]
        start, count = (int(limit[2] or 0), int(limit[1])) if limit else (0, len(wanted))
        assert len(got) == max(0, min(count, len(wanted) - start)), f"{len(got)} rows of {len(wanted)}"
        known = {}
        for row in wanted:
            known.setdefault(key(row), row)
        for row in got:
            found = known.get(key(row))
            assert found and all(close(a, b) for a, b in zip(row, found)), f"{row} is none of DuckDB's rows"
        if " ORDER BY " in sql:
            by = re.search(r" ORDER BY (.+?) (?:DESC )?LIMIT", sql + " LIMIT")[1].split(",")[0].strip()
            aliases = {d[0].lower(): i for i, d in enumerate(con.execute(whole).description)}
            at = aliases.get(by.lower().split(" ")[0])
            if at is not None:
                ours, theirs = [r[at] for r in got], [r[at] for r in wanted[start:start + count]]
                assert all(close(a, b) for a, b in zip(ours, theirs)), f"{by}: {ours} {theirs}"
        elif not limit:
            assert sorted(map(key, got)) == sorted(map(key, wanted)), f"{got[:2]} {wanted[:2]}"
        equal += 1
    except Exception as error:
        wrong.append([number, sql[:120], str(error)[:300]])
print(json.dumps({"queries": len(QUERIES), "equal": equal, "wrong": wrong}))
