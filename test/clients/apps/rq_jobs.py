"""The jobs that rq's workers run. Each notes its effect in the journal."""

import time

import rq
from application import attempt, note


def plain(number, value):
    attempt(number)
    note("plain", number)
    return value + 1


def flaky(number, value):
    if attempt(number) <= 2:
        raise ValueError("fails on purpose")
    note("flaky", number)
    return value + 1


def hopeless(number, _value):
    attempt(number)
    note("hopeless", number)
    raise ValueError("fails on purpose")


def second(number, _value):
    """Depends on another job, and needs its result."""
    attempt(number)
    note("second", number)
    return rq.get_current_job().dependency.result + 1


def later(number, due):
    attempt(number)
    note("later", number)
    return time.time() - due
