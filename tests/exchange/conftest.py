"""Runs to export, and what makes two runs equal."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest

from rlbench.store import CUT_OFF, OPEN, TERMINATED, TRUNCATED, Checkpoint, EpisodeChunk, open_store
from rlbench.store.config import RunConfig
from rlbench.training import Run

CONFIG = {
    "env": {"id": "x/Y-v0", "spec": None},
    "agent": {"name": "tester", "parameters": {"gamma": 0.1, "text": 'é "quoted", # and\nmore 🚕'}},
    "record": "all",
}
RNG = {"bit_generator": "PCG64", "state": {"state": 2**127 + 1, "inc": 3}}


@pytest.fixture
def store():
    """A store in memory."""
    with open_store("memory://") as opened:
        yield opened


def stored(store, *chunks, env_id="x/Y-v0", config=CONFIG, status="finished", checkpoint=None, seed=2**100):
    """Stores chunks as a run."""
    record = store.create_run(
        env_id,
        "tester",
        seed=seed,
        config=RunConfig.of(config),
        tags=["a b", "ü"],
        parents=["0123456789ab"],
        note="why, ü",
    )
    for chunk in _with_returns(chunks):
        store.append(record.id, chunk)
    store.append(record.id, checkpoint=checkpoint, status=status, seconds=0.1 + 0.2)
    store.update_run(record.id, evaluation={"mean_return": 1 / 3})
    return Run(store.run(record.id), store)


def _with_returns(chunks):
    """The chunks, with the returns that their rewards add up to, also over the end of a chunk."""
    before = 0.0
    for chunk in chunks:
        if chunk.steps is None:
            yield chunk
            continue
        rewards = [float(np.sum(chunk.segment(i)["rewards"], dtype=np.float64)) for i in range(len(chunk.lengths))]
        rewards[0] += before if chunk.first_step else 0.0
        before = rewards[-1]
        returns = np.array(rewards)[chunk.ends != OPEN]
        yield dataclasses.replace(chunk, figures={**chunk.figures, "return": returns})


def chunk_of(lengths, columns, *, first_episode=0, first_step=0, ends=None, env_rng=None, **figures):
    """A chunk of columns and ends, with the figures derived from them and the given ones."""
    lengths = np.array(lengths, np.int64)
    ends = np.full(len(lengths), TERMINATED) if ends is None else np.array(ends)
    ended = ends != OPEN
    whole = lengths + np.array([first_step, *[0] * (len(lengths) - 1)])
    known = {"return": np.arange(ended.sum()) / 3, "length": whole[ended], **figures}
    return EpisodeChunk(first_episode, first_step, lengths, ends.astype(np.uint8), known, columns, env_rng)


def discrete(store):
    """Three chunks: the second is the middle of an episode, the third ends it; every kind of end."""
    numbers = np.arange(100, dtype=np.int32)

    def columns(steps, rows, begin):
        return {
            "observations": numbers[begin : begin + rows] * 7 % 500,
            "actions": (numbers[begin : begin + steps] % 6).astype(np.int16),
            "rewards": -numbers[begin : begin + steps] / 10,
            "explored": numbers[begin : begin + steps] % 2 == 0,
        }

    counts = np.array([[2, 0], [1, 2]], np.int32)
    rates = np.array([1.0, 0.1])
    return stored(
        store,
        chunk_of(
            [2, 3, 4], columns(9, 12, 0), ends=[1, 2, OPEN], env_rng=RNG, action_counts=counts, exploration_rate=rates
        ),
        chunk_of(
            [5],
            columns(5, 6, 11),
            first_episode=2,
            first_step=4,
            ends=[OPEN],
            action_counts=counts[:0],
            exploration_rate=rates[:0],
        ),
        chunk_of(
            [0, 1, 2],
            columns(3, 6, 16),
            first_episode=2,
            first_step=9,
            ends=[CUT_OFF, 3, TRUNCATED],
            action_counts=np.array([[5, 4], [0, 1], [2, 0]], np.int32),
            exploration_rate=np.array([0.05, 5e-324, -0.0]),
        ),
        checkpoint=Checkpoint(
            5,
            17,
            {"q_table": np.arange(12.0).reshape(6, 2) / 7},
            {"agent": {"episodes": 5, "rng": RNG}, "env_rng": RNG},
        ),
    )


def cartpole(store):
    """Random play in Gymnasium's CartPole-v1: float32 observations."""
    env, dice = gym.make("CartPole-v1"), np.random.default_rng(0)
    observations, actions, rewards, lengths, ends = [], [], [], [], []
    for seed in range(12):
        observations.append(env.reset(seed=seed)[0])
        lengths.append(0)
        terminated = truncated = False
        while not (terminated or truncated):
            actions.append(int(dice.integers(2)))
            observation, reward, terminated, truncated, _ = env.step(actions[-1])
            observations.append(observation)
            rewards.append(float(reward))
            lengths[-1] += 1
        ends.append(terminated + 2 * truncated)
    columns = {"observations": np.array(observations), "actions": np.array(actions), "rewards": np.array(rewards)}
    config = {**CONFIG, "env": {"id": "CartPole-v1", "spec": env.spec.to_json()}}
    return stored(store, chunk_of(lengths, columns, ends=ends), env_id="CartPole-v1", config=config, seed=3)


def composite(store):
    """Dict observations, Box actions, and numbers at the edges of their dtypes."""
    edges = np.array([0.0, -0.0, 1 / 3, 5e-324, 1.7976931348623157e308, -1e-45])
    floats = np.array([0.1, -0.0, 1e-45, 3.4028235e38, 16777217, -1 / 3], np.float32)
    whole = np.iinfo(np.int64)
    columns = {
        "observations/position": np.stack([edges, edges[::-1]], axis=1),
        "observations/deep/colour": np.arange(36, dtype=np.uint8).reshape(6, 2, 3),
        "observations/big": np.array([whole.min, whole.max, 0, 1, 2**53 + 1, -(2**53) - 1]),
        "actions": floats[:4].reshape(4, 1),
        "rewards": np.array([0.1, 1e300, -1e-300, 2 / 3]),
    }
    return stored(store, chunk_of([3, 1], columns, ends=[1, 2]))


def empty(store):
    """A run without a finished episode."""
    return stored(store, status="interrupted")


SAMPLES = {"discrete": discrete, "cartpole": cartpole, "composite": composite, "empty": empty}
PATHS = {
    "csv": "run.csv",
    "json": "run.json",
    "parquet": "run.parquet",
    "hdf5": "run.hdf5",
    "feather": "run.feather",
    "csv.gz": "run.csv.gz",
    "json.gz": "run.json.gz",
    "minari": "run-v0",
}


def known_of(record):
    """The part of a run's record that a file stores."""
    known = dataclasses.asdict(record)
    for name in ("id", "created_at", "cache_key", "checkpoints"):
        del known[name]
    known["tags"] = tuple(tag for tag in known["tags"] if tag != "imported")
    return known


def bits(arrays):
    """Arrays as dtypes, shapes and bytes."""
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}


def chunks_as_bits(run_store, run_id):
    """Everything in the chunks of a run."""
    return [
        (
            *(chunk.first_episode, chunk.first_step, bits({"l": chunk.lengths, "e": chunk.ends}), chunk.env_rng),
            *(bits(chunk.steps), bits(chunk.figures)),
        )
        for chunk in run_store.chunks(run_id)
    ]


def names_in(folder):
    """The contents of a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def samples():
    """The functions with which tests make and compare runs."""
    return Samples


class Samples:
    """The functions of this file, for tests: those of several folders have files of the same name."""

    ALL, PATHS, RNG, CONFIG = SAMPLES, PATHS, RNG, CONFIG
    stored = staticmethod(stored)
    chunk_of = staticmethod(chunk_of)
    known_of = staticmethod(known_of)
    bits = staticmethod(bits)
    names_in = staticmethod(names_in)
    chunks_as_bits = staticmethod(chunks_as_bits)
