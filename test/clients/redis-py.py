#!/usr/bin/python3
"""Scenarios with redis-py. redis-py.py --list names them;
redis-py.py HOST:PORT,HOST:PORT,HOST:PORT NAME runs one against the nodes."""

import sys
import threading
import time

import redis


def strings(nodes):
    a, b, c = nodes
    assert a.set("py:s", "one") is True
    assert b.get("py:s") == b"one"
    assert c.append("py:s", "-two") == 7
    assert a.getrange("py:s", 4, -1) == b"two"
    assert b.set("py:s", "x", nx=True) is None
    assert b.set("py:s", "three", get=True) == b"one-two"
    assert c.getdel("py:s") == b"three"
    assert a.exists("py:s") == 0


def numbers(nodes):
    a, b, c = nodes
    a.delete("py:n", "py:f")
    assert [a.incr("py:n"), b.incrby("py:n", 10), c.decr("py:n")] == [1, 11, 10]
    assert a.incrbyfloat("py:f", 10.5) == 10.5
    assert b.incrbyfloat("py:f", 0.1) == 10.6


def expiry(nodes):
    a, b, c = nodes
    assert a.set("py:e", "v", ex=100)
    assert 98 <= b.ttl("py:e") <= 100
    assert c.persist("py:e") is True
    assert a.ttl("py:e") == -1
    assert b.pexpire("py:e", 200) is True
    deadline = time.monotonic() + 5
    while a.get("py:e") is not None:
        assert time.monotonic() < deadline, "the key did not expire"
    # Once one node showed it expired, no other may show it again.
    assert b.get("py:e") is None and c.get("py:e") is None and b.ttl("py:e") == -2


def pipelines(nodes):
    a, b, _ = nodes
    pipe = a.pipeline(transaction=False)
    for i in range(1000):
        pipe.set(f"py:p:{i}", i)
        pipe.get(f"py:p:{i}")
    replies = pipe.execute()
    assert replies[0::2] == [True] * 1000
    assert replies[1::2] == [str(i).encode() for i in range(1000)]
    assert b.mget([f"py:p:{i}" for i in range(1000)]) == replies[1::2]


def errors_in_a_pipeline(nodes):
    pipe = nodes[1].pipeline(transaction=False)
    pipe.set("py:err", "text")
    pipe.incr("py:err")
    pipe.get("py:err")
    first, error, last = pipe.execute(raise_on_error=False)
    assert first is True and last == b"text"
    assert str(error) == "value is not an integer or out of range", error


def scanning(nodes):
    a, b, c = nodes
    a.flushdb()
    a.mset({f"py:scan:{i}": i for i in range(3000)})
    for node in nodes:
        assert len(set(node.scan_iter("py:scan:*", count=50))) == 3000
    # A scan may go on at another node.
    cursor, seen, turn = 0, set(), 0
    while True:
        cursor, keys = nodes[turn % 3].scan(cursor, count=100)
        seen.update(keys)
        turn += 1
        if cursor == 0:
            break
    assert len(seen) == 3000, len(seen)
    assert b.dbsize() == 3000 and len(c.keys("py:scan:*")) == 3000
    assert a.randomkey() in seen


def binary(nodes):
    a, b, _ = nodes
    key, value = b"py\x00\r\n\xff" * 10, bytes(range(256)) * 4096
    assert a.set(key, value)
    assert b.get(key) == value
    assert b.strlen(key) == len(value)


def introspection(nodes):
    for node in nodes:
        assert node.info("server")["redis_version"]
        assert node.info("replication")["role"] in ("master", "slave")
        assert node.config_get("maxclients")["maxclients"]
        assert node.command_count() > 50
        assert node.client_setname("py") and node.client_getname() == "py"
        assert node.client_id() > 0
        assert node.role()[0] in (b"master", b"slave")
        assert abs(node.time()[0] - time.time()) < 5
    masters = [node for node in nodes if node.role()[0] == b"master"]
    assert len(masters) == 1, masters


def threads(nodes):
    nodes[0].delete("py:threads")

    def work(node):
        for _ in range(300):
            node.incr("py:threads")

    running = [threading.Thread(target=work, args=(nodes[i % 3],)) for i in range(9)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert [int(node.get("py:threads")) for node in nodes] == [2700] * 3


def decoded(nodes):
    pool = nodes[2].connection_pool.connection_kwargs
    node = redis.Redis(host=pool["host"], port=pool["port"], decode_responses=True, db=4)
    assert node.set("py:ü", "grün") and node.get("py:ü") == "grün"
    assert nodes[0].exists("py:ü") == 0  # the other clients use database 1
    assert node.flushdb() is True and node.dbsize() == 0


SCENARIOS = [strings, numbers, expiry, pipelines, errors_in_a_pipeline, scanning,
             binary, introspection, threads, decoded]


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(scenario.__name__ for scenario in SCENARIOS))
        return
    nodes = []
    for address in sys.argv[1].split(","):
        host, port = address.rsplit(":", 1)
        nodes.append(redis.Redis(host=host, port=int(port), db=1, socket_timeout=30))
    {scenario.__name__: scenario for scenario in SCENARIOS}[sys.argv[2]](nodes)


if __name__ == "__main__":
    main()
