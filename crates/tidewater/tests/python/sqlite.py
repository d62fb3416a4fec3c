"""sqlite.py FILE STATEMENT: the first row, with spaces between; nothing is written."""
import sqlite3
import sys

database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print(*database.execute(sys.argv[2]).fetchone())
