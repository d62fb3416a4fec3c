"""The corpus of statements against DuckDB: each answer is DuckDB's, or a clear refusal.

Usage: differential.py URL TOKEN FOLDER [CATEGORY …]; prints one JSON object.
"""

import collections
import json
import pathlib
import sys

from oracle import duck, fill, judge

folder = sys.argv[3]
fill()
con = duck()
report = {}
for file in sorted(pathlib.Path(folder).glob("*.sql")):
    if sys.argv[4:] and file.stem not in sys.argv[4:]:
        continue
    counts, listed = collections.Counter(), []
    for sql in file.read_text().splitlines():
        verdict, why = judge(con, sql)
        counts[verdict] += 1
        if verdict != "equal":
            listed.append([verdict, sql, why])
    report[file.stem] = {"counts": counts, "listed": listed}
print(json.dumps(report))
