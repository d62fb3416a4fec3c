SELECT date_trunc('second', time) AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT date_trunc('minute', time) AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT date_trunc('hour', time) AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT date_trunc('day', time) AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT date_trunc('week', time) AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT date_trunc('month', time) AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT date_trunc('quarter', time) AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT date_trunc('year', time) AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT DISTINCT date_part('year', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(year FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('quarter', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(quarter FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('month', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(month FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('week', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(week FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('day', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(day FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('hour', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(hour FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('minute', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(minute FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('second', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(second FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('dow', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(dow FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('isodow', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(isodow FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('doy', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(doy FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('isoyear', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(isoyear FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('epoch', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(epoch FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('millisecond', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(millisecond FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('microsecond', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(microsecond FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('decade', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(decade FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT date_part('century', time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT DISTINCT extract(century FROM time) AS p FROM cpu ORDER BY 1 LIMIT 20
SELECT time_bucket(INTERVAL '1 minute', time) AS t, avg(usage) AS u FROM cpu GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '1 minute', time) AS t, host, max(n) AS m FROM cpu GROUP BY ALL ORDER BY ALL
SELECT time_bucket(INTERVAL '5 minutes', time) AS t, avg(usage) AS u FROM cpu GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '5 minutes', time) AS t, host, max(n) AS m FROM cpu GROUP BY ALL ORDER BY ALL
SELECT time_bucket(INTERVAL '15 minutes', time) AS t, avg(usage) AS u FROM cpu GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '15 minutes', time) AS t, host, max(n) AS m FROM cpu GROUP BY ALL ORDER BY ALL
SELECT time_bucket(INTERVAL '1 hour', time) AS t, avg(usage) AS u FROM cpu GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '1 hour', time) AS t, host, max(n) AS m FROM cpu GROUP BY ALL ORDER BY ALL
SELECT time_bucket(INTERVAL '6 hours', time) AS t, avg(usage) AS u FROM cpu GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '6 hours', time) AS t, host, max(n) AS m FROM cpu GROUP BY ALL ORDER BY ALL
SELECT time_bucket(INTERVAL '1 day', time) AS t, avg(usage) AS u FROM cpu GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '1 day', time) AS t, host, max(n) AS m FROM cpu GROUP BY ALL ORDER BY ALL
SELECT time_bucket(INTERVAL '7 days', time) AS t, avg(usage) AS u FROM cpu GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '7 days', time) AS t, host, max(n) AS m FROM cpu GROUP BY ALL ORDER BY ALL
SELECT time_bucket(INTERVAL '1 month', time) AS t, avg(usage) AS u FROM cpu GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '1 month', time) AS t, host, max(n) AS m FROM cpu GROUP BY ALL ORDER BY ALL
SELECT time_bucket(INTERVAL '3 months', time) AS t, avg(usage) AS u FROM cpu GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '3 months', time) AS t, host, max(n) AS m FROM cpu GROUP BY ALL ORDER BY ALL
SELECT time_bucket(INTERVAL '1 year', time) AS t, avg(usage) AS u FROM cpu GROUP BY t ORDER BY t
SELECT time_bucket(INTERVAL '1 year', time) AS t, host, max(n) AS m FROM cpu GROUP BY ALL ORDER BY ALL
SELECT time_bucket(INTERVAL '1 day', time, INTERVAL '6 hours') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '7 days', time, TIMESTAMPTZ '2024-01-01 00:00:00+00') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 hour', time, 'Europe/Berlin') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 day', time, 'America/New_York') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT min(time) AS a, max(time) AS b, max(time) - min(time) > INTERVAL '1 day' AS c FROM cpu
SELECT count(*) FROM cpu WHERE time >= '2024-03-31' AND time < '2024-04-01'
SELECT count(*) FROM cpu WHERE time >= TIMESTAMP '2024-03-31 00:00:00' AND time < TIMESTAMP '2024-03-31 06:00:00'
SELECT count(*) FROM cpu WHERE time BETWEEN '2024-03-31T01:00:00Z' AND '2024-03-31T02:00:00Z'
SELECT count(*) FROM cpu WHERE time >= TIMESTAMPTZ '2024-03-31 03:00:00+02'
SELECT count(*) FROM cpu WHERE time::DATE = DATE '2024-03-31'
SELECT count(*) FROM cpu WHERE CAST(time AS DATE) IN ('2024-03-30', '2024-03-31')
SELECT time + INTERVAL '1 hour' AS t FROM cpu ORDER BY time LIMIT 3
SELECT time - INTERVAL '90 minutes' AS t FROM cpu ORDER BY time LIMIT 3
SELECT time + INTERVAL 1 DAY AS t FROM cpu ORDER BY time LIMIT 3
SELECT time + INTERVAL (2) HOUR AS t FROM cpu ORDER BY time LIMIT 3
SELECT time + INTERVAL '1 month' AS t FROM cpu ORDER BY time LIMIT 3
SELECT epoch(time) AS e FROM cpu ORDER BY time LIMIT 3
SELECT epoch_ms(time) AS e FROM cpu ORDER BY time LIMIT 3
SELECT epoch_us(time) AS e FROM cpu ORDER BY time LIMIT 3
SELECT epoch_ns(time) AS e FROM cpu ORDER BY time LIMIT 3
SELECT to_timestamp(1711843200) AS t
SELECT to_timestamp(1711843200.5) AS t
SELECT epoch_ms(1711843200123) AS t
SELECT make_timestamp(2024, 3, 31, 1, 2, 3.5) AS t
SELECT make_date(2024, 2, 29) AS d
SELECT make_timestamp(1711843200000000) AS t
SELECT strftime(time, '%Y-%m-%d %H:%M:%S') AS s FROM cpu ORDER BY time LIMIT 3
SELECT strftime(time, '%Y/%m') AS s, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT strftime(TIMESTAMP '2024-03-31 01:02:03.456', '%a %b %d %j %H %I %p %f') AS s
SELECT strftime('%Y-%m-%d', DATE '2024-02-29') AS s
SELECT strptime('2024-03-31 01:02:03', '%Y-%m-%d %H:%M:%S') AS t
SELECT strptime('31/03/2024', '%d/%m/%Y') AS t
SELECT try_strptime('x', '%Y') AS t
SELECT date_diff('hour', TIMESTAMP '2024-03-30 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT datediff('day', DATE '2024-02-28', DATE '2024-03-01') AS d
SELECT date_diff('month', DATE '2024-01-31', DATE '2024-03-01') AS d
SELECT date_sub('hour', TIMESTAMP '2024-03-30 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('month', DATE '2024-01-31', DATE '2024-03-01') AS d
SELECT datesub('day', DATE '2024-02-28', DATE '2024-03-01') AS d
SELECT date_diff('minute', min(time), max(time)) AS d FROM cpu
SELECT date_diff('second', time, time + INTERVAL '1 minute') AS d FROM cpu LIMIT 1
SELECT date_add(DATE '2024-02-28', INTERVAL '2 days') AS d
SELECT last_day(DATE '2024-02-10') AS d
SELECT dayname(DATE '2024-02-29') AS d
SELECT monthname(DATE '2024-02-29') AS d
SELECT year(time) AS y, month(time) AS m, day(time) AS d FROM cpu GROUP BY ALL ORDER BY ALL
SELECT hour(time) AS h, minute(time) AS m, second(time) AS s FROM cpu GROUP BY ALL ORDER BY ALL LIMIT 10
SELECT dayofweek(time) AS d, isodow(time) AS i, weekday(time) AS w FROM cpu GROUP BY ALL ORDER BY ALL
SELECT dayofyear(time) AS d, week(time) AS w, weekofyear(time) AS x, quarter(time) AS q FROM cpu GROUP BY ALL ORDER BY ALL
SELECT yearweek(DATE '2024-12-30') AS y
SELECT century(DATE '2024-12-30') AS c, decade(DATE '2024-12-30') AS d, isoyear(DATE '2024-12-30') AS i
SELECT time AT TIME ZONE 'Europe/Berlin' AS t FROM cpu ORDER BY time LIMIT 3
SELECT date_trunc('day', time AT TIME ZONE 'America/New_York') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT TIMESTAMP '2024-03-31 12:00:00' AT TIME ZONE 'Europe/Berlin' AS t
SELECT timezone('UTC', TIMESTAMP '2024-03-31 12:00:00') AS t
SELECT DATE '2024-03-01' - DATE '2024-02-01' AS d
SELECT DATE '2024-03-01' + 3 AS d
SELECT DATE '2024-03-01' - 1 AS d
SELECT date '2024-03-01' + INTERVAL '1 day' AS d
SELECT TIMESTAMP '2024-03-01' > DATE '2024-02-29' AS c
SELECT '2024-03-01'::TIMESTAMP AS t
SELECT '2024-03-01 10:00:00'::TIMESTAMPTZ AS t
SELECT CAST('2024-03-01' AS DATE) AS d
SELECT '10:11:12'::TIME AS t
SELECT (INTERVAL '90 minutes')::VARCHAR AS i
SELECT (INTERVAL '1 day' + INTERVAL '2 hours')::VARCHAR AS i
SELECT (INTERVAL '1' DAY * 3)::VARCHAR AS i
SELECT to_days(3)::VARCHAR AS i
SELECT to_hours(3)::VARCHAR AS i, to_minutes(5)::VARCHAR AS m, to_seconds(7)::VARCHAR AS s
SELECT age(TIMESTAMP '2024-03-31', TIMESTAMP '2024-01-15')::VARCHAR AS a
SELECT extract(epoch FROM INTERVAL '1 hour 1 second') AS e
SELECT date_part('hour', INTERVAL '25 hours') AS e
SELECT greatest(DATE '2024-01-01', DATE '2024-02-01') AS d, least(DATE '2024-01-01', DATE '2024-02-01') AS e
SELECT isfinite(DATE '2024-01-01') AS f
SELECT time_bucket(INTERVAL '1 hour', TIMESTAMP '2024-03-31 01:59:59') AS t
SELECT time_bucket(INTERVAL '2 days', DATE '2024-03-31') AS t
SELECT to_timestamp((epoch_ns(time) // 1000000000 // 3600) * 3600) AS t, avg(usage) AS u FROM cpu GROUP BY 1 ORDER BY 1
SELECT now() > TIMESTAMPTZ '2020-01-01' AS c
SELECT current_date > DATE '2020-01-01' AS c
SELECT current_timestamp > TIMESTAMPTZ '2020-01-01' AS c
SELECT today() > DATE '2020-01-01' AS c
SELECT count(*) FROM cpu WHERE time > now() - INTERVAL '1 hour'
SELECT date_trunc('hour', TIMESTAMP '1969-12-31 23:59:59.999999') AS t
SELECT date_trunc('week', DATE '2024-03-31') AS t
SELECT date_trunc('decade', DATE '2024-03-31') AS t
SELECT nanosecond(TIMESTAMP '2024-03-31 01:02:03.456') AS n
SELECT julian(DATE '2024-03-31') AS j
SELECT epoch(INTERVAL '1 day') AS e
SELECT date_trunc('microsecond', TIMESTAMP '2024-03-31 23:59:59.999999') AS t
SELECT date_diff('microsecond', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('microsecond', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_part('microsecond', TIMESTAMP '2024-02-29 12:34:56.789') AS p
SELECT max(date_diff('microsecond', TIMESTAMP '2024-01-01', time::TIMESTAMP)) AS d FROM cpu
SELECT date_trunc('millisecond', TIMESTAMP '2024-03-31 23:59:59.999999') AS t
SELECT date_diff('millisecond', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('millisecond', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_part('millisecond', TIMESTAMP '2024-02-29 12:34:56.789') AS p
SELECT max(date_diff('millisecond', TIMESTAMP '2024-01-01', time::TIMESTAMP)) AS d FROM cpu
SELECT date_trunc('second', TIMESTAMP '2024-03-31 23:59:59.999999') AS t
SELECT date_diff('second', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('second', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_part('second', TIMESTAMP '2024-02-29 12:34:56.789') AS p
SELECT max(date_diff('second', TIMESTAMP '2024-01-01', time::TIMESTAMP)) AS d FROM cpu
SELECT date_trunc('minute', TIMESTAMP '2024-03-31 23:59:59.999999') AS t
SELECT date_diff('minute', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('minute', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_part('minute', TIMESTAMP '2024-02-29 12:34:56.789') AS p
SELECT max(date_diff('minute', TIMESTAMP '2024-01-01', time::TIMESTAMP)) AS d FROM cpu
SELECT date_trunc('hour', TIMESTAMP '2024-03-31 23:59:59.999999') AS t
SELECT date_diff('hour', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('hour', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_part('hour', TIMESTAMP '2024-02-29 12:34:56.789') AS p
SELECT max(date_diff('hour', TIMESTAMP '2024-01-01', time::TIMESTAMP)) AS d FROM cpu
SELECT date_trunc('day', TIMESTAMP '2024-03-31 23:59:59.999999') AS t
SELECT date_diff('day', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('day', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_part('day', TIMESTAMP '2024-02-29 12:34:56.789') AS p
SELECT max(date_diff('day', TIMESTAMP '2024-01-01', time::TIMESTAMP)) AS d FROM cpu
SELECT date_trunc('week', TIMESTAMP '2024-03-31 23:59:59.999999') AS t
SELECT date_diff('week', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('week', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_part('week', TIMESTAMP '2024-02-29 12:34:56.789') AS p
SELECT max(date_diff('week', TIMESTAMP '2024-01-01', time::TIMESTAMP)) AS d FROM cpu
SELECT date_trunc('month', TIMESTAMP '2024-03-31 23:59:59.999999') AS t
SELECT date_diff('month', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('month', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_part('month', TIMESTAMP '2024-02-29 12:34:56.789') AS p
SELECT max(date_diff('month', TIMESTAMP '2024-01-01', time::TIMESTAMP)) AS d FROM cpu
SELECT date_trunc('quarter', TIMESTAMP '2024-03-31 23:59:59.999999') AS t
SELECT date_diff('quarter', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('quarter', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_part('quarter', TIMESTAMP '2024-02-29 12:34:56.789') AS p
SELECT max(date_diff('quarter', TIMESTAMP '2024-01-01', time::TIMESTAMP)) AS d FROM cpu
SELECT date_trunc('year', TIMESTAMP '2024-03-31 23:59:59.999999') AS t
SELECT date_diff('year', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('year', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_part('year', TIMESTAMP '2024-02-29 12:34:56.789') AS p
SELECT max(date_diff('year', TIMESTAMP '2024-01-01', time::TIMESTAMP)) AS d FROM cpu
SELECT date_trunc('decade', TIMESTAMP '2024-03-31 23:59:59.999999') AS t
SELECT date_diff('decade', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('decade', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_part('decade', TIMESTAMP '2024-02-29 12:34:56.789') AS p
SELECT max(date_diff('decade', TIMESTAMP '2024-01-01', time::TIMESTAMP)) AS d FROM cpu
SELECT date_trunc('century', TIMESTAMP '2024-03-31 23:59:59.999999') AS t
SELECT date_diff('century', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_sub('century', TIMESTAMP '2019-12-31 23:59:59', TIMESTAMP '2024-03-31 00:00:01') AS d
SELECT date_part('century', TIMESTAMP '2024-02-29 12:34:56.789') AS p
SELECT max(date_diff('century', TIMESTAMP '2024-01-01', time::TIMESTAMP)) AS d FROM cpu
SELECT date_part('dow', DATE '2024-12-30') AS p
SELECT extract('dow' FROM TIMESTAMP '2021-01-03 04:05:06') AS p
SELECT date_part('isodow', DATE '2024-12-30') AS p
SELECT extract('isodow' FROM TIMESTAMP '2021-01-03 04:05:06') AS p
SELECT date_part('doy', DATE '2024-12-30') AS p
SELECT extract('doy' FROM TIMESTAMP '2021-01-03 04:05:06') AS p
SELECT date_part('week', DATE '2024-12-30') AS p
SELECT extract('week' FROM TIMESTAMP '2021-01-03 04:05:06') AS p
SELECT date_part('isoyear', DATE '2024-12-30') AS p
SELECT extract('isoyear' FROM TIMESTAMP '2021-01-03 04:05:06') AS p
SELECT date_part('epoch', DATE '2024-12-30') AS p
SELECT extract('epoch' FROM TIMESTAMP '2021-01-03 04:05:06') AS p
SELECT time_bucket(INTERVAL '30 seconds', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '2 minutes', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '10 minutes', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '20 minutes', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '30 minutes', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '2 hours', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '3 hours', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '4 hours', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '12 hours', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '2 days', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '14 days', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '2 months', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '6 months', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '2 years', time) AS t, count(*) AS n, sum(n) AS s FROM cpu WHERE host = 'a' GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 hour', time, 'UTC') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT date_trunc('day', time AT TIME ZONE 'UTC') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT date_trunc('day', time AT TIME ZONE 'Europe/Berlin') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 hour', time, 'America/New_York') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 hour', time, 'Asia/Kathmandu') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT date_trunc('day', time AT TIME ZONE 'Asia/Kathmandu') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 hour', time, 'Australia/Lord_Howe') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT date_trunc('day', time AT TIME ZONE 'Australia/Lord_Howe') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 day', time, 'UTC') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 day', time, 'Europe/Berlin') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 day', time, 'Asia/Kathmandu') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 day', time, 'Australia/Lord_Howe') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 hour', time, INTERVAL '15 minutes') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '6 hours', time, INTERVAL '15 minutes') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 day', time, INTERVAL '15 minutes') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 hour', time, INTERVAL '3 hours') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '6 hours', time, INTERVAL '3 hours') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 day', time, INTERVAL '3 hours') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 hour', time, TIMESTAMPTZ '2024-03-30 22:10:00+00') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '6 hours', time, TIMESTAMPTZ '2024-03-30 22:10:00+00') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT time_bucket(INTERVAL '1 day', time, TIMESTAMPTZ '2024-03-30 22:10:00+00') AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT strftime(time, '%Y-%m-%d') AS s, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT strftime(time, '%d.%m.%Y') AS s, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT strftime(time, '%H:%M') AS s, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT strftime(time, '%Y-W%V') AS s, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT strftime(time, '%j') AS s, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT strftime(time, '%B %d, %Y') AS s, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT strftime(time, '%y%m%d') AS s, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT strftime(time, '%I:%M %p') AS s, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT strftime(time, '%A') AS s, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT strftime(time, '%e') AS s, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1
SELECT (TIMESTAMP '2024-03-31' - TIMESTAMP '2024-01-15')::VARCHAR AS d
SELECT age(TIMESTAMP '2024-03-01', TIMESTAMP '2024-02-29')::VARCHAR AS a
SELECT (TIMESTAMP '2024-03-01' - TIMESTAMP '2024-02-29')::VARCHAR AS d
SELECT age(TIMESTAMP '2025-02-28', TIMESTAMP '2024-02-29')::VARCHAR AS a
SELECT (TIMESTAMP '2025-02-28' - TIMESTAMP '2024-02-29')::VARCHAR AS d
SELECT age(TIMESTAMP '2024-01-15 10:00:00', TIMESTAMP '2024-01-15 12:30:00')::VARCHAR AS a
SELECT (TIMESTAMP '2024-01-15 10:00:00' - TIMESTAMP '2024-01-15 12:30:00')::VARCHAR AS d
SELECT age(TIMESTAMP '2024-05-31', TIMESTAMP '2024-04-30 12:00:00')::VARCHAR AS a
SELECT (TIMESTAMP '2024-05-31' - TIMESTAMP '2024-04-30 12:00:00')::VARCHAR AS d
SELECT to_years(5)::VARCHAR AS i
SELECT TIMESTAMP '2024-01-31 10:00:00' + to_years(1) AS t
SELECT max(time) - to_years(2) AS t FROM cpu
SELECT to_months(5)::VARCHAR AS i
SELECT TIMESTAMP '2024-01-31 10:00:00' + to_months(1) AS t
SELECT max(time) - to_months(2) AS t FROM cpu
SELECT to_weeks(5)::VARCHAR AS i
SELECT TIMESTAMP '2024-01-31 10:00:00' + to_weeks(1) AS t
SELECT max(time) - to_weeks(2) AS t FROM cpu
SELECT to_days(5)::VARCHAR AS i
SELECT TIMESTAMP '2024-01-31 10:00:00' + to_days(1) AS t
SELECT max(time) - to_days(2) AS t FROM cpu
SELECT to_hours(5)::VARCHAR AS i
SELECT TIMESTAMP '2024-01-31 10:00:00' + to_hours(1) AS t
SELECT max(time) - to_hours(2) AS t FROM cpu
SELECT to_minutes(5)::VARCHAR AS i
SELECT TIMESTAMP '2024-01-31 10:00:00' + to_minutes(1) AS t
SELECT max(time) - to_minutes(2) AS t FROM cpu
SELECT (INTERVAL '1 day' * 3)::VARCHAR AS i
SELECT TIMESTAMP '2024-02-29 00:00:00' + (INTERVAL '1 day' * 3) AS t
SELECT (3 * INTERVAL '90 minutes')::VARCHAR AS i
SELECT TIMESTAMP '2024-02-29 00:00:00' + (3 * INTERVAL '90 minutes') AS t
SELECT (INTERVAL '1 month' + INTERVAL '2 days')::VARCHAR AS i
SELECT TIMESTAMP '2024-02-29 00:00:00' + (INTERVAL '1 month' + INTERVAL '2 days') AS t
SELECT (INTERVAL '1 hour' - INTERVAL '10 minutes')::VARCHAR AS i
SELECT TIMESTAMP '2024-02-29 00:00:00' + (INTERVAL '1 hour' - INTERVAL '10 minutes') AS t
SELECT (-INTERVAL '1 day')::VARCHAR AS i
SELECT TIMESTAMP '2024-02-29 00:00:00' + (-INTERVAL '1 day') AS t
SELECT (INTERVAL '1 year 2 months 3 days')::VARCHAR AS i
SELECT TIMESTAMP '2024-02-29 00:00:00' + (INTERVAL '1 year 2 months 3 days') AS t
SELECT (INTERVAL '1.5 hours')::VARCHAR AS i
SELECT TIMESTAMP '2024-02-29 00:00:00' + (INTERVAL '1.5 hours') AS t
SELECT (INTERVAL 5 MINUTE)::VARCHAR AS i
SELECT TIMESTAMP '2024-02-29 00:00:00' + (INTERVAL 5 MINUTE) AS t
SELECT date_part('year', INTERVAL '14 months 3 days 25 hours 61 seconds') AS p
SELECT date_part('month', INTERVAL '14 months 3 days 25 hours 61 seconds') AS p
SELECT date_part('day', INTERVAL '14 months 3 days 25 hours 61 seconds') AS p
SELECT date_part('hour', INTERVAL '14 months 3 days 25 hours 61 seconds') AS p
SELECT date_part('minute', INTERVAL '14 months 3 days 25 hours 61 seconds') AS p
SELECT date_part('second', INTERVAL '14 months 3 days 25 hours 61 seconds') AS p
SELECT date_part('epoch', INTERVAL '14 months 3 days 25 hours 61 seconds') AS p
SELECT count(*) AS n, min(time) AS a, max(time) AS b FROM cpu WHERE time > TIMESTAMP '2024-03-31 01:00:00'
SELECT host, sum(n) AS s FROM cpu WHERE time > TIMESTAMP '2024-03-31 01:00:00' GROUP BY host ORDER BY host
SELECT count(*) AS n, min(time) AS a, max(time) AS b FROM cpu WHERE time::DATE = '2024-03-31'
SELECT host, sum(n) AS s FROM cpu WHERE time::DATE = '2024-03-31' GROUP BY host ORDER BY host
SELECT count(*) AS n, min(time) AS a, max(time) AS b FROM cpu WHERE date_trunc('hour', time) = TIMESTAMPTZ '2024-03-31 01:00:00+00'
SELECT host, sum(n) AS s FROM cpu WHERE date_trunc('hour', time) = TIMESTAMPTZ '2024-03-31 01:00:00+00' GROUP BY host ORDER BY host
SELECT count(*) AS n, min(time) AS a, max(time) AS b FROM cpu WHERE hour(time) BETWEEN 1 AND 3
SELECT host, sum(n) AS s FROM cpu WHERE hour(time) BETWEEN 1 AND 3 GROUP BY host ORDER BY host
SELECT count(*) AS n, min(time) AS a, max(time) AS b FROM cpu WHERE dayofweek(time) = 0
SELECT host, sum(n) AS s FROM cpu WHERE dayofweek(time) = 0 GROUP BY host ORDER BY host
SELECT count(*) AS n, min(time) AS a, max(time) AS b FROM cpu WHERE time >= epoch_ms(1711843200000)
SELECT host, sum(n) AS s FROM cpu WHERE time >= epoch_ms(1711843200000) GROUP BY host ORDER BY host
SELECT count(*) AS n, min(time) AS a, max(time) AS b FROM cpu WHERE epoch(time) > 1711850000
SELECT host, sum(n) AS s FROM cpu WHERE epoch(time) > 1711850000 GROUP BY host ORDER BY host
SELECT count(*) AS n, min(time) AS a, max(time) AS b FROM cpu WHERE time BETWEEN DATE '2024-03-30' AND DATE '2024-03-31'
SELECT host, sum(n) AS s FROM cpu WHERE time BETWEEN DATE '2024-03-30' AND DATE '2024-03-31' GROUP BY host ORDER BY host
SELECT count(*) AS n, min(time) AS a, max(time) AS b FROM cpu WHERE time > '2024-03-31T00:30:00+02:00'
SELECT host, sum(n) AS s FROM cpu WHERE time > '2024-03-31T00:30:00+02:00' GROUP BY host ORDER BY host
SELECT count(*) AS n, min(time) AS a, max(time) AS b FROM cpu WHERE strftime(time, '%H') = '01'
SELECT host, sum(n) AS s FROM cpu WHERE strftime(time, '%H') = '01' GROUP BY host ORDER BY host
SELECT count(*) AS n, min(time) AS a, max(time) AS b FROM cpu WHERE extract(hour FROM time) IN (22, 23)
SELECT host, sum(n) AS s FROM cpu WHERE extract(hour FROM time) IN (22, 23) GROUP BY host ORDER BY host
SELECT count(*) AS n, min(time) AS a, max(time) AS b FROM cpu WHERE time - INTERVAL '1 hour' < '2024-03-30T23:30:00Z'
SELECT host, sum(n) AS s FROM cpu WHERE time - INTERVAL '1 hour' < '2024-03-30T23:30:00Z' GROUP BY host ORDER BY host
SELECT date_diff('week', TIMESTAMP '2024-08-09 17:30:00', TIMESTAMP '2024-04-07 22:10:00') AS d
SELECT date_diff('week', TIMESTAMP '2024-03-08 20:30:00', TIMESTAMP '2024-03-28 16:10:00') AS d
SELECT date_diff('week', TIMESTAMP '2024-01-01 23:00:00', TIMESTAMP '2024-01-08 01:00:00') AS d
SELECT date_diff('week', DATE '1969-12-01', DATE '1970-01-08') AS d
SELECT host, time, date_diff('week', time, TIMESTAMPTZ '2024-05-17 12:00:00+00') AS d, date_sub('week', time, TIMESTAMPTZ '2024-05-17 12:00:00+00') AS s FROM cpu ORDER BY host, time LIMIT 25
SELECT x + INTERVAL '1h30m' AS a, x - INTERVAL '1 hour' AS b, INTERVAL '1 day' + x AS c, x + INTERVAL '1 month' AS d FROM (SELECT DATE '2024-01-31' AS x) t
SELECT host, time, CAST(time AS DATE) + INTERVAL '6 hours' AS v FROM cpu ORDER BY host, time LIMIT 25
