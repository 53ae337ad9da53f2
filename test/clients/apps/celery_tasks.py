"""The tasks that celery's workers run, and how celery is set up: by environment variables, because its command
line makes the application anew. Each task notes its effect in the journal."""

import os
import time

from application import attempt, note
from celery import Celery

app = Celery("apps", broker=os.environ["APPS_BROKER"], backend=os.environ["APPS_BACKEND"])
app.conf.update(
    task_default_queue=os.environ["APPS_QUEUE"],
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry=True,
    broker_connection_max_retries=None,
    # A message that was not acknowledged, because its worker is gone, comes again after this time.
    broker_transport_options={"master_name": "mymaster", "visibility_timeout": 10,
                              "socket_connect_timeout": 2, "unacked_restore_limit": 100},
    result_backend_transport_options={"master_name": "mymaster", "retry_policy": {
        "timeout": 30.0, "max_retries": 60, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}},
    redis_retry_on_timeout=True,
    result_expires=3600,
)


@app.task
def plain(number, value):
    attempt(number)
    note("plain", number)
    return value + 1


@app.task(bind=True, max_retries=5)
def flaky(self, number, value):
    if attempt(number) <= 2:
        raise self.retry(countdown=0.5)
    note("flaky", number)
    return value + 1


@app.task
def hopeless(number, _value):
    attempt(number)
    note("hopeless", number)
    raise ValueError("fails on purpose")


@app.task
def later(number, due):
    attempt(number)
    note("later", number)
    return time.time() - due


@app.task
def total(values, number):
    """The end of a chord: runs when all tasks before it have their results."""
    attempt(number)
    note("chord", number)
    return sum(values)
