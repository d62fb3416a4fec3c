"""Statements made by chance against DuckDB: each answer is DuckDB's, or a clear refusal.

Usage: generated.py URL TOKEN SEED COUNT; prints one JSON object. One seed makes the same statements everywhere.
"""

import collections
import json
import random
import sys

from oracle import duck, fill, judge

seed, count = int(sys.argv[3]), int(sys.argv[4])
chance = random.Random(seed)
pick, some = chance.choice, chance.random

UNITS = ["minute", "hour", "day", "week", "month"]
WIDTHS = ["10 minutes", "1 hour", "90 minutes", "6 hours", "1 day", "7 days", "1 month"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]
QUOTED = ["'a'", "'b'", "'c'", "'z'"]
# around the hour that Berlin's clocks leave out, and the edges of the rows
TIMES = ["2024-03-30 22:00:00", "2024-03-31 00:59:59.999999", "2024-03-31 01:00:00", "2024-03-31 02:20:00", "2024-04-02 23:00:00"]


def number(depth=0):
    if depth > 1 or some() < 0.5:
        return pick(["n", "usage", "n", "3", "0.25::DOUBLE", "-1", "n % 3", "abs(n - 5)", "epoch(time)"])
    op = pick(["+", "-", "*", "/", "//", "%"])
    right = pick(["2", "7", "0.5::DOUBLE", "(n + 1)"]) if op in ("/", "//", "%") else number(depth + 1)
    return f"({number(depth + 1)} {op} {right})"


def text():
    return pick([
        "host", "region", "note", "upper(note)", "substring(note, 1, 2)", "coalesce(region, '-')", "host || '/' || note",
        "replace(note, 'b', '')", "left(note, 1)", "lpad(host, 3, '0')", "note[1]", "trim(note)",
    ])


def condition(depth=0):
    if depth < 2 and some() < 0.35:
        return f"({condition(depth + 1)} {pick(['AND', 'OR'])} {condition(depth + 1)})"
    made = pick([
        lambda: f"{number()} {pick(['<', '<=', '>', '>=', '=', '<>'])} {number()}",
        lambda: f"time {pick(['<', '>=', '>', '<='])} TIMESTAMP '{pick(TIMES)}'",
        lambda: f"time BETWEEN TIMESTAMP '{TIMES[0]}' AND TIMESTAMP '{pick(TIMES)}'",
        lambda: f"host IN ({', '.join(chance.sample(QUOTED, 2))})",
        lambda: f"{pick(['region', 'usage', 'ok', 'note'])} IS {pick(['', 'NOT '])}NULL",
        lambda: f"note {pick(['', 'NOT '])}LIKE '{pick(['%b%', 'a%', '_', '%'])}'",
        lambda: "ok",
        lambda: f"NOT {pick(['ok', '(n > 4)', '(usage < 0.5)'])}",
        lambda: f"n BETWEEN {chance.randint(-1, 5)} AND {chance.randint(3, 11)}",
        lambda: f"region IS DISTINCT FROM '{pick(['eu', 'us'])}'",
        lambda: f"hour(time) {pick(['<', '>'])} {chance.randint(0, 23)}",
    ])()
    return made


def where():
    return f" WHERE {condition()}" if some() < 0.6 else ""


def aggregate():
    value = number()
    made = pick([
        "count(*)", f"count({value})", f"sum({value})", f"avg({value})", f"min({value})", f"max({value})",
        f"count(DISTINCT {pick(['host', 'n', 'note', 'region'])})", f"median({value})", f"stddev({value})",
        f"quantile_cont({value}, {pick(['0.1', '0.5', '0.95'])})", f"min({text()})", f"max({text()})", "bool_and(ok)",
        "bool_or(ok)", f"string_agg({pick(['host', 'note'])}, ',' ORDER BY time, host)", "arg_max(n, epoch_us(time) * 10 + ascii(host))",
        "first(n ORDER BY time, host)", "last(usage ORDER BY time, host)", f"sum(CASE WHEN {condition(2)} THEN 1 ELSE 0 END)",
        "list(n ORDER BY time, host)[1:3]", f"round(avg({value}), 3)",
    ])
    return f"{made} FILTER (WHERE {condition(1)})" if some() < 0.2 and not made.startswith(("round", "list")) else made


def bucket():
    return pick([
        lambda: f"time_bucket(INTERVAL '{pick(WIDTHS)}', time)",
        lambda: f"date_trunc('{pick(UNITS)}', time)",
        lambda: f"time_bucket(INTERVAL '{pick(['1 hour', '1 day'])}', time, '{pick(ZONES)}')",
        lambda: f"date_trunc('{pick(['hour', 'day'])}', time AT TIME ZONE '{pick(ZONES)}')",
        lambda: f"time_bucket(INTERVAL '{pick(['1 hour', '1 day'])}', time, INTERVAL '{pick(['10 minutes', '45 minutes'])}')",
    ])()


def integer():
    return pick(["big", "id", "1", "-7", "9223372036854775807", "(big // 2)", "(big % 1000)", "(id - 4)"])


def real():
    return pick(["f", "f * 2", "(f + 1)", "abs(f)", "-f", "big::DOUBLE", "'nan'::DOUBLE", "1e10", "f / 3"])


def over(frame=True):
    frames = ["", " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
              " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", " RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW"]
    return f"OVER (PARTITION BY host ORDER BY time{pick(frames) if frame else ''})"


SHAPES = {
    "rows": lambda: f"SELECT time, host, {number()} AS a, {text()} AS b FROM cpu{where()} ORDER BY time{pick(['', ' DESC'])}, host LIMIT {chance.randint(1, 40)}",
    "whole": lambda: f"SELECT {aggregate()} AS a, {aggregate()} AS b, {aggregate()} AS c FROM cpu{where()}",
    "hosts": lambda: f"SELECT host, {aggregate()} AS a, {aggregate()} AS b FROM cpu{where()} GROUP BY host ORDER BY host",
    "buckets": lambda: f"SELECT {bucket()} AS t, {aggregate()} AS a FROM cpu{where()} GROUP BY t ORDER BY t",
    "series": lambda: f"SELECT {bucket()} AS t, host, {aggregate()} AS a FROM cpu{where()} GROUP BY t, host ORDER BY t, host",
    "having": lambda: f"SELECT host, region, {aggregate()} AS a FROM cpu{where()} GROUP BY ALL HAVING count(*) > {chance.randint(0, 30)} ORDER BY ALL",
    "top": lambda: f"SELECT {text()} AS k, count(*) AS c, sum(n) AS s FROM cpu{where()} GROUP BY 1 ORDER BY c DESC, s, k LIMIT {chance.randint(1, 6)}",
    "join": lambda: f"SELECT c.host AS a, h.rack AS b, count(*) AS n, sum(c.n) AS s FROM cpu c {pick(['JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN'])} hosts h ON c.host = h.host{pick(['', ' AND c.n > 4', ' AND h.rack IS NOT NULL'])} GROUP BY ALL ORDER BY ALL",
    "nearest": lambda: f"SELECT c.host, c.time, e.kind FROM cpu c ASOF {pick(['', 'LEFT '])}JOIN events e ON c.host = e.host AND c.time {pick(['>=', '>', '<=', '<'])} e.time ORDER BY ALL LIMIT {chance.randint(5, 60)}",
    "inside": lambda: f"SELECT host, time, n FROM cpu WHERE host {pick(['', 'NOT '])}IN (SELECT host FROM {pick(['hosts', 'events'])}) AND {condition()} ORDER BY ALL LIMIT 30",
    "exists": lambda: f"SELECT h.host FROM hosts h WHERE {pick(['', 'NOT '])}EXISTS (SELECT 1 FROM cpu c WHERE c.host = h.host AND c.n > {chance.randint(0, 9)}) ORDER BY 1",
    "sets": lambda: f"SELECT host FROM cpu{where()} {pick(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT'])} SELECT host FROM {pick(['hosts', 'events'])} ORDER BY 1",
    "distinct": lambda: f"SELECT DISTINCT {text()} AS a, {pick(['ok', 'n % 2', 'region'])} AS b FROM cpu{where()} ORDER BY ALL",
    "running": lambda: f"SELECT host, time, {pick(['sum(n)', 'avg(usage)', 'min(n)', 'max(usage)', 'count(*)', 'count(usage)'])} {over()} AS v FROM cpu{where()} ORDER BY host, time LIMIT 50",
    "steps": lambda: f"SELECT host, time, {pick(['lag(n)', 'lead(usage)', 'lag(n, 2, -1)', 'row_number()', 'first_value(n)', 'ntile(3)', 'percent_rank()'])} {over(False)} AS v FROM cpu{where()} ORDER BY host, time LIMIT 50",
    "newest": lambda: f"SELECT host, time, n FROM (SELECT *, row_number() OVER (PARTITION BY {pick(['host', 'region, host'])} ORDER BY time DESC) AS rn FROM cpu{where()}) WHERE rn = 1 ORDER BY ALL",
    "nested": lambda: f"WITH b AS (SELECT {bucket()} AS t, host, sum(n) AS s, avg(usage) AS u FROM cpu{where()} GROUP BY ALL) SELECT t, max(s) AS a, min(u) AS b, count(*) AS c FROM b GROUP BY t ORDER BY t",
    "cases": lambda: f"SELECT CASE WHEN {condition(1)} THEN 'x' WHEN {condition(1)} THEN 'y' END AS k, {aggregate()} AS a FROM cpu{where()} GROUP BY k ORDER BY k",
    "cube": lambda: f"SELECT host, region, count(*) AS c, sum(n) AS s FROM cpu{where()} GROUP BY {pick(['ROLLUP (host, region)', 'CUBE (host, region)', 'GROUPING SETS ((host), (region), ())'])} ORDER BY ALL",
    "integers": lambda: f"SELECT id, {integer()} {pick(['+ id', '- id', '* id', '+ 1', '- 1', '* 3', '* -1', '// 3', '// id', '% 3', '% id', '/ 3'])} AS v FROM edge WHERE abs(coalesce(big, 0)::DOUBLE) < {pick(['1e17', '1e19'])} ORDER BY id",
    "reals": lambda: f"SELECT id, {real()} AS a, {real()} {pick(['<', '=', '>', '<=', '<>'])} {real()} AS b FROM edge WHERE id <> 1 ORDER BY id",
    # avg of integers beyond 2^53 adds floats here
    "extremes": lambda: f"SELECT id % {chance.randint(1, 3)} AS g, {pick(['sum(big)', 'avg(id)', 'avg(f)', 'sum(f)', 'count(big)', 'median(id)', 'median(f)', 'min(big)', 'max(big)', 'min(f)', 'max(f)'])} AS v FROM edge{pick(['', ' WHERE f > 0', ' WHERE big IS NOT NULL', ' WHERE f < 1e300'])} GROUP BY g ORDER BY g",
    # -0.0 (id 1) is less than 0.0 here and equal to it in DuckDB
    "sorted": lambda: f"SELECT id FROM edge WHERE id <> 1 ORDER BY {pick(['f', 'big', '-f', 'abs(f)', 'f IS NULL, f'])}{pick(['', ' DESC', ' NULLS FIRST', ' DESC NULLS FIRST'])}, id",
}

fill()
con = duck()
counts, listed = collections.Counter(), []
names = list(SHAPES)
for i in range(count):
    name = names[i % len(names)]
    sql = SHAPES[name]()
    verdict, why = judge(con, sql)
    counts[verdict] += 1
    if verdict != "equal" and len(listed) < 200:
        listed.append([verdict, name, sql, why])
print(json.dumps({"seed": seed, "shapes": len(SHAPES), "counts": counts, "listed": listed}))
