"""False alarms and power of the drift monitor, by simulation, beside river's detectors on the same streams.

    pip install river
    nice python benchmarks/drift.py [--references 200] [--streams 5] [--rivers 5] [--only SET] [--json]

A *population* is one of scikit-learn's bundled data sets, or 1,000 greedy episodes of SafeCab. A reference is drawn
from it with replacement: as many rows as the set has, 300 episodes. For each of 200 references, 5 streams of 10,000
rows (whole episodes) are drawn likewise: 1,000 streams in which nothing has drifted. The budget is one false alarm in
10,000 rows, so that one a stream is due. river's detectors watch one column each, as they are made for, with their
defaults; of more than four columns, four are watched and the alarms counted up, on the first --rivers streams, half as
long: they are slow.

*Power* is the share of 50 streams with an alarm within 2,000 rows after one column, in the middle, has moved by 0.25,
0.5 or 1 standard deviation (a budget of one in 100,000 rows); of SafeCab, after 5, 10 or 20 % of the episodes come from
a random policy. The last figures are in benchmarks/drift.md.
"""

from __future__ import annotations

import argparse
import json
from typing import NamedTuple

import numpy as np

import rlbench
from rlbench.drifting import Monitor, Sample, rows_sample
from rlbench.drifting.samples import sample_of_run
from rlbench.modelling import load_built_in

ROWS = 10_000  # of a stream, and to a false alarm
AFTER = 2_000  # rows after the drift
POWER_STREAMS = 50
SETS = ("iris", "wine", "digits", "breast-cancer")
SHIFTS = (0.25, 0.5, 1.0)  # standard deviations
SHARES = (0.05, 0.1, 0.2)  # of episodes
WATCHED = 4  # columns, by river


class Population(NamedTuple):
    """What streams are drawn from: rows, and where the units begin that they belong to."""

    rows: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    reference_units: int


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=200)
    parser.add_argument("--streams", type=int, default=5, help="of each reference")
    parser.add_argument("--rivers", type=int, default=5, help="streams that river's detectors watch")
    parser.add_argument("--only", choices=[*SETS, "safecab"], help="this population alone")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = {}
    for name in [arguments.only] if arguments.only else [*SETS, "safecab"]:
        population, drifts = _safecab() if name == "safecab" else _data_set(name)
        figures[name] = {
            "false alarms": _false_alarms(population, arguments.references, arguments.streams),
            "power": {label: _power(population, drift) for label, drift in drifts.items()},
            "river": _rivers(population, arguments.rivers),
        }
        if not arguments.json:
            print(_row(name, figures[name]), flush=True)
    if arguments.json:
        print(json.dumps(figures))


# ------------------------------------------------------------------ populations


def _data_set(name):
    """Returns the population of a data set, and what makes its streams drift: functions of a generator."""
    rows = load_built_in(name).rows
    population = Population(rows, np.arange(len(rows)), np.ones(len(rows), int), len(rows))
    step = np.zeros(rows.shape[1])
    step[rows.shape[1] // 2] = rows[:, rows.shape[1] // 2].std()
    return population, {f"{shift:g} sd": _shifted(population, step * shift) for shift in SHIFTS}


def _safecab():
    run = rlbench.train("safecab", seed=0)
    greedy = _episodes(rlbench.record("safecab", run, episodes=1000, seed=1))
    strange = _episodes(rlbench.record("safecab", "random", episodes=300, seed=2))
    return greedy, {f"{share:.0%} random": _mixed(greedy, strange, share) for share in SHARES}


def _episodes(run):
    sample = sample_of_run(run)
    lengths = np.bincount(sample.units)
    return Population(sample.columns["observation"][:, None], np.cumsum(lengths) - lengths, lengths, 300)


def _drawn(population, units, rng):
    """Returns the rows of some units drawn with replacement, and the unit of each."""
    chosen = rng.integers(len(population.starts), size=units)
    lengths, stops = population.lengths[chosen], np.cumsum(population.lengths[chosen])
    rows = np.repeat(population.starts[chosen] - (stops - lengths), lengths) + np.arange(stops[-1])
    return population.rows[rows], np.repeat(np.arange(units), lengths)


def _stream(population, n, rng):
    return _drawn(population, int(2 * n / population.lengths.mean()) + 50, rng)[0][:n]


def _reference(population, rng):
    rows, units = _drawn(population, population.reference_units, rng)
    names = [str(i) for i in range(rows.shape[1])]
    return Sample("reference", rows_sample("rows", names, rows).columns, units)


def _shifted(population, step):
    return lambda rng: _stream(population, AFTER, rng) + step


def _mixed(greedy, strange, share):
    """Mixes whole episodes of a random policy in."""

    def drifted(rng):
        picked = rng.random(AFTER) < share
        return np.concatenate([_drawn(strange if odd else greedy, 1, rng)[0] for odd in picked[:400]])[:AFTER]

    return drifted


# ------------------------------------------------------------------ what is measured


def _false_alarms(population, references, streams):
    """Returns the alarms a stream without drift, the standard error over references, and the window."""
    alarms = []
    for seed in range(references):
        rng = np.random.default_rng([seed, 0])
        monitor = Monitor(_reference(population, rng), rows_per_alarm=ROWS, seed=seed)
        alarms.append(monitor.observe(_stream(population, streams * ROWS, rng)).alarms / streams)
    return float(np.mean(alarms)), float(np.std(alarms) / np.sqrt(references)), monitor.window


def _power(population, drift):
    """Returns the share of streams with an alarm after the drift."""
    found = 0
    for seed in range(POWER_STREAMS):
        rng = np.random.default_rng([seed, 1])
        monitor = Monitor(_reference(population, rng), rows_per_alarm=10 * ROWS, seed=seed)
        found += monitor.observe(drift(rng)).alarms > 0
    return found / POWER_STREAMS


def _rivers(population, streams):
    """Returns the alarms in as many rows of river's detectors, all columns together."""
    from river import drift

    makers = {"ADWIN": drift.ADWIN, "KSWIN": lambda: drift.KSWIN(seed=0), "PageHinkley": drift.PageHinkley}
    drawn = [_stream(population, ROWS // 2, np.random.default_rng([seed, 0])) for seed in range(streams)]
    return {
        name: 2 * float(np.mean([_of_columns(maker, stream) for stream in drawn])) for name, maker in makers.items()
    }


def _of_columns(maker, stream):
    width = stream.shape[1]
    watched = np.linspace(0, width - 1, min(width, WATCHED)).astype(int)
    return np.mean([_alarms(maker(), stream[:, column].tolist()) for column in watched]) * width


def _alarms(detector, values):
    found = 0
    for value in values:
        detector.update(value)
        found += bool(detector.drift_detected)
    return found


def _row(name, found):
    mean, error, window = found["false alarms"]
    cells = [name, str(window), f"{mean:.2f} ± {error:.2f}", *(f"{value:.1f}" for value in found["river"].values())]
    return f"| {' | '.join([*cells, ', '.join(f'{label}: {power:.0%}' for label, power in found['power'].items())])} |"


if __name__ == "__main__":
    main()
