"""Stores that the version before the newest formats made, and stores written today as that version wrote them."""

import contextlib
import gzip
import shutil
from pathlib import Path
from unittest import mock

import mongomock
from bson import json_util

import rlbench
from rlbench.store import open_store
from rlbench.store.walks import Walk

# the same runs in both: two budgets of SafeCab that share a chunk, FrozenLake, CartPole in bins, CliffWalking of which
# figures alone were kept, and Taxi, interrupted; the file has schema version 2, the collections layout version 3
DATA = Path(__file__).parent / "data"
FILE, COLLECTIONS = DATA / "store_v2.sqlite", DATA / "store_v3_mongodb.jsonl.gz"
KINDS = ("SQLite", "MongoDB")
MADE_BY = {  # env: arguments that made its runs
    "rlbench/SafeCab-v0": {"env": "safecab", "seed": 0},
    "FrozenLake-v1": {"env": "FrozenLake-v1", "seed": 1},
    "rlbench/DiscreteCartPole-v1": {"env": "cartpole", "seed": 2},
    "CliffWalking-v1": {"env": "CliffWalking-v1", "seed": 4, "record": "none"},
    "Taxi-v4": {"env": "Taxi-v4", "agent": "random", "seed": 5},
}


def given(kind, folder):
    """What `open_store` takes to open such a store: a file in this folder, or a client of an imitated server."""
    if kind == "SQLite":
        return shutil.copy(FILE, folder / "earlier.db")
    client = mongomock.MongoClient()
    with gzip.open(COLLECTIONS, "rt") as lines:
        for line in lines:
            entry = json_util.loads(line)
            client.rlbench[entry["collection"]].insert_one(entry["document"])
    return client


@contextlib.contextmanager
def writing_in_full(steps):
    """Lets training write every column of steps and figures, as that version did, in chunks of so many steps."""
    with (
        mock.patch("rlbench.training.session.known_table", return_value=None),
        mock.patch("rlbench.store.figures.reduced", lambda chunk, _timesteps: (chunk.figures, {})),
        mock.patch("rlbench.training.recorder.CHUNK_STEPS", steps),
    ):
        yield


def written_in_full(path):
    """Writes a store as that version did, of tables and of none, with a run that shares chunks; returns its path."""
    short = {"max_episode_steps": 30}
    with open_store(path) as store, writing_in_full(steps=2000):
        rlbench.train("safecab", episodes=300, seed=0, store=store)
        assert rlbench.train("safecab", episodes=400, seed=0, store=store).cache == "prefix"
        rlbench.train("FrozenLake-v1", episodes=600, seed=1, store=store)
        rlbench.train("CliffWalking-v1", "n-step-sarsa", episodes=190, env_kwargs=short, engine="python", store=store)
        rlbench.train("Taxi-v4", episodes=30, seed=2, store=store)
        rlbench.train("cartpole", episodes=150, seed=3, store=store)
        rlbench.train("CliffWalking-v1", episodes=100, seed=4, record="none", env_kwargs=short, store=store)
    return path


def contents(store):
    """All that is read of each run, bit for bit."""
    return {run.id: (run, [bits(chunk) for chunk in store.chunks(run)]) for run in store.runs()}


def bits(chunk):
    columns = [("lengths", chunk.lengths), ("ends", chunk.ends), *chunk.figures.items(), *(chunk.steps or {}).items()]
    place = chunk.first_episode, chunk.first_step, chunk.env_rng
    return place, [(name, column.dtype.str, column.shape, column.tobytes()) for name, column in columns]


def walks(store):
    """By env, how many chunks with steps are a walk, and how many are not."""
    found = {}
    for run in store.runs():
        for chunk in store.chunks(run):
            if chunk.steps is not None:
                found.setdefault(run.env_id, [0, 0])[not isinstance(chunk.steps, Walk)] += 1
    return found
