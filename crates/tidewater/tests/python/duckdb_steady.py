"""duckdb_steady.py FOLDER SQL STOP: asks DuckDB the same of the catalog until the file STOP is there; every
answer must be the first. Prints how often it asked."""
import os
import sys

from lake import attach

folder, sql, stop = sys.argv[1:4]
db = attach(folder)
first, asked = None, 0
while asked < 20 or not os.path.exists(stop):
    rows = db.sql(sql).fetchall()
    first = first or rows
    assert rows == first, f"answer {asked} is {rows}, not {first}"
    asked += 1
print(asked, first)
