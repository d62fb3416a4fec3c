SELECT c.host, h.rack, count(*) AS n FROM cpu c JOIN hosts h ON c.host = h.host GROUP BY ALL ORDER BY ALL
SELECT host, rack FROM (SELECT DISTINCT host FROM cpu) JOIN hosts USING (host) ORDER BY ALL
SELECT c.host, h.rack FROM (SELECT DISTINCT host FROM cpu) c JOIN hosts h ON c.host = h.host AND h.rack > 'r1' ORDER BY ALL
SELECT c.host, h.rack, count(*) AS n FROM cpu c LEFT JOIN hosts h ON c.host = h.host GROUP BY ALL ORDER BY ALL
SELECT host, rack FROM (SELECT DISTINCT host FROM cpu) LEFT JOIN hosts USING (host) ORDER BY ALL
SELECT c.host, h.rack FROM (SELECT DISTINCT host FROM cpu) c LEFT JOIN hosts h ON c.host = h.host AND h.rack > 'r1' ORDER BY ALL
SELECT c.host, h.rack, count(*) AS n FROM cpu c RIGHT JOIN hosts h ON c.host = h.host GROUP BY ALL ORDER BY ALL
SELECT host, rack FROM (SELECT DISTINCT host FROM cpu) RIGHT JOIN hosts USING (host) ORDER BY ALL
SELECT c.host, h.rack FROM (SELECT DISTINCT host FROM cpu) c RIGHT JOIN hosts h ON c.host = h.host AND h.rack > 'r1' ORDER BY ALL
SELECT c.host, h.rack, count(*) AS n FROM cpu c FULL JOIN hosts h ON c.host = h.host GROUP BY ALL ORDER BY ALL
SELECT host, rack FROM (SELECT DISTINCT host FROM cpu) FULL JOIN hosts USING (host) ORDER BY ALL
SELECT c.host, h.rack FROM (SELECT DISTINCT host FROM cpu) c FULL JOIN hosts h ON c.host = h.host AND h.rack > 'r1' ORDER BY ALL
SELECT host, rack FROM (SELECT DISTINCT host FROM cpu) NATURAL JOIN (SELECT host, rack FROM hosts) ORDER BY ALL
SELECT a.host, b.host FROM hosts a CROSS JOIN hosts b ORDER BY ALL
SELECT a.host AS x, b.host AS y FROM hosts a, hosts b WHERE a.rack = b.rack AND a.host < b.host ORDER BY ALL
SELECT host FROM hosts SEMI JOIN (SELECT DISTINCT host FROM cpu) c USING (host) ORDER BY host
SELECT host FROM hosts ANTI JOIN (SELECT DISTINCT host FROM cpu) c USING (host) ORDER BY host
SELECT h.host, x.n FROM hosts h LEFT JOIN (SELECT host, count(*) AS n FROM cpu GROUP BY host) x ON x.host = h.host ORDER BY ALL
SELECT count(*) FROM cpu a JOIN cpu b ON a.time = b.time AND a.host = b.host
SELECT a.host, count(*) AS n FROM cpu a JOIN cpu b ON a.time = b.time AND a.host <> b.host GROUP BY 1 ORDER BY 1
SELECT c.host, e.kind FROM cpu c ASOF JOIN events e ON c.host = e.host AND c.time >= e.time ORDER BY c.host, c.time LIMIT 20
SELECT h.host, l.m FROM hosts h, LATERAL (SELECT max(n) AS m FROM cpu c WHERE c.host = h.host) l ORDER BY ALL
SELECT h.host, (SELECT max(n) FROM cpu c WHERE c.host = h.host) AS m FROM hosts h ORDER BY h.host
SELECT h.host FROM hosts h WHERE EXISTS (SELECT 1 FROM cpu c WHERE c.host = h.host AND c.n > 5) ORDER BY 1
SELECT h.host FROM hosts h WHERE NOT EXISTS (SELECT 1 FROM cpu c WHERE c.host = h.host) ORDER BY 1
SELECT host FROM hosts WHERE host IN (SELECT host FROM cpu WHERE n > 7) ORDER BY 1
SELECT host FROM hosts WHERE host NOT IN (SELECT host FROM cpu) ORDER BY 1
SELECT t.host, u.i FROM hosts t, unnest([1, 2]) AS u(i) ORDER BY ALL
SELECT e.kind, c.n FROM events e LEFT JOIN cpu c ON e.host = c.host AND e.time = c.time ORDER BY ALL
SELECT a.n FROM (SELECT 1 AS n) a JOIN (SELECT 1 AS n) b ON a.n = b.n
SELECT * FROM (SELECT 1 AS a) x JOIN (SELECT 1 AS a, 2 AS b) y USING (a)
SELECT x.a, y.b FROM (VALUES (1), (2)) AS x(a) LEFT JOIN (VALUES (2, 'z')) AS y(a, b) ON x.a = y.a ORDER BY ALL
SELECT c.host AS a, h.host AS b, c.n FROM (SELECT host, max(n) AS n FROM cpu GROUP BY host) c JOIN hosts h ON c.host = h.host ORDER BY ALL
SELECT count(*) AS n FROM cpu c JOIN hosts h ON c.host = h.host
SELECT host, rack, n FROM (SELECT host, max(n) AS n FROM cpu GROUP BY host) c JOIN hosts h USING (host) ORDER BY ALL
SELECT c.host AS a, e.kind FROM (SELECT DISTINCT host FROM cpu) c JOIN events e ON c.host = e.host AND e.kind = 'boot' ORDER BY ALL
SELECT host, count(*) AS n FROM (SELECT DISTINCT host FROM cpu) c JOIN events USING (host) GROUP BY host ORDER BY host
SELECT c.host AS a, h.host AS b, c.n FROM (SELECT host, max(n) AS n FROM cpu GROUP BY host) c LEFT JOIN hosts h ON c.host = h.host ORDER BY ALL
SELECT count(*) AS n FROM cpu c LEFT JOIN hosts h ON c.host = h.host
SELECT host, rack, n FROM (SELECT host, max(n) AS n FROM cpu GROUP BY host) c LEFT JOIN hosts h USING (host) ORDER BY ALL
SELECT c.host AS a, e.kind FROM (SELECT DISTINCT host FROM cpu) c LEFT JOIN events e ON c.host = e.host AND e.kind = 'boot' ORDER BY ALL
SELECT host, count(*) AS n FROM (SELECT DISTINCT host FROM cpu) c LEFT JOIN events USING (host) GROUP BY host ORDER BY host
SELECT c.host AS a, h.host AS b, c.n FROM (SELECT host, max(n) AS n FROM cpu GROUP BY host) c RIGHT JOIN hosts h ON c.host = h.host ORDER BY ALL
SELECT count(*) AS n FROM cpu c RIGHT JOIN hosts h ON c.host = h.host
SELECT host, rack, n FROM (SELECT host, max(n) AS n FROM cpu GROUP BY host) c RIGHT JOIN hosts h USING (host) ORDER BY ALL
SELECT c.host AS a, e.kind FROM (SELECT DISTINCT host FROM cpu) c RIGHT JOIN events e ON c.host = e.host AND e.kind = 'boot' ORDER BY ALL
SELECT host, count(*) AS n FROM (SELECT DISTINCT host FROM cpu) c RIGHT JOIN events USING (host) GROUP BY host ORDER BY host
SELECT c.host AS a, h.host AS b, c.n FROM (SELECT host, max(n) AS n FROM cpu GROUP BY host) c FULL JOIN hosts h ON c.host = h.host ORDER BY ALL
SELECT count(*) AS n FROM cpu c FULL JOIN hosts h ON c.host = h.host
SELECT host, rack, n FROM (SELECT host, max(n) AS n FROM cpu GROUP BY host) c FULL JOIN hosts h USING (host) ORDER BY ALL
SELECT c.host AS a, e.kind FROM (SELECT DISTINCT host FROM cpu) c FULL JOIN events e ON c.host = e.host AND e.kind = 'boot' ORDER BY ALL
SELECT host, count(*) AS n FROM (SELECT DISTINCT host FROM cpu) c FULL JOIN events USING (host) GROUP BY host ORDER BY host
SELECT c.host, c.time, e.kind FROM cpu c ASOF JOIN events e ON c.host = e.host AND c.time >= e.time ORDER BY ALL LIMIT 30
SELECT c.host, c.time, e.kind FROM cpu c ASOF LEFT JOIN events e ON c.host = e.host AND c.time >= e.time ORDER BY ALL LIMIT 40
SELECT e.kind, count(*) AS n FROM cpu c ASOF LEFT JOIN events e ON e.host = c.host AND e.time >= c.time GROUP BY e.kind ORDER BY e.kind
SELECT c.host, c.time, e.kind FROM cpu c ASOF JOIN events e ON c.host = e.host AND c.time > e.time ORDER BY ALL LIMIT 30
SELECT c.host, c.time, e.kind FROM cpu c ASOF LEFT JOIN events e ON c.host = e.host AND c.time > e.time ORDER BY ALL LIMIT 40
SELECT e.kind, count(*) AS n FROM cpu c ASOF LEFT JOIN events e ON e.host = c.host AND e.time > c.time GROUP BY e.kind ORDER BY e.kind
SELECT c.host, c.time, e.kind FROM cpu c ASOF JOIN events e ON c.host = e.host AND c.time <= e.time ORDER BY ALL LIMIT 30
SELECT c.host, c.time, e.kind FROM cpu c ASOF LEFT JOIN events e ON c.host = e.host AND c.time <= e.time ORDER BY ALL LIMIT 40
SELECT e.kind, count(*) AS n FROM cpu c ASOF LEFT JOIN events e ON e.host = c.host AND e.time <= c.time GROUP BY e.kind ORDER BY e.kind
SELECT c.host, c.time, e.kind FROM cpu c ASOF JOIN events e ON c.host = e.host AND c.time < e.time ORDER BY ALL LIMIT 30
SELECT c.host, c.time, e.kind FROM cpu c ASOF LEFT JOIN events e ON c.host = e.host AND c.time < e.time ORDER BY ALL LIMIT 40
SELECT e.kind, count(*) AS n FROM cpu c ASOF LEFT JOIN events e ON e.host = c.host AND e.time < c.time GROUP BY e.kind ORDER BY e.kind
SELECT c.host, c.n, e.kind FROM cpu c ASOF JOIN events e USING (host, time) ORDER BY ALL LIMIT 20
SELECT c.n, e.kind FROM cpu c ASOF JOIN events e ON c.time >= e.time ORDER BY ALL LIMIT 20
SELECT h.host FROM hosts h SEMI JOIN cpu c ON h.host = c.host ORDER BY 1
SELECT h.host FROM hosts h ANTI JOIN cpu c ON h.host = c.host ORDER BY 1
SELECT h.host, (SELECT max(n) FROM cpu c WHERE c.host = h.host) AS m FROM hosts h ORDER BY 1
SELECT h.host FROM hosts h WHERE EXISTS (SELECT 1 FROM events e WHERE e.host = h.host) ORDER BY 1
SELECT h.host FROM hosts h WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.host = h.host) ORDER BY 1
SELECT host FROM hosts WHERE host NOT IN (SELECT host FROM events) ORDER BY 1
SELECT a.host, b.host AS other FROM hosts a, hosts b WHERE a.rack = b.rack AND a.host < b.host ORDER BY ALL
SELECT a.host, b.kind FROM hosts a CROSS JOIN events b ORDER BY ALL
SELECT c.host, r.rack, e.kind FROM (SELECT DISTINCT host FROM cpu) c LEFT JOIN hosts r ON c.host = r.host LEFT JOIN events e ON e.host = c.host ORDER BY ALL
SELECT h.host, l.m FROM hosts h LEFT JOIN LATERAL (SELECT max(n) AS m FROM cpu c WHERE c.host = h.host) l ON true ORDER BY ALL
SELECT t.host, u.i FROM hosts t CROSS JOIN unnest([1, 2]) AS u(i) ORDER BY ALL
