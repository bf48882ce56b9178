"""The stores against the book's way and Minari: a million transitions written and read, in one process.

    python benchmarks/store.py [--rounds 5] [--mongodb mongodb://127.0.0.1:27017/bench] [--json]

Data: a million steps of Q-learning in SafeCab, and a million of a balancing CartPole (four float32 per state). Columns:
observations (T+1 per episode), actions, rewards and ends. *Book* commits a row per transition to SQLite, states as
text, for a thousandth of the data; *Minari* writes and reads one HDF5 dataset (extra `minari`) of a tenth; *MongoDB* is
the server of --mongodb, with the store's own durable write concern. The last figures are in benchmarks/store.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from gymnasium import spaces

import rlbench
from rlbench.store import OPEN, TERMINATED, TRUNCATED, EpisodeChunk, open_store

TRANSITIONS = 1_000_000
CHUNK = 2**16  # steps
MILLION_EPISODES = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mongodb", metavar="URL")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = _measured(Path(folder), arguments)
    print(json.dumps(figures) if arguments.json else _report(figures))


def _measured(folder, arguments):
    """Returns {data: {side: {"write": rate, "read": rate, "bytes": per transition}}} and the cold read."""
    found = {}
    for data, chunks in (("SafeCab", safecab_chunks()), ("CartPole", cartpole_chunks())):
        sides = {"SQLite": lambda chunks=chunks: _store_round(str(folder / "run.db"), chunks)}
        if arguments.mongodb:
            sides["MongoDB"] = lambda chunks=chunks: _store_round(arguments.mongodb, chunks)
        sides["book"] = lambda chunks=chunks: _book_round(folder / "book.db", chunks)
        if data == "CartPole":
            sides["Minari hdf5"] = lambda chunks=chunks: _minari_round(folder / "minari", chunks)
        rounds = {name: [] for name in sides}
        for _ in range(arguments.rounds):
            for name, side in sides.items():
                rounds[name].append(side())
        found[data] = {name: _medians(taken) for name, taken in rounds.items()}
    return {**found, "one episode of a million, cold, ms": _cold_read(folder)}


def _medians(rounds):
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}


# ------------------------------------------------------------------------------------------------- data


def safecab_chunks():
    """Returns a million steps of SafeCab as training stores them, without figures."""
    run = rlbench.train("safecab", total_timesteps=TRANSITIONS, seed=0)
    columns = ("observations", "actions", "rewards", "explored")
    return [
        EpisodeChunk(c.first_episode, c.first_step, c.lengths, c.ends, {}, {name: c.steps[name] for name in columns})
        for c in run.store.chunks(run.id, figures=False)
    ]


def cartpole_chunks():
    """Returns a million steps of two thousand poles with Gymnasium's physics, balanced by a simple rule."""
    rng, poles, steps = np.random.default_rng(0), 2000, 500
    x, v, theta, omega = rng.uniform(-0.05, 0.05, (4, poles))
    states, actions = np.empty((poles, steps + 1, 4), np.float32), np.empty((poles, steps), np.int64)
    states[:, 0] = np.stack([x, v, theta, omega], axis=1)
    for t in range(steps):
        right = (theta + 0.5 * omega + 0.02 * x + 0.05 * v + rng.normal(0, 0.01, poles)) > 0
        force = np.where(right, 10.0, -10.0)
        temp = (force + 0.05 * omega**2 * np.sin(theta)) / 1.1
        alpha = (9.8 * np.sin(theta) - np.cos(theta) * temp) / (0.5 * (4 / 3 - 0.1 * np.cos(theta) ** 2 / 1.1))
        acceleration = temp - 0.05 * alpha * np.cos(theta) / 1.1
        x, v, theta, omega = x + 0.02 * v, v + 0.02 * acceleration, theta + 0.02 * omega, omega + 0.02 * alpha
        states[:, t + 1], actions[:, t] = np.stack([x, v, theta, omega], axis=1), right
    per_chunk = CHUNK // steps
    return [
        EpisodeChunk(
            first_episode=first,
            first_step=0,
            lengths=np.full(len(actions[first : first + per_chunk]), steps),
            ends=np.full(len(actions[first : first + per_chunk]), TRUNCATED, np.uint8),
            figures={},
            steps={
                "observations": states[first : first + per_chunk].reshape(-1, 4),
                "actions": actions[first : first + per_chunk].reshape(-1),
                "rewards": np.ones(actions[first : first + per_chunk].size),
            },
        )
        for first in range(0, poles, per_chunk)
    ]


# ------------------------------------------------------------------------------------------------ sides


def _store_round(url, chunks):
    for old in Path(url).parent.glob(Path(url).name + "*") if "://" not in url else ():
        old.unlink()
    steps = sum(chunk.n_steps for chunk in chunks)
    with open_store(url) as store:
        run = store.create_run("bench", "none", seed=0)
        started = time.perf_counter()
        for chunk in chunks:
            store.append(run.id, chunk)
        written = time.perf_counter() - started
        size = _size(store, run.id)
        started = time.perf_counter()
        for chunk in store.chunks(run.id):
            assert chunk.steps is not None  # noqa: S101
        read = time.perf_counter() - started
        store.delete_run(run.id)
    return {"write": steps / written, "read": steps / read, "bytes": size / steps}


def _size(store, run_id):
    """Returns the total size of a run's blobs, in bytes."""
    parts = itertools.product(store.backend.select_spans(run_id), ("segments", "figures", "steps"))
    return sum(len(store.backend.select_part(run_id, span, part)[1] or b"") for span, part in parts)


def _rows(chunks, limit):
    for chunk in chunks:
        for segment, end in enumerate(chunk.ends):
            part = chunk.segment(segment)
            observations = part["observations"].tolist()
            for t in range(len(part["rewards"])):
                if limit <= 0:
                    return
                limit -= 1
                ended = end != OPEN and t + 1 == len(part["rewards"])
                yield observations[t], part["actions"][t], part["rewards"][t], observations[t + 1], ended


def _book_round(path, chunks):
    path.unlink(missing_ok=True)
    rows = list(_rows(chunks, TRANSITIONS // 1000))
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (state TEXT, action INTEGER, reward REAL, next_state TEXT, done INTEGER)")
    started = time.perf_counter()
    for state, action, reward, following, ended in rows:
        values = (str(state), int(action), float(reward), str(following), int(ended))
        connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?)", values)
        connection.commit()
    written = time.perf_counter() - started
    started = time.perf_counter()
    [(json.loads(row[0]), row[1], row[2], json.loads(row[3]), row[4]) for row in connection.execute("SELECT * FROM t")]
    read = time.perf_counter() - started
    connection.close()
    return {"write": len(rows) / written, "read": len(rows) / read, "bytes": path.stat().st_size / len(rows)}


def _minari_round(folder, chunks):
    try:
        from minari.data_collector.episode_buffer import EpisodeBuffer
        from minari.dataset.minari_storage import MinariStorage
    except ImportError:
        return {"write": float("nan"), "read": float("nan"), "bytes": float("nan")}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    box, discrete = spaces.Box(-np.inf, np.inf, (4,), np.float32), spaces.Discrete(2)
    storage = MinariStorage.new(folder, observation_space=box, action_space=discrete)
    parts = [c.segment(i) for c in chunks[: max(1, len(chunks) // 10)] for i in range(len(c.lengths))]
    buffers = [_minari_episode(EpisodeBuffer, part) for part in parts]
    steps = sum(len(part["rewards"]) for part in parts)
    started = time.perf_counter()
    storage.update_episodes(buffers)
    written = time.perf_counter() - started
    started = time.perf_counter()
    for _episode in storage.get_episodes(range(len(buffers))):
        pass
    read = time.perf_counter() - started
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"write": steps / written, "read": steps / read, "bytes": size / steps}


def _minari_episode(episode_buffer, part):
    n = len(part["rewards"])
    return episode_buffer(
        observations=part["observations"],
        actions=part["actions"],
        rewards=part["rewards"].tolist(),
        terminations=[False] * n,
        truncations=[False] * (n - 1) + [True],
    )


def _cold_read(folder):
    """Returns the milliseconds in which a fresh process, after its imports, reads one episode out of a million."""
    path = folder / "million.db"
    with open_store(path) as store:
        run = store.create_run("bench", "none", seed=0)
        for first in range(0, MILLION_EPISODES, 5000):
            store.append(run.id, _short_episodes(first, 5000))
    program = (
        "import time, sys; from rlbench.store import open_store; import rlbench.store.sqlite; t = time.perf_counter();"
        f"e = open_store({str(path)!r}).episodes('latest')[777_777]; print((time.perf_counter() - t) * 1e3, len(e))"
    )
    times = []
    for _ in range(5):
        printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        times.append(float(printed.split()[0]))
    return statistics.median(times)


def _short_episodes(first, count, steps=13):
    rng = np.random.default_rng(first)
    return EpisodeChunk(
        first_episode=first,
        first_step=0,
        lengths=np.full(count, steps),
        ends=np.full(count, TERMINATED, np.uint8),
        figures={"return": np.zeros(count)},
        steps={
            "observations": rng.integers(500, size=count * (steps + 1)).astype(np.int32),
            "actions": rng.integers(6, size=count * steps).astype(np.int16),
            "rewards": np.full(count * steps, -1.0),
        },
    )


def _report(figures):
    lines = ["| data | side | write, M/s | read, M/s | bytes per transition | write, x book | x Minari |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for data in ("SafeCab", "CartPole"):
        for side, found in figures[data].items():
            book, minari = figures[data]["book"]["write"], figures[data].get("Minari hdf5", {}).get("write")
            versus = f"{found['write'] / minari:.1f}" if minari else "-"
            rates = f"{found['write'] / 1e6:.3g} | {found['read'] / 1e6:.3g} | {found['bytes']:.2f}"
            lines.append(f"| {data} | {side} | {rates} | {found['write'] / book:,.0f} | {versus} |")
    cold = figures["one episode of a million, cold, ms"]
    return "\n".join(lines) + f"\n\nOne episode out of 1,000,000, in a fresh process, excluding imports: {cold:.1f} ms"


if __name__ == "__main__":
    main()
