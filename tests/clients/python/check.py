"""What redis-py does on streamlog: `check.py HOST PORT`, in both protocols, blocking and in asyncio.

Says `restart` when it wants the server restarted, and waits for a line.
"""

import asyncio
import sys
import threading
import time

import redis
import redis.asyncio

HOST, PORT = sys.argv[1], int(sys.argv[2])


def connect(protocol):
    return redis.Redis(host=HOST, port=PORT, protocol=protocol, decode_responses=True, socket_timeout=30)


def streams(reply):
    """Streams and their entries: a map in RESP3, pairs in RESP2; entries of a stream may be in a list of their own."""
    pairs = reply.items() if isinstance(reply, dict) else reply
    flat = lambda entries: entries[0] if entries and isinstance(entries[0], list) else entries
    return {name: [(id, fields) for id, fields in flat(entries)] for name, entries in pairs}


def groups(r):
    assert r.xgroup_create("orders", "workers", id="0", mkstream=True)
    try:
        r.xgroup_create("orders", "workers", id="0")
        raise AssertionError("a group is made once")
    except redis.ResponseError as error:
        assert str(error).startswith("BUSYGROUP"), error
    ids = [r.xadd("orders", {"n": str(n)}) for n in range(5)]
    got = streams(r.xreadgroup("workers", "one", {"orders": ">"}, count=3))
    assert got == {"orders": [(id, {"n": str(n)}) for n, id in enumerate(ids[:3])]}, got
    assert r.xack("orders", "workers", ids[0]) == 1
    assert r.xpending("orders", "workers")["pending"] == 2
    rows = r.xpending_range("orders", "workers", "-", "+", 10)
    assert [(row["message_id"], row["consumer"], row["times_delivered"]) for row in rows] == [
        (ids[1], "one", 1),
        (ids[2], "one", 1),
    ], rows
    [info] = r.xinfo_groups("orders")
    assert (info["name"], info["pending"], info["lag"], info["last-delivered-id"]) == ("workers", 2, 2, ids[2]), info
    [info] = r.xinfo_consumers("orders", "workers")
    assert (info["name"], info["pending"]) == ("one", 2), info
    assert r.xinfo_stream("orders")["length"] == 5
    assert r.xrange("orders", ids[3], "+") == [(id, {"n": str(n)}) for n, id in [(3, ids[3]), (4, ids[4])]]
    assert r.xtrim("orders", maxlen=2, approximate=False) == 3 and r.xlen("orders") == 2
    assert r.xdel("orders", ids[3]) == 1


def claims(r):
    r.xgroup_create("jobs", "workers", id="0", mkstream=True)
    ids = [r.xadd("jobs", {"n": str(n)}) for n in range(4)]
    r.xreadgroup("workers", "lost", {"jobs": ">"})
    assert r.xclaim("jobs", "workers", "two", 0, [ids[0]]) == [(ids[0], {"n": "0"})]
    assert r.xclaim("jobs", "workers", "two", 3_600_000, [ids[1]]) == []
    cursor, claimed, deleted = r.xautoclaim("jobs", "workers", "three", 0, start_id=ids[1], count=2)
    assert (cursor, [id for id, _ in claimed], deleted) == (ids[3], ids[1:3], []), (cursor, claimed, deleted)
    owners = [row["consumer"] for row in r.xpending_range("jobs", "workers", "-", "+", 10)]
    assert owners == ["two", "three", "three", "lost"], owners


def blocking(r, protocol):
    """A read that waits is woken by what another connection adds."""

    def add():
        while r.info("clients")["blocked_clients"] == 0:
            time.sleep(0.01)
        r.xadd("news", {"text": "hello"})

    for read in (
        lambda other: other.xread({"news": "$"}, block=0),
        lambda other: other.xreadgroup("readers", "one", {"news": ">"}, block=20_000),
    ):
        r.delete("news")
        r.xgroup_create("news", "readers", id="0", mkstream=True)
        adding = threading.Thread(target=add)
        adding.start()
        with connect(protocol) as other:
            got = streams(read(other))
        adding.join()
        assert [fields for _, fields in got["news"]] == [{"text": "hello"}], got
    assert not r.xread({"news": "$"}, block=20)


def transactions(r):
    with r.pipeline(transaction=True) as pipe:
        first, second, length = pipe.xadd("left", {"n": "1"}).xadd("right", {"n": "1"}).xlen("left").execute()
    assert length == 1 and r.xrange("left") == [(first, {"n": "1"})] and r.xrange("right") == [(second, {"n": "1"})]
    with r.pipeline() as pipe:
        pipe.watch("left")
        assert pipe.xlen("left") == 1
        r.xadd("left", {"n": "by another"})
        pipe.multi()
        pipe.xadd("left", {"n": "2"})
        try:
            pipe.execute()
            raise AssertionError("what was watched has changed")
        except redis.WatchError:
            pass
    assert r.xlen("left") == 2
    # redis-py's own loop, which tries again until nobody interferes.
    added = r.transaction(lambda pipe: (pipe.multi(), pipe.xadd("left", {"n": "3"})), "left")
    assert len(added) == 1 and r.xlen("left") == 3


def pipelines(r):
    with r.pipeline(transaction=False) as pipe:
        for n in range(500):
            pipe.xadd("many", {"n": str(n)})
        pipe.execute_command("XADD", "many", "0-0", "n", "none")
        pipe.xlen("many")
        *ids, error, length = pipe.execute(raise_on_error=False)
    assert isinstance(error, redis.ResponseError) and length == 500
    assert [id for id, _ in r.xrange("many")] == ids
    assert sorted(r.scan_iter(match="man*")) == ["many"]


def reconnecting(r):
    id = r.xadd("kept", {"n": "1"})
    print("restart", flush=True)
    sys.stdin.readline()
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 50)
    r.set_retry(retry)
    assert r.xrange("kept") == [(id, {"n": "1"})]
    assert r.xadd("kept", {"n": "2"}) > id


async def in_asyncio(protocol):
    async with redis.asyncio.Redis(host=HOST, port=PORT, protocol=protocol, decode_responses=True) as r:
        await r.flushall()
        async with r.client() as other:
            reading = asyncio.create_task(other.xread({"news": "$"}, block=20_000))
            while (await r.info("clients"))["blocked_clients"] == 0:
                await asyncio.sleep(0.01)
            id = await r.xadd("news", {"text": "hello"})
            got = streams(await reading)
        assert got == {"news": [(id, {"text": "hello"})]}, got
        async with r.pipeline(transaction=True) as pipe:
            added = await pipe.xadd("news", {"n": "1"}).xadd("news", {"n": "2"}).execute()
        assert len(added) == 2 and await r.xlen("news") == 3
        lengths = await asyncio.gather(*(r.xlen("news") for _ in range(50)))
        assert lengths == [3] * 50


for protocol in (2, 3):
    with connect(protocol) as r:
        assert r.ping()
        r.flushall()
        groups(r)
        claims(r)
        blocking(r, protocol)
        transactions(r)
        pipelines(r)
        reconnecting(r)
    asyncio.run(in_asyncio(protocol))
print("all is well", flush=True)
