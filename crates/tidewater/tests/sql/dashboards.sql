SELECT time_bucket(INTERVAL '10m', time) AS time, avg(usage) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '10m', time) AS time, host AS metric, avg(usage) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '1h', time) AS time, avg(usage) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1h', time) AS time, host AS metric, avg(usage) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '1d', time) AS time, avg(usage) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1d', time) AS time, host AS metric, avg(usage) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '10m', time) AS time, max(usage) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '10m', time) AS time, host AS metric, max(usage) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '1h', time) AS time, max(usage) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1h', time) AS time, host AS metric, max(usage) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '1d', time) AS time, max(usage) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1d', time) AS time, host AS metric, max(usage) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '10m', time) AS time, sum(n) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '10m', time) AS time, host AS metric, sum(n) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '1h', time) AS time, sum(n) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1h', time) AS time, host AS metric, sum(n) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '1d', time) AS time, sum(n) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1d', time) AS time, host AS metric, sum(n) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '10m', time) AS time, count(*) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '10m', time) AS time, host AS metric, count(*) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '1h', time) AS time, count(*) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1h', time) AS time, host AS metric, count(*) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '1d', time) AS time, count(*) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1d', time) AS time, host AS metric, count(*) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '10m', time) AS time, quantile_cont(usage, 0.95) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '10m', time) AS time, host AS metric, quantile_cont(usage, 0.95) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '1h', time) AS time, quantile_cont(usage, 0.95) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1h', time) AS time, host AS metric, quantile_cont(usage, 0.95) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT time_bucket(INTERVAL '1d', time) AS time, quantile_cont(usage, 0.95) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND time < '2024-04-02T00:00:00Z' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1d', time) AS time, host AS metric, quantile_cont(usage, 0.95) AS value FROM cpu WHERE time >= '2024-03-30T00:00:00Z' AND host IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1, 2
SELECT DISTINCT host FROM cpu ORDER BY 1
SELECT host, last(usage ORDER BY time) AS v FROM cpu GROUP BY host ORDER BY host
SELECT host, arg_max(usage, time) AS v FROM cpu GROUP BY host ORDER BY host
SELECT time, host, usage FROM cpu WHERE host = 'a' ORDER BY time DESC LIMIT 5
SELECT region, round(avg(usage) * 100, 1) AS pct FROM cpu GROUP BY region ORDER BY pct DESC, region
SELECT host, max(n) - min(n) AS delta FROM cpu GROUP BY host ORDER BY delta DESC, host LIMIT 10
SELECT date_trunc('day', time) AS day, count(DISTINCT host) AS hosts FROM cpu GROUP BY day ORDER BY day
SELECT hour(time) AS h, avg(usage) AS u FROM cpu GROUP BY h ORDER BY h
SELECT host, sum(CASE WHEN usage > 0.5 THEN 1 ELSE 0 END) * 1.0 / count(*) AS ratio FROM cpu GROUP BY host ORDER BY host
SELECT time_bucket(INTERVAL '1 hour', time) AS t, count(*) FILTER (WHERE NOT ok) AS bad FROM cpu GROUP BY t HAVING bad > 0 ORDER BY t
WITH b AS (SELECT time_bucket(INTERVAL '1 hour', time) AS t, avg(usage) AS u FROM cpu GROUP BY 1) SELECT t, u, u - lag(u) OVER (ORDER BY t) AS d FROM b ORDER BY t
SELECT host, approx_quantile(usage, 0.5) IS NOT NULL AS q FROM cpu GROUP BY host ORDER BY host
SELECT * FROM (SELECT host, time, n, row_number() OVER (PARTITION BY host ORDER BY time DESC) AS r FROM cpu) WHERE r <= 2 ORDER BY host, r
SELECT count(*) AS c, date_part('dow', time) AS d FROM cpu GROUP BY d ORDER BY d
SELECT floor(usage * 10) / 10 AS bucket, count(*) AS c FROM cpu GROUP BY bucket ORDER BY bucket
SELECT h.rack, avg(c.usage) AS u FROM cpu c JOIN hosts h USING (host) GROUP BY h.rack ORDER BY h.rack
SELECT coalesce(region, 'none') AS r, count(*) AS c FROM cpu GROUP BY r ORDER BY r
SELECT host, string_agg(DISTINCT region, ',' ORDER BY region) AS r FROM cpu GROUP BY host ORDER BY host
SELECT time_bucket(INTERVAL '30 minutes', time) AS time, host AS metric, avg(usage) AS value FROM cpu WHERE time BETWEEN '2024-03-30T22:00:00Z' AND '2024-03-31T06:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2
SELECT host, avg(usage) AS value FROM cpu WHERE region IS NOT NULL GROUP BY host HAVING avg(usage) IS NOT NULL ORDER BY value DESC, host LIMIT 2
WITH b AS (SELECT time_bucket(INTERVAL '1 hour', time) AS t, host, avg(usage) AS v FROM cpu GROUP BY 1, 2) SELECT t, max(v) AS m, count(*) AS n FROM b GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '30 minutes', time) AS time, host AS metric, max(usage) AS value FROM cpu WHERE time BETWEEN '2024-03-30T22:00:00Z' AND '2024-03-31T06:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2
SELECT host, max(usage) AS value FROM cpu WHERE region IS NOT NULL GROUP BY host HAVING max(usage) IS NOT NULL ORDER BY value DESC, host LIMIT 2
WITH b AS (SELECT time_bucket(INTERVAL '1 hour', time) AS t, host, max(usage) AS v FROM cpu GROUP BY 1, 2) SELECT t, max(v) AS m, count(*) AS n FROM b GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '30 minutes', time) AS time, host AS metric, min(usage) AS value FROM cpu WHERE time BETWEEN '2024-03-30T22:00:00Z' AND '2024-03-31T06:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2
SELECT host, min(usage) AS value FROM cpu WHERE region IS NOT NULL GROUP BY host HAVING min(usage) IS NOT NULL ORDER BY value DESC, host LIMIT 2
WITH b AS (SELECT time_bucket(INTERVAL '1 hour', time) AS t, host, min(usage) AS v FROM cpu GROUP BY 1, 2) SELECT t, max(v) AS m, count(*) AS n FROM b GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '30 minutes', time) AS time, host AS metric, sum(n) AS value FROM cpu WHERE time BETWEEN '2024-03-30T22:00:00Z' AND '2024-03-31T06:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2
SELECT host, sum(n) AS value FROM cpu WHERE region IS NOT NULL GROUP BY host HAVING sum(n) IS NOT NULL ORDER BY value DESC, host LIMIT 2
WITH b AS (SELECT time_bucket(INTERVAL '1 hour', time) AS t, host, sum(n) AS v FROM cpu GROUP BY 1, 2) SELECT t, max(v) AS m, count(*) AS n FROM b GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '30 minutes', time) AS time, host AS metric, count(*) AS value FROM cpu WHERE time BETWEEN '2024-03-30T22:00:00Z' AND '2024-03-31T06:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2
SELECT host, count(*) AS value FROM cpu WHERE region IS NOT NULL GROUP BY host HAVING count(*) IS NOT NULL ORDER BY value DESC, host LIMIT 2
WITH b AS (SELECT time_bucket(INTERVAL '1 hour', time) AS t, host, count(*) AS v FROM cpu GROUP BY 1, 2) SELECT t, max(v) AS m, count(*) AS n FROM b GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '30 minutes', time) AS time, host AS metric, quantile_cont(usage, 0.95) AS value FROM cpu WHERE time BETWEEN '2024-03-30T22:00:00Z' AND '2024-03-31T06:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2
SELECT host, quantile_cont(usage, 0.95) AS value FROM cpu WHERE region IS NOT NULL GROUP BY host HAVING quantile_cont(usage, 0.95) IS NOT NULL ORDER BY value DESC, host LIMIT 2
WITH b AS (SELECT time_bucket(INTERVAL '1 hour', time) AS t, host, quantile_cont(usage, 0.95) AS v FROM cpu GROUP BY 1, 2) SELECT t, max(v) AS m, count(*) AS n FROM b GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '30 minutes', time) AS time, host AS metric, stddev(usage) AS value FROM cpu WHERE time BETWEEN '2024-03-30T22:00:00Z' AND '2024-03-31T06:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2
SELECT host, stddev(usage) AS value FROM cpu WHERE region IS NOT NULL GROUP BY host HAVING stddev(usage) IS NOT NULL ORDER BY value DESC, host LIMIT 2
WITH b AS (SELECT time_bucket(INTERVAL '1 hour', time) AS t, host, stddev(usage) AS v FROM cpu GROUP BY 1, 2) SELECT t, max(v) AS m, count(*) AS n FROM b GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '30 minutes', time) AS time, host AS metric, last(usage ORDER BY time) AS value FROM cpu WHERE time BETWEEN '2024-03-30T22:00:00Z' AND '2024-03-31T06:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2
SELECT host, last(usage ORDER BY time) AS value FROM cpu WHERE region IS NOT NULL GROUP BY host HAVING last(usage ORDER BY time) IS NOT NULL ORDER BY value DESC, host LIMIT 2
WITH b AS (SELECT time_bucket(INTERVAL '1 hour', time) AS t, host, last(usage ORDER BY time) AS v FROM cpu GROUP BY 1, 2) SELECT t, max(v) AS m, count(*) AS n FROM b GROUP BY t ORDER BY t
SELECT date_trunc('hour', time) AS time, quantile_cont(usage, 0.5) AS p, count(usage) AS n FROM cpu WHERE host IN ('a','b') GROUP BY 1 ORDER BY 1
SELECT date_trunc('hour', time) AS time, quantile_cont(usage, 0.9) AS p, count(usage) AS n FROM cpu WHERE host IN ('a','b') GROUP BY 1 ORDER BY 1
SELECT date_trunc('hour', time) AS time, quantile_cont(usage, 0.99) AS p, count(usage) AS n FROM cpu WHERE host IN ('a','b') GROUP BY 1 ORDER BY 1
SELECT region AS __text, host AS __value FROM cpu WHERE region IS NOT NULL GROUP BY ALL ORDER BY ALL
SELECT DISTINCT host FROM cpu WHERE host LIKE '%' ORDER BY host
SELECT 100.0 * count(*) FILTER (WHERE ok) / count(*) AS rate FROM cpu
SELECT host, 100.0 * sum(CASE WHEN ok THEN 1 ELSE 0 END) / count(ok) AS rate FROM cpu GROUP BY host ORDER BY host
SELECT date_trunc('hour', time) AS __timestamp, avg(usage) AS "AVG(usage)" FROM cpu WHERE time >= TIMESTAMP '2024-03-30 00:00:00.000000' AND time < TIMESTAMP '2024-04-05 00:00:00.000000' GROUP BY date_trunc('hour', time) ORDER BY "AVG(usage)" DESC NULLS LAST, 1 LIMIT 10000
SELECT * FROM cpu ORDER BY time DESC, host LIMIT 5
SELECT host, usage FROM cpu QUALIFY row_number() OVER (PARTITION BY host ORDER BY time DESC) = 1 ORDER BY host
SELECT a.t, a.v - b.v AS diff FROM (SELECT time_bucket(INTERVAL '1 hour', time) AS t, avg(usage) AS v FROM cpu WHERE host = 'a' GROUP BY 1) a JOIN (SELECT time_bucket(INTERVAL '1 hour', time) AS t, avg(usage) AS v FROM cpu WHERE host = 'b' GROUP BY 1) b ON a.t = b.t ORDER BY a.t
SELECT CASE WHEN usage < 0.3 THEN 'low' WHEN usage < 0.7 THEN 'mid' ELSE 'high' END AS level, count(*) AS n FROM cpu WHERE usage IS NOT NULL GROUP BY 1 ORDER BY 1
SELECT floor(usage * 10) / 10 AS bin, count(*) AS n FROM cpu WHERE usage IS NOT NULL GROUP BY bin ORDER BY bin
SELECT host, min(time) AS first_seen, max(time) AS last_seen, date_diff('minute', min(time), max(time)) AS minutes FROM cpu GROUP BY host ORDER BY host
