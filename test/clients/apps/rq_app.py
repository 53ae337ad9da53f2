#!/usr/bin/python3
"""Gives jobs to rq until it is told to stop (SIGTERM), then waits for all of them and looks at what rq says of
each, and at how often it was run. Two workers run them, at nodes of their own, one of them with rq's scheduler.

What rq promises: a job that was enqueued is run by one worker. When the connection of a worker breaks in the wrong
moment, rq loses sight of the job it was about to take or was running, on Redis just as here: such a job is
given to rq again, and counted."""

import datetime
import itertools
import sys
import time

import redis
import rq
import rq_jobs
from application import Books, Workers, parse
from rq.job import Job

options = parse(__doc__)


def connect(number):
    host, port = options.nodes[number % len(options.nodes)]
    return redis.Redis(host, port, socket_connect_timeout=2)


def work(number):
    """The worker process: rq's own worker, the first one with the scheduler, the second one without forks."""
    kind = rq.Worker if number == 1 else rq.SimpleWorker
    worker = kind([options.prefix], connection=connect(number), default_worker_ttl=60)
    worker.work(with_scheduler=number == 1, logging_level="WARNING")


class Producer:
    def __init__(self):
        self.books = Books(options)
        self.connection = connect(0)
        self.queue = rq.Queue(options.prefix, connection=self.connection)
        self.jobs = {}

    def put(self, kind, number, value, **settings):
        """Enqueues a job. One id is one job, also when it is enqueued again."""
        function = getattr(rq_jobs, kind)
        self.books.orders[number] = kind

        def call():
            if kind == "later":
                return self.queue.enqueue_in(datetime.timedelta(seconds=2), function, number, value, job_id=number,
                                             result_ttl=3600, **settings)
            return self.queue.enqueue(function, number, value, job_id=number, result_ttl=3600, **settings)

        self.jobs[number] = self.books.until_accepted(number, "enqueue", call)
        return self.jobs[number]

    def produce(self):
        for n in itertools.count():
            if self.books.stopping.is_set():
                return
            number = f"{options.prefix}-{n}"
            first = self.put("plain", number, n)
            if n % 4 == 0:
                self.put("second", number + "-second", n, depends_on=first)
            if n % 4 == 1:
                self.put("flaky", number + "-flaky", n, retry=rq.Retry(max=5, interval=[0, 1, 1, 1, 1]))
            if n % 8 == 2:
                self.put("later", number + "-later", time.time() + 2)
            if n % 8 == 6:
                self.put("hopeless", number + "-hopeless", n)
            self.books.stopping.wait(0.1)

    def open_jobs(self):
        """The jobs that are neither finished nor failed on purpose, with what rq says of them."""
        left = {}
        for number, job in self.jobs.items():
            status = job.get_status()
            if status == "failed" and self.books.orders[number] == "hopeless":
                continue
            if status != "finished":
                left[number] = str(status)
        return left

    def drain(self, workers):
        """Waits for all jobs, and gives those to rq again that it lost sight of: when nothing has changed for some
        seconds, and no worker is busy."""
        lost, last, since = [], None, time.monotonic()
        limit = time.monotonic() + 120
        while time.monotonic() < limit:
            try:
                left = self.open_jobs()
            except redis.RedisError as error:
                self.books.trouble("status", error)
                continue
            if not left:
                return lost
            if left != last:
                last, since = left, time.monotonic()
            if time.monotonic() - since > 8:
                for number, status in left.items():
                    lost.append(f"{self.books.orders[number]} {status}")
                    self.books.doubtful.add(number)
                    self.queue.enqueue_job(self.jobs[number])
                last = None
            time.sleep(0.2)
        self.books.broken(f"not all jobs are done after two minutes: {list(left.items())[:10]}")
        print(workers.tail())
        return lost

    def verify(self, lost, restarts):
        done = self.books.done()
        for number, kind in self.books.orders.items():
            job = Job.fetch(number, connection=self.connection)
            if done[number] == 0:
                self.books.broken(f"{kind} {number} was not run")
            if done[number] > 1 and number not in self.books.doubtful:
                self.books.broken(f"{kind} {number} was done {done[number]} times")
            n = int(number[len(options.prefix) + 1:].split("-")[0])
            want = {"plain": n + 1, "second": n + 2, "flaky": n + 1, "hopeless": None}.get(kind)
            if kind == "later" and job.result < -1:  # rq counts in seconds
                self.books.broken(f"{number} ran {-job.result} s too early")
            if kind != "later" and job.result != want:
                self.books.broken(f"{kind} {number} has the result {job.result}, not {want}")
            if kind == "hopeless" and "fails on purpose" not in (job.exc_info or ""):
                self.books.broken(f"hopeless {number} failed with {job.exc_info}")
        failed = set(self.queue.failed_job_registry.get_job_ids())
        if failed != {number for number, kind in self.books.orders.items() if kind == "hopeless"}:
            self.books.broken(f"{len(failed)} jobs have failed")
        if len(self.queue) or len(self.queue.started_job_registry) or len(self.queue.scheduled_job_registry):
            self.books.broken("jobs are left in the queue")
        if options.calm and (lost or restarts):
            self.books.broken(f"rq lost sight of {lost}, {restarts} restarts")


def main():
    if options.worker is not None:
        return work(options.worker)
    producer = Producer()
    workers = Workers([[sys.executable, __file__, *sys.argv[1:], "--worker", str(n)] for n in (1, 2)])
    try:
        producer.produce()
        lost = producer.drain(workers)
    finally:
        workers.stop()
    producer.verify(lost, workers.restarts)
    return producer.books.report(
        f"{len(producer.jobs)} jobs, {workers.restarts} workers ended and were started again, "
        f"rq lost sight of {len(lost)} {lost or ''}")


main()
