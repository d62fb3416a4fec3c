"""catalog_check.py FOLDER: what a DuckLake reader relies on, checked from outside: counters, names,
types, files with their sizes and field ids, exact statistics."""
import os
import sqlite3
import struct
import sys

import duckdb
from lake import attach

folder = os.path.abspath(sys.argv[1])
catalog = sqlite3.connect(f"file:{folder}/catalog.sqlite?mode=ro", uri=True)
q = lambda sql, *a: catalog.execute(sql, a).fetchall()
faults, checks = [], 0


def ok(holds, what):
    global checks
    checks += 1
    if not holds:
        faults.append(what)


snapshots = q("SELECT snapshot_id, snapshot_time, schema_version, next_catalog_id, next_file_id FROM ducklake_snapshot ORDER BY 1")
for a, b in zip(snapshots, snapshots[1:]):
    ok(a[1] < b[1] and all(x <= y for x, y in zip(a[2:], b[2:])), f"snapshots {a} {b} rise")
newest = snapshots[-1]
ok(newest[3] > max(r[0] for r in q("SELECT schema_id FROM ducklake_schema UNION SELECT table_id FROM ducklake_table")), "catalog ids")
ok(newest[4] > max((r[0] for r in q("SELECT data_file_id FROM ducklake_data_file")), default=-1), "file ids")
db = attach(folder)
types = {"boolean", "int16", "int64", "uint64", "float64", "timestamptz", "varchar"}
live = q("""SELECT t.table_id, s.schema_name, t.table_name, s.path || t.path FROM ducklake_table t
            JOIN ducklake_schema s USING (schema_id) WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL""")
ok(len({(s.lower(), t.lower()) for _, s, t, _ in live}) == len(live), "names are unique in any case")
for table, schema, name, path in live:
    columns = dict(q("SELECT column_id, column_type FROM ducklake_column WHERE table_id = ? AND end_snapshot IS NULL", table))
    ok(columns and set(columns.values()) <= types, f"{name}: columns {columns}")
    rows = 0
    files = q("SELECT data_file_id, path, record_count, file_size_bytes, footer_size, mapping_id FROM ducklake_data_file WHERE table_id = ? AND end_snapshot IS NULL", table)
    for file, relative, count, size, footer, mapping in files:
        full = f"{folder}/data/{path}{relative}"
        ok(os.path.getsize(full) == size, f"{relative}: size")
        with open(full, "rb") as f:
            f.seek(-8, 2)
            ok(struct.unpack("<I", f.read(4))[0] == footer, f"{relative}: footer")
        literal = full.replace("'", "''")
        held = duckdb.execute(f"SELECT field_id, name FROM parquet_schema('{literal}') WHERE num_children IS NULL").fetchall()
        if mapping is None:
            ids = dict(held)
        else:
            ids = dict(q("SELECT target_field_id, source_name FROM ducklake_name_mapping WHERE mapping_id = ?", mapping))
            ok({c.lower() for _, c in held} == {c.lower() for c in ids.values()}, f"{relative}: mapped {ids}")
            ok(q("SELECT table_id FROM ducklake_column_mapping WHERE mapping_id = ?", mapping) == [(table,)], f"{relative}: mapping {mapping}")
        ok(set(ids) <= set(columns), f"{relative}: field ids {ids}")
        ok(duckdb.execute(f"SELECT count(*) FROM '{literal}'").fetchone()[0] == count, f"{relative}: rows")
        for column, values, nulls, low, high in q("SELECT column_id, value_count, null_count, min_value, max_value FROM ducklake_file_column_stats WHERE data_file_id = ?", file):
            c = ids[column].replace('"', '""')
            kind = "TIMESTAMPTZ" if columns[column] == "timestamptz" else "VARCHAR"
            found = duckdb.execute(f"""SELECT count("{c}"), count(*) - count("{c}"), min("{c}") = ?::{kind}, max("{c}") = ?::{kind} FROM '{literal}'""", [low, high]).fetchone()
            ok(found == (values, nulls, True, True) or low is None, f"{relative}.{c}: {found} is not {(values, nulls, low, high)}")
        rows += count
    quoted = ".".join('"' + n.replace('"', '""') + '"' for n in ("lake", schema, name))
    ok(db.execute(f"SELECT count(*) FROM (SELECT * FROM {quoted})").fetchone()[0] == rows, f"{name}: scan")
    # a delete leaves it as it is, and so do merges of a table of points: readers must not take the table's bounds for
    # those of its rows
    points = q("SELECT 1 FROM tw_table WHERE table_id = ? AND mode = 'last'", table)
    recorded = q("SELECT record_count FROM ducklake_table_stats WHERE table_id = ?", table)[0][0]
    whole_history = snapshots[0][0] == 0
    deleted = q("SELECT 1 FROM ducklake_snapshot_changes WHERE changes_made LIKE ?", f"%deleted_from_table:{table}%")
    ok(recorded == rows or (recorded > rows and (deleted or points or not whole_history)), f"{name}: record_count {recorded} of {rows}")
print(f"{checks} checks, {len(faults)} faults")
sys.exit("\n".join(faults) if faults else 0)
