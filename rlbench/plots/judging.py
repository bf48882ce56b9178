"""What test episodes say: evaluations and regret over training, ten episodes in a row, performance profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from rlbench.errors import UsageError
from rlbench.intervals import mean_band
from rlbench.plots.data import (
    are_runs,
    evaluation_of,
    evaluations_of,
    is_evaluated,
    is_run,
    listed,
    optimum_of,
    runs_in,
    seeds_of,
    title_of,
)
from rlbench.plots.fitting import drawing, legend_below
from rlbench.plots.retracing import regrets_of
from rlbench.plots.series import Curves, Series, after, band_title, by_label, draw_lines, finish, lines_of, points
from rlbench.plots.style import BLACK, GREEN, SKY, VERMILION, line_style, plain, whole_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from rlbench.evaluation import Evaluation
    from rlbench.training import Run

    Array = NDArray[np.float64]

BINS = 30
TEST_EPISODES = 10
RETURN_MARKS = {"mean": (VERMILION, "-"), "exact": (BLACK, ":"), "optimum": (GREEN, "--")}


def evaluation(data: Curves | Evaluation, ax: Axes | None = None, *, x: str = "episodes") -> Axes:
    """Draws the returns of greedy test episodes, with the best possible return where it is known.

    For runs that were evaluated while they were trained (`eval_every`): their means over training, a line for those
    that differ only in their seed, with its 95 % interval as a band. Otherwise: a histogram, with the mean.

    Args:
        data: an Evaluation, a run (evaluated here on 100 episodes by default), several, or returns (episodes,).
        ax: where to draw; a new figure's by default.
        x: "episodes" or "steps", over training.

    Raises:
        UsageError: matplotlib is missing, there are no returns, or runs that were not evaluated in training differ in
            more than their seed.
        StoreError: the run's env cannot be made.
    """
    runs = runs_in(data)
    if runs and all(map(is_evaluated, runs)):
        return _over_training(cast("Curves", data), ax, x)
    seeds = seeds_of(data)
    found = [evaluation_of(one) if is_run(one) else one for one in seeds]
    returns = np.concatenate([np.asarray(getattr(one, "returns", one), dtype=np.float64) for one in found])
    if not len(returns):
        raise UsageError("there is no finished episode: nothing to draw")
    with drawing(ax) as drawn:
        _draw_histogram(drawn, returns)
        for name, value in _marks(found, returns).items():
            color, line = RETURN_MARKS[name]
            drawn.axvline(value, color=color, linestyle=line, label=f"{name} {value:.6g}")
        what = f"episodes of {len(seeds)} seeds" if len(seeds) > 1 else "episodes"
        drawn.set(xlabel="return of a test episode", ylabel=what, title=plain(title_of(data)))
        legend_below(drawn)
    return drawn


def regret(data: Curves, ax: Axes | None = None, *, x: str = "episodes") -> Axes:
    """Draws the regret over training: the best possible return minus that of the greedy policy.

    Args:
        data: runs in an env whose transitions are known (see `regrets_of`), or regrets: as in `curve`.
        ax: where to draw; a new figure's by default.
        x: "episodes" or "steps".

    Raises:
        UsageError: the regret of a run is unknown, or matplotlib is missing.
    """
    exact = []

    def read(run: Run) -> Series:
        found = regrets_of(run)
        exact.append(found.is_exact)
        return after(run, found.after, found.values, x)

    lines = lines_of(data, read, x=x)
    is_bounded = all(np.isfinite(run.y).all() for line in lines for run in line.runs)
    lines = [line._replace(runs=[_gaps(run) for run in line.runs]) for line in lines]
    how = "exact " if exact and all(exact) else "" if not any(exact) else "exact or sampled "
    with drawing(ax) as drawn:
        draw_lines(drawn, lines, "regret of the greedy policy")
        for line in drawn.get_lines():
            line.set(marker=".", markersize=4)
        gap = None if is_bounded else "no line: unbounded"
        finish(drawn, data, f"{how}regret", x, band_title(lines), gap)
    return drawn


def trials(data: Curves, ax: Axes | None = None) -> Axes:
    """Draws the returns of ten greedy test episodes as a line; of several seeds their mean, with a band.

    Args:
        data: runs of one env, or returns: as in `curve`.
        ax: where to draw; a new figure's by default.

    Raises:
        UsageError: runs of different envs, or matplotlib is missing.
        StoreError: a run's env cannot be made.
    """
    lines = lines_of(data, lambda run: _numbered(evaluation_of(run, TEST_EPISODES).returns), _numbered)
    with drawing(ax) as drawn:
        draw_lines(drawn, lines)
        for line in drawn.get_lines():
            line.set(marker="o", markersize=4)
        finish(drawn, data, "return", "episodes", band_title(lines))
        drawn.set_xlabel("test episode")
    return drawn


def profile(data: Curves, ax: Axes | None = None) -> Axes:
    """Draws performance profiles: the share of the runs whose return exceeds each value (Agarwal et al., 2021).

    A run's return is the mean of its greedy test episodes. A candidate with one run has the returns of these episodes
    instead, whose band does not cover what another seed would bring.

    Args:
        data: runs of one env, or scores: (runs,), (runs, tasks), of normalized returns, or a dict of these by label.
            The runs of each task are resampled on their own (stratified bootstrap).
        ax: where to draw; a new figure's by default.

    Raises:
        UsageError: runs of different envs, scores of another shape, or matplotlib is missing.
        StoreError: a run's env cannot be made.
    """
    samples = {label: _sample(one) for label, one in by_label(data).items()}
    if not samples:
        raise UsageError("a profile needs at least one run")
    with drawing(ax) as drawn:
        scores = np.unique(np.concatenate([sample.scores.reshape(-1) for sample in samples.values()]))
        margin = 0.03 * float(np.ptp(scores)) or 0.5
        at = np.concatenate([[scores[0] - margin], scores[points(len(scores))], [scores[-1] + margin]])
        for number, (label, sample) in enumerate(samples.items()):
            _draw_profile(drawn, at, sample, label, number)
        drawn.set(ylim=(-0.03, 1.03), xlim=(at[0], at[-1]), xlabel="return", title=plain(title_of(data)))
        units = {sample.unit for sample in samples.values()}
        drawn.set_ylabel(f"share of {' or '.join(sorted(units))} with a higher return")
        legend_below(drawn, "band: 95 % interval")
    return drawn


# ------------------------------------------------------------------------------------------------ drawing


class _Sample(NamedTuple):
    scores: Array  # (n, tasks)
    unit: str  # what each is of: run or episode


def _over_training(data: Curves, ax: Axes | None, x: str) -> Axes:
    """Draws the mean returns of the evaluations over training."""
    lines = lines_of(data, lambda run: after(run, *_means(run), x), x=x)
    optimum = optimum_of(runs_in(data)[0])
    with drawing(ax) as drawn:
        _draw_own_intervals(drawn, data, x)
        draw_lines(drawn, lines, "mean return of greedy episodes")
        for line in drawn.get_lines():
            line.set(marker=".", markersize=4)
        if optimum is not None:
            color, dash = RETURN_MARKS["optimum"]
            drawn.axhline(optimum, color=color, linestyle=dash, label=f"optimum {optimum:.6g}")
            drawn.update_datalim([(0, optimum)], updatex=False)  # axhline keeps no margin above it
            drawn.autoscale_view(scalex=False)
        drawn.set_xlim(0, None)
        finish(drawn, data, "return of a test episode", x, band_title(lines))
    return drawn


def _gaps(run: Series) -> Series:
    """Leaves a gap where a policy never arrives."""
    return run._replace(y=np.where(np.isfinite(run.y), run.y, np.nan))


def _means(run: Run) -> tuple[NDArray[np.int64], Array]:
    episodes, (mean, _, _) = evaluations_of(run)
    return episodes, mean


def _draw_own_intervals(ax: Axes, data: Curves, x: str) -> None:
    """Draws the intervals of a line's evaluations, where it is one run."""
    for number, part in enumerate(by_label(data).values()):
        if len(listed(part)) == 1:
            [run] = listed(part)
            episodes, (_, low, high) = evaluations_of(run)
            at = after(run, episodes, low, x).x
            color = line_style(number)["color"]
            ax.fill_between(at, low, high, color=color, alpha=0.25, linewidth=0, label="95 % interval")


def _draw_histogram(ax: Axes, returns: Array) -> None:
    values, counts = np.unique(returns, return_counts=True)
    if len(values) > BINS:
        ax.hist(returns, bins=BINS, color=SKY)
    else:
        width = _bar_width(values)
        ax.bar(values, counts, width=width, color=SKY)
        ax.set_xlim(values[0] - 2 * width, values[-1] + 2 * width)
    whole_numbers(ax.yaxis)


def _bar_width(values: Array) -> float:
    """Returns the width of the bars: they do not touch, and are at most a twelfth of the range wide."""
    if len(values) == 1:
        return max(abs(float(values[0])) * 0.005, 0.05)
    return min(0.8 * float(np.diff(values).min()), float(np.ptp(values)) / 12)


def _marks(found: Sequence[Any], returns: Array) -> dict[str, float]:
    """Returns the values to mark: the mean and, with a known model, the optimum and the (mean) exact value."""
    marks = {"mean": float(returns.mean())}
    for name, attribute in (("optimum", "optimal_return"), ("exact", "exact_return")):
        values = [getattr(one, attribute, None) for one in found]
        if all(value is not None for value in values):
            marks[name] = float(np.mean(cast("list[float]", values)))
    return marks


def _numbered(returns: ArrayLike) -> Series:
    """Returns a series over 1, 2, 3 ..."""
    values = np.asarray(returns, dtype=np.float64)
    return Series(np.arange(1.0, len(values) + 1), values)


def _sample(data: Any) -> _Sample:
    if are_runs(data):
        returns = [evaluation_of(run).returns for run in listed(data)]
        is_one = len(returns) == 1
        scores = returns[0] if is_one else np.array([one.mean() for one in returns])
        return _Sample(scores[:, None], "episodes" if is_one else "runs")
    scores = np.asarray(data, dtype=np.float64)
    if scores.ndim not in (1, 2) or not scores.size:
        raise UsageError(f"scores must be (runs,) or (runs, tasks), got the shape {scores.shape}")
    return _Sample(scores.reshape(len(scores), -1), "runs")


def _draw_profile(ax: Axes, at: Array, sample: _Sample, label: str, number: int) -> None:
    exceeds = (sample.scores[:, :, None] > at).astype(np.float64).swapaxes(0, 1)  # (tasks, runs, points)
    style = line_style(number)
    named = ", ".join(filter(None, (label, f"{len(sample.scores):,} {sample.unit}")))
    low, high = mean_band(exceeds)
    ax.fill_between(at, low, high, step="post", color=style["color"], alpha=0.25, linewidth=0)
    ax.plot(at, exceeds.mean(axis=(0, 1)), **style, drawstyle="steps-post", label=plain(named, len(named)))
