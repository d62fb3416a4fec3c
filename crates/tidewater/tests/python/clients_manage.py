"""clients_manage.py URL TOKEN: retention, continuous queries and deletes by the Arc client.

Five of its calls fail on the answers that its own server documents: two lists, which it expects inside an object,
and three that take the text under `query` for an object. They are named here; that each call did its work is seen
over plain HTTP.
"""
import json
import sys
import time
import urllib.request

from arc_client import ArcClient
from arc_client.exceptions import ArcError

url, token = sys.argv[1:3]
host, port = url.removeprefix("http://").split(":")
failed = set()


def equal(found, wanted, what):
    assert found == wanted, f"{what}: {found!r} is not {wanted!r}"


def plain(path):
    request = urllib.request.Request(url + path, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def own_fault(name, call):
    """A call whose answer the client cannot read, whatever it holds."""
    try:
        call()
    except ArcError as error:
        assert error.__cause__ is not None and "status" not in str(error), f"{name} was refused: {error}"
        failed.add(name)


day_us = 86_400_000_000
now_us = int(time.time()) * 1_000_000
with ArcClient(host=host, port=int(port), token=token, database="arc") as arc:
    old, new = now_us - 40 * day_us, now_us - 600_000_000
    arc.write.write_columnar(measurement="cpu", columns={
        "time": [old, old + 1, new, new + 1, new + 2], "host": ["a", "b", "a", "a", "b"], "usage": [1.0, 2.0, 3.0, 5.0, 7.0]})

    made = arc.retention.create("month", "arc", 30, measurement="cpu", buffer_days=0)
    equal((made.name, made.retention_days, made.buffer_days, made.is_active), ("month", 30, 0, True), "create")
    own_fault("retention.list", arc.retention.list)
    equal([p["name"] for p in plain("/api/v1/retention")], ["month"], "the list")
    equal(arc.retention.get(made.id).measurement, "cpu", "get")
    equal(arc.retention.update(made.id, retention_days=20).retention_days, 20, "update")
    equal(arc.retention.execute(made.id, dry_run=True).deleted_count, 2, "dry run")
    equal(arc.query.query("SELECT count(*) FROM cpu").data, [[5]], "a dry run deletes nothing")
    equal(arc.retention.execute(made.id, dry_run=False, confirm=True).deleted_count, 2, "run")
    equal(arc.query.query("SELECT count(*) FROM cpu").data, [[3]], "what is left")
    equal([(e.status, e.deleted_count) for e in arc.retention.get_executions(made.id)][:1], [("completed", 2)], "executions")
    arc.retention.delete(made.id)
    equal(plain("/api/v1/retention"), [], "deleted")

    text = ("SELECT date_trunc('hour', time) AS time, host, avg(usage) AS usage FROM cpu "
            "WHERE time >= {start_time} AND time < {end_time} GROUP BY 1, 2")
    queries = arc.continuous_queries
    own_fault("continuous_queries.create",
              lambda: queries.create("hourly", "arc", "cpu", "cpu_hourly", text, "1h", is_active=True))
    [query] = plain("/api/v1/continuous_queries")
    equal((query["name"], query["interval"], query["is_active"]), ("hourly", "1h", True), "the query")
    own_fault("continuous_queries.list", queries.list)
    own_fault("continuous_queries.get", lambda: queries.get(query["id"]))
    own_fault("continuous_queries.update", lambda: queries.update(query["id"], description="by the hour"))
    equal(plain(f"/api/v1/continuous_queries/{query['id']}")["description"], "by the hour", "update")
    hour = 3_600_000_000
    first, last = ((new // hour) * hour, (new // hour + 2) * hour)
    spelled = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(us // 1_000_000)) for us in (first, last)]
    tried = queries.execute(query["id"], *spelled, dry_run=True)
    equal((tried.status, tried.records_written), ("dry_run", 2), "what a run would write")
    done = queries.execute(query["id"], *spelled)
    equal((done.status, done.destination_measurement), ("completed", "cpu_hourly"), "execute")
    equal(arc.query.query("SELECT host, usage FROM cpu_hourly ORDER BY host").data, [["a", 4.0], ["b", 7.0]], "windows")
    assert queries.get_executions(query["id"])[0].records_written == 2, "executions"
    queries.delete(query["id"])
    equal(plain("/api/v1/continuous_queries"), [], "deleted")

    config = arc.delete.get_config()
    assert config.enabled and config.confirmation_threshold == 10_000, config
    equal(arc.delete.delete("arc", "cpu", "host = 'a'", dry_run=True).deleted_count, 2, "dry run")
    equal(arc.delete.delete("arc", "cpu", "host = 'a'", dry_run=False, confirm=True).deleted_count, 2, "delete")
    equal(arc.query.query("SELECT host FROM cpu").data, [["b"]], "what is left")

known = {"retention.list"} | {f"continuous_queries.{call}" for call in ("create", "list", "get", "update")}
equal(failed, known, "calls that fail of themselves")
print("ok")
