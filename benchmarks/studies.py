"""What a run of a study costs beside its loop, and what many runs gain: all sides in one process, in turn.

    python benchmarks/studies.py [--rounds 9] [--runs 1000] [--json]

A *short run* is 500 episodes of CliffWalking, with nothing recorded, in memory, when the process is warm; what it costs
beside its loop is the time that a caller waits less `run.seconds`. *Many* are 64 seeds in one call of `train_many`, on
one core, against 64 calls of `train`. The *exact evaluation* is that of a greedy policy in SafeCab's 500 states. *Two
processes* train the runs of a sweep over SafeCab's gamma, default preset, against one; starting them is included. The
*bookkeeping of a trial* of a tuning, two parameters and rounds of eight in a file, is asking for it, and telling and
storing what came of it. *Dask* has two workers try 64 runs of the same sweep in batches, against a process pool of two,
both through `executor=` and warm, the least of three times each. The last figures are in benchmarks/studies.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import rlbench
from rlbench.envs.tabular import TabularModel
from rlbench.planning import score_policy, solve
from rlbench.studies.asking import Asking
from rlbench.studies.searching import search_of
from rlbench.studies.trials import Trial
from rlbench.studies.tuned import Tuning, TuningSettings

SHORT = {"env": "CliffWalking-v1", "episodes": 500, "record": "none"}
SEEDS = 64
SWEEP = {"env": "safecab", "over": {"gamma": [0.9, 0.95, 0.99, 1.0]}}
BARS = {  # what is measured: its bar, and whether it is the least or the most
    "a short run of many, beside its loop, ms": (3.0, "most"),
    "a run by itself, beside its loop, ms": (3.0, "most"),
    "a short run of many into a file, beside its loop, ms": (None, ""),
    "64 short runs: by train / by train_many": (3.0, "least"),
    "exact evaluation of 500 states, ms": (1.0, "most"),
    "1,000 runs: one process / two": (1.8, "least"),
    "bookkeeping of a trial, random sampler, ms": (3.0, "most"),
    "bookkeeping of a trial, TPE at 1,000 trials, ms": (15.0, "most"),
    "64 runs: a process pool / Dask, of two": (0.9, "least"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runs", type=int, default=1000, help="of the sweep")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [*_short_runs(Path(folder), arguments.rounds), _evaluation(), _two_processes(folder, arguments.runs)]
        found += [*_bookkeeping(Path(folder)), _dask(Path(folder))]
    figures = dict(zip(BARS, found, strict=True))
    print(json.dumps(figures) if arguments.json else _table(figures))


def _short_runs(folder, rounds):
    """Returns the medians of what a run costs beside its loop, of many, alone and into a file, and of the ratios."""
    many, alone, stored, ratios = [], [], [], []
    for number in range(rounds + 1):  # the first is the warm-up
        together, beside = _timed(partial(rlbench.train_many, **SHORT, seeds=range(SEEDS)))
        many.append(beside)
        apart, beside = _timed(lambda: [rlbench.train(**SHORT, seed=seed) for seed in range(SEEDS)])
        alone.append(beside)
        stored.append(
            _timed(partial(rlbench.train_many, **SHORT, seeds=range(SEEDS), store=folder / f"{number}.db"))[1]
        )
        ratios.append(apart / together)
    return [statistics.median(column[1:]) for column in (many, alone, stored, ratios)]


def _timed(train):
    """Returns the seconds that training takes, and the milliseconds of a run beside its loop."""
    started = time.perf_counter()
    runs = train()
    seconds = time.perf_counter() - started
    for store in {run.store for run in runs}:
        store.close()
    return seconds, (seconds - sum(run.seconds for run in runs)) / len(runs) * 1e3


def _evaluation():
    with rlbench.train("safecab", episodes=3000, seed=0, record="none").store as store:
        run = rlbench.load_run(store)
        policy, model = run.agent.greedy_policy(), TabularModel.from_env(run.make_env())
    optimum, times = solve(model), []
    for _ in range(200):
        started = time.perf_counter()
        score_policy(model, policy, optimum)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def _two_processes(folder, runs):
    """Returns how many times as long one process takes as two, which find the same."""
    seeds, seconds, hashes = range(runs // len(SWEEP["over"]["gamma"])), [], set()
    for workers in (1, 2):
        started = time.perf_counter()
        study = rlbench.sweep(**SWEEP, seeds=seeds, workers=workers, store=Path(folder) / f"sweep-{workers}.db")
        seconds.append(time.perf_counter() - started)
        hashes.add(study.hash)
        study.store.close()
    if len(hashes) > 1:
        raise SystemExit("two processes found something else than one")
    return seconds[0] / seconds[1]


def _bookkeeping(folder):
    """Returns the milliseconds a trial, at random from the first to the 1,000th, then by TPE."""
    with rlbench.open_store(folder / "tuning.db") as store:
        study = Tuning.new("tuning", _tuning(1200), store)
        asking, random, rng = Asking(study), [], np.random.default_rng(0)
        while study.asked < 1000:
            random.append(_round(study, asking, rng))
        asking._settings = replace(study.settings, sampler="tpe")
        tpe = [_round(study, asking, rng) for _ in range(10)]
    return [statistics.median(times) * 1e3 for times in (random, tpe)]


def _round(study, asking, rng):
    """Returns the seconds a trial of a round; what comes of its trials is drawn."""
    for number in range(study.asked):
        if np.isnan(study.values[number]).any():
            study.take(number, np.arange(8), [Trial(value) for value in rng.random(8)])
    started = time.perf_counter()
    asking.go_on()
    return (time.perf_counter() - started) / study.settings.round


def _tuning(trials):
    axes, ranges = search_of({"learning_rate": "0.01..1:log", "gamma": "0.5..1"}, "q-learning")
    return TuningSettings(
        env="CliffWalking-v1",
        agents=("q-learning",),
        axes=axes,
        seeds=tuple(range(8)),
        episodes=500,
        total_timesteps=None,
        preset="default",
        agent_kwargs={},
        env_kwargs={},
        bins=None,
        objective="regret",
        aggregate="mean",
        record="none",
        ranges=ranges,
        trials=trials,
        round=8,
        sampler="random",
        seed=0,
        test_seeds=(),
        prune="",
    )


def _dask(folder):
    """Returns how many times as long a process pool takes as Dask's workers."""
    from distributed import Client

    pool, seconds = ProcessPoolExecutor(2, mp_context=get_context("spawn")), {}
    quiet = {"dashboard_address": None, "silence_logs": 50, "local_directory": str(folder / "dask")}
    with pool, Client(n_workers=2, threads_per_worker=1, **quiet) as client:
        for number in range(4):  # the first is the warm-up
            for kind, executor in {"pool": pool, "dask": client.get_executor(pure=False)}.items():
                started = time.perf_counter()
                rlbench.sweep(
                    **SWEEP, seeds=range(16), workers=2, executor=executor, store=folder / f"{kind}-{number}.db"
                ).store.close()
                seconds.setdefault(kind, []).append(time.perf_counter() - started)
    return min(seconds["pool"][1:]) / min(seconds["dask"][1:])


def _table(figures):
    rows = ["| what | measured | bar |", "|---|---:|---|"]
    for name, found in figures.items():
        bar, kind = BARS[name]
        is_met = bar is None or (found <= bar if kind == "most" else found >= bar)
        told = "-" if bar is None else f"at {kind} {bar:g}, {'met' if is_met else 'MISSED'}"
        rows.append(f"| {name} | {found:.2f} | {told} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
