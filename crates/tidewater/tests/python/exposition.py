"""exposition.py URL TOKEN: Prometheus' own parser reads /metrics, and no series stands twice."""
import sys
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

url, token = sys.argv[1:]
request = urllib.request.Request(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"})
text = urllib.request.urlopen(request).read().decode()
families, series = set(), set()
for family in text_string_to_metric_families(text):
    assert family.name not in families, f"{family.name} stands twice"
    assert family.documentation, f"{family.name} says not what it is"
    families.add(family.name)
    for sample in family.samples:
        key = (sample.name, tuple(sorted(sample.labels.items())))
        assert key not in series, f"{key} stands twice"
        series.add(key)
assert len(families) > 80, len(families)
print(f"{len(families)} families, {len(series)} series")
