"""InfluxDB's Python clients of versions 1 and 3 write. Usage: clients_influx.py URL TOKEN; prints one JSON object."""

import json
import sys
import urllib.parse
import urllib.request

from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError
from influxdb_client_3 import InfluxDBClient3, Point

url, token = sys.argv[1:3]
at = urllib.parse.urlsplit(url)
NOW = 1_767_225_600  # 2026-01-01T00:00Z


def rows(sql):
    request = urllib.request.Request(url + "/api/v1/query", json.dumps({"sql": sql}).encode(), {"authorization": f"Bearer {token}"})
    return json.load(urllib.request.urlopen(request))["data"]


# the token is the password, whatever the name
one = InfluxDBClient(host=at.hostname, port=at.port, username="any", password=token, database="python1")
assert one.ping()
one.create_database("python1")
assert {"name": "python1"} in one.get_list_database()
points = [{"measurement": "cpu", "tags": {"host": f"h{i}"}, "fields": {"usage": i / 2, "n": i}, "time": NOW * 1_000 + i} for i in range(500)]
assert one.write_points(points, time_precision="ms", batch_size=200)
assert rows("SELECT count(*), sum(n), max(usage) FROM python1.cpu") == [[500, 124_750, 249.5]]
try:
    InfluxDBClient(host=at.hostname, port=at.port, username="any", password="wrong", database="python1").write_points(points[:1])
    raise AssertionError("a wrong password writes")
except InfluxDBClientError as error:
    assert error.code == 401, error

three = InfluxDBClient3(host=url, token=token, database="python3")
three.write(record=Point("cpu").tag("host", "b").field("usage", 1.5).time(NOW * 1_000_000_000))
three.write(record=f"cpu,host=c usage=2.5 {NOW + 1}", write_precision="s")
three.close()
assert rows("SELECT host, usage FROM python3.cpu ORDER BY host") == [["b", 1.5], ["c", 2.5]]
print(json.dumps({"influxdb": "pings, makes a database, writes, hears why it may not", "influxdb3-python": "writes"}))
