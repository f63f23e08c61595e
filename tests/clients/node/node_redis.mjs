// What node-redis does on streamlog: `node_redis.mjs HOST PORT`, in both protocols.

import assert from "node:assert/strict";
import { createClient, WatchError } from "redis";
import { done, host, port, refused, restart, untilBlocked } from "./common.mjs";

async function connect(RESP) {
  // Of RESP3 this version hands on the replies to reads as they come, to those who say that they know.
  const client = createClient({ RESP, unstableResp3: true, socket: { host, port, reconnectStrategy: 100 } });
  client.on("error", () => {});
  return client.connect();
}

/** The first stream of a read, as either protocol has it: its name, and its entries' IDs and fields. */
function stream(reply) {
  if (Array.isArray(reply)) {
    const [{ name, messages }] = reply;
    return [name, messages.map(({ id, message }) => [id, { ...message }])];
  }
  const [[name, entries]] = Object.entries(reply);
  const pairs = (list) => list.flatMap((name, at) => (at % 2 ? [] : [[name, list[at + 1]]]));
  return [name, entries.map(([id, fields]) => [id, Object.fromEntries(pairs(fields))])];
}

async function groups(client) {
  assert.equal(await client.xGroupCreate("orders", "workers", "0", { MKSTREAM: true }), "OK");
  const again = await refused(client.xGroupCreate("orders", "workers", "0"));
  assert.match(again.message, /^BUSYGROUP/);
  const ids = [];
  for (let n = 0; n < 5; n++) ids.push(await client.xAdd("orders", "*", { n: String(n) }));
  const read = await client.xReadGroup("workers", "one", { key: "orders", id: ">" }, { COUNT: 3 });
  assert.deepEqual(stream(read), ["orders", ids.slice(0, 3).map((id, n) => [id, { n: String(n) }])]);
  assert.equal(await client.xAck("orders", "workers", ids[0]), 1);
  assert.equal((await client.xPending("orders", "workers")).pending, 2);
  const rows = await client.xPendingRange("orders", "workers", "-", "+", 10);
  assert.deepEqual(rows.map((row) => [row.id, row.consumer, row.deliveriesCounter]), [[ids[1], "one", 1], [ids[2], "one", 1]]);
  const [group] = await client.xInfoGroups("orders");
  assert.deepEqual([group.name, group.pending, group.lag, group["last-delivered-id"]], ["workers", 2, 2, ids[2]]);
  assert.equal((await client.xInfoStream("orders")).length, 5);
  assert.equal(await client.xTrim("orders", "MAXLEN", 2), 3);
  assert.deepEqual((await client.xRange("orders", "-", "+")).map(({ id }) => id), ids.slice(3));
}

async function claims(client) {
  await client.xGroupCreate("jobs", "workers", "0", { MKSTREAM: true });
  const ids = [];
  for (let n = 0; n < 4; n++) ids.push(await client.xAdd("jobs", "*", { n: String(n) }));
  await client.xReadGroup("workers", "lost", { key: "jobs", id: ">" });
  const [claimed] = await client.xClaim("jobs", "workers", "two", 0, ids[0]);
  assert.equal(claimed.id, ids[0]);
  assert.deepEqual(await client.xClaim("jobs", "workers", "two", 3_600_000, ids[1]), []);
  const claim = await client.xAutoClaim("jobs", "workers", "three", 0, ids[1], { COUNT: 2 });
  assert.deepEqual([claim.nextId, claim.messages.map(({ id }) => id)], [ids[3], ids.slice(1, 3)]);
}

async function blocking(client) {
  const other = await client.duplicate().connect();
  const reads = [
    () => other.xRead({ key: "news", id: "$" }, { BLOCK: 0 }),
    () => other.xReadGroup("readers", "one", { key: "news", id: ">" }, { BLOCK: 20_000 }),
  ];
  for (const read of reads) {
    await client.del("news");
    await client.xGroupCreate("news", "readers", "0", { MKSTREAM: true });
    const reading = read();
    await untilBlocked(() => client.info("clients"));
    const id = await client.xAdd("news", "*", { text: "hello" });
    assert.deepEqual(stream(await reading), ["news", [[id, { text: "hello" }]]]);
  }
  assert.equal(await other.xRead({ key: "news", id: "$" }, { BLOCK: 20 }), null);
  other.destroy();
}

async function transactions(client) {
  const [first, second, length] = await client
    .multi()
    .xAdd("left", "*", { n: "1" })
    .xAdd("right", "*", { n: "1" })
    .xLen("left")
    .exec();
  assert.equal(length, 1);
  assert.equal((await client.xRange("left", "-", "+"))[0].id, first);
  assert.equal((await client.xRange("right", "-", "+"))[0].id, second);
  const other = await client.duplicate().connect();
  await other.watch("left");
  await client.xAdd("left", "*", { n: "by another" });
  assert.ok((await refused(other.multi().xAdd("left", "*", { n: "2" }).exec())) instanceof WatchError);
  assert.equal(await client.xLen("left"), 2);
  other.destroy();
}

/** What is asked in one turn of the loop is sent at once. */
async function pipelines(client) {
  const asked = Array.from({ length: 500 }, (_, n) => client.xAdd("many", "*", { n: String(n) }));
  const error = refused(client.xAdd("many", "0-0", { n: "none" }));
  const length = client.xLen("many");
  const ids = await Promise.all(asked);
  assert.match((await error).message, /must be greater than 0-0/);
  assert.equal(await length, 500);
  assert.deepEqual((await client.xRange("many", "-", "+")).map(({ id }) => id), ids);
}

async function reconnecting(client) {
  const id = await client.xAdd("kept", "*", { n: "1" });
  await restart();
  const [entry] = await client.xRange("kept", "-", "+");
  assert.equal(entry.id, id);
}

for (const RESP of [2, 3]) {
  const client = await connect(RESP);
  assert.equal(await client.ping(), "PONG");
  await client.flushAll();
  for (const part of [groups, claims, blocking, transactions, pipelines, reconnecting]) await part(client);
  client.destroy();
}
done();
