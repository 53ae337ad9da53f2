"""What the programs with rq and celery have in common: their options, the journal, worker processes that are
started again when they end, and the books on what was ordered."""

import argparse
import collections
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time


def parse(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--addrs", required=True, help="nodes; the producer is at the first, the workers at the others")
    parser.add_argument("--face", choices=("plain", "sentinel"), default="plain")
    parser.add_argument("--journal", required=True, help="file that gets a line for each piece of work that is done")
    parser.add_argument("--prefix", default="apps", help="name of the queue")
    parser.add_argument("--calm", action="store_true", help="no server will die: then nothing at all may happen twice")
    parser.add_argument("--worker", type=int, help="be this worker process")
    options = parser.parse_args()
    options.nodes = [(host, int(port)) for host, port in
                     (address.rsplit(":", 1) for address in options.addrs.split(","))]
    return options


class Books:
    """Orders and what was done, and what is wrong."""

    def __init__(self, options):
        self.options = options
        self.orders = {}  # id: kind
        self.doubtful = set()  # ids that were ordered again
        self.troubles = collections.Counter()
        self.wrong = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        signal.signal(signal.SIGTERM, self.stop)
        self.attempts = tempfile.mkdtemp(dir=os.path.dirname(os.path.abspath(options.journal)))
        os.environ.update(APPS_JOURNAL=options.journal, APPS_ATTEMPTS=self.attempts)

    def stop(self, *_):
        """The first SIGTERM lets the program come to its end, the second one ends it."""
        if self.stopping.is_set():
            sys.exit("ended before all was done")
        self.stopping.set()

    def trouble(self, what, error):
        with self.lock:
            self.troubles[f"{what}: {type(error).__name__}: " + re.sub(r"\d+", "", str(error))[:200]] += 1

    def broken(self, text):
        self.wrong.append(text)

    def until_accepted(self, number, what, call):
        """Repeats what a producer does until it gets no error. A repetition may do it once more."""
        limit = time.monotonic() + 60
        while True:
            try:
                return call()
            except Exception as error:  # pylint: disable=broad-except
                self.trouble(what, error)
                self.doubtful.add(number)
                if time.monotonic() > limit:
                    raise
                time.sleep(0.1)

    def done(self):
        """How often the effect of each order happened, from the journal that the workers write."""
        with open(self.options.journal, encoding="ascii") as journal:
            return collections.Counter(line.split()[1] for line in journal)

    def report(self, summary):
        print(summary)
        for text, count in sorted(self.troubles.items())[:20]:
            print(f"{count:6} x {text}")
        for text in self.wrong[:20]:
            print("wrong:", text)
        sys.exit(1 if self.wrong else 0)


class Workers:
    """Worker processes, each started again when it ends, as a service manager would do."""

    def __init__(self, commands):
        self.commands, self.processes, self.restarts = commands, {}, 0
        self.log = tempfile.TemporaryFile()
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.closing.is_set():
            for number, command in enumerate(self.commands):
                process = self.processes.get(number)
                if process is None or process.poll() is not None:
                    self.restarts += process is not None
                    self.processes[number] = subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)
            self.closing.wait(0.3)

    def stop(self):
        self.closing.set()
        self.thread.join()
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def tail(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-4000:]


def attempt(number):
    """Counts the attempts of an order in a file, so that it does not depend on what is tested."""
    file = os.open(os.path.join(os.environ["APPS_ATTEMPTS"], number), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, b".")
    size = os.fstat(file).st_size
    os.close(file)
    return size


def note(kind, number):
    """Notes the effect of an order in the journal."""
    file = os.open(os.environ["APPS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{kind} {number}\n".encode())
    os.close(file)
