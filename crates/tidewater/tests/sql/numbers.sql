SELECT host, time, abs(n - 5) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ceil(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ceiling(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, floor(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, round(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, round(usage, 2) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, round(n * 11, -1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, trunc(usage * 10) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, sign(n - 5) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, sqrt(n) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, cbrt(n) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, pow(n, 2) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, power(usage, 0.5) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n ** 2 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n ^ 2 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, exp(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ln(n + 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, log(n + 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, log10(n + 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, log2(n + 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, log(2, n + 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, sin(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, cos(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, tan(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, asin(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, acos(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, atan(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, atan2(usage, 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, sinh(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, cosh(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, tanh(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, degrees(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, radians(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, cot(usage + 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, pi() AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n / 2 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n // 2 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n % 3 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, mod(n, 3) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, fmod(usage, 0.3) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, -n AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n + 1 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n - 1 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n * 2 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n / 0 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n // 0 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n % 0 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, usage / 0 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, gcd(n, 6) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, lcm(n, 6) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, factorial(n) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n! AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, greatest(n, 5) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, least(n, 5) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, greatest(n, NULL, 3) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, bit_count(n) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n & 3 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n | 3 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, xor(n, 3) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n << 1 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n >> 1 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ~n AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, isnan(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, isinf(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, isfinite(usage) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, even(usage * 3) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, gamma(n + 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, lgamma(n + 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, nextafter(usage, 1) > usage AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n BETWEEN 2 AND 5 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n NOT BETWEEN 2 AND 5 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n IN (1, 2, 3) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n IN [1, 2, 3] AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n IS DISTINCT FROM 3 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n IS NOT DISTINCT FROM 3 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n::DOUBLE AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n::INTEGER AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, usage::INTEGER AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, (usage * 10)::BIGINT AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n::DECIMAL(10, 2) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n::DECIMAL(10, 2) / 3 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, CAST(usage AS DECIMAL(10, 3)) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, TRY_CAST(note AS INTEGER) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, TRY_CAST('12' AS INTEGER) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, '12'::INTEGER + 1 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, '1e3'::DOUBLE AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, 1_000 + n AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, 0x10 + n AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, 1e3 + n AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n = 3.0 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n > 2.5 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, add(n, 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, subtract(n, 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, multiply(n, 2) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, divide(n, 2) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, @(n - 5) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, random() BETWEEN 0 AND 1 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, width_bucket(n, 0, 10, 5) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, equi_width_bins(0, 10, 5, true) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, round_even(usage * 10, 0) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ok AND n > 3 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ok OR n > 3 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, NOT ok AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ok = true AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ok IS TRUE AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ok IS NOT FALSE AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ok::INT AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, CASE n WHEN 1 THEN 'one' WHEN 2 THEN 'two' ELSE 'many' END AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, CASE WHEN n > 5 THEN 'hi' WHEN n > 2 THEN 'mid' END AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, if(n > 5, 1, 0) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, iff(n > 5, 1, 0) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, coalesce(usage, 0) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, nullif(n, 3) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n <=> 3 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT id, big + 0 AS v FROM edge ORDER BY id
SELECT id, big::DOUBLE AS v FROM edge ORDER BY id
SELECT id, -(big // 2) AS v FROM edge ORDER BY id
SELECT id, abs(big // 2) AS v FROM edge ORDER BY id
SELECT id, big % 7 AS v FROM edge ORDER BY id
SELECT id, f + 1 AS v FROM edge ORDER BY id
SELECT id, f * 0 AS v FROM edge ORDER BY id
SELECT id, round(f) AS v FROM edge ORDER BY id
SELECT id, f = f AS v FROM edge ORDER BY id
SELECT id, f > 1e308 AS v FROM edge ORDER BY id
SELECT id, isnan(f) AS v FROM edge ORDER BY id
SELECT id, isinf(f) AS v FROM edge ORDER BY id
SELECT id, f::VARCHAR AS v FROM edge ORDER BY id
SELECT id, big::VARCHAR AS v FROM edge ORDER BY id
SELECT id, big::HUGEINT * 2 AS v FROM edge ORDER BY id
SELECT id, sign(f) AS v FROM edge ORDER BY id
SELECT id, greatest(f, 0) AS v FROM edge ORDER BY id
SELECT id, coalesce(f, 0) AS v FROM edge ORDER BY id
SELECT id, f IS NULL AS v FROM edge ORDER BY id
SELECT id, sqrt(abs(f)) AS v FROM edge ORDER BY id
SELECT id, big + 1 > big AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, big + 1 > big AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, big::DOUBLE AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, big::DOUBLE AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, abs(f) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, abs(f) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, f * 2 AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, f * 2 AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, f + big AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, f + big AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, floor(f) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, floor(f) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, ceil(f) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, ceil(f) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, round(f, 1) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, round(f, 1) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, f::VARCHAR AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, f::VARCHAR AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, big::VARCHAR AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, big::VARCHAR AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, f > 1 AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, f > 1 AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, f = f AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, f = f AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, isnan(f) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, isnan(f) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, isinf(f) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, isinf(f) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, isfinite(f) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, isfinite(f) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, sign(f) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, sign(f) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, greatest(f, 1.0) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, greatest(f, 1.0) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, least(f, 1.0) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, least(f, 1.0) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, big % 7 AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, big % 7 AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, big // 3 AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, big // 3 AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, big / 3 AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, big / 3 AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, -(big // 2) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, -(big // 2) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, big & 255 AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, big & 255 AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, big | 1 AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, big | 1 AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, xor(big, 1) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, xor(big, 1) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, bit_count(big) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, bit_count(big) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, big >> 2 AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, big >> 2 AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, f IS DISTINCT FROM 'nan'::DOUBLE AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, f IS DISTINCT FROM 'nan'::DOUBLE AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, TRY_CAST(f AS INTEGER) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, TRY_CAST(f AS INTEGER) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, TRY_CAST('12x' AS INTEGER) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, TRY_CAST('12x' AS INTEGER) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, even(f::FLOAT::DOUBLE) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, even(f::FLOAT::DOUBLE) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, sqrt(abs(big::DOUBLE)) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, sqrt(abs(big::DOUBLE)) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, ln(id + 1) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, ln(id + 1) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, log10(id + 1) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, log10(id + 1) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, power(id, 2) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, power(id, 2) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, cbrt(id) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, cbrt(id) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, sin(id) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, sin(id) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, pi() * id AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, pi() * id AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, degrees(id) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, degrees(id) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT id, trunc(f) AS v FROM edge WHERE id BETWEEN 1 AND 8 AND big IS NOT NULL AND abs(big) < 1000000 ORDER BY id
SELECT id, trunc(f) AS v FROM edge WHERE f IS NOT NULL AND f < 1e300 AND abs(coalesce(big, 0)::DOUBLE) < 1e18 ORDER BY id
SELECT x, CAST(x AS INT) AS i, CAST(x AS BIGINT) AS b, TRY_CAST(x AS TINYINT) AS t FROM (VALUES (CAST(2.5 AS DECIMAL(10,1))), (CAST(3.5 AS DECIMAL(10,1))), (CAST(-2.5 AS DECIMAL(10,1))), (CAST(1000.4 AS DECIMAL(10,1)))) t(x) ORDER BY x
SELECT fmod(2.5e0, -2) AS a, fmod(-7, 2) AS b, fmod(7, 2) AS c, fmod(0.1e0, -1) AS d
SELECT CAST(2.5e0 AS HUGEINT) AS a, CAST(-0.5e0 AS HUGEINT) AS b, CAST('2.5' AS HUGEINT) AS c, CAST(1e20 AS HUGEINT) AS d
SELECT 1::UINTEGER AS a, 1::UINT32 AS b, 1::INT1 AS c, 1::SHORT AS d, 1::LONG AS e, '1'::SIGNED AS f, 1::LOGICAL AS g, 1::BPCHAR AS h
SELECT CAST('2024-01-01 10:11' AS DATETIME) AS v
