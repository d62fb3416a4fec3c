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
