SELECT count(usage) AS v FROM cpu
SELECT host, count(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT count(n) AS v FROM cpu
SELECT host, count(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT sum(usage) AS v FROM cpu
SELECT host, sum(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT sum(n) AS v FROM cpu
SELECT host, sum(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT avg(usage) AS v FROM cpu
SELECT host, avg(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT avg(n) AS v FROM cpu
SELECT host, avg(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT min(usage) AS v FROM cpu
SELECT host, min(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT min(n) AS v FROM cpu
SELECT host, min(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT max(usage) AS v FROM cpu
SELECT host, max(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT max(n) AS v FROM cpu
SELECT host, max(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT stddev(usage) AS v FROM cpu
SELECT host, stddev(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT stddev(n) AS v FROM cpu
SELECT host, stddev(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT stddev_pop(usage) AS v FROM cpu
SELECT host, stddev_pop(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT stddev_pop(n) AS v FROM cpu
SELECT host, stddev_pop(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT stddev_samp(usage) AS v FROM cpu
SELECT host, stddev_samp(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT stddev_samp(n) AS v FROM cpu
SELECT host, stddev_samp(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT variance(usage) AS v FROM cpu
SELECT host, variance(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT variance(n) AS v FROM cpu
SELECT host, variance(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT var_pop(usage) AS v FROM cpu
SELECT host, var_pop(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT var_pop(n) AS v FROM cpu
SELECT host, var_pop(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT var_samp(usage) AS v FROM cpu
SELECT host, var_samp(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT var_samp(n) AS v FROM cpu
SELECT host, var_samp(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT median(usage) AS v FROM cpu
SELECT host, median(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT median(n) AS v FROM cpu
SELECT host, median(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT quantile_cont(usage, 0.9) AS v FROM cpu
SELECT host, quantile_cont(usage, 0.9) AS v FROM cpu GROUP BY host ORDER BY host
SELECT quantile_cont(n, 0.9) AS v FROM cpu
SELECT host, quantile_cont(n, 0.9) AS v FROM cpu GROUP BY host ORDER BY host
SELECT quantile_disc(usage, 0.5) AS v FROM cpu
SELECT host, quantile_disc(usage, 0.5) AS v FROM cpu GROUP BY host ORDER BY host
SELECT quantile_disc(n, 0.5) AS v FROM cpu
SELECT host, quantile_disc(n, 0.5) AS v FROM cpu GROUP BY host ORDER BY host
SELECT quantile(usage, 0.25) AS v FROM cpu
SELECT host, quantile(usage, 0.25) AS v FROM cpu GROUP BY host ORDER BY host
SELECT quantile(n, 0.25) AS v FROM cpu
SELECT host, quantile(n, 0.25) AS v FROM cpu GROUP BY host ORDER BY host
SELECT mode(usage) AS v FROM cpu
SELECT host, mode(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT mode(n) AS v FROM cpu
SELECT host, mode(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT count(DISTINCT usage) AS v FROM cpu
SELECT host, count(DISTINCT usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT count(DISTINCT n) AS v FROM cpu
SELECT host, count(DISTINCT n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT sum(DISTINCT usage) AS v FROM cpu
SELECT host, sum(DISTINCT usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT sum(DISTINCT n) AS v FROM cpu
SELECT host, sum(DISTINCT n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT product(n % 3 + 1) AS v FROM cpu
SELECT host, product(n % 3 + 1) AS v FROM cpu GROUP BY host ORDER BY host
SELECT skewness(usage) AS v FROM cpu
SELECT host, skewness(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT skewness(n) AS v FROM cpu
SELECT host, skewness(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT kurtosis(usage) AS v FROM cpu
SELECT host, kurtosis(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT kurtosis(n) AS v FROM cpu
SELECT host, kurtosis(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT entropy(usage) AS v FROM cpu
SELECT host, entropy(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT entropy(n) AS v FROM cpu
SELECT host, entropy(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT mad(usage) AS v FROM cpu
SELECT host, mad(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT mad(n) AS v FROM cpu
SELECT host, mad(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT sem(usage) AS v FROM cpu
SELECT host, sem(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT sem(n) AS v FROM cpu
SELECT host, sem(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT fsum(usage) AS v FROM cpu
SELECT host, fsum(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT fsum(n) AS v FROM cpu
SELECT host, fsum(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT kahan_sum(usage) AS v FROM cpu
SELECT host, kahan_sum(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT kahan_sum(n) AS v FROM cpu
SELECT host, kahan_sum(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT favg(usage) AS v FROM cpu
SELECT host, favg(usage) AS v FROM cpu GROUP BY host ORDER BY host
SELECT favg(n) AS v FROM cpu
SELECT host, favg(n) AS v FROM cpu GROUP BY host ORDER BY host
SELECT any_value(usage) IS NOT NULL AS v FROM cpu
SELECT host, any_value(usage) IS NOT NULL AS v FROM cpu GROUP BY host ORDER BY host
SELECT any_value(n) IS NOT NULL AS v FROM cpu
SELECT host, any_value(n) IS NOT NULL AS v FROM cpu GROUP BY host ORDER BY host
SELECT approx_count_distinct(usage) > 0 AS v FROM cpu
SELECT host, approx_count_distinct(usage) > 0 AS v FROM cpu GROUP BY host ORDER BY host
SELECT approx_count_distinct(n) > 0 AS v FROM cpu
SELECT host, approx_count_distinct(n) > 0 AS v FROM cpu GROUP BY host ORDER BY host
SELECT approx_quantile(usage, 0.5) IS NOT NULL AS v FROM cpu
SELECT host, approx_quantile(usage, 0.5) IS NOT NULL AS v FROM cpu GROUP BY host ORDER BY host
SELECT approx_quantile(n, 0.5) IS NOT NULL AS v FROM cpu
SELECT host, approx_quantile(n, 0.5) IS NOT NULL AS v FROM cpu GROUP BY host ORDER BY host
SELECT bit_count(count(usage)) AS v FROM cpu
SELECT host, bit_count(count(usage)) AS v FROM cpu GROUP BY host ORDER BY host
SELECT bit_count(count(n)) AS v FROM cpu
SELECT host, bit_count(count(n)) AS v FROM cpu GROUP BY host ORDER BY host
SELECT bool_and(ok) AS v FROM cpu
SELECT region, bool_and(ok) AS v FROM cpu GROUP BY region ORDER BY region
SELECT bool_or(ok) AS v FROM cpu
SELECT region, bool_or(ok) AS v FROM cpu GROUP BY region ORDER BY region
SELECT every(ok) AS v FROM cpu
SELECT region, every(ok) AS v FROM cpu GROUP BY region ORDER BY region
SELECT bit_and(n) AS v FROM cpu
SELECT region, bit_and(n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT bit_or(n) AS v FROM cpu
SELECT region, bit_or(n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT bit_xor(n) AS v FROM cpu
SELECT region, bit_xor(n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT count_if(ok) AS v FROM cpu
SELECT region, count_if(ok) AS v FROM cpu GROUP BY region ORDER BY region
SELECT countif(n > 3) AS v FROM cpu
SELECT region, countif(n > 3) AS v FROM cpu GROUP BY region ORDER BY region
SELECT string_agg(host, ',' ORDER BY host, time) AS v FROM cpu
SELECT region, string_agg(host, ',' ORDER BY host, time) AS v FROM cpu GROUP BY region ORDER BY region
SELECT group_concat(host, '-' ORDER BY time) AS v FROM cpu
SELECT region, group_concat(host, '-' ORDER BY time) AS v FROM cpu GROUP BY region ORDER BY region
SELECT listagg(host, ',' ORDER BY time, host) AS v FROM cpu
SELECT region, listagg(host, ',' ORDER BY time, host) AS v FROM cpu GROUP BY region ORDER BY region
SELECT list(n ORDER BY n, time) AS v FROM cpu
SELECT region, list(n ORDER BY n, time) AS v FROM cpu GROUP BY region ORDER BY region
SELECT array_agg(host ORDER BY time, host) AS v FROM cpu
SELECT region, array_agg(host ORDER BY time, host) AS v FROM cpu GROUP BY region ORDER BY region
SELECT list(DISTINCT host ORDER BY host) AS v FROM cpu
SELECT region, list(DISTINCT host ORDER BY host) AS v FROM cpu GROUP BY region ORDER BY region
SELECT arg_max(host, usage) AS v FROM cpu
SELECT region, arg_max(host, usage) AS v FROM cpu GROUP BY region ORDER BY region
SELECT arg_min(host, usage) AS v FROM cpu
SELECT region, arg_min(host, usage) AS v FROM cpu GROUP BY region ORDER BY region
SELECT max_by(n, time) AS v FROM cpu
SELECT region, max_by(n, time) AS v FROM cpu GROUP BY region ORDER BY region
SELECT min_by(n, time) AS v FROM cpu
SELECT region, min_by(n, time) AS v FROM cpu GROUP BY region ORDER BY region
SELECT first(n ORDER BY time, host) AS v FROM cpu
SELECT region, first(n ORDER BY time, host) AS v FROM cpu GROUP BY region ORDER BY region
SELECT last(n ORDER BY time, host) AS v FROM cpu
SELECT region, last(n ORDER BY time, host) AS v FROM cpu GROUP BY region ORDER BY region
SELECT any_value(region ORDER BY time, host) AS v FROM cpu
SELECT region, any_value(region ORDER BY time, host) AS v FROM cpu GROUP BY region ORDER BY region
SELECT histogram(host) AS v FROM cpu
SELECT region, histogram(host) AS v FROM cpu GROUP BY region ORDER BY region
SELECT corr(usage, n) AS v FROM cpu
SELECT region, corr(usage, n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT covar_pop(usage, n) AS v FROM cpu
SELECT region, covar_pop(usage, n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT covar_samp(usage, n) AS v FROM cpu
SELECT region, covar_samp(usage, n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT regr_slope(usage, n) AS v FROM cpu
SELECT region, regr_slope(usage, n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT regr_intercept(usage, n) AS v FROM cpu
SELECT region, regr_intercept(usage, n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT regr_r2(usage, n) AS v FROM cpu
SELECT region, regr_r2(usage, n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT regr_count(usage, n) AS v FROM cpu
SELECT region, regr_count(usage, n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT regr_avgx(usage, n) AS v FROM cpu
SELECT region, regr_avgx(usage, n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT max(n, 3) AS v FROM cpu
SELECT region, max(n, 3) AS v FROM cpu GROUP BY region ORDER BY region
SELECT min(n, 2) AS v FROM cpu
SELECT region, min(n, 2) AS v FROM cpu GROUP BY region ORDER BY region
SELECT arg_max(host, usage, 2) AS v FROM cpu
SELECT region, arg_max(host, usage, 2) AS v FROM cpu GROUP BY region ORDER BY region
SELECT count(*) FILTER (WHERE ok) AS v FROM cpu
SELECT region, count(*) FILTER (WHERE ok) AS v FROM cpu GROUP BY region ORDER BY region
SELECT sum(n) FILTER (WHERE host = 'a') AS v FROM cpu
SELECT region, sum(n) FILTER (WHERE host = 'a') AS v FROM cpu GROUP BY region ORDER BY region
SELECT avg(usage) FILTER (usage > 0.5) AS v FROM cpu
SELECT region, avg(usage) FILTER (usage > 0.5) AS v FROM cpu GROUP BY region ORDER BY region
SELECT sum(CASE WHEN ok THEN 1 ELSE 0 END) AS v FROM cpu
SELECT region, sum(CASE WHEN ok THEN 1 ELSE 0 END) AS v FROM cpu GROUP BY region ORDER BY region
SELECT count() AS v FROM cpu
SELECT region, count() AS v FROM cpu GROUP BY region ORDER BY region
SELECT sum(n) / count(n) AS v FROM cpu
SELECT region, sum(n) / count(n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT sum(n)::DOUBLE / nullif(count(*), 0) AS v FROM cpu
SELECT region, sum(n)::DOUBLE / nullif(count(*), 0) AS v FROM cpu GROUP BY region ORDER BY region
SELECT max(usage) - min(usage) AS v FROM cpu
SELECT region, max(usage) - min(usage) AS v FROM cpu GROUP BY region ORDER BY region
SELECT round(avg(usage), 3) AS v FROM cpu
SELECT region, round(avg(usage), 3) AS v FROM cpu GROUP BY region ORDER BY region
SELECT quantile_cont(usage, [0.1, 0.5, 0.9]) AS v FROM cpu
SELECT region, quantile_cont(usage, [0.1, 0.5, 0.9]) AS v FROM cpu GROUP BY region ORDER BY region
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY usage) AS v FROM cpu
SELECT region, percentile_cont(0.5) WITHIN GROUP (ORDER BY usage) AS v FROM cpu GROUP BY region ORDER BY region
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY n) AS v FROM cpu
SELECT region, percentile_disc(0.5) WITHIN GROUP (ORDER BY n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT mode() WITHIN GROUP (ORDER BY n) AS v FROM cpu
SELECT region, mode() WITHIN GROUP (ORDER BY n) AS v FROM cpu GROUP BY region ORDER BY region
SELECT sum(ok::INT) AS v FROM cpu
SELECT region, sum(ok::INT) AS v FROM cpu GROUP BY region ORDER BY region
SELECT avg(ok::INT) AS v FROM cpu
SELECT region, avg(ok::INT) AS v FROM cpu GROUP BY region ORDER BY region
SELECT min(host) AS v FROM cpu
SELECT region, min(host) AS v FROM cpu GROUP BY region ORDER BY region
SELECT max(note) AS v FROM cpu
SELECT region, max(note) AS v FROM cpu GROUP BY region ORDER BY region
SELECT sum(NULL::INT) AS v FROM cpu
SELECT region, sum(NULL::INT) AS v FROM cpu GROUP BY region ORDER BY region
SELECT count(NULL) AS v FROM cpu
SELECT region, count(NULL) AS v FROM cpu GROUP BY region ORDER BY region
SELECT max(time) AS v FROM cpu
SELECT region, max(time) AS v FROM cpu GROUP BY region ORDER BY region
SELECT min(time) AS v FROM cpu
SELECT region, min(time) AS v FROM cpu GROUP BY region ORDER BY region
SELECT avg(epoch(time)) AS v FROM cpu
SELECT region, avg(epoch(time)) AS v FROM cpu GROUP BY region ORDER BY region
SELECT bitstring_agg(n % 8) AS v FROM cpu
SELECT region, bitstring_agg(n % 8) AS v FROM cpu GROUP BY region ORDER BY region
SELECT list_sum(list(n)) AS v FROM cpu
SELECT region, list_sum(list(n)) AS v FROM cpu GROUP BY region ORDER BY region
SELECT count(*) FROM cpu
SELECT count(n), count(note), count(*) FROM cpu
SELECT sum(n), avg(usage) FROM cpu WHERE false
SELECT host, count(*) FROM cpu GROUP BY host HAVING count(*) > 3 ORDER BY 1
SELECT host, region, sum(n) FROM cpu GROUP BY GROUPING SETS ((host), (region), ()) ORDER BY ALL
SELECT host, region, sum(n) FROM cpu GROUP BY ROLLUP (host, region) ORDER BY ALL
SELECT host, region, sum(n) FROM cpu GROUP BY CUBE (host, region) ORDER BY ALL
SELECT host, grouping(host) AS g, sum(n) FROM cpu GROUP BY ROLLUP (host) ORDER BY ALL
SELECT sum(big) FROM edge
SELECT avg(big) FROM edge
SELECT min(big), max(big) FROM edge
SELECT min(f), max(f), sum(f) FROM edge
SELECT f, count(*) FROM edge GROUP BY f ORDER BY f
SELECT count(DISTINCT f) FROM edge
SELECT DISTINCT f FROM edge ORDER BY f
SELECT host, count(*) FILTER (WHERE ok) AS v FROM cpu GROUP BY host ORDER BY host
SELECT count(*) FILTER (WHERE usage > 0.5) AS v FROM cpu
SELECT host, count(*) FILTER (WHERE usage > 0.5) AS v FROM cpu GROUP BY host ORDER BY host
SELECT count(*) FILTER (WHERE host = 'a') AS v FROM cpu
SELECT host, count(*) FILTER (WHERE host = 'a') AS v FROM cpu GROUP BY host ORDER BY host
SELECT count(*) FILTER (WHERE note LIKE '%b%') AS v FROM cpu
SELECT host, count(*) FILTER (WHERE note LIKE '%b%') AS v FROM cpu GROUP BY host ORDER BY host
SELECT count(*) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu
SELECT host, count(*) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu GROUP BY host ORDER BY host
SELECT sum(n) FILTER (WHERE ok) AS v FROM cpu
SELECT host, sum(n) FILTER (WHERE ok) AS v FROM cpu GROUP BY host ORDER BY host
SELECT sum(n) FILTER (WHERE usage > 0.5) AS v FROM cpu
SELECT host, sum(n) FILTER (WHERE usage > 0.5) AS v FROM cpu GROUP BY host ORDER BY host
SELECT host, sum(n) FILTER (WHERE host = 'a') AS v FROM cpu GROUP BY host ORDER BY host
SELECT sum(n) FILTER (WHERE note LIKE '%b%') AS v FROM cpu
SELECT host, sum(n) FILTER (WHERE note LIKE '%b%') AS v FROM cpu GROUP BY host ORDER BY host
SELECT sum(n) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu
SELECT host, sum(n) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu GROUP BY host ORDER BY host
SELECT avg(usage) FILTER (WHERE ok) AS v FROM cpu
SELECT host, avg(usage) FILTER (WHERE ok) AS v FROM cpu GROUP BY host ORDER BY host
SELECT avg(usage) FILTER (WHERE usage > 0.5) AS v FROM cpu
SELECT host, avg(usage) FILTER (WHERE usage > 0.5) AS v FROM cpu GROUP BY host ORDER BY host
SELECT avg(usage) FILTER (WHERE host = 'a') AS v FROM cpu
SELECT host, avg(usage) FILTER (WHERE host = 'a') AS v FROM cpu GROUP BY host ORDER BY host
SELECT avg(usage) FILTER (WHERE note LIKE '%b%') AS v FROM cpu
SELECT host, avg(usage) FILTER (WHERE note LIKE '%b%') AS v FROM cpu GROUP BY host ORDER BY host
SELECT avg(usage) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu
SELECT host, avg(usage) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu GROUP BY host ORDER BY host
SELECT min(n) FILTER (WHERE ok) AS v FROM cpu
SELECT host, min(n) FILTER (WHERE ok) AS v FROM cpu GROUP BY host ORDER BY host
SELECT min(n) FILTER (WHERE usage > 0.5) AS v FROM cpu
SELECT host, min(n) FILTER (WHERE usage > 0.5) AS v FROM cpu GROUP BY host ORDER BY host
SELECT min(n) FILTER (WHERE host = 'a') AS v FROM cpu
SELECT host, min(n) FILTER (WHERE host = 'a') AS v FROM cpu GROUP BY host ORDER BY host
SELECT min(n) FILTER (WHERE note LIKE '%b%') AS v FROM cpu
SELECT host, min(n) FILTER (WHERE note LIKE '%b%') AS v FROM cpu GROUP BY host ORDER BY host
SELECT min(n) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu
SELECT host, min(n) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu GROUP BY host ORDER BY host
SELECT max(usage) FILTER (WHERE ok) AS v FROM cpu
SELECT host, max(usage) FILTER (WHERE ok) AS v FROM cpu GROUP BY host ORDER BY host
SELECT max(usage) FILTER (WHERE usage > 0.5) AS v FROM cpu
SELECT host, max(usage) FILTER (WHERE usage > 0.5) AS v FROM cpu GROUP BY host ORDER BY host
SELECT max(usage) FILTER (WHERE host = 'a') AS v FROM cpu
SELECT host, max(usage) FILTER (WHERE host = 'a') AS v FROM cpu GROUP BY host ORDER BY host
SELECT max(usage) FILTER (WHERE note LIKE '%b%') AS v FROM cpu
SELECT host, max(usage) FILTER (WHERE note LIKE '%b%') AS v FROM cpu GROUP BY host ORDER BY host
SELECT max(usage) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu
SELECT host, max(usage) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu GROUP BY host ORDER BY host
SELECT count(DISTINCT n) FILTER (WHERE ok) AS v FROM cpu
SELECT host, count(DISTINCT n) FILTER (WHERE ok) AS v FROM cpu GROUP BY host ORDER BY host
SELECT count(DISTINCT n) FILTER (WHERE usage > 0.5) AS v FROM cpu
SELECT host, count(DISTINCT n) FILTER (WHERE usage > 0.5) AS v FROM cpu GROUP BY host ORDER BY host
SELECT count(DISTINCT n) FILTER (WHERE host = 'a') AS v FROM cpu
SELECT host, count(DISTINCT n) FILTER (WHERE host = 'a') AS v FROM cpu GROUP BY host ORDER BY host
SELECT count(DISTINCT n) FILTER (WHERE note LIKE '%b%') AS v FROM cpu
SELECT host, count(DISTINCT n) FILTER (WHERE note LIKE '%b%') AS v FROM cpu GROUP BY host ORDER BY host
SELECT count(DISTINCT n) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu
SELECT host, count(DISTINCT n) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu GROUP BY host ORDER BY host
SELECT median(usage) FILTER (WHERE ok) AS v FROM cpu
SELECT host, median(usage) FILTER (WHERE ok) AS v FROM cpu GROUP BY host ORDER BY host
SELECT median(usage) FILTER (WHERE usage > 0.5) AS v FROM cpu
SELECT host, median(usage) FILTER (WHERE usage > 0.5) AS v FROM cpu GROUP BY host ORDER BY host
SELECT median(usage) FILTER (WHERE host = 'a') AS v FROM cpu
SELECT host, median(usage) FILTER (WHERE host = 'a') AS v FROM cpu GROUP BY host ORDER BY host
SELECT median(usage) FILTER (WHERE note LIKE '%b%') AS v FROM cpu
SELECT host, median(usage) FILTER (WHERE note LIKE '%b%') AS v FROM cpu GROUP BY host ORDER BY host
SELECT median(usage) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu
SELECT host, median(usage) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu GROUP BY host ORDER BY host
SELECT bool_or(ok) FILTER (WHERE ok) AS v FROM cpu
SELECT host, bool_or(ok) FILTER (WHERE ok) AS v FROM cpu GROUP BY host ORDER BY host
SELECT bool_or(ok) FILTER (WHERE usage > 0.5) AS v FROM cpu
SELECT host, bool_or(ok) FILTER (WHERE usage > 0.5) AS v FROM cpu GROUP BY host ORDER BY host
SELECT bool_or(ok) FILTER (WHERE host = 'a') AS v FROM cpu
SELECT host, bool_or(ok) FILTER (WHERE host = 'a') AS v FROM cpu GROUP BY host ORDER BY host
SELECT bool_or(ok) FILTER (WHERE note LIKE '%b%') AS v FROM cpu
SELECT host, bool_or(ok) FILTER (WHERE note LIKE '%b%') AS v FROM cpu GROUP BY host ORDER BY host
SELECT bool_or(ok) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu
SELECT host, bool_or(ok) FILTER (WHERE n BETWEEN 2 AND 6) AS v FROM cpu GROUP BY host ORDER BY host
SELECT host, region, count(*) AS c FROM cpu GROUP BY ROLLUP (host, region) ORDER BY ALL
SELECT host, region, sum(n) AS s, avg(usage) AS u FROM cpu GROUP BY ROLLUP (host, region) ORDER BY ALL
SELECT host, ok, count(*) AS c FROM cpu GROUP BY CUBE (host, ok) ORDER BY ALL
SELECT host, ok, sum(n) AS s, avg(usage) AS u FROM cpu GROUP BY CUBE (host, ok) ORDER BY ALL
SELECT host, region, count(*) AS c FROM cpu GROUP BY GROUPING SETS ((host), (region), ()) ORDER BY ALL
SELECT host, region, sum(n) AS s, avg(usage) AS u FROM cpu GROUP BY GROUPING SETS ((host), (region), ()) ORDER BY ALL
SELECT min(f) AS v FROM edge
SELECT id % 2 AS g, min(f) AS v FROM edge GROUP BY g ORDER BY g
SELECT max(f) AS v FROM edge
SELECT id % 2 AS g, max(f) AS v FROM edge GROUP BY g ORDER BY g
SELECT sum(big) AS v FROM edge
SELECT id % 2 AS g, sum(big) AS v FROM edge GROUP BY g ORDER BY g
SELECT avg(big) AS v FROM edge
SELECT id % 2 AS g, avg(big) AS v FROM edge GROUP BY g ORDER BY g
SELECT count(f) AS v FROM edge
SELECT id % 2 AS g, count(f) AS v FROM edge GROUP BY g ORDER BY g
SELECT median(big) AS v FROM edge
SELECT id % 2 AS g, median(big) AS v FROM edge GROUP BY g ORDER BY g
SELECT min(big) AS v FROM edge
SELECT id % 2 AS g, min(big) AS v FROM edge GROUP BY g ORDER BY g
SELECT max(big) AS v FROM edge
SELECT id % 2 AS g, max(big) AS v FROM edge GROUP BY g ORDER BY g
SELECT quantile_disc(big, 0.5) AS v FROM edge
SELECT id % 2 AS g, quantile_disc(big, 0.5) AS v FROM edge GROUP BY g ORDER BY g
SELECT mode(id) AS v FROM edge
SELECT id % 2 AS g, mode(id) AS v FROM edge GROUP BY g ORDER BY g
SELECT arg_max(id, big) AS v FROM edge
SELECT id % 2 AS g, arg_max(id, big) AS v FROM edge GROUP BY g ORDER BY g
SELECT arg_min(id, f) AS v FROM edge
SELECT id % 2 AS g, arg_min(id, f) AS v FROM edge GROUP BY g ORDER BY g
SELECT bool_and(big > 0) AS v FROM edge
SELECT id % 2 AS g, bool_and(big > 0) AS v FROM edge GROUP BY g ORDER BY g
SELECT string_agg(id::VARCHAR, ',' ORDER BY id) AS v FROM edge
SELECT id % 2 AS g, string_agg(id::VARCHAR, ',' ORDER BY id) AS v FROM edge GROUP BY g ORDER BY g
SELECT count(DISTINCT f) AS v FROM edge
SELECT id % 2 AS g, count(DISTINCT f) AS v FROM edge GROUP BY g ORDER BY g
SELECT list(id ORDER BY id) AS v FROM edge
SELECT id % 2 AS g, list(id ORDER BY id) AS v FROM edge GROUP BY g ORDER BY g
SELECT sum(n) AS v FROM cpu WHERE false
SELECT host, sum(n) AS v FROM cpu WHERE false GROUP BY host
SELECT avg(usage) AS v FROM cpu WHERE false
SELECT host, avg(usage) AS v FROM cpu WHERE false GROUP BY host
SELECT count(*) AS v FROM cpu WHERE false
SELECT host, count(*) AS v FROM cpu WHERE false GROUP BY host
SELECT min(note) AS v FROM cpu WHERE false
SELECT host, min(note) AS v FROM cpu WHERE false GROUP BY host
SELECT max(time) AS v FROM cpu WHERE false
SELECT host, max(time) AS v FROM cpu WHERE false GROUP BY host
SELECT list(n ORDER BY n) AS v FROM cpu WHERE false
SELECT host, list(n ORDER BY n) AS v FROM cpu WHERE false GROUP BY host
SELECT bool_and(ok) AS v FROM cpu WHERE false
SELECT host, bool_and(ok) AS v FROM cpu WHERE false GROUP BY host
SELECT quantile_cont(usage, 0.5) AS v FROM cpu WHERE false
SELECT host, quantile_cont(usage, 0.5) AS v FROM cpu WHERE false GROUP BY host
