"""clients_arc.py URL TOKEN: every public call of arc-tsdb-client, by its synchronous and its asynchronous client, and what polars reads.

Prints one JSON object: client → what works. Calls that fail whatever a server sends that its other clients understand
are named with the place where they fail: before a request, or on the answer that arcli and launchpad need.
"""

import asyncio
import http.server
import inspect
import io
import json
import sys
import threading
import time
import urllib.request

import pandas
import polars
import pyarrow
from arc_client import ArcClient, AsyncArcClient
from arc_client.exceptions import ArcError

url, token = sys.argv[1:3]
host, port = url.removeprefix("http://").split(":")
BASE = 1_767_225_600_000_000
CQ = ("SELECT date_trunc('hour', time) AS time, host, avg(usage) AS usage FROM cpu "
      "WHERE time >= {start_time} AND time < {end_time} GROUP BY 1, 2")


def plain(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Authorization": f"Bearer {token}"}, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


class Documented(http.server.BaseHTTPRequestHandler):
    """A server that gives the answers that arcli and launchpad are written for."""

    flat = {"id": 1, "name": "q", "database": "d", "source_measurement": "a", "destination_measurement": "b", "query": CQ,
            "interval": "1h", "is_active": True, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    asked = 0

    def answer(self):
        type(self).asked += 1
        self.rfile.read(int(self.headers.get("content-length") or 0))
        is_list = self.path.split("?")[0].strip("/").split("/")[-1] in ("retention", "continuous_queries") and self.command == "GET"
        body = json.dumps([self.flat] if is_list else self.flat).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_):
        pass


stub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Documented)
threading.Thread(target=stub.serve_forever, daemon=True).start()


class Matrix:
    def __init__(self, client, stubbed, database):
        self.client, self.stubbed, self.database = client, stubbed, database
        self.works, self.fails = [], {}

    async def ask(self, call):
        answer = call()
        return await answer if inspect.isawaitable(answer) else answer

    async def works_with(self, name, call, check=lambda answer: True):
        answer = await self.ask(call)
        assert check(answer), f"{name}: {answer!r}"
        self.works.append(name)
        return answer

    async def fails_of_itself(self, name, call, is_before_request=False):
        """The call fails here, and in the same way on what its server documents, or before it asks anything."""
        errors = []
        for client in (self.client, self.stubbed):
            asked = Documented.asked
            try:
                await self.ask(lambda: call(client))
            except ArcError as error:
                assert "status" not in str(error), f"{name} was refused: {error}"
                errors.append(str(error))
            else:
                raise AssertionError(f"{name} works")
            if client is self.stubbed:
                assert (Documented.asked == asked) == is_before_request, name
        assert errors[0] == errors[1], f"{name}: {errors}"
        self.fails[name] = "before it asks" if is_before_request else "on the documented answer"

    async def run(self):
        c, db = self.client, self.database
        await self.works_with("health", c.health, lambda h: h.status == "ok" and h.version)
        await self.works_with("ready", c.ready, lambda r: r is True)
        w, q = c.write, c.query
        await self.works_with("write.write_columnar", lambda: w.write_columnar(
            measurement="cpu", columns={"time": [BASE, BASE + 1], "host": ["a", "b"], "usage": [1.5, None]}))
        await self.works_with("write.write_columnar, no time", lambda: w.write_columnar(measurement="now", columns={"v": [1]}))
        await self.works_with("write.write_records", lambda: w.write_records([
            {"measurement": "mem", "time": BASE, "fields": {"used": 5}, "tags": {"host": "a"}},
            {"measurement": "swap", "time": BASE, "fields": {"used": 6}, "tags": {"host": "a"}}]))
        await self.works_with("write.write_line_protocol", lambda: w.write_line_protocol([
            f"disk,path=/ free=1i {BASE * 1000}", f"disk,path=/home free=2i {BASE * 1000}"]))
        await self.works_with("write.write_point", lambda: w.write_point("p,q r", {"v": 1.5, "s": 'a "b"'}, {"t g": "x,y"}, BASE))
        frame = pandas.DataFrame({"time": [BASE + 2, BASE + 3], "host": ["c", None], "usage": [3.5, 4.5]})
        await self.works_with("write.write_dataframe, pandas", lambda: w.write_dataframe(frame, "cpu", tag_columns=["host"]))
        stamps = pandas.DataFrame({"time": pandas.to_datetime([BASE + 4], unit="us").astype("datetime64[ns]"), "host": ["d"], "usage": [0.5]})
        await self.works_with("write.write_dataframe, pandas datetime", lambda: w.write_dataframe(stamps, "cpu"))
        whole = polars.DataFrame({"time": [BASE + 5], "host": ["e"], "usage": [0.25]})
        await self.works_with("write.write_dataframe, polars", lambda: w.write_dataframe(whole, "cpu"))
        table = pyarrow.table({"time": [BASE + 6], "host": ["f"], "usage": [0.75]})
        await self.works_with("write.write_dataframe, pyarrow", lambda: w.write_dataframe(table, "cpu"))
        arrow = pyarrow.table({"time": pyarrow.array([BASE + 7], pyarrow.timestamp("us")), "usage": [1.0]})
        await self.fails_of_itself("write.write_dataframe, pyarrow timestamp", lambda k: k.write.write_dataframe(arrow, "cpu"), True)
        zoned = polars.DataFrame({"time": polars.Series([BASE + 8]).cast(polars.Datetime("us")), "usage": [1.0]})
        await self.fails_of_itself("write.write_dataframe, polars datetime", lambda k: k.write.write_dataframe(zoned, "cpu"), True)
        buffered = w.buffered(batch_size=10, flush_interval=60)
        if hasattr(buffered, "__aenter__"):
            async with buffered as buffer:
                for i in range(25):
                    await buffer.write({"measurement": "buffered", "time": BASE + i, "fields": {"v": i}, "tags": {"host": "a"}})
        else:
            with buffered as buffer:
                for i in range(25):
                    buffer.write({"measurement": "buffered", "time": BASE + i, "fields": {"v": i}, "tags": {"host": "a"}})
        await self.works_with("write.buffered", lambda: q.query("SELECT count(*), sum(v) FROM buffered"), lambda a: a.data == [[25, 300]])
        await self.works_with("query.query", lambda: q.query("SELECT count(*), sum(usage) FROM cpu"), lambda a: a.success and a.data == [[7, 11.0]])
        await self.works_with("query.query, another database", lambda: q.query("SELECT count(*) FROM mem", database=db), lambda a: a.data == [[1]])
        await self.works_with("query.query_arrow", lambda: q.query_arrow("SELECT host FROM cpu ORDER BY time"),
                              lambda t: t.column(0).to_pylist() == ["a", "b", "c", None, "d", "e", "f"])
        await self.works_with("query.query_pandas", lambda: q.query_pandas("SELECT time, usage FROM cpu WHERE host = 'a'"),
                              lambda f: list(f["usage"]) == [1.5] and str(f["time"].dtype).startswith("datetime64"))
        await self.works_with("query.query_polars", lambda: q.query_polars("SELECT host, usage FROM cpu ORDER BY time LIMIT 2"),
                              lambda f: f.rows() == [("a", 1.5), ("b", None)])
        await self.works_with("query.estimate", lambda: q.estimate("SELECT * FROM cpu"), lambda e: e.success and e.estimated_rows == 7)
        await self.works_with("query.list_measurements", lambda: q.list_measurements(database=db),
                              lambda m: {"cpu", "mem", "disk", "p,q r"} <= {x.measurement for x in m})
        await self.works_with("query.list_databases", q.list_databases, lambda d: db in d)
        await self.works_with("query.show_tables", lambda: q.show_tables(db), lambda t: "cpu" in [r[1] for r in t.data])

        a = c.auth
        await self.works_with("auth.verify", a.verify, lambda v: v.valid)
        made = await self.works_with("auth.create_token", lambda: a.create_token(f"n-{db}", "words", ["read"], "24h"), lambda t: t.success and t.token)
        listed = await self.works_with("auth.list_tokens", a.list_tokens, lambda ts: f"n-{db}" in [t.name for t in ts])
        number = next(t.id for t in listed if t.name == f"n-{db}")
        await self.works_with("auth.get_token", lambda: a.get_token(number), lambda t: t.description == "words")
        await self.works_with("auth.update_token", lambda: a.update_token(number, description="other"))
        await self.works_with("auth.rotate_token", lambda: a.rotate_token(number), lambda t: t and t != made.token)
        await self.works_with("auth.revoke_token", lambda: a.revoke_token(number))
        await self.works_with("auth.delete_token", lambda: a.delete_token(number))

        r = c.retention
        policy = await self.works_with("retention.create", lambda: r.create(f"p-{db}", db, 3650, measurement="cpu"), lambda p: p.retention_days == 3650)
        await self.fails_of_itself("retention.list", lambda k: k.retention.list())
        await self.works_with("retention.get", lambda: r.get(policy.id), lambda p: p.measurement == "cpu")
        await self.works_with("retention.update", lambda: r.update(policy.id, retention_days=3000), lambda p: p.retention_days == 3000)
        await self.works_with("retention.execute", lambda: r.execute(policy.id, dry_run=True), lambda e: e.dry_run and e.deleted_count == 0)
        await self.works_with("retention.get_executions", lambda: r.get_executions(policy.id), lambda e: isinstance(e, list))
        await self.works_with("retention.delete", lambda: r.delete(policy.id))

        n = c.continuous_queries
        create = lambda k: k.continuous_queries.create(f"q-{db}", db, "cpu", "cpu_1h", CQ, "1h")
        await self.fails_of_itself("continuous_queries.create", create)
        number = next(x["id"] for x in plain("GET", "/api/v1/continuous_queries") if x["name"] == f"q-{db}")
        await self.fails_of_itself("continuous_queries.list", lambda k: k.continuous_queries.list())
        await self.fails_of_itself("continuous_queries.get", lambda k: k.continuous_queries.get(number))
        await self.fails_of_itself("continuous_queries.update", lambda k: k.continuous_queries.update(number, description="x"))
        await self.works_with("continuous_queries.execute", lambda: n.execute(number, "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
                              lambda e: e.status == "completed")
        await self.works_with("continuous_queries.get_executions", lambda: n.get_executions(number), lambda e: e[0].records_written > 0)
        await self.works_with("continuous_queries.delete", lambda: n.delete(number))

        d = c.delete
        await self.works_with("delete.get_config", d.get_config, lambda g: g.enabled)
        await self.works_with("delete.delete, dry run", lambda: d.delete(db, "cpu", "host = 'a'", dry_run=True), lambda x: x.deleted_count == 1)
        await self.works_with("delete.delete", lambda: d.delete(db, "cpu", "host = 'a'", dry_run=False, confirm=True), lambda x: x.deleted_count == 1)
        try:
            await self.ask(lambda: q.query("SELECT nonsense FROM cpu"))
            raise AssertionError("nonsense is answered")
        except ArcError as error:
            assert "nonsense" in str(error), error
            self.works.append("a refusal is an exception")


def frames():
    """What polars makes of each format that it reads."""
    sql = "SELECT time, host, usage FROM sync.cpu ORDER BY time"
    read = {
        "application/vnd.apache.arrow.stream": lambda b: polars.read_ipc_stream(io.BytesIO(b)),
        "application/vnd.apache.parquet": lambda b: polars.read_parquet(io.BytesIO(b)),
        "text/csv": lambda b: polars.read_csv(io.BytesIO(b), try_parse_dates=True),
        "application/x-ndjson": lambda b: polars.read_ndjson(io.BytesIO(b)),
    }
    for kind, reader in read.items():
        request = urllib.request.Request(f"{url}/api/v1/query", json.dumps({"sql": sql}).encode(), {"Authorization": f"Bearer {token}", "Accept": kind})
        frame = reader(urllib.request.urlopen(request).read())
        assert frame.columns == ["time", "host", "usage"] and frame["usage"].to_list() == [None, 3.5, 4.5, 0.5, 0.25, 0.75], (kind, frame)
        assert frame["host"].to_list()[0] == "b", kind
    return "reads Arrow, Parquet, CSV, NDJSON"


async def main():
    report = {}
    place, stand = {"host": host, "port": int(port), "token": token}, {"host": "127.0.0.1", "port": stub.server_address[1], "token": "t"}
    with ArcClient(**place, database="sync") as client, ArcClient(**stand) as stubbed:
        matrix = Matrix(client, stubbed, "sync")
        await matrix.run()
    async with AsyncArcClient(**place, database="async") as client, AsyncArcClient(**stand) as stubbed:
        twin = Matrix(client, stubbed, "async")
        await twin.run()
    assert matrix.fails == twin.fails and len(matrix.fails) <= 8, (matrix.fails, twin.fails)
    for name, told in (("arc-tsdb-client", matrix), ("arc-tsdb-client, async", twin)):
        report[name] = f"{len(told.works)} calls work, {len(told.fails)} fail of themselves"
    for name, place in matrix.fails.items():
        report[f"arc-tsdb-client: {name}"] = f"fails {place}"
    report["polars"] = frames()
    print(json.dumps(report))


asyncio.run(main())
