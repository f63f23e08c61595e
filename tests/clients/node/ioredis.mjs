// What ioredis does on streamlog: `ioredis.mjs HOST PORT`. It speaks RESP2 alone.

import assert from "node:assert/strict";
import { Redis } from "ioredis";
import { done, host, port, refused, restart, untilBlocked } from "./common.mjs";

const connect = () => {
  const client = new Redis({ host, port, retryStrategy: () => 100, maxRetriesPerRequest: null });
  client.on("error", () => {});
  return client;
};

async function groups(client) {
  assert.equal(await client.xgroup("CREATE", "orders", "workers", "0", "MKSTREAM"), "OK");
  assert.match((await refused(client.xgroup("CREATE", "orders", "workers", "0"))).message, /^BUSYGROUP/);
  const ids = [];
  for (let n = 0; n < 5; n++) ids.push(await client.xadd("orders", "*", "n", n));
  const read = await client.xreadgroup("GROUP", "workers", "one", "COUNT", 3, "STREAMS", "orders", ">");
  assert.deepEqual(read, [["orders", ids.slice(0, 3).map((id, n) => [id, ["n", String(n)]])]]);
  assert.equal(await client.xack("orders", "workers", ids[0]), 1);
  assert.deepEqual(await client.xpending("orders", "workers"), [2, ids[1], ids[2], [["one", "2"]]]);
  const rows = await client.xpending("orders", "workers", "-", "+", 10);
  assert.deepEqual(rows.map(([id, consumer, , deliveries]) => [id, consumer, deliveries]), [[ids[1], "one", 1], [ids[2], "one", 1]]);
  assert.equal((await client.xinfo("STREAM", "orders"))[1], 5);
  assert.equal(await client.xtrim("orders", "MAXLEN", 2), 3);
  assert.deepEqual((await client.xrange("orders", "-", "+")).map(([id]) => id), ids.slice(3));
}

async function claims(client) {
  await client.xgroup("CREATE", "jobs", "workers", "0", "MKSTREAM");
  const ids = [];
  for (let n = 0; n < 4; n++) ids.push(await client.xadd("jobs", "*", "n", n));
  await client.xreadgroup("GROUP", "workers", "lost", "STREAMS", "jobs", ">");
  assert.deepEqual(await client.xclaim("jobs", "workers", "two", 0, ids[0]), [[ids[0], ["n", "0"]]]);
  assert.deepEqual(await client.xclaim("jobs", "workers", "two", 3_600_000, ids[1]), []);
  const claim = await client.xautoclaim("jobs", "workers", "three", 0, ids[1], "COUNT", 2, "JUSTID");
  assert.deepEqual(claim, [ids[3], ids.slice(1, 3), []]);
}

async function blocking(client) {
  const other = connect();
  const reads = [
    () => other.xread("BLOCK", 0, "STREAMS", "news", "$"),
    () => other.xreadgroup("GROUP", "readers", "one", "BLOCK", 20_000, "STREAMS", "news", ">"),
  ];
  for (const read of reads) {
    await client.del("news");
    await client.xgroup("CREATE", "news", "readers", "0", "MKSTREAM");
    const reading = read();
    await untilBlocked(() => client.info("clients"));
    const id = await client.xadd("news", "*", "text", "hello");
    assert.deepEqual(await reading, [["news", [[id, ["text", "hello"]]]]]);
  }
  assert.equal(await other.xread("BLOCK", 20, "STREAMS", "news", "$"), null);
  other.disconnect();
}

async function transactions(client) {
  const results = await client.multi().xadd("left", "*", "n", 1).xadd("right", "*", "n", 1).xlen("left").exec();
  const [first, second, length] = results.map(([error, result]) => (assert.equal(error, null), result));
  assert.equal(length, 1);
  assert.deepEqual(await client.xrange("left", "-", "+"), [[first, ["n", "1"]]]);
  assert.deepEqual(await client.xrange("right", "-", "+"), [[second, ["n", "1"]]]);
  const other = connect();
  await other.watch("left");
  await client.xadd("left", "*", "n", "by another");
  assert.equal(await other.multi().xadd("left", "*", "n", 2).exec(), null);
  assert.equal(await client.xlen("left"), 2);
  // The replies of MULTI come as they are sent, one by one.
  await other.multi({ pipeline: false });
  assert.equal(await other.xlen("left"), "QUEUED");
  assert.deepEqual(await other.exec(), [[null, 2]]);
  other.disconnect();
}

async function pipelines(client) {
  const pipeline = client.pipeline();
  for (let n = 0; n < 500; n++) pipeline.xadd("many", "*", "n", n);
  const results = await pipeline.xadd("many", "0-0", "n", "none").xlen("many").exec();
  const [, length] = results.pop();
  const [error] = results.pop();
  assert.match(error.message, /must be greater than 0-0/);
  assert.equal(length, 500);
  assert.deepEqual((await client.xrange("many", "-", "+")).map(([id]) => id), results.map(([, id]) => id));
  const keys = [];
  for await (const found of client.scanStream({ match: "man*" })) keys.push(...found);
  assert.deepEqual(keys, ["many"]);
}

async function reconnecting(client) {
  const id = await client.xadd("kept", "*", "n", 1);
  await restart();
  assert.deepEqual(await client.xrange("kept", "-", "+"), [[id, ["n", "1"]]]);
}

const client = connect();
assert.equal(await client.ping(), "PONG");
await client.flushall();
for (const part of [groups, claims, blocking, transactions, pipelines, reconnecting]) await part(client);
client.disconnect();
done();
