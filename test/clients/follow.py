#!/usr/bin/python3
"""Writes keys through a redis-py client that finds the leader by itself, and keeps a journal.
follow.py --library NAME --addrs HOST:PORT,... --journal FILE --prefix PREFIX --pause-max SECONDSs"""

import argparse
import collections
import logging
import re
import signal
import sys
import threading
import time

import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.sentinel import Sentinel

logging.disable()  # redis-py logs every connection that it loses

parser = argparse.ArgumentParser()
for flag in ("library", "addrs", "journal", "prefix", "pause-max"):
    parser.add_argument("--" + flag, required=True)
options = parser.parse_args()
nodes = [(host, int(port)) for host, port in
         (address.rsplit(":", 1) for address in options.addrs.split(","))]


def connect():
    if options.library == "redis-py":
        return redis.Redis(*nodes[0], socket_timeout=10)
    if options.library == "redis-py-cluster":
        # 4.3.4 fails to open a connection when its master is gone and it looks for the next one, so the
        # first node that it is given has to be one that stays: see faces.sh.
        return RedisCluster(startup_nodes=[ClusterNode(*node) for node in nodes], socket_timeout=10,
                            dynamic_startup_nodes=False)
    if options.library == "redis-py-sentinel":
        return Sentinel(nodes, socket_timeout=10).master_for("mymaster", socket_timeout=10)
    sys.exit(f"unknown library {options.library}")


stopping = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())
lock = threading.Lock()
errors = collections.Counter()
times = []
counts = collections.Counter()
last = time.monotonic()
longest = 0.0


def work(number, client, journal):
    global last, longest
    n = 0
    while not stopping.is_set():
        key, value, outcome = f"{options.prefix}:{number}:{n}", f"value-{number}-{n}", "done"
        n += 1
        try:
            client.set(key, value)
        except Exception as error:  # pylint: disable=broad-except
            outcome = "unknown"
            with lock:
                errors[type(error).__name__ + ": " + re.sub(r"\d{4,}", "...", str(error))] += 1
                times.append(time.monotonic())
            time.sleep(0.01)
        with lock:
            now = time.monotonic()
            counts[outcome] += 1
            if outcome == "done":
                longest, last = max(longest, now - last), now
            journal.write(f"{key}\t{value}\t{outcome}\n")
            journal.flush()


def main():
    client = connect()
    with open(options.journal, "a", encoding="ascii") as journal:
        running = [threading.Thread(target=work, args=(i, client, journal)) for i in range(4)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    for text, count in sorted(errors.items()):
        print(f"{count:6} x {text}")
    if times:
        print(f"errors for {times[-1] - times[0]:.3f}s")
    print(f"{counts['done']} done, {counts['unknown']} unknown, longest pause {longest:.3f}s")
    limit = float(options.pause_max.rstrip("s"))
    if longest > limit:
        sys.exit(f"no write was acknowledged for {longest:.3f} s (limit {limit})")


main()
