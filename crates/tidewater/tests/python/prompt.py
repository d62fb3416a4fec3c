"""prompt.py BINARY URL TOKEN HOME: types into the prompt as a user does, over a terminal of its own.

Prints one JSON object: what was tried. HOME is where the history goes.
"""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import struct
import sys
import termios
import time
import urllib.request

binary, url, token, home = sys.argv[1:5]
DEADLINE = 30
tried = []


class Terminal:
    """A program on a terminal; what it wrote since the last look, without escapes."""

    def __init__(self, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"HOME": home, "TERM": "xterm-256color", "XDG_STATE_HOME": ""})
            os.execv(binary, [binary, *arguments])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.seen = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, wanted, what):
        """Waits until a pattern was written; what was written up to its end."""
        until = time.monotonic() + DEADLINE
        while True:
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r", "", self.seen)
            if found := re.search(wanted, plain):
                self.seen = plain[found.end():]
                tried.append(what)
                return plain[:found.end()]
            left = until - time.monotonic()
            assert left > 0, f"{what}: {wanted!r} did not come; there was\n{plain}"
            if select.select([self.fd], [], [], left)[0]:
                try:
                    read = os.read(self.fd, 65536)
                except OSError:
                    read = b""
                assert read, f"{what}: the program ended; there was\n{plain}"
                self.seen += read.decode(errors="replace")

    def end(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def active():
    request = urllib.request.Request(f"{url}/api/v1/queries/active", headers={"authorization": f"Bearer {token}"})
    return json.load(urllib.request.urlopen(request))["count"]


prompt = Terminal("sql", "--url", url, "--token", token)
prompt.expect(r"Tidewater [\d.]+ at http[\s\S]*lists commands[^\n]*\n.*default> ", "greeting")
prompt.type("SELECT 41 + 1 AS answer;\r")
prompt.expect(r"answer[\s\S]*42[\s\S]*1 row in [\d.]+ ms[\s\S]*default> ", "a statement")
prompt.type("SELECT host, count(*) AS n\r")
prompt.type("FROM cpu -- not yet; \r")
prompt.type("GROUP BY host ORDER BY host;\r")
prompt.expect(r"host[\s\S]*h0[\s\S]*h1[\s\S]*2 rows[\s\S]*default> ", "a statement of three lines")
prompt.type("SELECT max(usa\t) FROM cp\t;")
prompt.expect(r"max\(usage\) FROM cpu;", "completion of a column and a table")
prompt.type("\r")
prompt.expect(r"1 row[\s\S]*default> ", "a completed statement")
prompt.type("SELECT time_bucket_g\t")
prompt.expect(r"time_bucket_gapfill\(", "completion of a function")
prompt.type("\x03")
prompt.expect(r"default> ", "Ctrl-C forgets a line")
prompt.type("SELECT nonsense FROM cpu;\r")
prompt.expect(r"nonsense FROM cpu;\n[\s\S]*nonsense[\s\S]*default> ", "an error is told")
prompt.type("\\dt\r")
prompt.expect(r"cpu[\s\S]*default> ", "\\dt")
prompt.type("\\d cpu\r")
prompt.expect(r"column_name[\s\S]*usage[\s\S]*default> ", "\\d cpu")
prompt.type("\\d\r")
prompt.expect(r"database[\s\S]*other[\s\S]*mem[\s\S]*default> ", "\\d")
prompt.type("\\c OTHER\r")
prompt.expect(r"other> ", "\\c")
prompt.type("SELECT * FROM mem;\r")
prompt.expect(r"1 row[\s\S]*other> ", "the other database")
prompt.type("\\c nowhere\r")
prompt.expect(r"there is no database[\s\S]*other> ", "\\c of none")
prompt.type("\\c default\r")
prompt.expect(r"default> ", "\\c back")
prompt.type("\\timing off\r")
prompt.expect(r"timing is off[\s\S]*default> ", "\\timing")
prompt.type("\\format vertical\r")
prompt.expect(r"default> ", "\\format")
prompt.type("SELECT NULL AS nothing, 'x' AS text;\r")
prompt.expect(r"-- row 1\s+nothing\s+NULL\s+text\s+x\s+1 row\n[\s\S]*default> ", "vertical")
prompt.type("\\format csv\r")
prompt.expect(r"default> ", "\\format csv")
prompt.type("SELECT 1 AS a, 'b,c' AS d;\r")
prompt.expect(r'a,d\s+1,"b,c"\s[\s\S]*default> ', "csv")
prompt.type("\\format table\r")
prompt.expect(r"default> ", "\\format table")
prompt.type("\\chart SELECT time, host, usage FROM cpu ORDER BY time\r")
drawn = prompt.expect(r"2026-01-01|\d\d:\d\d[\s\S]*default> ", "\\chart")
assert re.search("[\u2801-\u28ff]", drawn), drawn
prompt.type("\\chart SELECT 1 AS a\r")
prompt.expect(r"no column of times[\s\S]*default> ", "\\chart of no times")
prompt.type("SELECT count(*) AS n FROM cpu;\r")
prompt.expect(r"default> ", "before the watch")
prompt.type("\\watch 0.1\r")
for _ in range(3):
    prompt.expect(r"every 0.1 s, [\d:]+: Ctrl-C ends it[\s\S]*?1 row", "\\watch")
prompt.type("\x03")
prompt.expect(r"default> ", "Ctrl-C ends the watch")
# a statement that would take minutes: it tells how far it is, and Ctrl-C ends it and not the prompt
prompt.type("SELECT sum(a.range * b.range) FROM range(3000000) a, range(3000000) b WHERE (a.range + b.range) % 7 = 1;\r")
prompt.expect(r"\d+\.\d s, running, [\d,]+ rows read", "how far a statement is")
assert active() == 1
prompt.type("\x03")
prompt.expect(r"cancelled[\s\S]*default> ", "Ctrl-C cancels the statement")
until = time.monotonic() + DEADLINE
while active():
    assert time.monotonic() < until, "a cancelled statement goes on"
# what is typed while a statement runs is the next line
prompt.type("SELECT count(*) AS n FROM range(3000000) a, range(60) b WHERE (a.range + b.range) % 7 = 1;\r")
prompt.expect(r"running, [\d,]+ rows read|1 row", "a statement to type ahead of")
prompt.type("SELECT 'typed ' || 'ahead' AS w;\rSELECT 'and ' || 'more' AS w;\r")
prompt.expect(r"typed ahead[\s\S]*and more[\s\S]*default> ", "lines typed ahead")
prompt.type("\\nonsense\r")
prompt.expect(r"there is no command[\s\S]*default> ", "no command")
script = pathlib.Path(home, "script.sql")
script.write_text("SELECT 'first' AS a; SELECT 'second' AS b")
prompt.type(f"\\i {script}\r")
prompt.expect(r"first[\s\S]*second[\s\S]*default> ", "\\i")
prompt.type("\\?\r")
prompt.expect(r"\\watch[\s\S]*Ctrl-C cancels[\s\S]*default> ", "\\?")
prompt.type("\x1b[A\x1b[A")
prompt.expect(r"script\.sql", "history by the arrow")
prompt.type("\x03")
prompt.expect(r"default> ", "history, forgotten")
prompt.type("\x04")
assert prompt.end() == 0
history = pathlib.Path(home, ".local/state/tidewater/history")
assert "SELECT 41 + 1" in history.read_text() and history.stat().st_mode & 0o777 == 0o600

# the history of the last session is there
prompt = Terminal("sql", "--url", url, "--token", token, "--database", "other")
prompt.expect(r"other> ", "a second session")
prompt.type("\x12SELECT 41")
prompt.expect(r"SELECT 41 \+ 1 AS answer", "search in the history")
prompt.type("\r")
prompt.expect(r"42[\s\S]*other> ", "a statement of the history")
prompt.type("\\q\r")
assert prompt.end() == 0
print(json.dumps({"tried": len(tried)}))
