// Node's clients write, and Arrow's reader reads. Usage: clients.cjs URL TOKEN; prints one JSON object.

const assert = require("node:assert");
const { InfluxDB, Point, HttpError } = require("@influxdata/influxdb-client");
const v3 = require("@influxdata/influxdb3-client");
const Influx = require("influx");
const arrow = require("apache-arrow");

const [url, token] = process.argv.slice(2);
const at = new URL(url);
const NOW = 1767225600000; // 2026-01-01T00:00Z

async function ask(path, sql, headers = {}) {
  const answer = await fetch(url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    body: JSON.stringify({ sql }),
  });
  assert.equal(answer.status, 200, sql);
  return answer;
}

const rows = async (sql) => (await (await ask("/api/v1/query", sql)).json()).data;

async function influx2() {
  // close() waits for what it sends itself, not for a batch that was full before
  const api = new InfluxDB({ url, token }).getWriteApi("org", "node2", "ms", { batchSize: 5000 });
  api.useDefaultTags({ region: "eu" });
  for (let i = 0; i < 1000; i++) {
    api.writePoint(new Point("cpu").tag("host", `h ${i % 3}`).floatField("usage", i / 8).intField("n", i).booleanField("ok", i % 2 == 0).stringField("note", `"${i}", \\`).timestamp(NOW + i));
  }
  await api.close();
  assert.deepEqual(await rows("SELECT count(*), sum(n), max(usage), count(DISTINCT host) FROM node2.cpu"), [[1000, 499500, 999 / 8, 3]]);
  assert.deepEqual(await rows("SELECT host, region, ok, note FROM node2.cpu WHERE n = 7"), [["h 1", "eu", false, '"7", \\']]);
  let heard;
  const writeFailed = async (error) => { heard = error; };
  const refused = new InfluxDB({ url, token: "wrong" }).getWriteApi("org", "node2", "ms", { maxRetries: 0, writeFailed });
  refused.writePoint(new Point("cpu").floatField("usage", 1));
  await refused.close();
  assert(heard instanceof HttpError && heard.statusCode === 401, `${heard}`);
  return "writes, and hears why it may not";
}

async function influx1() {
  const client = new Influx.InfluxDB({ host: at.hostname, port: Number(at.port), username: "any", password: token, database: "node1" });
  assert((await client.ping(2000)).every((host) => host.online), "ping");
  await client.createDatabase("node1");
  assert((await client.getDatabaseNames()).includes("node1"));
  await client.writePoints([
    { measurement: "mem", tags: { host: "a" }, fields: { free: 12, note: "x y" }, timestamp: new Date(NOW) },
    { measurement: "mem", tags: { host: "b" }, fields: { free: 13.5 }, timestamp: new Date(NOW + 1) },
  ]);
  assert.deepEqual(await rows("SELECT host, free, note FROM node1.mem ORDER BY host"), [["a", 12, "x y"], ["b", 13.5, null]]);
  return "pings, makes a database, writes";
}

async function influx3() {
  const client = new v3.InfluxDBClient({ host: url, token, database: "node3" });
  await client.write("cpu,host=a usage=0.5 1767225600000000000");
  await client.write(v3.Point.measurement("cpu").setTag("host", "b").setFloatField("usage", 1.5).setTimestamp(new Date(NOW)));
  await client.close();
  assert.deepEqual(await rows("SELECT host, usage FROM node3.cpu ORDER BY host"), [["a", 0.5], ["b", 1.5]]);
  return "writes";
}

async function readsArrow() {
  const columns = "time, host, usage, n, ok, note";
  const read = async (sql) => arrow.tableFromIPC(new Uint8Array(await (await ask("/api/v1/query/arrow", sql)).arrayBuffer()));
  const table = await read(`SELECT ${columns} FROM node2.cpu ORDER BY time`);
  assert.equal(table.numRows, 1000);
  const row = table.get(7).toJSON();
  assert.equal(Number(row.time), NOW + 7);
  assert.deepEqual([row.host, row.usage, row.n, row.ok, row.note], ["h 1", 7 / 8, 7n, false, '"7", \\']);
  const none = await read(`SELECT ${columns} FROM node2.cpu WHERE n < 0`);
  assert.equal(none.numRows, 0);
  assert.deepEqual(none.schema.fields.map((f) => f.name), columns.split(", "));
  return "reads, with and without rows";
}

(async () => {
  const seen = {};
  for (const [name, run] of [["@influxdata/influxdb-client", influx2], ["influx", influx1], ["@influxdata/influxdb3-client", influx3], ["apache-arrow", readsArrow]]) {
    seen[name] = await run();
  }
  console.log(JSON.stringify(seen));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
