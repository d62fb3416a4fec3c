SELECT [1, 2, 3] AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT [n, n + 1] AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT len([1, 2, 3]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT [1, 2, 3][1] AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT [1, 2, 3][-1] AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT [1, 2, 3][2:] AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_value(1, 2) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_contains([1, 2], 2) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_has([1, 2], 3) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT array_contains([1, 2], 2) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_position([1, 2, 3], 2) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_append([1], 2) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_prepend(0, [1]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_concat([1], [2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT array_cat([1], [2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT [1] || [2] AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_distinct([1, 1, 2]) IS NOT NULL AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_unique([1, 1, 2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_sort([3, 1, 2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_reverse_sort([3, 1, 2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_reverse([1, 2, 3]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT array_length([1, 2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_sum([1, 2, 3]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_avg([1, 2, 3]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_min([3, 1]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_max([3, 1]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_count([1, NULL]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_first([1, 2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_last([1, 2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_any_value([NULL, 2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_aggregate([1, 2, 3], 'sum') AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_median([1, 2, 3]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_transform([1, 2, 3], x -> x * 2) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_filter([1, 2, 3], x -> x > 1) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT [x * 2 FOR x IN [1, 2, 3] IF x > 1] AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_reduce([1, 2, 3], (a, b) -> a + b) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_slice([1, 2, 3], 1, 2) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_zip([1, 2], [3, 4]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT flatten([[1], [2, 3]]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT range(3) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT range(1, 4) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT generate_series(1, 3) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_intersect([1, 2], [2, 3]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_has_any([1, 2], [2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_has_all([1, 2], [2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_resize([1], 3) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT {'a': n, 'b': host} AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT struct_pack(a := n, b := host) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT {'a': n}.a AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT struct_extract({'a': n}, 'a') AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT row(n, host) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT map {'a': 1} AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT map(['a', 'b'], [1, 2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT map {'a': n}['a'] AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT map_keys(map {'a': 1}) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT map_values(map {'a': 1}) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT cardinality(map {'a': 1}) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT element_at(map {'a': 1}, 'a') AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT unnest([1, 2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_cosine_similarity([1.0, 2.0], [2.0, 1.0]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_dot_product([1.0, 2.0], [2.0, 1.0]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT array_to_string([1, 2], ',') AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT string_split('a,b', ',')[1] AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT list_grade_up([3, 1, 2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT array_pop_back([1, 2]) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT array_push_back([1], 2) AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT [1, 2, 3][2:] AS v
SELECT [1, 2, 3][:2] AS v
SELECT [1, 2, 3][-1] AS v
SELECT list_value(1, 2) AS v
SELECT list_sort([3, 1, 2]) AS v
SELECT list_reverse([1, 2]) AS v
SELECT list_contains([1, 2], 2) AS v
SELECT list_position([1, 2], 2) AS v
SELECT list_append([1], 2) AS v
SELECT list_prepend(0, [1]) AS v
SELECT list_concat([1], [2, 3]) AS v
SELECT len([1, 2, 3]) AS v
SELECT list_sort(list_distinct([1, 1, 2])) AS v
SELECT array_to_string([1, 2], '-') AS v
SELECT list_slice([1, 2, 3], 1, 2) AS v
SELECT flatten([[1], [2, 3]]) AS v
SELECT list_has_any([1, 2], [2, 3]) AS v
SELECT list_sum([1, 2, 3]) AS v
SELECT list_avg([1.0, 2.0]) AS v
SELECT list_max([1, 3]) AS v
SELECT range(3) AS v
SELECT generate_series(1, 3) AS v
SELECT string_split('a,b', ',') AS v
SELECT string_split('a,b', ',')[2] AS v
SELECT {'a': 1, 'b': 'x'} AS v
SELECT {'a': 1}.a AS v
SELECT map {'a': 1, 'b': 2} AS v
SELECT map_keys(map {'a': 1}) AS v
SELECT [{'a': n}, {'a': n + 1}][2].a AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
SELECT {'a': {'b': n}}.a.b AS v FROM cpu WHERE host = 'a' ORDER BY time LIMIT 3
