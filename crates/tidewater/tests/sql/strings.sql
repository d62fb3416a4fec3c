SELECT host, time, upper(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, lower(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, length(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, strlen(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, len(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, char_length(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, reverse(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, trim(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ltrim(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, rtrim(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, trim(note, 'ab') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, lpad(note, 8, '*') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, rpad(note, 8, '*') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, left(note, 2) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, right(note, 2) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, left(note, -1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, right(note, -1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, substr(note, 2, 2) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, substring(note, 2) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, substring(note FROM 2 FOR 2) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note[1] AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note[2:3] AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note[-2:] AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, replace(note, 'a', 'X') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, translate(note, 'ab', 'xy') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, concat(note, '-', host) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, concat_ws('-', note, host) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note || host AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note || 1 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, repeat(note, 2) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, strpos(note, 'b') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, instr(note, 'b') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, position('b' IN note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, contains(note, 'a') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, starts_with(note, 'a') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ends_with(note, 'a') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, prefix(note, 'a') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, suffix(note, 'a') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note ^@ 'a' AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note LIKE 'a%' AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note NOT LIKE '%b%' AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note ILIKE 'A%' AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note LIKE '_b%' AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note GLOB 'a*' AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note SIMILAR TO 'a.*' AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note ~ 'a.*' AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, regexp_matches(note, 'b') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, regexp_full_match(note, 'a.*') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, regexp_replace(note, '[ab]', 'X') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, regexp_replace(note, '[ab]', 'X', 'g') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, regexp_extract(note, 'a(.)', 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, regexp_extract(note, '[a-z]+') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, regexp_extract_all(note, '[a-z]') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, split_part(note, 'b', 1) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, string_split(note, 'b') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, str_split(note, 'b') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, split(note, 'b') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ascii(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, unicode(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ord(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, md5(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, sha256(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, base64(note::BLOB) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, hex(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, hash(note) IS NOT NULL AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, levenshtein(note, host) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, editdist3(note, host) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, jaccard(note, 'abc') >= 0 AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, damerau_levenshtein(note, host) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, hamming('abc', 'abd') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, format('{}-{}', note, n) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, printf('%s-%d', note, n) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, initcap(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, nfc_normalize(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, strip_accents(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, bar(n, 0, 10, 5) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, to_base64(note::BLOB) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note COLLATE NOCASE AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note = 'abc' AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note < 'b' AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note IS NULL AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, coalesce(note, 'none') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ifnull(note, 'none') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, nullif(note, 'abc') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, note IN ('abc', 'b') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, lcase(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, ucase(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, array_to_string([note, host], ',') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, string_agg(note, ',') OVER (PARTITION BY host ORDER BY time) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, octet_length(note::BLOB) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, bit_length(note) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, chr(97) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, concat(n, ':', ok) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, n::VARCHAR || 'x' AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, greatest(note, host) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, least(note, host) AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, levenshtein('kitten', 'sitting') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, url_encode('a b') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT host, time, parse_filename('/a/b.csv') AS v FROM cpu ORDER BY host, time LIMIT 25
SELECT time, host, note[1] AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT note[1] AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, note[2:3] AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT note[2:3] AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, note[-2:] AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT note[-2:] AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, note[:2] AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT note[:2] AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, note[-1] AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT note[-1] AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, left(note, 2) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT left(note, 2) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, right(note, 1) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT right(note, 1) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, note || '-' || host AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT note || '-' || host AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, concat(note, 1, NULL) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT concat(note, 1, NULL) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, concat_ws('/', host, region, note) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT concat_ws('/', host, region, note) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, replace(note, 'a', '**') AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT replace(note, 'a', '**') AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, reverse(note) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT reverse(note) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, repeat(host, 3) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT repeat(host, 3) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, lpad(note, 5, '.') AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT lpad(note, 5, '.') AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, rpad(note, 5, '.') AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT rpad(note, 5, '.') AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, trim(note) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT trim(note) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, ltrim(note) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT ltrim(note) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, rtrim(note) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT rtrim(note) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, upper(note) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT upper(note) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, strlen(note) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT strlen(note) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, position('b' IN note) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT position('b' IN note) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, instr(note, 'b') AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT instr(note, 'b') AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, contains(note, 'b') AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT contains(note, 'b') AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, starts_with(note, 'a') AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT starts_with(note, 'a') AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, split_part(note, ',', 1) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT split_part(note, ',', 1) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, note LIKE '_b%' AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT note LIKE '_b%' AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, note ILIKE 'A%' AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT note ILIKE 'A%' AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, note NOT LIKE '%b%' AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT note NOT LIKE '%b%' AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, note SIMILAR TO '[a-c]+' AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT note SIMILAR TO '[a-c]+' AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, regexp_matches(note, '^[ab]') AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT regexp_matches(note, '^[ab]') AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, regexp_replace(note, '[ab]', 'X') AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT regexp_replace(note, '[ab]', 'X') AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, regexp_replace(note, '[ab]', 'X', 'g') AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT regexp_replace(note, '[ab]', 'X', 'g') AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, regexp_extract(note, '([a-z])(.)', 2) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT regexp_extract(note, '([a-z])(.)', 2) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, coalesce(note, 'none') AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT coalesce(note, 'none') AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, nullif(note, '') AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT nullif(note, '') AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, md5(note) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT md5(note) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, ascii(note) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT ascii(note) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, chr(65 + n::INT) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT chr(65 + n::INT) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, note < 'b' AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT note < 'b' AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT time, host, greatest(note, host) AS v FROM cpu WHERE n > 2 ORDER BY time, host LIMIT 30
SELECT greatest(note, host) AS v, count(*) AS c FROM cpu GROUP BY 1 ORDER BY ALL
SELECT substr('Hello World', -3) AS a, substr('Hello World', -3, 2) AS b, substring('Hello World', -3) AS c, substr('a', -3, 2) AS d, substr('Hello', 0, 2) AS e
SELECT host, time, substr(note, -2) AS v, substr(note, -200, 3) AS w FROM cpu ORDER BY host, time LIMIT 25
SELECT string_split('abc', '') AS a, str_split('äö€', '') AS b, split('', '') AS c
SELECT split_part('abc', '', 2) AS a, split_part('äöü', '', -1) AS b, split_part('a,b', ',', 2) AS c, split_part('', '', 1) AS d, split_part('abc', '', 9) AS e
