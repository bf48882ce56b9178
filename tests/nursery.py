"""Changes to stores in forks of a process that has imported everything, killed after so many steps.

Each tells of every SQL statement that it begins, of every command that it sends to a server and that is answered, and
of every request to a bucket.
"""

import contextlib
import os
import signal
import subprocess
import sys

CODE = """
import os, secrets, sys
import obstore, pymongo
from rlbench.replaying.migration import migrate
from rlbench import keys
from rlbench.store import bucket, copying, open_store
from rlbench.store.encrypting import decrypt, encrypt, rotate
from rlbench.store.pruning import superfluous
from rlbench.store.pseudonyms import Pseudonyms, pseudonymise

def prune(store):
    for run in superfluous(store, keep_last=1):
        store.delete_run(run.id)

def acts(store):
    runs, tokens = store.runs(), store.snapshots("token")
    run = store.create_run("Taxi-v4", "random", seed=0)
    store.update_run(run.id, tags=["x"])
    store.add_snapshot("token", secrets.token_hex(4), {})
    store.delete_run(runs[-1].id)
    store.delete_snapshot("token", tokens[0].name)

WORKS = {
    "acts": acts,
    "migrate": migrate,
    "encrypt": encrypt,
    "encrypt-figures": lambda store: encrypt(store, figures=True),
    "decrypt": decrypt,
    "rotate": lambda store: rotate(store, keys.Key(bytes([2] * 32))),
    "prune": prune,
    "copy": lambda store: copying.copy(open_store(os.environ["RLBENCH_TEST_SOURCE"], read_only=True), store),
    "pseudonymise": lambda store: pseudonymise(store, Pseudonyms(keys.Key(bytes([2] * 32)))),
}

def tell(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

class Commands(pymongo.monitoring.CommandListener):
    def started(self, _event):
        tell("step")
    succeeded = failed = started

def telling(request):
    def told(*arguments, **options):
        tell("step")
        return request(*arguments, **options)
    return told

def opened(url):
    if url.startswith("mongodb:"):
        pymongo.monitoring.register(Commands())
        return open_store(url)
    if url.startswith("s3:"):
        for name in ("get", "_put", "list", "delete"):
            setattr(bucket.Bucket, name, telling(getattr(bucket.Bucket, name)))
        return open_store(url)
    store = open_store(url)
    inner = getattr(store.backend, "inner", store.backend)
    inner._connection.set_trace_callback(lambda _statement: tell("step"))
    return store

for line in sys.stdin:
    work, url = line.split()
    pid = os.fork()
    if not pid:
        with opened(url) as store:
            WORKS[work](store)
        tell("finished")
        os._exit(0)
    tell("pid", pid)
    os.waitpid(pid, 0)
    tell("ended")
"""


class Nursery:
    """Starts works, one at a time, and kills them.

    Args:
        environment: of the processes; None: as this one's.
    """

    def __init__(self, environment=None):
        command = [sys.executable, "-W", "ignore", "-c", CODE]  # newer Pythons warn of forks
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def do(self, work, url, steps=None):
        """Does a work to a store in another process, which is killed after so many steps; returns its steps and end."""
        print(work, url, file=self._process.stdin, flush=True)
        seen, pid, is_finished = 0, None, False
        for line in iter(self._process.stdout.readline, "ended\n"):
            word, *rest = line.split()
            seen += word == "step"
            pid = int(rest[0]) if word == "pid" else pid
            is_finished |= word == "finished"
            if pid is not None and steps is not None and seen >= steps:
                with contextlib.suppress(ProcessLookupError):  # it has just finished
                    os.kill(pid, signal.SIGKILL)
                steps = None  # once: others may get its number
        return seen, is_finished

    def close(self):
        self._process.communicate()
