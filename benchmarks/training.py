"""The compiled trainer against plain C and the tutorial loop, in one process; ratios, medians of rounds.

    make bench            # or: python benchmarks/training.py [--rounds 5] [--only "300,000 episodes"] [--json]

Sides: *tutorial* is the loop of every introduction (gym.make, env.action_space.sample(), a NumPy table, np.argmax,
np.max); *C* is benchmarks/_q_learning.c, compiled here by `cc -O3 -march=native` if available, with the parameters of
the trainer's preset and, for SafeCab, as many episodes; *stored* writes every step to SQLite, and its seconds count to
the last commit. Rates are steps per second, on one core. The last figures are in benchmarks/training.md.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import random
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np

import rlbench

HERE = Path(__file__).parent
CARTPOLE_STEPS = 5_000_000  # per compiled round
TAXI_STEPS = 5_000_000
TUTORIAL_STEPS = 100_000
ENVS = ("SafeCab", "CartPole", "Taxi-v4")
SAFECAB = {  # episodes: the preset, and what C is told of it: learning rate, gamma, epsilon from, to and its decay
    60_000: ("default", (1.0, 0.95, 1.0, 0.1, 5e-5)),
    300_000: ("book", (0.7, 0.618, 1.0, 0.01, 1e-4)),
}
LIBRARY_FLAGS = ("-O3", "-march=native", "-shared", "-fPIC", "-lm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", metavar="TEXT", help="measure the sides whose names contain it")
    parser.add_argument("--json", action="store_true", help="print the medians as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sides = {name: side for name, side in _sides(Path(folder)).items() if arguments.only in name}
        rates = {name: [] for name in sides}
        for side in sides.values():
            side()  # warm-up: compiles and caches
        for _ in range(arguments.rounds):
            for name, side in sides.items():
                rates[name].append(side())
    medians = {name: statistics.median(found) for name, found in rates.items()}
    print(json.dumps(medians) if arguments.json else _report(medians))


def _sides(folder):
    """Returns the sides by name, "env, task: side": each a function that trains and returns steps per second."""
    library, safecab = _c_library(folder), gym.make("rlbench/SafeCab-v0")
    taxi, cartpole = gym.make("Taxi-v4"), gym.make("rlbench/DiscreteCartPole-v1")
    sides = {
        "SafeCab: tutorial": partial(_tutorial, safecab),
        "CartPole: tutorial": partial(_tutorial, cartpole),
        **_pair(folder, "CartPole", "cartpole", total_timesteps=CARTPOLE_STEPS),
        "Taxi-v4: tutorial": partial(_tutorial, taxi),
        "Taxi-v4: rlbench": partial(_trained, "Taxi-v4", total_timesteps=TAXI_STEPS, record="none"),
    }
    if library is not None:
        sides["CartPole: C"] = partial(_c_cartpole, library, cartpole.unwrapped)
    for episodes, (preset, schedule) in SAFECAB.items():
        task = f"SafeCab, {episodes:,} episodes"
        sides |= _pair(folder, task, "safecab", episodes=episodes, preset=preset)
        if library is not None:
            sides[f"{task}: C"] = partial(_c_safecab, library, safecab.unwrapped, episodes, schedule)
    return sides


def _pair(folder, task, env, **budget):
    """Returns two sides, with nothing and with every step stored."""
    return {
        f"{task}: rlbench": partial(_trained, env, record="none", **budget),
        f"{task}: rlbench, stored": lambda: _trained(env, record="all", store=_fresh(folder), **budget),
    }


def _trained(env, **arguments):
    run = rlbench.train(env, seed=0, **arguments)
    run.store.close()
    return run.timesteps / run.seconds


def _fresh(folder):
    for old in folder.glob("run.db*"):
        old.unlink()
    return str(folder / "run.db")


def _tutorial(env, *, alpha=0.7, gamma=0.618):
    """Trains as introductions do, without their mistake: the value of a terminal state is 0."""
    q_table = np.zeros([env.observation_space.n, env.action_space.n])
    env.action_space.seed(0)
    random.seed(0)
    steps, episode, started = 0, 0, time.perf_counter()
    while steps < TUTORIAL_STEPS:
        state, _ = env.reset(seed=0 if episode == 0 else None)
        epsilon = 0.01 + (1.0 - 0.01) * np.exp(-1e-4 * episode)
        terminated = truncated = False
        while not (terminated or truncated):
            if random.uniform(0, 1) < epsilon:  # noqa: S311, SIM108  (as tutorials write it)
                action = env.action_space.sample()
            else:
                action = np.argmax(q_table[state])
            next_state, reward, terminated, truncated, _ = env.step(action)
            next_max = 0.0 if terminated else np.max(q_table[next_state])
            q_table[state, action] = (1 - alpha) * q_table[state, action] + alpha * (reward + gamma * next_max)
            state = next_state
            steps += 1
        episode += 1
    return steps / (time.perf_counter() - started)


def _c_library(folder):
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    target = folder / "q_learning.so"
    subprocess.run([compiler, str(HERE / "_q_learning.c"), "-o", str(target), *LIBRARY_FLAGS], check=True)
    return ctypes.CDLL(str(target))


def _pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def _call(function, *arguments):
    """Calls C with NumPy arrays, ints as long and floats as double; returns the seconds it took, and its answer."""
    kinds = {int: ctypes.c_long, float: ctypes.c_double}
    passed = [_pointer(a) if isinstance(a, np.ndarray) else kinds[type(a)](a) for a in arguments]
    started = time.perf_counter()
    answer = function(*passed)
    return time.perf_counter() - started, answer


def _c_seed():
    return np.random.default_rng(0).integers(2**63, size=4).astype(np.uint64)


def _c_safecab(library, env, episodes, schedule):
    model, q = env.tabular_model(), np.zeros((env.observation_space.n, 6))
    table = (model.successor, model.reward, model.terminated.astype(np.uint8), model.starts.astype(np.int64))
    seconds, steps = _call(library.train_table, q, *table, len(model.starts), _c_seed(), episodes, 100, *schedule)
    return steps / seconds


def _c_cartpole(library, env):
    q, bins = np.zeros((env.observation_space.n, 2)), env.bins
    schedule = (0.5, 0.01, 2.5e6, 0.999, 1.0, 0.01, 1.75e6)
    arrays = (q, bins.low, bins.scale, bins.counts, _c_seed())
    return CARTPOLE_STEPS / _call(library.train_cartpole, *arrays, CARTPOLE_STEPS, 500, *schedule)[0]


def _report(medians):
    lines = ["| what | M steps/s | x tutorial | x C | x nothing stored |", "|---|---:|---:|---:|---:|"]
    for name, rate in sorted(medians.items(), key=lambda side: (ENVS.index(re.split("[:,]", side[0])[0]), side[0])):
        task, env = name.split(": ")[0], re.split("[:,]", name)[0]
        others = f"{env}: tutorial", f"{task}: C", f"{task}: rlbench" if name.endswith("stored") else ""
        ratios = [rate / medians.get(other, np.nan) for other in others]
        lines.append(
            "| {} | {:.3g} | {:,.0f} | {:.2f} | {:.2f} |".format(name, rate / 1e6, *ratios).replace("nan", "-")
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
