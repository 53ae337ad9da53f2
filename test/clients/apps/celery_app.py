#!/usr/bin/python3
"""Gives tasks to celery until it is told to stop (SIGTERM), then waits for all of them and looks at their results,
and at how often they were run. Two workers run them, at nodes of their own; broker and results are both here.

What celery promises: tasks that are acknowledged late run at least once, a message that a worker took with it
comes again when the visibility timeout is over. When one of a worker's connections breaks, kombu closes the others, and forgets a
message that it has been given by BRPOP and not yet noted; then the server has it no more, on Redis just as here.
Such a task is sent again, and counted."""

import itertools
import os
import sys
import time

from application import Books, Workers, parse

options = parse(__doc__)


def urls(number):
    """Where broker and results are for the producer (0) and the workers."""
    nodes = options.nodes[number % len(options.nodes):] + options.nodes[:number % len(options.nodes)]
    if options.face == "sentinel":
        url = ";".join(f"sentinel://{host}:{port}" for host, port in nodes)
        return {"APPS_BROKER": url, "APPS_BACKEND": url, "APPS_QUEUE": options.prefix}
    broker = ";".join(f"redis://{host}:{port}/0" for host, port in nodes)
    host, port = options.nodes[number % 2 % len(options.nodes)]  # it takes one address, so not the one that dies
    return {"APPS_BROKER": broker, "APPS_BACKEND": f"redis://{host}:{port}/0", "APPS_QUEUE": options.prefix}


books = Books(options)
os.environ.update(urls(0))
import celery_tasks  # noqa: E402 (it reads the environment)
from celery import chord  # noqa: E402


class Producer:
    def __init__(self):
        self.results = {}
        self.sent = {}

    def send(self, kind, number, value, **settings):
        """Sends a task whose id is its number, so that its result is known by it also when it is sent again."""
        books.orders[number] = kind
        if kind == "chord":
            for i in range(3):
                books.orders[f"{number}-{i}"] = "part"

            def call():
                """A new chord of the same tasks: when celery runs a part twice, its count of parts is never right again."""
                parts = [celery_tasks.plain.s(f"{number}-{i}", value).set(task_id=f"{number}-{i}") for i in range(3)]
                return chord(parts, celery_tasks.total.s(number).set(task_id=number)).apply_async()
        else:
            task = getattr(celery_tasks, kind)

            def call():
                return task.apply_async((number, value), task_id=number, **settings)
        self.sent[number] = call
        self.results[number] = books.until_accepted(number, "send", call)
        return self.results[number]

    def produce(self):
        for n in itertools.count():
            if books.stopping.is_set():
                return
            number = f"{options.prefix}-{n}"
            self.send("plain", number, n)
            if n % 4 == 1:
                self.send("flaky", number + "-flaky", n)
            if n % 8 == 2:
                self.send("later", number + "-later", time.time() + 1, countdown=1)
            if n % 8 == 6:
                self.send("hopeless", number + "-hopeless", n)
            if n % 8 == 4:
                self.send("chord", number + "-chord", n)
            if n % 10 == 9:
                self.wait_for(number, n)
            books.stopping.wait(0.1)

    def wait_for(self, number, n):
        """Waits for one result as it comes through its channel."""
        try:
            if self.results[number].get(timeout=5) != n + 1:
                books.broken(f"{number} has the result {self.results[number].result}")
        except Exception as error:  # pylint: disable=broad-except
            books.trouble("get", error)

    def drain(self, workers):
        """Waits for all results, and sends what celery lost sight of again. A worker looks for messages that
        nobody has acknowledged ten seconds after it has connected, and then every hundred: when nothing happens
        any more, another worker starts, so that this does not take so long."""
        lost, last, since = [], None, time.monotonic()
        limit = time.monotonic() + 120
        while time.monotonic() < limit:
            try:
                left = [number for number in self.results if not self.ended(number)]
            except Exception as error:  # pylint: disable=broad-except
                books.trouble("state", error)
                time.sleep(0.2)
                continue
            if not left:
                return lost
            if left != last:
                last, since = left, time.monotonic()
            if time.monotonic() - since > 3 and len(workers.commands) == 2:
                workers.commands.append(worker(3))
            if time.monotonic() - since > 20:
                for number in left:
                    lost.append(books.orders[number])
                    self.doubt(number)
                    self.sent[number]()
                last = None
            time.sleep(0.2)
        books.broken(f"not all tasks are done after two minutes: {left[:10]}")
        print(workers.tail())
        return lost

    @staticmethod
    def ended(number):
        """Whether a task has its result. When a worker has lost its connection, celery may say that the task has failed."""
        result = celery_tasks.app.AsyncResult(number)
        cut_off = not options.calm and "connecting to" in str(result.result)
        return result.state == "SUCCESS" or result.state == "FAILURE" and not cut_off

    def doubt(self, number):
        books.doubtful.add(number)
        for i in range(3):
            books.doubtful.add(f"{number}-{i}")

    def verify(self, lost):
        done = books.done()
        twice = 0
        for number, kind in books.orders.items():
            if done[number] == 0:
                books.broken(f"{kind} {number} was not run")
            twice += done[number] > 1
            if done[number] > 1 and options.calm:
                books.broken(f"{kind} {number} was done {done[number]} times")
            if kind != "part":
                self.verify_result(number, kind)
        if options.calm and lost:
            books.broken(f"celery lost sight of {lost}")
        return twice

    def verify_result(self, number, kind):
        n = int(number[len(options.prefix) + 1:].split("-")[0])
        result = celery_tasks.app.AsyncResult(number)
        want = {"plain": n + 1, "flaky": n + 1, "chord": 3 * n + 3}.get(kind)
        if kind == "hopeless":
            if result.state != "FAILURE" or "fails on purpose" not in str(result.result):
                books.broken(f"{number} is {result.state}: {result.result}")
        elif result.state != "SUCCESS":
            books.broken(f"{kind} {number} is {result.state}: {result.result}")
        elif kind == "later":
            if result.result < -0.05:
                books.broken(f"{number} ran {-result.result} s too early")
        elif result.result != want:
            books.broken(f"{kind} {number} has the result {result.result}, not {want}")


def worker(number):
    """The command of a worker: celery's own, with two processes, or with none besides its own."""
    pool = ["--pool", "prefork", "--concurrency", "2"] if number == 1 else ["--pool", "solo"]
    settings = [f"{name}={value}" for name, value in urls(number).items()]
    return ["env", *settings, sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--loglevel", "WARNING",
            "--hostname", f"{options.prefix}-{number}@apps", *pool]


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    producer = Producer()
    workers = Workers([worker(1), worker(2)])
    try:
        producer.produce()
        lost = producer.drain(workers)
    finally:
        workers.stop()
    twice = producer.verify(lost)
    books.report(f"{len(books.orders)} tasks, {workers.restarts} workers ended and were started again, {twice} tasks were "
                 f"done twice, celery lost sight of {len(lost)} {lost or ''}")


main()
