"""other_account.py FOLDER EXPECTED: another account, in the server's group and without write permission, attaches
the live catalog. Needs root to become that account; says so and skips otherwise."""
import json
import os
import sys

folder, expected = sys.argv[1], int(sys.argv[2])
if os.getuid() != 0:
    print(json.dumps({"skipped": "only root can become another account"}))
    sys.exit()

import duckdb
import duckdb_extensions
from lake import attach

# extensions where the other account may read them
extensions = os.path.join(os.path.dirname(folder), "extensions")
os.makedirs(extensions, 0o755, exist_ok=True)
db = duckdb.connect(config={"extension_directory": extensions, "home_directory": extensions})
for name in ("ducklake", "sqlite_scanner"):
    duckdb_extensions.import_extension(name, con=db)
os.setgroups([os.stat(folder).st_gid])
os.setgid(os.stat(folder).st_gid)
os.setuid(65534)
for name in ("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"):
    assert not os.access(f"{folder}/{name}", os.W_OK), f"{name} can be written"
for name in ("server.sqlite", "admin-token", "log"):
    assert not os.access(f"{folder}/{name}", os.R_OK), f"{name} can be read by another account"
db.execute(f"ATTACH 'ducklake:sqlite:{folder}/catalog.sqlite' AS lake (READ_ONLY)")
rows = db.sql('SELECT count(*) FROM lake."default".t').fetchall()[0][0]
assert rows == expected, f"{rows} rows, {expected} expected"
print(json.dumps({"rows": rows}))
